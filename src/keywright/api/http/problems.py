"""
Error answers: the one table from code to status, and the one function that writes them.

The edge raises `Refusal`. A refusal of a use case (`service.management.refusals.Refused`) becomes a `Refusal` here; the
packages below raise `service.faults.Fault`. No answer quotes a value that the caller sent.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from keywright import telemetry
from keywright.contract.codec import ABSENT, written
from keywright.contract.errors import ErrorResponse, FieldError, ProblemResponse
from keywright.service.faults import (
    Fault,
    ForeignRequest,
    InvalidToken,
    OrganizationConflict,
    PermissionMissing,
    SignInRefused,
    TooManyChanges,
    Unavailable,
)
from keywright.service.management.refusals import Refused

_log = telemetry.Log("keywright.api")
_conflicts = telemetry.SampledLog("keywright.api", seconds=60)

REALM = 'Bearer realm="keywright"'
PROBLEM_TYPE = "application/problem+json"
# Longer than any name of ours, shorter than any private key: a key pasted in the wrong place is not echoed.
_MAX_SHOWN_NAME = 40

# Sentences in the words of JSON, in place of pydantic's in the words of Python.
_JSON_SENTENCES = {
    "model_type": "Input should be an object",
    "dict_type": "Input should be an object",
    "list_type": "Input should be an array",
}


class Problem(NamedTuple):
    """The answer for a code: the HTTP status, a title, and the sentence unless the `Refusal` has a better one."""

    status: int
    title: str
    sentence: str


PROBLEMS = {
    "invalid_request": Problem(400, "Bad request", "The request is malformed."),
    "invalid_json": Problem(400, "Bad JSON", "The body is not a strict JSON object."),
    "missing_token": Problem(401, "Token missing", "An access token is required: Authorization: Bearer <token>."),
    "invalid_token": Problem(401, "Token refused", "The access token cannot be trusted."),
    "session_required": Problem(401, "Signed out", "Nobody is signed in, or the session has ended. Sign in again."),
    "sign_in_refused": Problem(400, "Not signed in", "The sign-in was not completed. Begin again."),
    "foreign_request": Problem(403, "Foreign request", "Only pages of the console may send requests here."),
    "organization_required": Problem(403, "Organization required", "The access token names no organization."),
    "organization_conflict": Problem(
        403, "Organization conflict", "Another organization owns the id that the access token claims."
    ),
    "scopes_not_grantable": Problem(
        403, "Scopes not grantable", "The access token may not give a key all of these scopes."
    ),
    "insufficient_permission": Problem(403, "Permission missing", "The access token lacks a permission."),
    "verifier_required": Problem(403, "Verifier required", "This needs the credential of a verifier, not a token."),
    "not_found": Problem(404, "Not found", "There is no such resource."),
    "method_not_allowed": Problem(405, "Method not allowed", "This resource does not know that method."),
    "not_revoked": Problem(409, "Not revoked", "The key was neither revoked nor deleted."),
    "too_many_keys": Problem(409, "Too many keys", "The organization has as many active keys as it may have."),
    "key_revoked": Problem(409, "Key revoked", "The key was revoked, which is for good."),
    "key_expired": Problem(409, "Key expired", "The key has expired. Give it another expiry first."),
    "rotation_under_way": Problem(409, "Rotation under way", "The secret before the current one still works."),
    "too_many_pairs": Problem(409, "Too many pairs", "The key has as many pairs as it may have. Create another key."),
    "no_rotation_under_way": Problem(409, "No rotation under way", "Only the current secret of the key works."),
    "idempotency_key_in_use": Problem(409, "Still running", "The same request is still running. Try again soon."),
    "changed_meanwhile": Problem(409, "Changed meanwhile", "Others change the key at the same time. Try again."),
    "preview_expired": Problem(409, "Preview expired", "The preview is older than 15 minutes. Make another one."),
    "name_taken": Problem(409, "Name taken", "A verifier that is not revoked has this name."),
    "receipt_removed": Problem(410, "Receipt removed", "The receipt is older than receipts are kept."),
    "precondition_failed": Problem(412, "Precondition failed", "The key has another version than If-Match asks for."),
    "payload_too_large": Problem(413, "Body too large", "The body is larger than 16 KiB."),
    "unsupported_media_type": Problem(415, "Unsupported media type", "The body must be application/json in UTF-8."),
    "idempotency_key_reused": Problem(
        422, "Idempotency key reused", "Another request was sent with the same Idempotency-Key."
    ),
    "validation_failed": Problem(422, "Validation failed", "A field or parameter has a value that is not allowed."),
    "rotated_too_often": Problem(429, "Rotated too often", "The key was rotated too often in the last hour."),
    "headers_too_large": Problem(431, "Headers too large", "The request line and headers are larger than 32 KiB."),
    "too_many_changes": Problem(
        429, "Too many changes", "The organization changes too many keys. Try again after the time in Retry-After."
    ),
    "internal": Problem(500, "Internal error", "Something went wrong here. The request id finds it in the log."),
    "auth_unavailable": Problem(503, "Unavailable", "Tokens cannot be checked right now. Try again soon."),
    "storage_unavailable": Problem(503, "Unavailable", "The database cannot be reached right now. Try again soon."),
    "too_many_connections": Problem(503, "Unavailable", "There are too many connections right now. Try again soon."),
    "limits_unavailable": Problem(503, "Unavailable", "Limits cannot be counted right now. Try again soon."),
    "overloaded": Problem(503, "Busy", "Too many requests of this organization or caller wait. Try again soon."),
}
# Seconds until a retry may succeed.
RETRY_SECONDS = {"idempotency_key_in_use": 1, "changed_meanwhile": 1, "too_many_connections": 1}
# The answers of forward authentication, which a proxy passes on to its client.
KEY_PROBLEMS = {
    "invalid_request": PROBLEMS["invalid_request"],
    "misconfigured_proxy": Problem(400, "Proxy misconfigured", "The proxy in front asks for something unknown."),
    "verifier_required": Problem(401, "Proxy not recognized", "The proxy in front does not show a good credential."),
    "missing_key": Problem(401, "Key missing", "An API key is required: Authorization: Bearer <key>, or X-API-Key."),
    "not_found": Problem(401, "Key refused", "The API key is not known."),
    "revoked": Problem(401, "Key refused", "The API key was revoked."),
    "disabled": Problem(401, "Key refused", "The API key is disabled."),
    "expired": Problem(401, "Key refused", "The API key has expired."),
    "replaced": Problem(401, "Key refused", "The API key's secret was replaced by a new one."),
    "wrong_environment": Problem(403, "Not allowed", "The API key belongs to another environment."),
    "insufficient_scope": Problem(403, "Not allowed", "The API key lacks a scope."),
    "ip_not_allowed": Problem(403, "Not allowed", "The API key may not be used from this address."),
    "rate_limited": Problem(429, "Too many requests", "Too many requests. Try again soon."),
}


class Refusal(Exception):
    """
    The edge refuses a request.

    Args:
        code: A code of `problems`.
        detail: A sentence in place of the table's.
        errors: The flaws, for `validation_failed`.
        headers: Further headers of the answer. A code of `RETRY_SECONDS` has its `Retry-After` without them.
        missing_scopes: The scopes, for `scopes_not_grantable`.
    """

    problems: ClassVar[Mapping[str, Problem]] = PROBLEMS

    def __init__(
        self,
        code: str,
        detail: str | None = None,
        *,
        errors: Sequence[FieldError] = (),
        headers: dict[str, str] | None = None,
        missing_scopes: tuple[str, ...] = (),
    ) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.errors = errors
        seconds = RETRY_SECONDS.get(code)
        self.headers = ({} if seconds is None else {"Retry-After": str(seconds)}) | (headers or {})
        self.missing_scopes = missing_scopes


class KeyRefusal(Refusal):
    """Forward authentication refuses a request."""

    problems = KEY_PROBLEMS


def validation_refusal(error: ValidationError, *where: str) -> Refusal:
    """Make `validation_failed` from the flaws that pydantic found; *where* goes before the location of each."""
    return Refusal(
        "validation_failed",
        errors=[
            FieldError(
                (*where, *map(_shown, flaw["loc"])), _JSON_SENTENCES.get(flaw["type"], flaw["msg"]), flaw["type"]
            )
            for flaw in error.errors(include_input=False, include_url=False)
        ],
    )


def refusal_of(refused: Refused) -> Refusal:
    """Make a `Refusal` from the refusal of a use case; flaws of fields become flaws of the body."""
    errors = [FieldError(("body", flaw.field, *flaw.path), flaw.msg, flaw.type) for flaw in refused.flaws]
    headers = {} if refused.retry_after is None else {"Retry-After": str(refused.retry_after)}
    return Refusal(refused.code, errors=errors, headers=headers, missing_scopes=refused.scopes)


def answer_to(error: Exception, request: Request) -> Response:
    """Write the answer for *error* and note its code for the log line; an unexpected error is logged with traceback."""
    if isinstance(error, Refusal):
        request.state.log["code"] = error.code
        return answer(error, request)
    if isinstance(error, Fault):
        note_fault(error, request)
        return answer_fault(error, request)
    telemetry.Log("keywright.error").error("unexpected error", exc_info=error)
    return answer(Refusal("internal"), request)


def answer(refusal: Refusal, request: Request) -> Response:
    """Write *refusal* in the form that the request's `Accept` header prefers."""
    return write(refusal, request_id=request.state.request_id, as_problem=_wants_problem(request))


