"""Sockets that a server listens on, opened before anything else so that a busy port is told in one sentence."""

import contextlib
import os
import resource
import socket

BACKLOG = 2048
MAX_PORT = 65535


class CannotListen(Exception):
    """The address cannot be listened on; the message is a sentence that says why."""


def listen(host: str, port: int) -> socket.socket:
    """
    Listen on *host*, a name or an address without brackets.

    Args:
        port: 0 takes any free one.

    Raises:
        CannotListen: The port is in use or not allowed, or there is no such address here.
    """
    if not 0 <= port <= MAX_PORT:
        raise CannotListen(f"Cannot listen on {shown(host, port)}: a port is a number up to {MAX_PORT}.")
    try:
        # Without the port, which getaddrinfo would take modulo 65536.
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        # A name such as localhost often stands for ::1 first, while callers try 127.0.0.1.
        family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
        return socket.create_server((address[0], port, *address[2:]), family=family, backlog=BACKLOG)
    except (OSError, UnicodeError) as error:
        raise CannotListen(f"Cannot listen on {shown(host, port)}: {reason(error)}.") from None


def allow_many_connections() -> None:
    """Raise this process's limit of open files as far as it may: the usual 1024 is a thousand connections."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Some systems tell a limit that they then do not grant.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def bound_url(listener: socket.socket, host: str) -> str:
    """Give the URL of a socket that listens on *host*."""
    return f"http://{shown(host, listener.getsockname()[1])}"


def reason(error: Exception) -> str:
    """Say in a few words why a socket could not be opened."""
    if isinstance(error, socket.gaierror):
        return error.strerror or "there is no such address"
    # Not its own text, to which the standard library adds the address.
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error).rstrip(".")


def split(address: str) -> tuple[str, int]:
    """Take `host:port` or `[host]:port` apart."""
    host, _, port = address.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def shown(host: str, port: int) -> str:
    """Write a host and port as URLs have it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
