"""The outermost layer: it gives every request an id, a log line and metrics, and adds headers to every answer."""

import logging
import os
import re
import time
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from keywright import telemetry

_NAME = "keywright.access"
_log = telemetry.Log(_NAME)
_is_read_at = logging.getLogger(_NAME).isEnabledFor
_ACCEPTABLE_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")
_TRACEPARENT = re.compile(rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_LONGEST = 512
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_DEBUG_ROUTES = frozenset({"/livez", "/readyz", "/metrics"})
_NO_SNIFFING = (b"x-content-type-options", b"nosniff")


class AccessLog:
    """
    Gives every request an id, and logs its outcome with the route's template, never with the path or the query.

    Args:
        app: Answers all requests.
        for_pages: Answers those with `Origin` instead, with the headers that pages of other origins need.
    """

    def __init__(self, app: ASGIApp, for_pages: ASGIApp | None = None) -> None:
        self._app = app
        self._for_pages = for_pages or app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        # Random: from a counter, customers could read how many requests others send.
        headers = scope["headers"]
        given = dict(headers)
        raw_id = (b"x-request-id" in given and _offered_id(headers)) or os.urandom(16).hex().encode()
        request_id = raw_id.decode()
        state = scope.setdefault("state", {})
        state["request_id"], state["log"] = request_id, {}
        status = 0

        async def observe(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", raw_id), _NO_SNIFFING]
            await send(message)

        trace = traced(headers) if b"traceparent" in given else {}
        bound = telemetry.bind(request_id=request_id, **trace)
        try:
            await (self._for_pages if b"origin" in given else self._app)(scope, receive, observe)
        finally:
            _record(scope, status, time.perf_counter() - started)
            telemetry.unbind(bound)


def trace_id_of(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """
    Give the trace id of a request, 32 hexadecimal digits: `traceparent` of W3C Trace Context, level 1.

    It is for log lines and nothing else: anybody can send any trace id.

    Args:
        headers: All headers, names in lower case.

    Returns:
        None without a valid header, or with more than one.
    """
    values = [value for name, value in headers if name == b"traceparent"]
    if len(values) != 1 or len(values[0]) > _LONGEST:
        return None
    match = _TRACEPARENT.fullmatch(values[0])
    # Version 00 has four parts; a later version may have more.
    if match is None or (match[1] == b"00" and match[3] is not None):
        return None
    return match[2].decode()


def traced(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Give the trace id as a field of a log line; no field without one."""
    trace_id = trace_id_of(headers)
    return {} if trace_id is None else {"trace_id": trace_id}


def _offered_id(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    offered = [value for name, value in headers if name == b"x-request-id"]
    return offered[0] if len(offered) == 1 and _ACCEPTABLE_REQUEST_ID.fullmatch(offered[0]) else None


def _record(scope: Scope, status: int, seconds: float) -> None:
    # A path may contain a private key that was pasted by mistake; the route's template cannot.
    route = scope["state"].get("route", "unmatched")
    method = scope["method"] if scope["method"] in _METHODS else "other"
    requests, request_seconds = _measures(method, route, status)
    requests.inc()
    request_seconds.observe(seconds)
    level = logging.DEBUG if route in _DEBUG_ROUTES else logging.INFO
    # Otherwise a line would be formatted that no handler writes.
    if _is_read_at(level):
        details: dict[str, Any] = {"method": method, "route": route, "status": status, "ms": round(seconds * 1000, 2)}
        _log.log(level, "request", **details, **scope["state"]["log"])


# `labels` costs more than counting. The size exceeds the number of routes times their methods and statuses.
@lru_cache(maxsize=1024)
def _measures(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    return telemetry.requests.labels(method, route, status), telemetry.request_seconds.labels(route)