def answer_fault(fault: Fault, request: Request) -> Response:
    """Write a fault of the packages below as an answer."""
    return answer(_refusal_of(fault), request)


def write(refusal: Refusal, *, request_id: str, as_problem: bool = False) -> Response:
    """Write *refusal* as JSON, or as RFC 9457 where *as_problem*."""
    problem = refusal.problems[refusal.code]
    sentence = refusal.detail or problem.sentence
    errors = tuple(refusal.errors)
    missing_scopes = refusal.missing_scopes or ABSENT
    body: ErrorResponse | ProblemResponse
    if as_problem:
        body = ProblemResponse(
            type=f"urn:keywright:problem:{refusal.code}",
            title=problem.title,
            status=problem.status,
            detail=sentence,
            code=refusal.code,
            request_id=request_id,
            errors=errors or ABSENT,
            missing_scopes=missing_scopes,
        )
    else:
        body = ErrorResponse(
            detail=errors or sentence, code=refusal.code, request_id=request_id, missing_scopes=missing_scopes
        )
    return Response(
        written(body),
        status_code=problem.status,
        media_type=PROBLEM_TYPE if as_problem else "application/json",
        headers={"Cache-Control": "no-store", **refusal.headers},
    )


def _shown(part: str | int) -> str | int:
    # The name of an unknown field is the caller's own text. It is shown, because it explains a mistyped name, but only
    # when it looks like a name.
    if isinstance(part, int) or (len(part) <= _MAX_SHOWN_NAME and part.isascii() and part.isidentifier()):
        return part
    return "?"


