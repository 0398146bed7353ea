"""TLS in front of the protocol: the same requests and answers, and the same bounds on clients."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import pytest
import uvloop
from prometheus_client import REGISTRY

from keywright.api.http.connections import SURPLUS, Connections, Place
from keywright.api.server import tls
from keywright.api.server.certificate import ServerCertificate, load
from keywright.api.server.counted import HIGH_WATER_BYTES
from keywright.api.server.first_sight import FirstSightProtocol
from keywright.api.server.shared import WorkerProtocol
from keywright.api.server.tls import TlsConnection
from tests.api.protocol import LARGE, Application, Server, serving
from tests.certificates import Authority
from tests.waiting import until

Run = Callable[[Coroutine[None, None, None]], None]

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
LARGE_ANSWER = b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n"


class Impatient(FirstSightProtocol):
    """The protocol in little time for requests."""

    request_seconds = 0.3


class ShortHandshakes(TlsConnection):
    """A connection in little time for its handshake."""

    handshake_seconds = 0.3


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Runs a coroutine on each of the loops that the service may run on."""
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner.run


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that has issued a certificate for 127.0.0.1."""
    authority = Authority(tmp_path_factory.mktemp("certificates"))
    authority.issue()
    return authority


@asynccontextmanager
async def secured(
    authority: Authority,
    application: Application | None = None,
    *,
    kind: type[FirstSightProtocol] = FirstSightProtocol,
    connection: type[TlsConnection] = TlsConnection,
) -> AsyncIterator[Server]:
    """Serve with TLS on the running loop."""
    certificate = ServerCertificate(load(authority.files))

    def wrap(inner: Any) -> Callable[..., TlsConnection]:
        return lambda **arguments: connection(inner, certificate, **arguments)

    async with serving(kind, application or Application(), wrap=wrap) as server:
        yield server


def sample(name: str) -> float:
    return REGISTRY.get_sample_value(name) or 0.0


# The same requests and answers


def conversations() -> list[bytes]:
    """What clients send: one request or several, with bodies of several kinds, and of more than one record of TLS."""
    posted = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n123456789"
    chunked = b"POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    long = b"POST /c HTTP/1.1\r\nHost: x\r\nContent-Length: 40000\r\n\r\n" + b"x" * 40_000
    return [
        LAST,
        REQUEST * 3 + LAST,
        posted + chunked + LAST,
        long + LAST,
    ]


async def talk(server: Server, data: bytes, cuts: list[int], **options: Any) -> bytes:
    """Send *data* in pieces, and read until the server ends the connection."""
    async with server.connect(**options) as (reader, writer):
        for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
            writer.write(data[start:end])
            await asyncio.sleep(0)
        return await reader.read()


def test_the_same_answers(run: Run, authority: Authority) -> None:
    """A conversation over TLS is answered to the byte as one without, however its bytes are cut."""
    chance = Random(20261201)

    async def compare() -> None:
        async with serving(FirstSightProtocol, Application()) as plain, secured(authority) as safe:
            for data in conversations() * 3:
                cuts = sorted(chance.randrange(1, len(data)) for _ in range(chance.randrange(5)))
                expected = await talk(plain, data, cuts)
                assert await talk(safe, data, cuts, ssl=authority.trust()) == expected
                assert expected.startswith(b"HTTP/1.1 200 ")

    run(compare())


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"nonsense\r\n\r\n"])
def test_refused_requests(run: Run, authority: Authority, data: bytes) -> None:
    """What is not HTTP is refused over TLS, too, and ends the connection."""

    async def refuse() -> None:
        async with secured(authority) as server:
            found = await talk(server, data, [], ssl=authority.trust())
            assert found.startswith(b"HTTP/1.1 400 ")
            assert b"connection: close\r\n" in found.lower()
            await server.is_deserted()

    run(refuse())


def test_a_large_answer(run: Run, authority: Authority) -> None:
    """An answer of 16 MB arrives whole, and the connection serves on."""

    async def fetch() -> None:
        async with secured(authority) as server, server.connect(ssl=authority.trust(), limit=2**16) as (reader, writer):
            writer.write(LARGE_ANSWER)
            head = await reader.readuntil(b"\r\n\r\n")
            assert f"content-length: {LARGE}".encode() in head
            assert await reader.readexactly(LARGE) == bytes(LARGE)
            writer.write(LAST)
            assert (await reader.read()).startswith(b"HTTP/1.1 200 ")

    run(fetch())


def negotiated(writer: asyncio.StreamWriter) -> tuple[str | None, str | None]:
    secure: ssl.SSLObject = writer.get_extra_info("ssl_object")
    return secure.version(), secure.selected_alpn_protocol()


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_versions(run: Run, authority: Authority, version: str) -> None:
    """TLS 1.2 and 1.3 are spoken, and of several protocols HTTP/1.1."""

    def change(context: ssl.SSLContext) -> None:
        context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
        context.set_alpn_protocols(["h2", "http/1.1"])

    async def connect() -> None:
        trust = authority.trust(change)
        async with secured(authority) as server, server.connect(ssl=trust) as (reader, writer):
            assert negotiated(writer) == (version.replace("_", "."), "http/1.1")
            writer.write(LAST)
            assert (await reader.read()).startswith(b"HTTP/1.1 200 ")

    run(connect())


@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
async def test_old_versions(authority: Authority, version: str) -> None:
    """Nothing older than TLS 1.2 is spoken."""

    def change(context: ssl.SSLContext) -> None:
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = ssl.TLSVersion[version]

    before = sample("keywright_tls_failures_total")
    async with secured(authority) as server:
        with pytest.raises(ssl.SSLError, match=r"(?i)version|alert"):
            async with server.connect(ssl=authority.trust(change)):
                pass
        await server.is_deserted()
    assert sample("keywright_tls_failures_total") == before + 1


def test_plain_http(run: Run, authority: Authority) -> None:
    """A client that speaks plain HTTP to the port gets a sentence about it, and no answer to its request."""

    async def connect() -> None:
        application = Application()
        async with secured(authority, application) as server, server.connect() as (reader, writer):
            writer.write(REQUEST)
            answer = await reader.read()
            assert answer.startswith(b"HTTP/1.1 400 ")
            assert b"https://" in answer
            await server.is_deserted()
        assert application.paths == []

    run(connect())


# The end of a connection


def test_the_answer_ends_where_it_says(run: Run, authority: Authority) -> None:
    """The server says that its answers end, so that a client can tell an end from a cut; it waits for no farewell."""

    async def fetch() -> None:
        async with secured(authority) as server:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            client = authority.trust().wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
            async with server.connect() as (reader, writer):
                await shake_hands(client, incoming, outgoing, reader, writer)
                client.write(LAST)
                writer.write(outgoing.read())
                incoming.write(await reader.read())
                # An end that was not said would be an error now.
                incoming.write_eof()
                answer = b"".join(iter(client.read, b""))
                assert answer.startswith(b"HTTP/1.1 200 ")
                await server.is_deserted()

    run(fetch())


async def shake_hands(
    client: ssl.SSLObject,
    incoming: ssl.MemoryBIO,
    outgoing: ssl.MemoryBIO,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    """Shake hands; the last message stays in *outgoing*, so that it arrives together with the first request."""
    while True:
        with suppress(ssl.SSLWantReadError):
            client.do_handshake()
            return
        writer.write(outgoing.read())
        incoming.write(await reader.read(65536))


@pytest.mark.parametrize("farewell", [True, False], ids=["close_notify", "a record that was changed"])
def test_a_client_ends(run: Run, authority: Authority, farewell: bool) -> None:
    """A client that says farewell, or sends what nobody encrypted, ends its connection and its unfinished request."""

    async def leave() -> None:
        application = Application()
        async with secured(authority, application) as server:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            client = authority.trust().wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
            async with server.connect() as (reader, writer):
                await shake_hands(client, incoming, outgoing, reader, writer)
                client.write(b"GET /late HTTP/1.1\r\nHost: x\r\n\r\n")
                if farewell:
                    with pytest.raises(ssl.SSLWantReadError):
                        client.unwrap()
                    writer.write(outgoing.read())
                else:
                    writer.write(outgoing.read() + b"\x17\x03\x03\x00\x20" + bytes(32))
                await reader.read()
                await server.is_deserted()
        assert application.paths == ["/late"]

    run(leave())


# Bounds on clients


class Watched(Connections):
    """Counts the connections that have had a place."""

    entered = 0

    def enter(self) -> Place:
        self.entered += 1
        return super().enter()


class HalfHello:
    """The beginning of a good handshake."""

    def __init__(self, authority: Authority) -> None:
        outgoing = ssl.MemoryBIO()
        client = authority.trust().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="127.0.0.1")
        with suppress(ssl.SSLWantReadError):
            client.do_handshake()
        self.whole = outgoing.read()
        self.half = self.whole[:100]


@pytest.mark.parametrize("sent", ["nothing", "half a hello", "a hello and no more"])
def test_a_handshake_that_does_not_end(run: Run, authority: Authority, sent: str) -> None:
    """A client that does not finish its handshake is cut off and counted, and its place is free again."""
    hello = HalfHello(authority)
    data = {"nothing": b"", "half a hello": hello.half, "a hello and no more": hello.whole}[sent]
    before = sample("keywright_tls_failures_total")

    async def connect() -> None:
        connections = Watched(10)
        async with (
            asyncio.timeout(30),
            secured(authority, Application(connections), connection=ShortHandshakes) as server,
            server.connect() as (reader, writer),
        ):
            writer.write(data)
            with suppress(ConnectionError):
                await reader.read()
            await server.is_deserted()
            assert (connections.entered, connections.number()) == (1, 0)

    run(connect())
    assert sample("keywright_tls_failures_total") == before + 1


def test_a_handshake_byte_by_byte(run: Run, authority: Authority) -> None:
    """The time of a handshake counts from the opening of the connection, whatever trickles in."""
    hello = HalfHello(authority).whole

    async def drip() -> None:
        async with (
            asyncio.timeout(30),
            secured(authority, connection=ShortHandshakes) as server,
            server.connect() as (reader, writer),
        ):
            for byte in hello:
                if reader.at_eof() or reader.exception() is not None:
                    break
                with suppress(ConnectionError):
                    writer.write(bytes([byte]))
                    await writer.drain()
                await asyncio.sleep(0.01)
            await server.is_deserted()

    run(drip())


def test_handshakes_take_places(run: Run, authority: Authority) -> None:
    """Connections count from their opening: past the bound they are closed, also if nobody has sent a byte."""

    async def flood() -> None:
        connections = Connections(2, files=3)
        async with secured(authority, Application(connections)) as server:
            async with server.connect(), server.connect(), server.connect():
                await until(lambda: connections.number() == 3)
                refused = sample("keywright_connections_refused_total")
                async with server.connect() as (reader, _):
                    with suppress(ConnectionError):
                        assert await reader.read() == b""
                assert sample("keywright_connections_refused_total") == refused + 1
            await server.is_deserted()
            async with server.connect(ssl=authority.trust()) as (reader, writer):
                writer.write(LAST)
                assert (await reader.read()).startswith(b"HTTP/1.1 200 ")

    run(flood())


async def test_a_handshake_past_the_bound_has_little_time(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past the bound a handshake has the time of a probe; one that ends in it is answered as without TLS."""
    monkeypatch.setattr(tls, "SURPLUS_SECONDS", 0.2)
    connections = Connections(0)
    async with asyncio.timeout(30), secured(authority, Application(connections)) as server:
        async with server.connect() as (reader, _):
            with suppress(ConnectionError):
                assert await reader.read() == b""
        async with server.connect(ssl=authority.trust()) as (reader, writer):
            writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
        async with server.connect(ssl=authority.trust()) as (reader, writer):
            writer.write(REQUEST)
            assert (await reader.read()).startswith(b"HTTP/1.1 503 ")
    assert connections.number() <= SURPLUS


