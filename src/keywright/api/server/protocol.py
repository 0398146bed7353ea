"""
uvicorn's HTTP protocol, with the bounds it lacks.

uvicorn gives the class named by `http=` the bytes of every connection. Its own class accepts a header of any size,
reads trailers as headers, reads an unwanted body to its end, lets any number of requests wait on one connection, waits
for the rest of a request for ever, loses the body of a request to upgrade, takes requests without a host or with two,
has no bound on connections that leaves probes alone, and keeps an answer for as long as its client takes to read it.
This class bounds the bytes that are no body while they arrive, the number of waiting requests, the time until a
request is complete, and time and memory until a client has read its answer.

The supported range of uvicorn versions is pinned in pyproject.toml; tests/api/test_http_protocol.py fails when an
overridden method changes.
"""

import asyncio
from bisect import bisect_left
from enum import Enum, auto
from functools import partial
from math import inf
from time import perf_counter
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from keywright.api.http.connections import Place
from keywright.api.server.counted import ALWAYS_SERVED, CountedConnection, encoded, refused
from keywright.api.verify.fast_path import FIRST_LINE, FastPath, RequestHead
from keywright.api.verify.proxy_head import QUESTION
from keywright.api.verify.responses import EXT_AUTHZ_METER, FORWARD_AUTH_METER, VERIFY_METER
from keywright.api.verify.routes import ServiceApp
from keywright.contract.feed import FEED
from keywright.telemetry import REQUEST_SECONDS_BOUNDS, RouteMeter

MAX_HEAD_BYTES = 32 * 1024
# Bytes of a body accepted after its answer, so that a client that sends on still reads the answer.
MAX_UNWANTED_BYTES = 64 * 1024
# Each costs 3 KiB while it waits.
MAX_WAITING_REQUESTS = 8


class _ParserState(Enum):
    """The state of the parser. In `OVER` nothing more is read; complete requests are still answered."""

    BETWEEN = auto()
    HEAD = auto()
    BODY = auto()
    OVER = auto()


