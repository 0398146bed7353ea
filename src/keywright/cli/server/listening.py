"""The sockets of a server, opened before anything else, so that a busy port ends the start with one sentence."""

import contextlib
import os
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

BACKLOG = 2048
# The system keeps twice this much of an answer that is not read, and up to 4 MB without a limit.
SEND_BUFFER_BYTES = 16 * 1024
MAX_PORT = 65535


class CannotListen(Exception):
    """The service cannot listen on the address; the message is a sentence with the cause."""


def listen(host: str, port: int) -> socket.socket:
    """
    Listen on *host*, a name or an address without brackets.

    Args:
        port: 0 takes any free one.

    Raises:
        CannotListen: The port is in use or not allowed, or the host has no such address.
    """
    if not 0 <= port <= MAX_PORT:
        raise CannotListen(f"Cannot listen on {shown(host, port)}: a port is a number up to {MAX_PORT}.")
    try:
        # Without the port, which getaddrinfo would take modulo 65536.
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        # localhost often resolves to ::1 first, while clients try 127.0.0.1.
        family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
        listener = socket.create_server((address[0], port, *address[2:]), family=family, backlog=BACKLOG)
        # Connections inherit it.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        return listener
    except (OSError, UnicodeError) as error:
        raise CannotListen(f"Cannot listen on {shown(host, port)}: {reason(error)}.") from None


def listen_unix(path: str) -> socket.socket:
    """
    Listen on a Unix socket with the mode 0660; one that nobody listens on any more is replaced.

    Raises:
        CannotListen: Another process listens on it, something else is at that place, or the folder does not allow it.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        # Between bind and chmod it would have the mode of the process.
        former = os.umask(0o117)
        try:
            listener.bind(path)
        finally:
            os.umask(former)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise CannotListen(f"Cannot listen on unix:{path}: {reason(error)}.") from None
    return listener


@contextlib.contextmanager
def unix_socket(path: str) -> Iterator[socket.socket]:
    """
    Listen as `listen_unix` does, while the block runs; then remove the socket, unless another process has replaced it.

    Between the end of listening and the end of the last request another process may have begun to listen at the path.
    """
    with listen_unix(path) as listener:
        made = _identity(path)
        try:
            yield listener
        finally:
            if _identity(path) == made:
                Path(path).unlink(missing_ok=True)


def _identity(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    # A file system may give the number of a removed file to the next one.
    return found.st_dev, found.st_ino, found.st_mtime_ns


def _remove_stale(path: str) -> None:
    if not Path(path).is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink(missing_ok=True)


def allow_many_connections() -> None:
    """Raise the limit of open files to its maximum: the usual 1024 allows about a thousand connections."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Some systems report a maximum that they do not grant.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def bound_url(listener: socket.socket, host: str, *, tls: bool = False) -> str:
    """Return the URL of a socket that listens on *host*, with the scheme `https` for *tls*."""
    return f"{'https' if tls else 'http'}://{shown(host, listener.getsockname()[1])}"


def reason(error: Exception) -> str:
    """Return the cause for which a socket could not be opened, in a few words."""
    if isinstance(error, socket.gaierror):
        return error.strerror or "there is no such address"
    # Not the error's own text: the standard library adds the address to it.
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error).rstrip(".")


def split(address: str) -> tuple[str, int]:
    """Split `host:port` or `[host]:port`."""
    host, _, port = address.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def shown(host: str, port: int) -> str:
    """Return host and port in the form of URLs."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
