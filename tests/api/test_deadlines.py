"""How long a connection waits for its client: for a request to be whole, and for its answer to be taken."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress

import pytest
import uvloop
from prometheus_client import REGISTRY

from keywright.api.server.counted import LEAST_BYTES_PER_SECOND, REQUEST_SECONDS
from keywright.api.server.protocol import FastPathProtocol
from keywright.contract.feed import FEED
from tests.api.protocol import Application, Wire, serving

ANSWERED = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
STALLED = {
    "nothing": b"",
    "an empty line": b"\r\n",
    "half a request line": b"GET / HT",
    "half a head": b"GET / HTTP/1.1\r\nHost: localhost\r\n",
    "a body that does not begin": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n",
    "half a body": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1234",
    "half a chunk": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n1234",
    "half a trailer": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Trai",
    "half a body that was answered": b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1234",
    "half a body of a request to upgrade": (
        b"POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 9\r\n\r\n1234"
    ),
}


class Impatient(FastPathProtocol):
    """The same in little time."""

    request_seconds = 0.3


Run = Callable[[Coroutine[None, None, None]], None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Runs a coroutine on each of the loops that the service may run on."""
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner.run


AFTER_ANOTHER = ["an empty line", "half a head", "half a body"]


@pytest.mark.parametrize(
    ("before", "sent"),
    [*((b"", sent) for sent in STALLED.values()), *((ANSWERED, STALLED[name]) for name in AFTER_ANOTHER)],
    ids=[*STALLED, *(f"{name} after a request" for name in AFTER_ANOTHER)],
)
def test_who_does_not_go_on_is_cut_off(run: Run, before: bytes, sent: bytes) -> None:
    """A connection on which no request becomes whole is closed, wherever it stopped, and not answered."""

    async def connect() -> None:
        application = Application()
        async with asyncio.timeout(30), serving(Impatient, application) as server, server.connect() as (reader, writer):
            writer.write(before)
            if before:
                await reader.readuntil(b'""}')
            writer.write(sent)
            rest = await reader.read()
            assert rest.count(b"HTTP/1.1 ") == ("/early" in application.paths)
            await server.is_deserted()

    run(connect())


def test_one_byte_after_the_other(run: Run) -> None:
    """A head whose bytes come one by one is cut off all the same: the time counts from the first of them."""

    async def drip() -> None:
        async with serving(Impatient, Application()) as server, server.connect() as (reader, writer):
            writer.write(b"GET /")
            # Bytes that come after the end are answered with a reset, which is an exception and no end of file.
            while not reader.at_eof() and reader.exception() is None:
                writer.write(b"x")
                await asyncio.sleep(0.01)
            with suppress(ConnectionError):
                assert await reader.read() == b""

    run(drip())