class BoundedHttpProtocol(CountedConnection):
    """Answers 431 to a head above 32 KiB and 400 to what is not HTTP, and ends connections that break its bounds."""

    _parser_state = _ParserState.BETWEEN
    # Whether the current request asked to upgrade; it is not upgraded, and the connection ends after its answer.
    _upgrade_requested = False
    # Since when the rest of a request is awaited, on the loop's clock; None while an answer is awaited.
    _owed_since: float | None = None
    _watch: asyncio.TimerHandle | None = None
    # Lengths of the last received piece, and of the piece in which the request's head began.
    _received = 0
    _began_in = 0
    # Bytes that are no body, received after the piece in which the head began, or since it ended.
    _framing = 0
    # Bytes of a body after its answer.
    _unwanted = 0
    # Bytes of answers that the client had not read at the last check of the time, and since when it is that number.
    _unsent = 0
    _unsent_since = 0.0
    # Whether the next byte is the first byte of a request, and no earlier request waits for its answer.
    _idle = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        if self._place is Place.NONE:
            return
        self._owed_since = self.loop.time()
        self._watch = self.loop.call_later(self.request_seconds, self._check_time)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the timer of the connection."""
        if self._watch is not None:
            self._watch.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse received bytes and count those that are no body: the parser keeps unfinished heads and trailers."""
        if self.transport.is_closing():
            return
        if self._place is Place.SURPLUS and self._newest() is None and not data.startswith(ALWAYS_SERVED):
            self._turn_away()
        elif self._parser_state is not _ParserState.OVER:
            self._read(data)

    def _read(self, data: bytes) -> None:
        self._idle = False
        self._unset_keepalive_if_required()
        if self._owed_since is None:
            # Empty lines between two requests begin no request; without this they would keep a connection open.
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
        # The bytes received bound the head, so it is seldom added up.
        if self._began_in + self._framing > MAX_HEAD_BYTES and self._head_bytes() > MAX_HEAD_BYTES:
            self._refuse("headers_too_large")
        elif len(self.pipeline) >= MAX_WAITING_REQUESTS or (upgrade and self.parser.get_method() == b"CONNECT"):
            self._refuse("invalid_request")
        elif not self._has_one_host():
            self._refuse("invalid_request", "A request has one Host header.")
        elif upgrade and self._announces_body():
            # The parser takes the body for what follows the upgrade; `_parse` reads the request again without one.
            self._upgrade_requested = True
        else:
            self._start(close=upgrade or self._upgrade_requested)

    def on_body(self, body: bytes) -> None:
        """Pass on a piece of a body; close the connection when too much of it follows its answer."""
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
        """Go on with the next request; reading stays paused while requests wait, which uvicorn does not do."""
        if self._place is Place.FEED:
            self._move(Place.ORDINARY)
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
            # In any other state the request has no body, is being answered, and nothing is read after it.
            if self._parser_state is _ParserState.HEAD:
                self._parse_again_without_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse("invalid_request")

    def _parse_again_without_upgrade(self, rest: bytes) -> None:
        """
        Read a request as if it had not asked to upgrade, which a server may do (RFC 9110, section 7.8).

        Some clients ask with every request, one with a body included: Java's own does, over plain HTTP.
        """
        head = self._head_without_upgrade()
        self.parser = httptools.HttpRequestParser(self)
        self._parse(head + rest)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Start a request; while the client does not read, it waits, so that one answer at a time is in memory."""
        super()._start_asgi_task(cycle, partial(self._after_reading, app) if self.flow.write_paused else app)

    async def _after_reading(self, app: Any, *arguments: Any) -> None:
        try:
            await self.flow.drain()
        except asyncio.CancelledError:
            # uvicorn writes an answer to a cancelled request, and would wait for the same client.
            self.transport.abort()
            raise
        if not self.transport.is_closing():
            await app(*arguments)

    def _start(self, *, close: bool) -> None:
        close = close or self._place is Place.SURPLUS
        super().on_headers_complete()
        if self.scope["path"] == FEED and self._place is not Place.NONE:
            self._move(Place.FEED)
        # The parser reports trailers as headers, too. They could name another caller, so they are dropped.
        self.headers = []
        self._parser_state = _ParserState.BODY
        self._framing = 0
        # A client that assumes an upgrade sends bytes of another protocol. A client that is answered before
        # "100 Continue" may omit the body, or not. Neither may be read as the next request.
        if close or self.expect_100_continue:
            self.cycle.keep_alive = False

    def _has_one_host(self) -> bool:
        """Tell whether a request names one host (RFC 9112, section 3.2); HTTP/1.0 need not."""
        hosts = sum(name == b"host" for name, _ in self.headers)
        return hosts == 1 or (hosts == 0 and self.parser.get_http_version() == "1.0")

    def _check_time(self) -> None:
        now = self.loop.time()
        unsent = self.transport.get_write_buffer_size()
        if unsent != self._unsent:
            self._unsent, self._unsent_since = unsent, now
        elif unsent and now - self._unsent_since >= self.request_seconds:
            self.give_up()
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
        """Tell whether the client sends nothing because reading is paused, or because an answer is due."""
        between = self._parser_state in (_ParserState.BETWEEN, _ParserState.OVER)
        return self.flow.read_paused or (between and self._has_earlier_requests(self._parser_state))

    def _close(self) -> None:
        self._parser_state, self._idle = _ParserState.OVER, False
        self.transport.close()

    def _has_earlier_requests(self, state: _ParserState) -> bool:
        """Tell whether requests before the current one wait for answers; *state* is the state of the current one."""
        newest = self._newest()
        return (
            newest is not None
            and not newest.response_complete
            and (state is not _ParserState.BODY or bool(self.pipeline))
        )

    def _refuse(self, code: str, detail: str | None = None) -> None:
        """Refuse the current request, after the answers to earlier ones, which are complete."""
        state, self._parser_state, self._idle = self._parser_state, _ParserState.OVER, False
        if state is _ParserState.OVER:
            return
        if self._has_earlier_requests(state):
            self.cycle.keep_alive = False
            if state is _ParserState.BODY:
                # The refusal waits for its turn behind the earlier answers.
                refusal: Any = refused(code, detail)
                self.pipeline[0] = (self.cycle, refusal)
            return
        cycle = self._newest()
        if cycle is None or state is not _ParserState.BODY or not cycle.response_started:
            if cycle is not None:
                cycle.disconnected = True
            self.transport.write(encoded(refused(code, detail)))
        self.transport.close()


class FastPathProtocol(BoundedHttpProtocol):
    """
    The bounded protocol with the fast path: some requests are answered from their bytes, before they are parsed.

    All others go to the parser unchanged.
    """

    # None without a fast path, and where uvicorn's access log or limit on connections would miss its requests.
    _fast_path: FastPath | None = None
    # When the fast path answered last, on the loop's clock.
    _answered_at = -inf
    # The bytes of a head that was not parsed yet, because the fast path can answer once the body arrives.
    _pending_head = b""
    _pending: RequestHead | None = None
    _pending_since: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        if self._place is Place.ORDINARY and not self.access_log and self.limit_concurrency is None:
            self._fast_path = self.app.fast_path if isinstance(self.app, ServiceApp) else None

    def data_received(self, data: bytes) -> None:
        """Answer a whole request by the fast path if possible; otherwise parse it."""
        path = self._fast_path
        if path is None or not self._idle or self.transport.is_closing() or not self._answer_fast(path, data):
            super().data_received(data)

    def on_message_begin(self) -> None:
        """Begin a request; with a pending head it began when the head arrived."""
        super().on_message_begin()
        if self._pending_since is not None:
            self._owed_since, self._pending_since = self._pending_since, None

    def shutdown(self) -> None:
        """End the connection once all requests are answered."""
        if self._pending_head:
            self._read(b"")
        super().shutdown()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection; fast answers do not reset the timer, so their time is checked here."""
        left = self._answered_at + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    def _read(self, data: bytes) -> None:
        if self._pending is not None:
            data = self._end_pending() + data
        super()._read(data)

    def _end_pending(self) -> bytes:
        pending, self._pending_head, self._pending = self._pending_head, b"", None
        return pending

    def _check_time(self) -> None:
        if self._pending_head:
            self._read(b"")
        super()._check_time()

    def _answer_fast(self, fast_path: FastPath, data: bytes) -> bool:
        """Answer one whole request by the fast path, as if it had been parsed; tell whether it was answered."""
        if self.flow.write_paused:
            return False
        if self._pending is not None:
            return self._go_on(fast_path, self._pending, data)
        began = perf_counter()
        if data.startswith(FIRST_LINE):
            if (head := fast_path.head_of(data)) is None:
                return False
            whole = len(data) == head.whole
            return self._answer_check(fast_path, head, data, began) if whole else self._wait_for_body(head, data)
        if (question := QUESTION(data)) is None:
            return False
        meter = EXT_AUTHZ_METER if question[1] is None else FORWARD_AUTH_METER
        answer = fast_path.answer_proxy(data, self.client, self.server_state.default_headers)
        return answer is not None and self._send(answer, meter, began)

    def _answer_check(self, fast_path: FastPath, head: RequestHead, data: bytes, began: float) -> bool:
        """Answer a whole verification, now or once its key was looked up; tell whether it is or will be answered."""
        answer = fast_path.answer(head, data[head.size :], self.server_state.default_headers)
        if answer is None:
            return self._wait_for_key(fast_path, head, data, began)
        return self._send(answer, VERIFY_METER, began)

    def _wait_for_key(self, fast_path: FastPath, head: RequestHead, data: bytes, began: float) -> bool:
        """Keep a whole request whose key has to be looked up; tell whether it was kept."""
        return False

    def _go_on(self, fast_path: FastPath, head: RequestHead, data: bytes) -> bool:
        """Answer the request whose head came before *data*; tell whether it was answered."""
        whole = self._pending_head + data
        return len(whole) == head.whole and self._answer_check(fast_path, head, whole, perf_counter())

    def _send(self, answer: bytes, meter: RouteMeter, began: float) -> bool:
        """Send an answer of the fast path."""
        if self._pending_since is not None:
            self._pending_head, self._pending, self._pending_since = b"", None, None
        self.transport.write(answer)
        # As `observe` does, without a call.
        meter.times[bisect_left(REQUEST_SECONDS_BOUNDS, seconds := perf_counter() - began)] += 1
        meter.seconds += seconds
        self.server_state.total_requests += 1
        self._owed_since = None
        self._answered_at = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_handler()
        return True

    def _wait_for_body(self, head: RequestHead, data: bytes) -> bool:
        """Keep a head that arrived without its body, as many clients send it; tell whether the head was kept."""
        if len(data) != head.size:
            return False
        self._pending_head, self._pending = data, head
        self._unset_keepalive_if_required()
        self._owed_since = self._pending_since = self.loop.time()
        return True
