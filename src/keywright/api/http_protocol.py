"""
uvicorn's HTTP protocol, with the bounds it lacks.

uvicorn hands the class given as `http=` the bytes of every connection. Its own takes a header of any size (20 MB were
seen to pass), makes headers of what stands behind a body, reads an unwanted body to its end, lets any number of
requests wait on one connection, and waits for the rest of one for ever. Here whatever is not body is bounded while it
arrives, and so are the line of waiting requests and the time in which a request has to be whole.

The supported range of uvicorn versions is pinned in pyproject.toml; tests/api/test_http_protocol.py fails loudly when
what is overridden here changes.
"""

import asyncio
import uuid

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from keywright.api.problems import Refusal, write

MAX_HEAD_BYTES = 32 * 1024
# What may still arrive of a body after it was answered: a client that did not wait gets its answer before the end.
MAX_UNWANTED_BYTES = 64 * 1024
MAX_WAITING_REQUESTS = 64
# From the opening of a connection, or the first byte of a request, to the last byte of the request.
REQUEST_SECONDS = 30.0
# ": " and CRLF of a header line.
_LINE_OVERHEAD = 4
_BODY_HEADERS = (b"content-length", b"transfer-encoding")


class BoundedHttpProtocol(HttpToolsProtocol):
    """Answers 431 to a head above 32 KiB and 400 to what is not HTTP, and ends connections that break its bounds."""

    _in_head = True
    # Set when requests that are whole are still to be answered, and nothing after them.
    _ending = False
    _deadline: asyncio.TimerHandle | None = None
    # Bytes since the head began, or since it ended, that are no body; of the head's own; of a body nobody waits for.
    _framing = 0
    _head_bytes = 0
    _unwanted = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._expect_whole_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of the connection."""
        self._request_is_whole()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what is not body: the parser keeps an unfinished head, and makes headers of all that follows a body."""
        if self._is_over():
            return
        self._framing += len(data)
        super().data_received(data)
        if self._framing > MAX_HEAD_BYTES:
            self._refuse("headers_too_large" if self._in_head else "payload_too_large")

    def on_message_begin(self) -> None:
        """Begin a request."""
        if self._is_over():
            return
        self._in_head = True
        self._framing = self._head_bytes = self._unwanted = 0
        self._expect_whole_request()
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request's target."""
        if not self._is_over():
            self._head_bytes += len(url)
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header. What stands behind a body (a trailer) could name another caller, and is nobody's header."""
        if self._in_head and not self._is_over():
            self._head_bytes += len(name) + len(value) + _LINE_OVERHEAD
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the request, unless its head goes beyond a bound or could be read in two ways."""
        self._in_head = False
        self._framing = 0
        if self._is_over():
            return
        upgrade: bool = self.parser.should_upgrade()
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse("headers_too_large")
        elif len(self.pipeline) >= MAX_WAITING_REQUESTS or (upgrade and self._announces_body()):
            # The parser takes the body of a request to upgrade for what follows it: the next request.
            self._refuse("invalid_request")
        else:
            super().on_headers_complete()
            if upgrade or self.expect_100_continue:
                # A client that is answered before "100 Continue" may leave the body out, or may not.
                self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body; close the connection over one that goes on after its answer."""
        self._framing = max(0, self._framing - len(body))
        if self._is_over() or self.cycle is None:
            return
        if self.cycle.response_complete:
            self._unwanted += len(body)
            if self._unwanted > MAX_UNWANTED_BYTES:
                self.transport.close()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request's body."""
        self._request_is_whole()
        if not self._is_over() and self.cycle is not None:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on with the next request; uvicorn reads on after every answer, and lets the line grow without a bound."""
        super().on_response_complete()
        if self.pipeline:
            self.flow.pause_reading()

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser could not read."""
        self._refuse("invalid_request")

    def _is_over(self) -> bool:
        return self._ending or self.transport.is_closing()

    def _announces_body(self) -> bool:
        return any(name in _BODY_HEADERS and value != b"0" for name, value in self.headers)

    def _expect_whole_request(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_SECONDS, self.timeout_keep_alive_handler)

    def _request_is_whole(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, code: str) -> None:
        if self._is_over():
            return
        # uvicorn declares the cycle as always there, and sets it to None before the first request.
        cycle = vars(self)["cycle"]
        if cycle is not None and not cycle.response_complete and not cycle.more_body:
            # Earlier requests are whole: they get their answers, and the connection ends after the last.
            self._ending = True
            self._request_is_whole()
            cycle.keep_alive = False
            return
        if cycle is None or cycle.response_complete or not (cycle.response_started or self.pipeline):
            if cycle is not None:
                cycle.disconnected = True
            self.transport.write(_written(code))
        self.transport.close()


def _written(code: str) -> bytes:
    request_id = uuid.uuid4().hex
    answer = write(Refusal(code), request_id=request_id)
    answer.headers.update({"X-Request-Id": request_id, "X-Content-Type-Options": "nosniff", "Connection": "close"})
    lines = [name + b": " + value + b"\r\n" for name, value in answer.raw_headers]
    return b"".join([STATUS_LINE[answer.status_code], *lines, b"\r\n", bytes(answer.body)])
