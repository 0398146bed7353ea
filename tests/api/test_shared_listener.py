"""Workers that share one listening socket."""

from keywright.api.server.shared import WorkerProtocol
from tests.api.protocol import Wire


async def test_a_worker_gives_way() -> None:
    """A worker lets the others run once for each connection that it accepts, and not for its requests."""
    times: list[None] = []

    class Connection(Wire):
        class kind(WorkerProtocol):  # noqa: N801
            give_way = staticmethod(lambda: times.append(None))

    for number in range(1, 4):
        wire = Connection()
        for _ in range(3):
            await wire.receive(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert len(times) == number


async def test_by_default_it_sleeps() -> None:
    """The pause is one of the system, in which other processes run: a connection is answered all the same."""

    class Connection(Wire):
        kind = WorkerProtocol

    wire = Connection()
    await wire.receive(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert wire.transport.written
