"""
One connection to Redis with pipelining: calls are sent without waiting for earlier answers.

Calls of the same turn of the event loop are sent in one piece, and answers are read as they arrive: many requests at
once cost hardly more than one. A late answer ends the connection, because only the order of answers assigns them to
calls.
"""

import asyncio
import ssl
import time
from collections import deque
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, cast

import hiredis

from keywright.rate_limiting.url import RedisUrl

PATIENCE_SECONDS = 0.1
CONNECT_SECONDS = 1.0
MOST_WAITING = 4096

_MORE = object()
_STRANGE = "the server does not speak Redis's protocol"


class RedisConnectionLost(Exception):
    """There is no answer, and the command may have been executed or not; the message is for the log."""


class RedisCallFailed(Exception):
    """Redis refused a call; the message begins with Redis's error code."""


@dataclass(slots=True, eq=False)
class _Sending:
    """Calls that are sent in one piece, and when."""

    pieces: list[bytes]
    at: float


class _Call(NamedTuple):
    """A call without an answer yet: the piece it was sent in, and the future of the answer."""

    sending: _Sending
    answer: "asyncio.Future[Any]"


class Connection(asyncio.Protocol):
    """
    A connection that is open until it is `lost`.

    Args:
        patience: Seconds in which every call has to be answered; otherwise the connection ends.
        most: The number of calls that may wait for their answers; one more is refused at once.
    """

    def __init__(self, *, patience: float = PATIENCE_SECONDS, most: int = MOST_WAITING) -> None:
        self._loop = asyncio.get_running_loop()
        self._patience = patience
        self._most = most
        self._reader = hiredis.Reader(notEnoughData=_MORE)
        self._transport: asyncio.WriteTransport | None = None
        self._waiting: deque[_Call] = deque()
        self._leaving: _Sending | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._reason: str | None = None
        self.lost: asyncio.Future[str] = self._loop.create_future()
        """Done when the connection has ended, with the reason, for the log."""

    async def call(self, *command: str | int) -> Any:
        """
        Send a command and wait for its answer.

        Raises:
            RedisConnectionLost: There was no answer in time, or the connection ended for another reason.
            RedisCallFailed: The answer is an error.
        """
        if self._reason is not None:
            raise RedisConnectionLost(self._reason)
        if len(self._waiting) >= self._most:
            raise RedisConnectionLost(f"{self._most} calls wait for Redis already")
        if self._leaving is None:
            self._leaving = _Sending([], time.monotonic())
            self._loop.call_soon(self._send)
        # Its type stub allows only tuples of one element.
        self._leaving.pieces.append(hiredis.pack_command(cast("Any", command)))
        call = _Call(self._leaving, self._loop.create_future())
        self._waiting.append(call)
        return await call.answer

    def end(self, reason: str) -> None:
        """End the connection; waiting calls raise `RedisConnectionLost` with *reason*."""
        if self._reason is not None:
            return
        self._reason = reason
        self._leaving = None
        if self._watch is not None:
            self._watch.cancel()
        if self._transport is not None:
            self._transport.abort()
        for call in self._waiting:
            _settle(call.answer, RedisConnectionLost(reason))
        self._waiting.clear()
        if not self.lost.done():
            self.lost.set_result(reason)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Use the transport from now on."""
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        """Read answers and give them to the waiting calls, in order."""
        try:
            self._reader.feed(data)
            while (answer := self._reader.gets()) is not _MORE:
                self._answered(answer)
        except hiredis.ProtocolError:
            self.end(_STRANGE)

    def connection_lost(self, exc: Exception | None) -> None:
        """End all waiting calls without an answer."""
        cause = "" if exc is None else f": {getattr(exc, 'strerror', None) or type(exc).__name__}"
        self.end(f"the connection to Redis ended{cause}")

    def _answered(self, answer: object) -> None:
        if self._waiting:
            _settle(self._waiting.popleft().answer, answer)
        else:
            # An answer without a call is a refusal, for example of too many clients.
            self.end(f"Redis turned the connection down: {answer}" if isinstance(answer, Exception) else _STRANGE)

    def _send(self) -> None:
        leaving, self._leaving = self._leaving, None
        if self._transport is None or leaving is None:
            return
        # Not the loop's time, which is as old as the loop's turn: a delay of this process is not a delay of Redis.
        leaving.at = time.monotonic()
        self._transport.write(b"".join(leaving.pieces))
        leaving.pieces.clear()
        if self._watch is None:
            self._watch = self._loop.call_later(self._patience, self._look)

    def _look(self) -> None:
        """End the connection when the oldest call has waited longer than the patience."""
        self._watch = None
        if not self._waiting:
            return
        left = self._waiting[0].sending.at + self._patience - time.monotonic()
        if left > 0:
            self._watch = self._loop.call_later(left, self._look)
        else:
            # After a halt of this process the answer may be in its socket, which is read before this timer.
            self._watch = self._loop.call_later(self._patience / 10, self._give_up, self._waiting[0])

    def _give_up(self, overdue: _Call) -> None:
        self._watch = None
        if self._waiting and self._waiting[0] is overdue:
            self.end(f"Redis did not answer within {self._patience:g} s")
        else:
            self._look()


async def connect(server: RedisUrl, *, patience: float = PATIENCE_SECONDS) -> Connection:
    """
    Open a connection, log in and choose the database, within `CONNECT_SECONDS`.

    Raises:
        RedisConnectionLost: It cannot be reached.
        RedisCallFailed: It refuses the login or the database.
    """
    connection = Connection(patience=patience)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await _open(connection, server)
            await _enter(connection, server)
    except BaseException as error:
        connection.end("it was not opened")
        if isinstance(error, OSError):
            raise RedisConnectionLost(_reason(error)) from None
        raise
    return connection


async def _open(connection: Connection, server: RedisUrl) -> None:
    loop = asyncio.get_running_loop()
    if server.socket_path is not None:
        await loop.create_unix_connection(lambda: connection, server.socket_path)
    else:
        context = _tls(server.ca_file) if server.tls else None
        await loop.create_connection(lambda: connection, server.host, server.port, ssl=context)


async def _enter(connection: Connection, server: RedisUrl) -> None:
    if server.password is not None:
        await connection.call("AUTH", *filter(None, (server.username,)), server.password)
    if server.database:
        await connection.call("SELECT", server.database)


@cache
def _tls(ca_file: str | None) -> ssl.SSLContext:
    # Cached, because reading the authorities would slow down each reconnection.
    return ssl.create_default_context(cafile=ca_file)


def _reason(error: OSError) -> str:
    """Describe an error in a text without address and password."""
    if isinstance(error, TimeoutError):
        return f"Redis could not be reached within {CONNECT_SECONDS:g} s"
    if isinstance(error, ssl.SSLError):
        return f"TLS with Redis failed: {getattr(error, 'verify_message', '') or error.reason or type(error).__name__}"
    return f"Redis cannot be reached: {error.strerror or type(error).__name__}"


def _settle(waiter: "asyncio.Future[Any]", answer: object) -> None:
    if waiter.done():
        return
    if isinstance(answer, Exception):
        waiter.set_exception(RedisCallFailed(str(answer)) if isinstance(answer, hiredis.HiredisError) else answer)
        # Read here: asyncio logs an exception that a cancelled caller has not retrieved.
        waiter.exception()
    else:
        waiter.set_result(answer)
