"""
What a server tells the service manager that started it: that it is ready, alive, and stopping.

The protocol is that of systemd, `sd_notify(3)`: datagrams to the socket that `NOTIFY_SOCKET` names. Without that
variable nothing is sent.
"""

import contextlib
import os
import socket
import time
from collections.abc import Mapping

# A manager that does not read its socket must not stop the server.
_SECONDS = 1.0


def ready() -> None:
    """Tell that requests are answered; a unit with `Type=notify` is started from then on."""
    if not _send("READY=1"):
        # Not at the top: prometheus_client may be imported only after `metrics.shared_folder`.
        from keywright import telemetry

        telemetry.Log("keywright.server").warning("the service manager cannot be told that the start is over")


def stopping() -> None:
    """Tell that the server begins to stop."""
    _send("STOPPING=1")


class Watchdog:
    """
    Tells the service manager that the process goes on, where `WatchdogSec` of the unit asks for that.

    Args:
        environment: Has `WATCHDOG_USEC`, the most microseconds between two signs of life, and `WATCHDOG_PID`, the
            process that gives them; another process gives none.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        microseconds = environment.get("WATCHDOG_USEC", "")
        is_asked = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.pause = int(microseconds) / 2_000_000 if is_asked and microseconds.isdecimal() else None
        """The seconds between two signs of life, half of what is allowed; None where nobody waits for them."""
        self._due = 0.0

    def alive(self) -> None:
        """Give a sign of life if one is due. Call it often, from what must not stand still."""
        if self.pause is None or time.monotonic() < self._due:
            return
        self._due = time.monotonic() + self.pause
        _send("WATCHDOG=1")


def _send(state: str) -> bool:
    """Send a datagram; tell whether it was sent or nobody waits for it."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return True
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(_SECONDS)
        # An abstract address is written with an at sign for its first byte, which is zero.
        manager.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
        return True
    return False
