"""What an agent answers beside checks: whether it lives, whether it is ready, and its metrics."""

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Lifespan, Receive, Scope, Send

from keywright import telemetry
from keywright.api.http.problems import Refusal
from keywright.api.verify.responses import error_response, request_ids

_request_ids = request_ids()
_NOT_STORED = {"Cache-Control": "no-store"}


class Health:
    """
    `/livez`, `/readyz` and, if wanted, `/metrics`; everything else is 404.

    Args:
        synced: Whether all changes have arrived at any time. Keys that were looked up before are not kept, so they
            would not survive an outage of the service.
        metrics: Whether there is `/metrics`.
        lifespan: Starts and ends the agent.
    """

    def __init__(self, *, synced: Callable[[], bool], metrics: bool, lifespan: Lifespan[Any]) -> None:
        self._synced = synced
        routes = [Route("/livez", self._livez), Route("/readyz", self._readyz)]
        if metrics:
            routes.append(Route("/metrics", self._metrics))
        self._app: ASGIApp = Router(routes, default=_unknown, redirect_slashes=False, lifespan=lifespan)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    async def _livez(self, _request: Request) -> Response:
        return JSONResponse({"status": "ok"}, headers=_NOT_STORED)

    async def _readyz(self, _request: Request) -> Response:
        if self._synced():
            return JSONResponse({"status": "ok", "checks": {"changes": "ok"}}, headers=_NOT_STORED)
        body = {"status": "unavailable", "checks": {"changes": "not followed yet"}}
        return JSONResponse(body, status_code=503, headers={**_NOT_STORED, "Retry-After": "1"})

    async def _metrics(self, _request: Request) -> Response:
        return Response(telemetry.exposition(), media_type=telemetry.METRICS_CONTENT_TYPE)


async def _unknown(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        response = error_response(Refusal("not_found"), scope, next(_request_ids).decode())
        await response(scope, receive, send)
