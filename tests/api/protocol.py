"""The protocol class by itself: behind a real socket with an application of the test's, or on a clock moved by hand."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from keywright.api.http.connections import Connections
from keywright.api.server.first_sight import FirstSightProtocol
from keywright.api.server.protocol import FastPathProtocol
from keywright.contract.feed import FEED
from tests.listening import listening

LARGE = 16 * 1024 * 1024
# Out of the way of what is tested otherwise.
KEEP_ALIVE_SECONDS = 3600

Wrap = Callable[[type[FastPathProtocol]], Callable[..., Any]]
"""Puts another protocol in front of one, such as TLS."""


class Application:
    """
    Tells what it was sent: the headers, then the body.

    `/early` answers before the body, `/late` once `may_answer` is set, `/large` and the feed with 16 MB, the feed
    without ever being complete.
    """

    def __init__(self, connections: Connections | None = None) -> None:
        self.connections = connections
        self.may_answer = asyncio.Event()
        self.paths: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.paths.append(scope["path"])
        body = b""
        while scope["path"] != "/early":
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            if not message["more_body"]:
                break
        if scope["path"] == "/late":
            await self.may_answer.wait()
        headers = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]]
        told = json.dumps({"headers": headers, "body": body.decode()}).encode()
        if scope["path"] in ("/large", FEED):
            told = bytes(LARGE)
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-length", b"%d" % len(told))],
            }
        )
        await send({"type": "http.response.body", "body": told, "more_body": scope["path"] == FEED})
        if scope["path"] == FEED:
            await send({"type": "http.response.body", "body": b""})


def _protocol(
    kind: Callable[..., Any], application: ASGIApp, state: ServerState, loop: Any = None, **options: Any
) -> Any:
    config = uvicorn.Config(
        application,
        http=FastPathProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        **{"access_log": False, **options},
    )
    config.load()
    return kind(config=config, server_state=state, app_state={}, _loop=loop)


@asynccontextmanager
async def serving(
    kind: type[FastPathProtocol], application: Application, *, wrap: Wrap = lambda kind: kind
) -> AsyncIterator["Server"]:
    """Serve *application* on a free port of loopback, on the running loop."""
    state = ServerState()
    made = wrap(kind)
    loop = asyncio.get_running_loop()

    async def take(connection: socket.socket) -> None:
        transport, _ = await loop.connect_accepted_socket(lambda: _protocol(made, application, state), connection)
        try:
            await asyncio.Event().wait()
        finally:
            transport.abort()

    async with listening(take) as port:
        yield Server(port, state)


class Server:
    """Where it listens, and who is connected."""

    def __init__(self, port: int, state: ServerState) -> None:
        self.port = port
        self._state = state

    @asynccontextmanager
    async def connect(self, **options: Any) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """Open a connection; the *options* are those of asyncio."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, **options)
        try:
            yield reader, writer
        finally:
            writer.close()
            # `ssl.SSLError` is an OSError, too.
            with suppress(OSError):
                await writer.wait_closed()

    async def is_deserted(self) -> None:
        """Wait until nobody is connected."""
        async with asyncio.timeout(30):
            while self._state.connections:  # noqa: ASYNC110 - it is uvicorn's set, and tells nobody
                await asyncio.sleep(0.01)


class HandMovedLoop:
    """A clock and its timers, moved by hand; tasks run on the real loop."""

    def __init__(self) -> None:
        self._now = 0.0
        self._timers: list[asyncio.TimerHandle] = []

    def time(self) -> float:
        return self._now

    def call_soon(self, callback: Callable[..., object]) -> asyncio.Handle:
        return asyncio.get_running_loop().call_soon(callback)

    def call_later(self, delay: float, callback: Callable[..., object], *arguments: Any) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(self._now + delay, callback, arguments, asyncio.get_running_loop())
        self._timers.append(timer)
        return timer

    def create_task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(work)

    def pass_seconds(self, seconds: float) -> None:
        """Let time pass, timer by timer."""
        end = self._now + seconds
        while due := sorted(timer for timer in self._timers if timer.when() <= end and not timer.cancelled()):
            self._timers.remove(due[0])
            self._now = max(self._now, due[0].when())
            due[0]._run()
        self._now = end


class SlowTransport(asyncio.Transport):
    """Keeps what is written until `take` takes it; pauses and resumes its protocol as asyncio's transports do."""

    def __init__(self) -> None:
        super().__init__()
        self.protocol: asyncio.Protocol | None = None
        self.high = 64 * 1024
        self.writing_paused = False
        self.written = b""
        self.unsent = 0
        self.closed = self.aborted = self.reading_paused = False

    def write(self, data: Any) -> None:
        self.written += data
        self.unsent += len(data)
        if self.unsent > self.high and not self.writing_paused and self.protocol is not None:
            self.writing_paused = True
            self.protocol.pause_writing()

    def take(self, count: int) -> None:
        """Let the client take so many bytes, or what there is."""
        self.unsent = max(0, self.unsent - count)
        if self.unsent <= self.high // 4 and self.writing_paused and self.protocol is not None:
            self.writing_paused = False
            self.protocol.resume_writing()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.high = self.high if high is None else high

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def pause_reading(self) -> None:
        self.reading_paused = True

    def resume_reading(self) -> None:
        self.reading_paused = False


class Wire:
    """A connection without a socket, on a clock moved by hand."""

    kind: type[FastPathProtocol] = FirstSightProtocol

    def __init__(self, app: ASGIApp | None = None, state: ServerState | None = None, **options: Any) -> None:
        self.application, self.loop, self.transport = Application(), HandMovedLoop(), SlowTransport()
        self.state = state or ServerState()
        self.protocol = _protocol(self.kind, app or self.application, self.state, self.loop, **options)
        self.transport.protocol = self.protocol
        self.protocol.connection_made(self.transport)

    async def receive(self, data: bytes) -> None:
        """Hand over bytes of the client, and let the application come to rest."""
        self.protocol.data_received(data)
        await self.rest()

    async def rest(self) -> None:
        """Let the application run until it waits."""
        for _ in range(20):
            await asyncio.sleep(0)
