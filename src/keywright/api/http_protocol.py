"""
uvicorn's HTTP protocol, with the bounds it lacks.

uvicorn hands the class given as `http=` the bytes of every connection. Its httptools parser takes a header of any size
(20 MB were seen to pass) and reads an unwanted body to its end. Here a header block is bounded while it arrives, and a
body that nobody waits for ends the connection. The supported range of uvicorn versions is pinned in pyproject.toml;
tests/api/test_http_protocol.py fails loudly when what is overridden here changes.
"""

import uuid

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from keywright.api.problems import Refusal, write

MAX_HEAD_BYTES = 32 * 1024
# What may still arrive of a body after it was answered: a client that did not wait gets its answer before the end.
MAX_UNWANTED_BYTES = 64 * 1024
# ": " and CRLF of a header line.
_LINE_OVERHEAD = 4


class BoundedHttpProtocol(HttpToolsProtocol):
    """Answers 431 to a request line and headers above 32 KiB, and 400 in our own words to what is not HTTP."""

    _in_head = True
    _arrived = 0
    _head_bytes = 0
    _unwanted = 0

    def data_received(self, data: bytes) -> None:
        """Count the bytes of an unfinished head before its end; the parser keeps them all until then."""
        if self.transport.is_closing():
            return
        if self._in_head:
            self._arrived += len(data)
        super().data_received(data)
        if self._in_head and self._arrived > MAX_HEAD_BYTES:
            self._refuse("headers_too_large")

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._in_head = True
        self._arrived = self._head_bytes = self._unwanted = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request's target."""
        self._head_bytes += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header."""
        self._head_bytes += len(name) + len(value) + _LINE_OVERHEAD
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the request, unless its head was too large."""
        self._in_head = False
        self._arrived = 0
        if self.transport.is_closing():
            return
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse("headers_too_large")
            return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body; close the connection over one that goes on after its answer."""
        if self.transport.is_closing() or self.cycle is None:
            return
        if self.cycle.response_complete:
            self._unwanted += len(body)
            if self._unwanted > MAX_UNWANTED_BYTES:
                self.transport.close()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request's body."""
        if not self.transport.is_closing() and self.cycle is not None:
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser could not read."""
        self._refuse("invalid_request")

    def _refuse(self, code: str) -> None:
        if self.transport.is_closing():
            return
        # An answer to an earlier request on the same connection must not be interrupted by this one's. uvicorn declares
        # the cycle as always there, and sets it to None before the first request.
        if self.cycle is None or self.cycle.response_complete:  # type: ignore[redundant-expr]
            self.transport.write(_written(code))
        self.transport.close()


def _written(code: str) -> bytes:
    request_id = uuid.uuid4().hex
    answer = write(Refusal(code), request_id=request_id)
    answer.headers.update({"X-Request-Id": request_id, "X-Content-Type-Options": "nosniff", "Connection": "close"})
    lines = [name + b": " + value + b"\r\n" for name, value in answer.raw_headers]
    return b"".join([STATUS_LINE[answer.status_code], *lines, b"\r\n", bytes(answer.body)])
