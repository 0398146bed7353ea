"""What becomes of exceptions: every one that a route or the router raises, as an answer."""

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

_log = telemetry.Log("keywright.api")


def install(app: FastAPI) -> None:
    """Put the handlers in place; nothing of FastAPI's own answers, which echo what was sent, is left."""
    for kind in (Refusal, Fault, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _handle)


def answer_to(error: Exception, request: Request) -> Response:
    """Write the answer to a request that met *error*, and note why for its log line; the unexpected is logged whole."""
    if isinstance(error, Refusal):
        return _refusal(request, error)
    if isinstance(error, Fault):
        return _fault(request, error)
    if isinstance(error, RequestValidationError):
        return _refusal(request, validation_refusal(error.errors()))
    if isinstance(error, HTTPException):
        return _router(request, error)
    telemetry.Log("keywright.error").error("unexpected error", exc_info=error)
    return answer(Refusal("internal"), request)


async def _handle(request: Request, error: Exception) -> Response:
    return answer_to(error, request)


def _refusal(request: Request, refusal: Refusal) -> Response:
    request.state.log["code"] = refusal.code
    return answer(refusal, request)


def _fault(request: Request, fault: Fault) -> Response:
    request.state.log["code"] = fault.code
    if isinstance(fault, Unavailable):
        telemetry.unavailable.labels(fault.code).inc()
        _log.warning("unavailable", code=fault.code, reason=fault.reason)
    else:
        telemetry.token_refusals.labels(fault.code).inc()
        if isinstance(fault, InvalidToken):
            request.state.log["reason"] = fault.reason
    return answer_fault(fault, request)


def _router(request: Request, error: HTTPException) -> Response:
    if error.status_code == 405:
        methods = ", ".join(sorted(_methods_at(request)))
        return _refusal(request, Refusal("method_not_allowed", headers={"Allow": methods}))
    # The router raises nothing else but 404.
    return _refusal(request, Refusal("not_found"))


def _methods_at(request: Request) -> set[str]:
    """Collect the methods of every route of the path; the router itself names those of the first one only."""
    found: set[str] = set()
    for route in request.app.routes:
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            found |= route.methods or set()
    return found | ({"HEAD"} if "GET" in found else set())
