"""The protocol of a worker that shares its listening socket with others."""

import asyncio
import time

from keywright.api.server.first_sight import FirstSightProtocol

# The system makes at least its timer's slack of it, on Linux 50 microseconds.
_PAUSE_SECONDS = 1e-6


class WorkerProtocol(FirstSightProtocol):
    """
    Gives way to the other workers after each new connection.

    All idle workers wake for a connection, and the first one accepts it. In a burst that is the worker which runs
    already: it would accept one after the other before the others run, and keep them for as long as the clients do.
    """

    @classmethod
    def accepted(cls) -> None:
        """Give way."""
        cls.give_way()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give way, then begin as any other connection; one with TLS gave way before its handshake."""
        if transport.get_extra_info("sslcontext") is None:
            self.give_way()
        super().connection_made(transport)

    @staticmethod
    def give_way() -> None:
        """Let the other processes run that wait for a core."""
        time.sleep(_PAUSE_SECONDS)
