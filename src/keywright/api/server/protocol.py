"""
uvicorn's HTTP protocol, with the bounds it lacks.

uvicorn hands the class given as `http=` the bytes of every connection. Its own takes a header of any size (20 MB were
seen to pass), makes headers of what stands behind a body, reads an unwanted body to its end, lets any number of
requests wait on one connection, waits for the rest of one for ever, and loses the body of a request to upgrade. Here
whatever is not body is bounded while it arrives, and so are the line of waiting requests, the time in which a request
has to be whole, and the time in which a client has to take its answer.

The supported range of uvicorn versions is pinned in pyproject.toml; tests/api/test_http_protocol.py fails loudly when
what is overridden here changes.
"""

import asyncio
import uuid
from enum import Enum, auto
from math import inf
from typing import Any

import httptools
from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from keywright.api.http.problems import Refusal, write
from keywright.api.verify.fast_path import FastPath, RequestHead
from keywright.api.verify.forward_auth import FORWARD_AUTH
from keywright.api.verify.routes import VerifyRoutes
from keywright.api.verify.schemas import VERIFY

MAX_HEAD_BYTES = 32 * 1024
# What may still arrive of a body after it was answered: a client that did not wait gets its answer before the end.
MAX_UNWANTED_BYTES = 64 * 1024
MAX_WAITING_REQUESTS = 64
# From the opening of a connection, or the first byte of a request, to the last byte of the request. It is also the time
# after which a client that takes nothing of its answer is given up.
REQUEST_SECONDS = 30.0
# ": " and CRLF of a header line.
_LINE_OVERHEAD = 4
_BODY_HEADERS = (b"content-length", b"transfer-encoding")
_FAST_PATH_LINES = (f"POST {VERIFY} ".encode(), f"GET {FORWARD_AUTH}".encode())


class _ParserState(Enum):
    """Where the parser stands. Nothing is read any more once it is `OVER`; what is whole is still answered."""

    BETWEEN = auto()
    HEAD = auto()
    BODY = auto()
    OVER = auto()


