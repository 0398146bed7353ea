"""
What happens to every request before and after the routes, as plain ASGI layers.

From the outside in: `Observed` (request id, log line, metrics, headers of every answer), CORS where it is wanted,
`Reached` (one path for both URL forms, HEAD beside GET, operations without a search), and within the framework
`Shielded` (whatever escapes becomes an answer).
"""

import logging
import re
import secrets
import time
from functools import lru_cache
from typing import Any

from prometheus_client import Counter, Histogram
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from keywright import telemetry
from keywright.api.handlers import answer_to
from keywright.api.operations import Operation, Operations

_NAME = "keywright.access"
_log = telemetry.Log(_NAME)
_is_read_at = logging.getLogger(_NAME).isEnabledFor
_ACCEPTABLE_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_QUIET_ROUTES = frozenset({"/livez", "/readyz", "/metrics"})
_NO_SNIFFING = (b"x-content-type-options", b"nosniff")


class Observed:
    """Give every request an id, and write down how it ended: the route, never the path or the query as sent."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        # Not counted: customers see it, and would see how many others there are.
        raw_id = _offered_id(scope) or secrets.token_hex(16).encode()
        request_id = raw_id.decode()
        scope.setdefault("state", {}).update(request_id=request_id, log={})
        status = 0

        async def observe(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", raw_id), _NO_SNIFFING]
            await send(message)

        bound = telemetry.bind(request_id=request_id)
        try:
            await self._app(scope, receive, observe)
        finally:
            _write_down(scope, status, time.perf_counter() - started)
            telemetry.unbind(bound)


class Reached:
    """
    Reach an operation at once where one is found, and whatever else there is through *app*.

    `/x/` is `/x` without a redirect, since clients drop `Authorization` on redirects, and HEAD is GET.
    """

    def __init__(self, app: ASGIApp, operations: Operations) -> None:
        self._app = app
        self._operations = operations

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path, method = scope["path"], scope["method"]
        if len(path) > 1 and path.endswith("/"):
            path = path[:-1]
            scope = {**scope, "path": path}
        if method == "HEAD":
            method = "GET"
            scope = {**scope, "method": method}
        found = self._operations.find(method, path)
        if found is not None:
            await self._answer(*found, scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            if (route := scope.get("route")) is not None:
                scope["state"]["route"] = route.path

    async def _answer(
        self, operation: Operation, path_params: dict[str, str], scope: Scope, receive: Receive, send: Send
    ) -> None:
        scope["app"] = self._app
        scope["path_params"] = path_params
        scope["state"]["route"] = operation.path
        request = Request(scope, receive)
        try:
            response = await operation.answer(request)
        except Exception as error:  # noqa: BLE001 - every error becomes an answer; the unexpected is logged whole
            response = answer_to(error, request)
        await response(scope, receive, send)


class Shielded:
    """Turn whatever escapes from the routes into an answer, where none was begun."""

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
        except Exception as error:
            if scope["type"] != "http" or started:
                raise
            await answer_to(error, Request(scope))(scope, receive, send)


def _offered_id(scope: Scope) -> bytes | None:
    offered = [value for name, value in scope["headers"] if name == b"x-request-id"]
    return offered[0] if len(offered) == 1 and _ACCEPTABLE_REQUEST_ID.fullmatch(offered[0]) else None


def _write_down(scope: Scope, status: int, seconds: float) -> None:
    # A path may hold anything, a private key pasted by mistake among it; the route's template cannot.
    route = scope["state"].get("route", "unmatched")
    method = scope["method"] if scope["method"] in _METHODS else "other"
    requests, request_seconds = _measures(method, route, status)
    requests.inc()
    request_seconds.observe(seconds)
    level = logging.DEBUG if route in _QUIET_ROUTES else logging.INFO
    # A line that nobody reads would be put together all the same.
    if _is_read_at(level):
        details: dict[str, Any] = {"method": method, "route": route, "status": status, "ms": round(seconds * 1000, 2)}
        _log.log(level, "request", **details, **scope["state"]["log"])


# As many as there are routes with their methods and statuses, and some; finding them costs more than counting.
@lru_cache(maxsize=1024)
def _measures(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    return telemetry.requests.labels(method, route, status), telemetry.request_seconds.labels(route)