def test_a_request_that_stalls(run: Run, authority: Authority) -> None:
    """After its handshake a client has the time of any other for its request."""

    async def stall() -> None:
        async with (
            asyncio.timeout(30),
            secured(authority, kind=Impatient) as server,
            server.connect(ssl=authority.trust()) as (reader, writer),
        ):
            writer.write(REQUEST[:10])
            assert await reader.read() == b""
            await server.is_deserted()

    run(stall())


def test_a_client_that_reads_nothing(run: Run, authority: Authority) -> None:
    """Unread bytes of an answer are counted where they wait, and a client that reads none of them is given up."""

    async def stare() -> None:
        connections = Connections(10)
        application = Application(connections)
        given_up = sample("keywright_slow_clients_total")
        async with (
            asyncio.timeout(60),
            secured(authority, application, kind=Impatient) as server,
            server.connect(ssl=authority.trust()) as (_, writer),
        ):
            writer.transport.pause_reading()
            writer.write(LARGE_ANSWER)
            await until(lambda: connections.unread)
            assert connections.unread > LARGE / 2
            await server.is_deserted()
            assert connections.unread == 0
            writer.transport.abort()
        assert sample("keywright_slow_clients_total") == given_up + 1

    run(stare())


def test_clients_that_read_nothing_share_a_bound(run: Run, authority: Authority) -> None:
    """Where unread answers take too much together, the client that reads least is given up at once."""

    async def stare() -> None:
        connections = Connections(10, unread=LARGE + LARGE // 2)
        given_up = sample("keywright_slow_clients_total")
        async with (
            asyncio.timeout(60),
            secured(authority, Application(connections)) as server,
            server.connect(ssl=authority.trust()) as (_, one),
            server.connect(ssl=authority.trust()) as (_, two),
        ):
            for writer in (one, two):
                writer.transport.pause_reading()
                writer.write(LARGE_ANSWER)
            await until(lambda: sample("keywright_slow_clients_total") > given_up)
            assert connections.unread <= LARGE + LARGE // 2
            for writer in (one, two):
                writer.transport.abort()

    run(stare())


def test_answers_to_keys_that_nobody_reads() -> None:
    """A client that only asks for messages of TLS itself, and reads none of them, is given up."""
    given_up: list[None] = []

    class Raw(asyncio.Transport):
        written = b""
        unread = 0

        def write(self, data: Any) -> None:
            self.written += data

        def get_write_buffer_size(self) -> int:
            return self.unread

        def is_closing(self) -> bool:
            return False

    class Protocol:
        def give_up(self) -> None:
            given_up.append(None)

    connection: Any = TlsConnection.__new__(TlsConnection)
    connection._raw, connection._protocol, connection._outgoing = Raw(), Protocol(), ssl.MemoryBIO()
    connection._outgoing.write(b"message")
    connection._answer_message(is_all=True)
    assert (connection._raw.written, given_up) == (b"message", [])
    connection._outgoing.write(b"message")
    connection._raw.unread = HIGH_WATER_BYTES + 1
    connection._answer_message(is_all=True)
    assert (connection._raw.written, given_up) == (b"message", [None])


async def test_the_end_of_the_service(authority: Authority) -> None:
    """A connection whose handshake is not over ends with the service; nobody waits for it."""
    async with secured(authority) as server, server.connect() as (reader, _):
        await until(lambda: server._state.connections)
        for connection in list(server._state.connections):
            connection.shutdown()
        with suppress(ConnectionError):
            assert await reader.read() == b""
        await server.is_deserted()


class CountedProtocol(WorkerProtocol):
    """Counts how often it gives way, in all."""

    times: ClassVar[list[None]] = []

    @staticmethod
    def give_way() -> None:
        CountedProtocol.times.append(None)


async def test_a_worker_gives_way(authority: Authority) -> None:
    """A worker lets the others run when it accepts a connection, before the handshake, and once."""
    async with secured(authority, kind=CountedProtocol) as server:
        async with server.connect() as _:
            await until(lambda: server._state.connections)
            assert len(CountedProtocol.times) == 1
        async with server.connect(ssl=authority.trust()) as (reader, writer):
            writer.write(LAST)
            await reader.read()
    assert len(CountedProtocol.times) == 2


async def test_a_renewed_certificate(authority: Authority, tmp_path: Path) -> None:
    """New connections have the new certificate, and open ones go on with theirs."""
    own = Authority(tmp_path)
    first = own.issue()
    certificate = ServerCertificate(load(own.files))

    def serial(writer: asyncio.StreamWriter) -> int:
        return int(writer.get_extra_info("peercert")["serialNumber"], 16)

    async with (
        serving(FirstSightProtocol, Application(), wrap=lambda kind: tls.secured(kind, certificate)) as server,
        server.connect(ssl=own.trust()) as (reader, writer),
    ):
        assert serial(writer) == first
        second = own.issue()
        certificate.look()
        async with server.connect(ssl=own.trust()) as (_, other):
            assert serial(other) == second
        writer.write(LAST)
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
