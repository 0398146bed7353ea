"""Reads a Redis URL. A URL may hold a password, so nothing here quotes one, in a message or in a `repr`."""

import re
from dataclasses import dataclass, field, replace
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

PORT = 6379
_DATABASE = re.compile("[0-9]{0,5}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisUrl:
    """
    The address of a server with Redis's protocol, such as Redis or Valkey.

    It is `host` and `port`, or `socket_path` on this machine. With `tls` the certificate is checked against `ca_file`,
    or where that is None against the authorities that the machine trusts.
    """

    host: str = ""
    port: int = PORT
    socket_path: str | None = None
    tls: bool = False
    ca_file: str | None = None
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    database: int = 0


def read(url: str) -> RedisUrl:
    """
    Read a Redis URL.

    Args:
        url: `redis://user:password@host:port/database`, `rediss://…` for TLS, with `?ssl_ca_certs=/file` for an
            authority of your own, or `unix://user:password@/path/of/the/socket?db=0`.

    Raises:
        ValueError: It has another form; the message has the flaw.
    """
    scheme, _, rest = url.partition("://")
    if re.search("sentinel|cluster", scheme) or "," in rest.partition("/")[0].rpartition("@")[2]:
        raise ValueError(
            "names several servers: give the address of one primary, or of a proxy that follows it; neither Sentinel"
            " nor a cluster is spoken to"
        )
    try:
        parts = urlsplit(url)
        port = parts.port
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True)) if parts.query else {}
    except ValueError:
        # Raised without the cause, which quotes the URL.
        raise ValueError("cannot be read; in a name or a password, / ? # @ are written %2F %3F %23 %40") from None
    if parts.scheme not in ("redis", "rediss", "unix"):
        raise ValueError("must begin with redis://, rediss:// or unix://")
    if parts.fragment:
        raise ValueError("cannot be read; in a name or a password, # is written %23")
    username, password = (unquote(part) if part else None for part in (parts.username, parts.password))
    if username and not password:
        raise ValueError("names a user without a password; a password alone is written redis://:password@host")
    found = _socket(parts, options) if parts.scheme == "unix" else _server(parts, port, options)
    if options:
        raise ValueError("has an option that is unknown: ssl_ca_certs goes with rediss://, and db with unix://")
    return replace(found, username=username, password=password)


def _server(parts: SplitResult, port: int | None, options: dict[str, str]) -> RedisUrl:
    if not parts.hostname:
        raise ValueError("names no host")
    try:
        # As the resolver encodes it.
        parts.hostname.encode("idna")
    except UnicodeError:
        raise ValueError("names a host that is no valid host name") from None
    tls = parts.scheme == "rediss"
    return RedisUrl(
        host=parts.hostname,
        port=PORT if port is None else port,
        tls=tls,
        ca_file=(options.pop("ssl_ca_certs", None) or None) if tls else None,
        database=_database(parts.path.removeprefix("/")),
    )


def _socket(parts: SplitResult, options: dict[str, str]) -> RedisUrl:
    if parts.hostname or len(parts.path) <= 1:
        raise ValueError("must have three slashes before the path of a socket: unix:///run/redis.sock")
    return RedisUrl(socket_path=unquote(parts.path), database=_database(options.pop("db", "")))


def _database(text: str) -> int:
    if not _DATABASE.fullmatch(text):
        raise ValueError("must name a database by its number, as in redis://host/0")
    return int(text or "0")
