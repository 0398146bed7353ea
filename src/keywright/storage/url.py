"""Reads a database URL. A URL may hold a password, so nothing here quotes one, in a message or in a `repr`."""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

POOL_SIZE = 10
STATEMENT_CACHE_SIZE = 100


@dataclass(frozen=True, slots=True)
class SqliteUrl:
    """A file on this machine."""

    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresUrl:
    """
    A server that speaks PostgreSQL's protocol.

    `dsn` is the URL without the two options that are ours. `statement_cache_size=0` does without prepared statements,
    for poolers that hand every transaction to another connection and know nothing of them.
    """

    dsn: str = field(repr=False)
    pool_size: int = POOL_SIZE
    statement_cache_size: int = STATEMENT_CACHE_SIZE
    names_application: bool = False


def read(url: str) -> SqliteUrl | PostgresUrl:
    """
    Read a database URL.

    Args:
        url: `sqlite:///relative.db`, `sqlite:////absolute.db`, or `postgresql://user:password@host:port/database` with
            libpq's options in the query, `pool_size` and `statement_cache_size`; a Unix socket is `?host=/directory`.

    Raises:
        ValueError: It is not one of these; the message says what is wrong.
    """
    scheme, separator, _ = url.partition("://")
    if not separator:
        raise ValueError("a database URL begins with sqlite:/// or postgresql://")
    if scheme == "sqlite":
        return _sqlite(url)
    if scheme in ("postgresql", "postgres"):
        return _postgres(url)
    raise ValueError("the scheme of a database URL is sqlite or postgresql, without a driver's name")


def _sqlite(url: str) -> SqliteUrl:
    # Split by hand: a path is taken as it is written, without percent decoding.
    authority, slash, path = url.removeprefix("sqlite://").partition("/")
    if authority or not slash:
        raise ValueError("a SQLite URL has three slashes before a relative path and four before an absolute one")
    if "?" in path:
        raise ValueError("a SQLite URL takes no options")
    if path in ("", ":memory:"):
        raise ValueError("a SQLite URL names a file: keys in memory would be gone after a restart")
    return SqliteUrl(Path(path))


def _postgres(url: str) -> PostgresUrl:
    try:
        parts = urlsplit(url)
        _ = parts.port
        # A literal plus sign in a password or a path of the query is not a space to libpq.
        options = dict(parse_qsl(parts.query.replace("+", "%2B"), keep_blank_values=True, strict_parsing=True))
    except ValueError:
        # Said without the cause, whose message quotes the URL.
        raise ValueError("the PostgreSQL URL is malformed: its host, its port or its options cannot be read") from None
    pool_size = _count(options.pop("pool_size", None), "pool_size", default=POOL_SIZE, least=1)
    cache = _count(
        options.pop("statement_cache_size", None), "statement_cache_size", default=STATEMENT_CACHE_SIZE, least=0
    )
    return PostgresUrl(
        dsn=parts._replace(query=urlencode(options)).geturl(),
        pool_size=pool_size,
        statement_cache_size=cache,
        names_application="application_name" in options,
    )


def _count(text: str | None, option: str, *, default: int, least: int) -> int:
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and least <= int(text) <= 1000):
        raise ValueError(f"{option} in the PostgreSQL URL is a whole number from {least} to 1000")
    return int(text)
