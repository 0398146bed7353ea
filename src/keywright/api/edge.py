"""
What happens to every request before and after the routes, as plain ASGI layers.

From the outside in: `Observed` (request id, log line, metrics, headers of every answer), CORS where it is wanted,
`Shielded` (whatever escapes becomes a 500), `Normalized` (one path for both URL forms, HEAD beside GET).
"""

import re
import time
import uuid
from functools import lru_cache
from typing import Any

import structlog
from prometheus_client import Counter, Histogram
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from keywright import telemetry
from keywright.api.problems import Refusal, answer

_log = structlog.stdlib.get_logger("keywright.access")
_ACCEPTABLE_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_QUIET_ROUTES = frozenset({"/livez", "/readyz", "/metrics"})


class Observed:
    """Give every request an id, and write down how it ended: the route, never the path or the query as sent."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = _request_id(scope)
        scope.setdefault("state", {}).update(request_id=request_id, log={})
        status = 0

        async def observe(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                headers["X-Content-Type-Options"] = "nosniff"
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, observe)
            finally:
                _write_down(scope, status, time.perf_counter() - started)


class Shielded:
    """Turn whatever escapes from the routes into the fixed 500, and log it whole."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception:
            if scope["type"] != "http" or started:
                raise
            structlog.stdlib.get_logger("keywright.error").exception("unexpected error")
            await answer(Refusal("internal"), Request(scope))(scope, receive, send)


class Normalized:
    """Let `/x/` be `/x` without a redirect, since clients drop `Authorization` on redirects; let HEAD be GET."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path, method = scope["path"], scope["method"]
            if len(path) > 1 and path.endswith("/"):
                scope = {**scope, "path": path[:-1]}
            if method == "HEAD":
                scope = {**scope, "method": "GET"}
        try:
            await self._app(scope, receive, send)
        finally:
            if (route := scope.get("route")) is not None:
                scope["state"]["route"] = route.path


def _request_id(scope: Scope) -> str:
    offered = [value for name, value in scope["headers"] if name == b"x-request-id"]
    if len(offered) == 1 and _ACCEPTABLE_REQUEST_ID.fullmatch(offered[0]):
        return str(offered[0], "ascii")
    return uuid.uuid4().hex


def _write_down(scope: Scope, status: int, seconds: float) -> None:
    # A path may hold anything, a private key pasted by mistake among it; the route's template cannot.
    route = scope["state"].get("route", "unmatched")
    method = scope["method"] if scope["method"] in _METHODS else "other"
    requests, request_seconds = _measures(method, route, status)
    requests.inc()
    request_seconds.observe(seconds)
    details: dict[str, Any] = {"method": method, "route": route, "status": status, "ms": round(seconds * 1000, 2)}
    details |= scope["state"]["log"]
    if route in _QUIET_ROUTES:
        _log.debug("request", **details)
    else:
        _log.info("request", **details)


# As many as there are routes with their methods and statuses, and some; finding them costs more than counting.
@lru_cache(maxsize=1024)
def _measures(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    return telemetry.requests.labels(method, route, status), telemetry.request_seconds.labels(route)
