"""What becomes of exceptions: every one that a route or the router raises, as an answer."""

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from keywright import telemetry
from keywright.api.bodies import validation_refusal
from keywright.api.problems import Refusal, answer, answer_fault
from keywright.service.faults import Fault, InvalidToken, Unavailable

_log = structlog.stdlib.get_logger("keywright.api")


def install(app: FastAPI) -> None:
    """Put the handlers in place; nothing of FastAPI's own answers, which echo what was sent, is left."""
    app.add_exception_handler(Refusal, _refusal)
    app.add_exception_handler(Fault, _fault)
    app.add_exception_handler(RequestValidationError, _invalid_parameter)
    app.add_exception_handler(HTTPException, _router)


async def _refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)  # noqa: S101 - narrows the type that add_exception_handler widens
    request.state.log["code"] = error.code
    return answer(error, request)


async def _fault(request: Request, error: Exception) -> Response:
    assert isinstance(error, Fault)  # noqa: S101
    request.state.log["code"] = error.code
    if isinstance(error, Unavailable):
        telemetry.unavailable.labels(error.code).inc()
        _log.warning("unavailable", code=error.code, reason=error.reason)
    else:
        telemetry.token_refusals.labels(error.code).inc()
        if isinstance(error, InvalidToken):
            request.state.log["reason"] = error.reason
    return answer_fault(error, request)


async def _invalid_parameter(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    return await _refusal(request, validation_refusal(error.errors()))


async def _router(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    if error.status_code == 405:
        methods = ", ".join(sorted(_methods_at(request)))
        return await _refusal(request, Refusal("method_not_allowed", headers={"Allow": methods}))
    # The router raises nothing else but 404.
    return await _refusal(request, Refusal("not_found"))


def _methods_at(request: Request) -> set[str]:
    """Collect the methods of every route of the path; the router itself names those of the first one only."""
    found: set[str] = set()
    for route in request.app.routes:
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            found |= route.methods or set()
    return found | ({"HEAD"} if "GET" in found else set())
