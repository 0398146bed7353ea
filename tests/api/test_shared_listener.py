"""Workers that share one listening socket."""

from typing import ClassVar

from keywright.api.server.shared import WorkerProtocol
from tests.api.protocol import Wire

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class CountedProtocol(WorkerProtocol):
    """Counts how often it gives way, in all."""

    times: ClassVar[list[None]] = []

    @staticmethod
    def give_way() -> None:
        CountedProtocol.times.append(None)


class Connection(Wire):
    """A connection of a worker."""

    kind = WorkerProtocol


class CountedConnection(Wire):
    """The same, counted."""

    kind = CountedProtocol


async def test_a_worker_gives_way() -> None:
    """A worker lets the others run once for each connection that it accepts, and not for its requests."""
    before = len(CountedProtocol.times)
    for number in range(1, 4):
        wire = CountedConnection()
        for _ in range(3):
            await wire.receive(REQUEST)
        assert len(CountedProtocol.times) - before == number


async def test_a_connection_is_answered_all_the_same() -> None:
    """A worker that gave way answers its new connection."""
    wire = Connection()
    await wire.receive(REQUEST)
    assert wire.transport.written