def note_fault(fault: Fault, request: Request) -> None:
    """Note the code of *fault* for the log line, and count it."""
    request.state.log["code"] = fault.code
    if isinstance(fault, Unavailable):
        telemetry.unavailable.labels(fault.code).inc()
        _log.warning("unavailable", code=fault.code, reason=fault.reason)
    elif isinstance(fault, OrganizationConflict):
        note_conflict(fault)
    elif not isinstance(fault, TooManyChanges):
        telemetry.token_refusals.labels(fault.code).inc()
        if isinstance(fault, InvalidToken | ForeignRequest | SignInRefused):
            request.state.log["reason"] = fault.reason


def note_conflict(fault: OrganizationConflict) -> None:
    """Count a refused claim of an organization id, and warn of it at most once a minute in each process."""
    telemetry.token_refusals.labels(fault.code).inc()
    _conflicts.warning(None, "organization conflict", org=fault.org_id)


def _refusal_of(fault: Fault) -> Refusal:
    if isinstance(fault, InvalidToken):
        challenge = f'{REALM}, error="invalid_token", error_description="{fault.reason}"'
        return Refusal(fault.code, fault.reason, headers={"WWW-Authenticate": challenge})
    if isinstance(fault, PermissionMissing):
        challenge = f'{REALM}, error="insufficient_scope", scope="{fault.permission}"'
        sentence = f"The access token lacks the permission {fault.permission}."
        return Refusal(fault.code, sentence, headers={"WWW-Authenticate": challenge})
    if isinstance(fault, Unavailable | TooManyChanges):
        return Refusal(fault.code, headers={"Retry-After": str(fault.retry_after)})
    return Refusal(fault.code)


def _wants_problem(request: Request) -> bool:
    """Tell whether `Accept` names the type of problem documents; without it the answer is plain JSON."""
    return any(PROBLEM_TYPE in value.lower() for value in request.headers.getlist("accept"))
