"""
A connection that is counted: it has a place or is refused, and its client reads its answers in time or is given up.

`protocol` builds on it; `api.http.connections` has the counts.
"""

import asyncio
import sys
import uuid
from typing import Any

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from keywright import telemetry
from keywright.api.http.connections import Connections, Place
from keywright.api.http.problems import Refusal, write
from keywright.contract.feed import FEED

# From the opening of a connection, or the first byte of a request, to the last byte of the request. Also the time after
# which the connection of a client that reads nothing of its answer is closed.
REQUEST_SECONDS = 30.0
# The same for a connection past the bound on connections: enough for a probe.
SURPLUS_SECONDS = 2.0
# A client reads an answer at this rate on average, after the first REQUEST_SECONDS: a megabyte in under five minutes.
LEAST_BYTES_PER_SECOND = 4096
# Unsent bytes of a connection from which on nothing more is written to it, and it counts as slow.
HIGH_WATER_BYTES = 16 * 1024
# ": " and CRLF of a header line.
_LINE_OVERHEAD = 4
_BODY_HEADERS = (b"content-length", b"transfer-encoding")
ALWAYS_SERVED = (b"GET /livez", b"GET /readyz", f"GET {FEED}".encode())
"""The beginnings of requests that are served past the bound on connections."""


class CountedConnection(HttpToolsProtocol):
    """Enters the counts of its process, and leaves them at its end."""

    request_seconds = REQUEST_SECONDS

    _place = Place.NONE
    # Until when the client has to have read what waits.
    _read_by: asyncio.TimerHandle | None = None

    @classmethod
    def accepted(cls) -> None:
        """Note that a connection was accepted, before its handshake where it has TLS; by default nothing."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a place, or refuse the connection."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(HIGH_WATER_BYTES)
        self._connections = connections_of(self.app)
        self._place = self._connections.enter()
        if self._place is Place.NONE:
            self._turn_away()
        elif self._place is Place.SURPLUS:
            self.request_seconds = min(self.request_seconds, SURPLUS_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        self._stop_waiting()
        self._move(Place.NONE)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Begin to wait for a client that reads slowly."""
        super().pause_writing()
        if self._place is not Place.FEED and self._read_by is None:
            seconds = self.request_seconds + self.unread_bytes() / LEAST_BYTES_PER_SECOND
            self._read_by = self.loop.call_later(seconds, self.give_up)
        self._connections.hold(self)

    def resume_writing(self) -> None:
        """Go on after a client has read."""
        super().resume_writing()
        self._stop_waiting()

    def unread_bytes(self) -> int:
        """Return the bytes of answers that wait for the client."""
        return self.transport.get_write_buffer_size()

    def give_up(self) -> None:
        """End a connection whose client reads too slowly."""
        telemetry.slow_clients.inc()
        self.transport.abort()

    def _newest(self) -> RequestResponseCycle | None:
        # uvicorn declares the cycle as never None, and sets it to None before the first request.
        newest: RequestResponseCycle | None = vars(self)["cycle"]
        return newest

    def _head_without_upgrade(self) -> bytes:
        """Write the head of the current request again, as if it had not asked to upgrade."""
        version = self.parser.get_http_version().encode()
        head = [self.parser.get_method(), b" ", self.url, b" HTTP/", version, b"\r\n"]
        for name, value in self.headers:
            if name != b"upgrade":
                head += [name, b": ", value, b"\r\n"]
        return b"".join([*head, b"\r\n"])

    def _head_bytes(self) -> int:
        """Count the bytes of the current request's target and headers."""
        return len(self.url) + sum(len(name) + len(value) + _LINE_OVERHEAD for name, value in self.headers)

    def _announces_body(self) -> bool:
        """Tell whether the head of the current request has a body behind it."""
        return any(name in _BODY_HEADERS and value != b"0" for name, value in self.headers)

    def _move(self, place: Place) -> None:
        self._connections.move(self._place, place)
        self._place = place

    def _stop_waiting(self) -> None:
        if self._read_by is not None:
            self._read_by.cancel()
            self._read_by = None
        self._connections.release(self)

    def _turn_away(self) -> None:
        """Refuse a connection past the bound."""
        telemetry.connections_refused.inc()
        self.transport.write(encoded(refused("too_many_connections")))
        self.transport.close()


def connections_of(app: Any) -> Connections:
    """Give the count of the connections to *app*; an application without one has no bound on them."""
    return getattr(app, "connections", None) or Connections(sys.maxsize, unread=sys.maxsize)


def refused(code: str, detail: str | None = None) -> Response:
    """Make the answer to a request that reaches no application; the connection ends with it."""
    request_id = uuid.uuid4().hex
    answer = write(Refusal(code, detail), request_id=request_id)
    answer.headers.update({"X-Request-Id": request_id, "X-Content-Type-Options": "nosniff", "Connection": "close"})
    return answer


def encoded(answer: Response) -> bytes:
    """Write an answer as bytes of HTTP/1.1."""
    lines = [name + b": " + value + b"\r\n" for name, value in answer.raw_headers]
    return b"".join([STATUS_LINE[answer.status_code], *lines, b"\r\n", bytes(answer.body)])