def test_a_body_that_is_whole_after_its_answer(run: Run) -> None:
    """A request answered early and made whole later leaves a connection that waits no longer than any other."""

    async def finish() -> None:
        async with serving(Impatient, Application()) as server, server.connect() as (reader, writer):
            writer.write(b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1234")
            await reader.readuntil(b'""}')
            writer.write(b"56789")
            assert await reader.read() == b""

    run(finish())


def test_an_answer_that_nobody_takes(run: Run) -> None:
    """A client that takes nothing of its answer is given up, and the memory with it."""

    async def stare() -> None:
        async with serving(Impatient, Application()) as server, server.connect() as (_, writer):
            writer.transport.pause_reading()
            writer.write(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            await server.is_deserted()
            writer.transport.abort()

    run(stare())


async def test_the_time_is_half_a_minute() -> None:
    """A request has 30 seconds from its first byte, and its connection is closed after them."""
    wire = Wire()
    wire.loop.pass_seconds(REQUEST_SECONDS - 1)
    await wire.receive(b"GET / ")
    wire.loop.pass_seconds(REQUEST_SECONDS - 1)
    assert not wire.transport.closed
    wire.loop.pass_seconds(1)
    assert wire.transport.closed


async def test_a_request_in_time() -> None:
    """A request that is whole in time is answered, and so is the next one on the connection."""
    wire = Wire()
    for count in (1, 2, 3):
        wire.loop.pass_seconds(REQUEST_SECONDS - 1)
        await wire.receive(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n1")
        wire.loop.pass_seconds(REQUEST_SECONDS - 1)
        await wire.receive(b"2")
        wire.transport.take(wire.transport.unsent)
        assert len(wire.application.paths) == count
        assert not wire.transport.closed


@pytest.mark.parametrize("more", [b"", b"\r\n"], ids=["nothing more", "an empty line"])
async def test_an_answer_that_takes_long(more: bytes) -> None:
    """Nobody is cut off while an answer is being made, and the connection serves on after it."""
    wire = Wire()
    await wire.receive(b"GET /late HTTP/1.1\r\nHost: x\r\n\r\n" + more)
    wire.loop.pass_seconds(10 * REQUEST_SECONDS)
    assert not wire.transport.closed
    wire.application.may_answer.set()
    await wire.rest()
    await wire.receive(ANSWERED)
    assert wire.transport.written.count(b"HTTP/1.1 200 ") == 2
    assert not wire.transport.closed


@pytest.mark.parametrize(
    ("behind", "refusals"),
    [(b"GET / HT", 0), (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1234", 1)],
    ids=["in its head", "in its body"],
)
async def test_a_request_that_stalls_behind_another(behind: bytes, refusals: int) -> None:
    """A whole request gets its answer, however long it takes, though the one behind it is cut off in the meantime."""
    wire = Wire()
    await wire.receive(b"GET /late HTTP/1.1\r\nHost: x\r\n\r\n" + behind)
    wire.loop.pass_seconds(10 * REQUEST_SECONDS)
    assert not wire.transport.closed
    wire.application.may_answer.set()
    await wire.rest()
    assert wire.transport.written.count(b"HTTP/1.1 200 ") == 1
    assert wire.transport.written.count(b"HTTP/1.1 400 ") == refusals
    assert wire.transport.closed
    assert wire.application.paths == ["/late"]


LARGE_READ = b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


async def test_a_slow_reader() -> None:
    """A client that reads its answer at the least rate gets all of it."""
    wire = Wire()
    await wire.receive(LARGE_READ)
    while wire.transport.unsent:
        wire.loop.pass_seconds(10)
        wire.transport.take(10 * LEAST_BYTES_PER_SECOND)
    assert not wire.transport.aborted


async def test_a_reader_below_the_least_rate() -> None:
    """A client that reads a little now and then is given up after the time that its answer takes at the least rate."""
    wire = Wire()
    await wire.receive(LARGE_READ)
    ends_at = REQUEST_SECONDS + wire.transport.unsent / LEAST_BYTES_PER_SECOND
    while wire.loop.time() + 20 < ends_at:
        wire.loop.pass_seconds(20)
        wire.transport.take(1000)
    assert not wire.transport.aborted
    wire.loop.pass_seconds(20)
    assert wire.transport.aborted


def slow_clients() -> float:
    """Give the number of clients that were given up."""
    return REGISTRY.get_sample_value("keywright_slow_clients_total") or 0.0


async def test_a_client_that_stops_reading() -> None:
    """A client that reads nothing for half a minute is given up, however long its answer may take, and counted."""
    wire = Wire()
    before = slow_clients()
    await wire.receive(LARGE_READ)
    wire.loop.pass_seconds(2 * REQUEST_SECONDS)
    assert wire.transport.aborted
    assert slow_clients() == before + 1


async def test_the_feed_has_no_time_for_an_answer() -> None:
    """A feed lasts as long as its client goes on reading, at whatever rate."""
    wire = Wire()
    await wire.receive(f"GET {FEED} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    for _ in range(1000):
        wire.loop.pass_seconds(REQUEST_SECONDS - 1)
        wire.transport.take(1)
    assert not wire.transport.aborted
    wire.loop.pass_seconds(2 * REQUEST_SECONDS)
    assert wire.transport.aborted


async def test_one_answer_at_a_time() -> None:
    """While a client does not read its answer, the application does not begin with its next request."""
    wire = Wire()
    await wire.receive(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
    assert wire.transport.written.count(b"HTTP/1.1 200 ") == 1
    assert wire.application.paths == ["/large"]
    wire.transport.take(wire.transport.unsent)
    await wire.rest()
    assert wire.application.paths == ["/large"] * 2
    wire.transport.take(wire.transport.unsent)
    await wire.rest()
    assert wire.application.paths == ["/large"] * 3


async def test_a_client_that_leaves_before_its_next_answer() -> None:
    """A request behind an answer that is never read is not begun."""
    wire = Wire()
    await wire.receive(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
    wire.transport.abort()
    wire.protocol.connection_lost(None)
    await wire.rest()
    assert wire.application.paths == ["/large"]
