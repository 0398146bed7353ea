"""Reads a database URL. A URL may hold a password, so nothing here quotes one, in a message or in a `repr`."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlencode

from keywright.keys.addresses import is_loopback

POOL_SIZE = 10
STATEMENT_CACHE_SIZE = 100

_HOST = re.compile(r"(\[[^\[\]@]+\]|[^\[\]@:]*)(:(?P<port>[0-9]{1,5}))?")
_PRIMARY = ("any", "read-write", "primary")
_ESCAPES = "in a name or a password, / ? # @ are written %2F %3F %23 %40"


class Host(NamedTuple):
    """One of several servers: a name, an address or the folder of a socket, and a port where the URL names one."""

    name: str
    port: int | None


@dataclass(frozen=True, slots=True)
class SqliteUrl:
    """A file on this machine."""

    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresUrl:
    """
    A server that speaks PostgreSQL's protocol.

    `dsn` is the URL without the two options that are ours. `statement_cache_size=0` does without prepared statements,
    for poolers that hand every transaction to another connection and know nothing of them. `is_remote` says whether a
    host is another machine: no loopback address and no Unix socket. `hosts` are the servers where there are several,
    one of which is the primary at a time; it is empty where there is one, which `dsn` names.
    """

    dsn: str = field(repr=False)
    pool_size: int = POOL_SIZE
    statement_cache_size: int = STATEMENT_CACHE_SIZE
    names_application: bool = False
    sslmode: str = "prefer"
    is_remote: bool = False
    hosts: tuple[Host, ...] = ()


def read(url: str) -> SqliteUrl | PostgresUrl:
    """
    Read a database URL.

    Args:
        url: `sqlite:///relative.db`, `sqlite:////absolute.db`, or `postgresql://user:password@host:port/database` with
            libpq's options in the query, `pool_size` and `statement_cache_size`; a Unix socket is `?host=/directory`.
            Several servers, `host:port,host:port`, are one that others stand by for.

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
    place, _, query = url.partition("?")
    hosts = place.partition("://")[2].partition("/")[0]
    # Cut where the driver cuts.
    hosts = hosts.partition("@")[2] if "@" in hosts else hosts
    if "#" in url or not all(map(_is_host, hosts.split(","))):
        raise ValueError(f"the host or the port of the PostgreSQL URL cannot be read; {_ESCAPES}")
    try:
        # To libpq a plus sign is a plus sign.
        options = dict(parse_qsl(query.replace("+", "%2B"), keep_blank_values=True, strict_parsing=True))
    except ValueError:
        # Said without the cause, which quotes the URL.
        raise ValueError(f"the options of the PostgreSQL URL cannot be read; {_ESCAPES}") from None
    pool_size = _count(options.pop("pool_size", None), "pool_size", default=POOL_SIZE, least=1)
    cache = _count(
        options.pop("statement_cache_size", None), "statement_cache_size", default=STATEMENT_CACHE_SIZE, least=0
    )
    if options.pop("target_session_attrs", "any") not in _PRIMARY:
        raise ValueError("target_session_attrs in the PostgreSQL URL is read-write: a standby may lag behind")
    return PostgresUrl(
        dsn=f"{place}?{urlencode(options, quote_via=quote)}" if options else place,
        pool_size=pool_size,
        statement_cache_size=cache,
        names_application="application_name" in options,
        sslmode=options.get("sslmode", os.environ.get("PGSSLMODE", "prefer")),
        is_remote=any(map(_is_remote, options.get("host", hosts).split(","))),
        hosts=_several(hosts or options.get("host", ""), options.get("port", "")),
    )


def _several(hosts: str, ports: str) -> tuple[Host, ...]:
    """Give the hosts of a list, as the driver reads it, with the ports of another list for those without one."""
    names = hosts.split(",")
    if len(names) == 1:
        return ()
    others = ports.split(",") if "," in ports else [ports] * len(names)
    found = [_HOST.fullmatch(name) for name in names]
    if len(others) != len(names) or not all(name and host for name, host in zip(names, found, strict=True)):
        raise ValueError("the PostgreSQL URL names several hosts, and each has a name, and a port or all of them one")
    return tuple(
        Host(unquote(host[1].strip("[]")), _port(host["port"] or other))
        for host, other in zip(found, others, strict=True)
        if host is not None
    )


def _port(text: str) -> int | None:
    if text and not (text.isascii() and text.isdigit() and int(text) < 2**16):
        raise ValueError(f"the host or the port of the PostgreSQL URL cannot be read; {_ESCAPES}")
    return int(text) if text else None


def _is_host(text: str) -> bool:
    match = _HOST.fullmatch(text)
    return match is not None and int(match["port"] or 0) < 2**16


def _is_remote(host: str) -> bool:
    name = _HOST.fullmatch(host)
    bare = (host if name is None else name[1]).strip("[]")
    return bool(bare) and not bare.startswith("/") and not is_loopback(bare)


def _count(text: str | None, option: str, *, default: int, least: int) -> int:
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and least <= int(text) <= 1000):
        raise ValueError(f"{option} in the PostgreSQL URL is a whole number from {least} to 1000")
    return int(text)
