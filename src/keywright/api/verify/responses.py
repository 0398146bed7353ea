"""Responses to checks: request ids, fixed headers, and the responses to errors."""

from collections.abc import Iterator
from itertools import count
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from keywright import telemetry
from keywright.api.http.problems import Refusal, answer, answer_fault, note_conflict
from keywright.service.faults import Fault, OrganizationConflict, Unavailable

Headers = list[tuple[bytes, bytes]]

FIXED_HEADERS: Headers = [
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
]
STALE_HEADER = (b"keywright-stale", b"true")


def request_ids() -> Iterator[bytes]:
    """Give request ids; all are different, also those of two iterators."""
    return map(f"{uuid4().hex[:16]}-%08x".encode().__mod__, count(1))


def lines_of(headers: Headers) -> bytes:
    """Write headers as lines of HTTP/1.1."""
    return b"".join(b"%b: %b\r\n" % header for header in headers)


def error_response(error: Exception, scope: Scope, request_id: str) -> Response:
    """Write the response to a request that failed with *error*; log an unexpected error with its traceback."""
    scope.setdefault("state", {})["request_id"] = request_id
    request = Request(scope)
    if isinstance(error, Refusal):
        response = answer(error, request)
    elif isinstance(error, Fault):
        if isinstance(error, Unavailable):
            telemetry.unavailable.labels(error.code).inc()
        elif isinstance(error, OrganizationConflict):
            note_conflict(error)
        response = answer_fault(error, request)
    else:
        telemetry.Log("keywright.error").error("unexpected error", exc_info=error, request_id=request_id)
        response = answer(Refusal("internal"), request)
    response.headers["X-Request-Id"] = request_id
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
