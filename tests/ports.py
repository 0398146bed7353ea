"""Ports for servers that are told where to listen, or that come back to where they were."""

import fcntl
import os
import secrets
import socket
import tempfile
from pathlib import Path

# Below those that systems give to outgoing connections and to whoever asks for any: while a server is away, or not yet
# there, none of these takes its port.
_PORTS = range(20000, 32000)
_RESERVATIONS = Path(tempfile.gettempdir(), f"keywright-ports-{os.getuid()}")


def free_port() -> int:
    """Give a port of loopback that nobody listens on, and that no test of any run is given before this process ends."""
    _RESERVATIONS.mkdir(exist_ok=True)
    for port in secrets.SystemRandom().sample(_PORTS, len(_PORTS)):
        if _reserve(port) and _is_free(port):
            return port
    raise RuntimeError("no port is free")


def _reserve(port: int) -> bool:
    reservation = os.open(_RESERVATIONS / str(port), os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        # It stays open: the system drops it when this process ends, whatever ends it.
        fcntl.flock(reservation, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(reservation)
        return False
    return True


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
