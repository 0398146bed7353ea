"""Responses to checks: request ids, fixed headers, and the responses to errors."""

from collections.abc import Iterator
from itertools import count
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from keywright import telemetry
from keywright.api.http.access_log import traced
from keywright.api.http.problems import Refusal, answer, answer_fault, note_conflict
from keywright.api.verify.schemas import BATCH, VERIFY
from keywright.keys.addresses import client_address
from keywright.keys.verdict import Code
from keywright.service.checking.verdicts import Caller
from keywright.service.faults import Fault, OrganizationConflict, Unavailable

Headers = list[tuple[bytes, bytes]]

FIXED_HEADERS: Headers = [
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
]
VERIFY_METER = telemetry.RouteMeter("POST", VERIFY)
BATCH_METER = telemetry.RouteMeter("POST", BATCH)
FORWARD_AUTH_METER = telemetry.RouteMeter("any", "/forward-auth")
EXT_AUTHZ_METER = telemetry.RouteMeter("any", "/ext-authz")
_refusals = telemetry.SampledLog("keywright.checks")
STALE_HEADER = (b"keywright-stale", b"true")


def request_ids() -> Iterator[bytes]:
    """Give request ids; all are different, also those of two iterators."""
    return map(f"{uuid4().hex[:16]}-%08x".encode().__mod__, count(1))


def log_refused_key(caller: Caller, code: Code, network: str | None) -> None:
    """
    Log that a key was refused, at most once in ten seconds for one caller and code.

    Args:
        caller: The caller that presented the key.
        code: The verdict.
        network: The network of its customer; None where it is not known.
    """
    owner = caller.org_id if caller.verifier is None else caller.verifier.id
    _refusals.info((owner, code), "key refused", code=code.value, verifier=caller.name, source=network)


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
        telemetry.Log("keywright.error").error(
            "unexpected error", exc_info=error, request_id=request_id, **traced(scope["headers"])
        )
        response = answer(Refusal("internal"), request)
    _log_refusal(error, scope, request_id, response.status_code)
    response.headers["X-Request-Id"] = request_id
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _log_refusal(error: Exception, scope: Scope, request_id: str, status: int) -> None:
    code = getattr(error, "code", "internal")
    peer: tuple[str, int] | None = scope.get("client")
    source = client_address(None if peer is None else peer[0], (), ())
    fields = {"code": code, "status": status, "source": source, "request_id": request_id}
    _refusals.info((source, code), "check refused", **fields, **traced(scope["headers"]))