class BoundedHttpProtocol(HttpToolsProtocol):
    """Answers 431 to a head above 32 KiB and 400 to what is not HTTP, and ends connections that break its bounds."""

    request_seconds = REQUEST_SECONDS

    _parser_state = _ParserState.BETWEEN
    # Whether the request being read asked to upgrade, which is not done: the connection ends after its answer.
    _upgrade_requested = False
    # Since when the client owes the rest of a request, on the loop's clock; None while it is us who owe an answer.
    _owed_since: float | None = None
    _watch: asyncio.TimerHandle | None = None
    # Of the piece that was received last, and of the one in which the request's head began.
    _received = 0
    _began_in = 0
    # Bytes that are no body, received after the piece in which the head began, or since it ended.
    _framing = 0
    # Bytes of a body nobody waits for.
    _unwanted = 0
    # What the client had not taken of its answers when the clock was looked at last, and since when it is just that.
    _unsent = 0
    _unsent_since = 0.0
    # Whether what comes next is the first byte of a request, as far as the parser knows, and nothing waits before it.
    _idle = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._owed_since = self.loop.time()
        self._watch = self.loop.call_later(self.request_seconds, self._check_time)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of the connection."""
        if self._watch is not None:
            self._watch.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what is not body: the parser keeps an unfinished head, and makes headers of all that follows a body."""
        if self.transport.is_closing():
            return
        if self._parser_state is not _ParserState.OVER:
            self._read(data)

    def _read(self, data: bytes) -> None:
        self._idle = False
        self._unset_keepalive_if_required()
        if self._owed_since is None:
            # Empty lines between two requests begin none, and would otherwise keep a connection open for ever.
            self._owed_since = self.loop.time()
        self._received = len(data)
        self._framing += self._received
        self._parse(data)
        if self._framing > MAX_HEAD_BYTES:
            self._refuse("payload_too_large" if self._parser_state is _ParserState.BODY else "headers_too_large")

    def on_message_begin(self) -> None:
        """Begin a request."""
        if self._parser_state is _ParserState.OVER:
            return
        self._parser_state = _ParserState.HEAD
        self._idle = False
        self._began_in = self._received
        self._framing = self._unwanted = 0
        self._owed_since = self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Start the request, unless its head goes beyond a bound or the parser is about to lose its body."""
        if self._parser_state is not _ParserState.HEAD:
            return
        upgrade: bool = self.parser.should_upgrade()
        if self._is_large():
            self._refuse("headers_too_large")
        elif len(self.pipeline) >= MAX_WAITING_REQUESTS or (upgrade and self.parser.get_method() == b"CONNECT"):
            self._refuse("invalid_request")
        elif upgrade and self._announces_body():
            # The parser takes the body for what follows the upgrade; `_parse` reads the request again without one.
            self._upgrade_requested = True
        else:
            self._start(close=upgrade or self._upgrade_requested)

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body; close the connection over one that goes on after its answer."""
        if self._parser_state is not _ParserState.BODY:
            return
        self._framing = max(0, self._framing - len(body))
        if self.cycle.response_complete:
            self._unwanted += len(body)
            if self._unwanted > MAX_UNWANTED_BYTES:
                self._close()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request's body."""
        if self._parser_state is not _ParserState.BODY:
            return
        self._parser_state = _ParserState.BETWEEN
        self._upgrade_requested = False
        self._owed_since = self.loop.time() if self.cycle.response_complete else None
        super().on_message_complete()
        self._update_idle()

    def on_response_complete(self) -> None:
        """Go on with the next request; uvicorn reads on after every answer, and lets the line grow without a bound."""
        super().on_response_complete()
        if self.pipeline:
            self.flow.pause_reading()
        self._update_idle()

    def _update_idle(self) -> None:
        self._idle = self._parser_state is _ParserState.BETWEEN and not self._framing and self.cycle.response_complete

    def _parse(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # Otherwise it has no body, is being answered, and nothing is read after it.
            if self._parser_state is _ParserState.HEAD:
                self._parse_again_without_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse("invalid_request")

    def _parse_again_without_upgrade(self, rest: bytes) -> None:
        """
        Read a request as if it had not asked to upgrade, which a server may do (RFC 9110, section 7.8).

        Some clients ask with every request, one with a body included: Java's own does, over plain HTTP.
        """
        version = self.parser.get_http_version().encode()
        head = [self.parser.get_method(), b" ", self.url, b" HTTP/", version, b"\r\n"]
        for name, value in self.headers:
            if name != b"upgrade":
                head += [name, b": ", value, b"\r\n"]
        self.parser = httptools.HttpRequestParser(self)
        self._parse(b"".join([*head, b"\r\n", rest]))

    def _start(self, *, close: bool) -> None:
        super().on_headers_complete()
        # The parser calls what stands behind a body headers, too. It could name another caller, and goes nowhere.
        self.headers = []
        self._parser_state = _ParserState.BODY
        self._framing = 0
        # Whoever believes that an upgrade took place sends bytes of another kind. A client that is answered before
        # "100 Continue" may leave the body out, or may not. Neither may be taken for the next request.
        if close or self.expect_100_continue:
            self.cycle.keep_alive = False

    def _is_large(self) -> bool:
        # No need to add up a head all of which came in little.
        if self._began_in + self._framing <= MAX_HEAD_BYTES:
            return False
        lines = sum(len(name) + len(value) + _LINE_OVERHEAD for name, value in self.headers)
        return len(self.url) + lines > MAX_HEAD_BYTES

    def _announces_body(self) -> bool:
        return any(name in _BODY_HEADERS and value != b"0" for name, value in self.headers)

    def _check_time(self) -> None:
        now = self.loop.time()
        unsent = self.transport.get_write_buffer_size()
        if unsent != self._unsent:
            self._unsent, self._unsent_since = unsent, now
        elif unsent and now - self._unsent_since >= self.request_seconds:
            self.transport.abort()
            return
        if self._owed_since is not None and self._owes_answer():
            self._owed_since = now
        left = self.request_seconds if self._owed_since is None else self._owed_since + self.request_seconds - now
        if left <= 0:
            if self._has_earlier_requests(self._parser_state):
                self._refuse("invalid_request", "The request was not whole in time.")
            else:
                self._close()
            left = self.request_seconds
        self._watch = self.loop.call_later(left, self._check_time)

    def _owes_answer(self) -> bool:
        """Tell whether a client that sends nothing does so because we do not read, or have not answered."""
        between = self._parser_state in (_ParserState.BETWEEN, _ParserState.OVER)
        return self.flow.read_paused or (between and self._has_earlier_requests(self._parser_state))

    def _newest(self) -> RequestResponseCycle | None:
        # uvicorn declares the cycle as always there, and sets it to None before the first request.
        newest: RequestResponseCycle | None = vars(self)["cycle"]
        return newest

    def _close(self) -> None:
        self._parser_state, self._idle = _ParserState.OVER, False
        self.transport.close()

    def _has_earlier_requests(self, state: _ParserState) -> bool:
        """Tell whether requests before the one being read are still to be answered; *place* is where it is read."""
        newest = self._newest()
        return (
            newest is not None
            and not newest.response_complete
            and (state is not _ParserState.BODY or bool(self.pipeline))
        )

    def _refuse(self, code: str, detail: str | None = None) -> None:
        """Refuse the request being read. Earlier ones are whole: they get their answers first."""
        state, self._parser_state, self._idle = self._parser_state, _ParserState.OVER, False
        if state is _ParserState.OVER:
            return
        if self._has_earlier_requests(state):
            self.cycle.keep_alive = False
            if state is _ParserState.BODY:
                # It waits behind them: in its turn it is answered with this.
                refusal: Any = _refusal(code, detail)
                self.pipeline[0] = (self.cycle, refusal)
            return
        cycle = self._newest()
        if cycle is None or state is not _ParserState.BODY or not cycle.response_started:
            if cycle is not None:
                cycle.disconnected = True
            self.transport.write(_encoded(_refusal(code, detail)))
        self.transport.close()


class FastPathProtocol(BoundedHttpProtocol):
    """
    The bounded protocol with its fast path: some requests are answered out of their bytes, before any is parsed.

    `accelerator` says which. Whatever it leaves goes to the parser as it came.
    """

    # None where there is none, or where it would leave out what uvicorn was told to do.
    _fast_path: FastPath | None = None
    # The head that it answered last, and when, on the loop's clock.
    _answered_head: RequestHead | None = None
    _answered_at = -inf
    # A head that the parser has not seen yet, because its body may be all that is missing for an answer.
    _pending_head = b""
    _pending_since: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        if not self.access_log and self.limit_concurrency is None:
            self._fast_path = self.app.fast_path if isinstance(self.app, VerifyRoutes) else None

    def data_received(self, data: bytes) -> None:
        """Answer a whole request if it is one for that; otherwise have it read."""
        if (
            self._idle
            and self._fast_path is not None
            and not self.transport.is_closing()
            and self._answer_fast(self._fast_path, data)
        ):
            return
        super().data_received(data)

    def on_message_begin(self) -> None:
        """Begin a request; one whose head was held back began when that came."""
        super().on_message_begin()
        if self._pending_since is not None:
            self._owed_since, self._pending_since = self._pending_since, None

    def shutdown(self) -> None:
        """End the connection once it owes no answer any more."""
        if self._pending_head:
            self._read(b"")
        super().shutdown()

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection on which nothing came for long enough; what was answered at once left the timer alone."""
        left = self._answered_at + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    def _read(self, data: bytes) -> None:
        if self._pending_head:
            data, self._pending_head = self._pending_head + data, b""
        super()._read(data)

    def _check_time(self) -> None:
        if self._pending_head:
            self._read(b"")
        super()._check_time()

    def _answer_fast(self, fast_path: FastPath, data: bytes) -> bool:
        """Answer one whole request if it is one for that, as if the parser had read it; tell whether it was."""
        if self._pending_head:
            data = self._pending_head + data
        # All that the accelerator answers begins so; it would take the digest of every other request, too.
        if self.flow.write_paused or not data.startswith(_FAST_PATH_LINES):
            return False
        default_headers = self.server_state.default_headers
        answer = fast_path.repeat(data, default_headers) or fast_path.answer_proxy(data, self.client, default_headers)
        if answer is None:
            head = self._answered_head
            if head is None or not data.startswith(head.raw):
                head = self._answered_head = fast_path.head_of(data)
            if head is None:
                return False
            if len(data) != head.length:
                return self._wait_for_body(fast_path, head, data)
            answer = fast_path.answer(head, data, default_headers)
            if answer is None:
                return False
        self._pending_head, self._pending_since = b"", None
        self.transport.write(answer)
        self.server_state.total_requests += 1
        self._owed_since = None
        self._answered_at = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        return True

    def _wait_for_body(self, fast_path: FastPath, head: RequestHead, data: bytes) -> bool:
        """Wait for the body of a request whose head came alone, as many clients send it; tell whether that is so."""
        if len(data) != len(head.raw) or not fast_path.is_expected(head):
            return False
        self._pending_head = data
        self._unset_keepalive_if_required()
        self._owed_since = self._pending_since = self.loop.time()
        return True


def _refusal(code: str, detail: str | None) -> Response:
    request_id = uuid.uuid4().hex
    answer = write(Refusal(code, detail), request_id=request_id)
    answer.headers.update({"X-Request-Id": request_id, "X-Content-Type-Options": "nosniff", "Connection": "close"})
    return answer


def _encoded(answer: Response) -> bytes:
    lines = [name + b": " + value + b"\r\n" for name, value in answer.raw_headers]
    return b"".join([STATUS_LINE[answer.status_code], *lines, b"\r\n", bytes(answer.body)])
