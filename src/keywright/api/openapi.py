"""The OpenAPI document: what FastAPI derives from the routes, and what it cannot know."""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from keywright.api.problems import PROBLEM_TYPE, PROBLEMS, RETRY_SECONDS
from keywright.api.requests import (
    CreateApiKeyRequestV2,
    RevokeApiKeyRequest,
    RotateApiKeyRequest,
    SetRotationRequest,
    UpdateApiKeyRequest,
)
from keywright.api.schemas import ErrorResponse, ProblemResponse
from keywright.api.verify_schemas import (
    BATCH,
    MOST_IN_A_BATCH,
    VERIFY,
    BatchRequest,
    BatchResponse,
    VerifyRequest,
    VerifyResponse,
)
from keywright.service.principal import Permission

_REFERENCE = "#/components/schemas/{model}"
_DESCRIPTION = """API keys for the organizations of a product whose users sign in through Auth0.

Every request carries an Auth0 access token: `Authorization: Bearer <token>`. The organization comes from the token.
API servers, which check keys, carry a verifier's credential instead.
A key of another organization, a deleted key and a key that never was give one and the same 404."""


_ETAG = '((W/)?"[!#-~]*")'
_HEADERS = {
    "ETag": "The version of the key, for `If-Match`. It covers all that can be changed here; uses leave it as it is",
    "Location": "The path of the new key",
    "Link": 'The next page, `rel="next"`; absent on the last',
    "Idempotency-Replayed": "`true` where this is the answer to an earlier request; otherwise absent",
    "Retry-After": "Seconds until trying again makes sense",
    "WWW-Authenticate": "The challenge of RFC 6750",
    "Keywright-Stale": "`true` while the answer comes from memory because the database cannot be asked; otherwise "
    "absent",
}
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "A secret of the caller's own making, fresh for every request that is meant anew. Sent again within "
    "24 hours with the same body, the request is not done again: it gets the same answer",
    "schema": {"type": "string", "format": "idempotency-key", "minLength": 22, "maxLength": 255, "pattern": "^[!-~]*$"},
}
NOT_AGAIN = ("idempotency_key_in_use", "idempotency_key_reused")
"""Why a request with an `Idempotency-Key` is refused beside the reasons that it has without one."""
IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "description": "Go through only while the key has one of these entity tags, or `*`",
    "schema": {"type": "string", "pattern": rf"^(\*|{_ETAG}?([ \t]*,[ \t]*{_ETAG}?)*)$", "examples": ['"3"']},
}

_VERIFIER_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "{brand}_vk_…",
    "description": "The credential of a verifier: an API server that checks keys, of every organization. An operator "
    "makes it with `keywright verifiers create NAME`.",
}

# Reasons that only some of the routes with their status have, which name them.
_OF_SOME = {
    *(code for code, problem in PROBLEMS.items() if problem.status == 409),
    "verifier_required",
    "idempotency_key_reused",
    "limits_unavailable",
}
_WRITTEN = (
    *(CreateApiKeyRequestV2, UpdateApiKeyRequest, RotateApiKeyRequest, SetRotationRequest, RevokeApiKeyRequest),
    *(ErrorResponse, ProblemResponse, VerifyRequest, VerifyResponse, BatchRequest, BatchResponse),
)


def documented_errors(*statuses: int, also: Sequence[str] = ()) -> dict[int | str, dict[str, Any]]:
    """
    Describe the error answers a route may give, in both of their forms. Any route may answer 500.

    Args:
        statuses: Those whose reasons are the same for all routes.
        also: Codes of reasons that this route has beside them.
    """
    codes = [code for code, problem in PROBLEMS.items() if problem.status in (*statuses, 500) and code not in _OF_SOME]
    by_status: dict[int | str, list[str]] = {}
    for code in (*codes, *also):
        by_status.setdefault(PROBLEMS[code].status, []).append(code)
    return {status: _error_response(codes) for status, codes in sorted(by_status.items(), key=lambda item: item[0])}


def documented_answer(status: int, *headers: str) -> dict[int | str, dict[str, Any]]:
    """Describe the headers of a good answer."""
    return {status: {"headers": {name: _header(name) for name in headers}}}


def documented_body(model: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """Describe a body that the route reads by itself."""
    return {"required": required, **_json_of(model)}


def document(app: FastAPI, version: str, *, environments: Sequence[str]) -> dict[str, Any]:
    """
    Build the document once, the bodies that the routes read by themselves included.

    Args:
        app: With all of its routes.
        version: Of the service.
        environments: Those that a key may belong to.
    """
    found = get_openapi(
        title="Keywright", version=version, description=_DESCRIPTION, routes=app.routes, openapi_version="3.1.0"
    )
    schemas = found["components"]["schemas"]
    for model in _WRITTEN:
        schema = model.model_json_schema(ref_template=_REFERENCE)
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema
    schemas[CreateApiKeyRequestV2.__name__]["properties"]["environment"]["anyOf"][0]["enum"] = [*environments]
    schemas[UpdateApiKeyRequest.__name__]["properties"]["environment"]["enum"] = [*environments]
    found["paths"] |= _verifications()
    found["components"]["securitySchemes"]["VerifierAuth"] = _VERIFIER_SCHEME
    return found


_FACTS_HEADER = {
    "name": "Keywright-Facts",
    "in": "header",
    "required": False,
    "description": "`1`: answer from the database, with `facts`, and count no limits: the caller judges by itself",
    "schema": {"type": "string"},
}


def _verifications() -> dict[str, Any]:
    """Describe what `checking` answers in front of every route."""
    one = {
        "summary": "Verify API Key",
        "description": "Check a presented key. A refusal is an answer like any other, with `valid: false` and the "
        "reason in `code`. A token's bearer learns of its organization's keys only; a verifier checks all keys.",
        "operationId": "verify_api_key",
        "parameters": [_FACTS_HEADER],
        **_asked_and_told(VerifyRequest, VerifyResponse),
    }
    several = {
        "summary": "Verify API Keys",
        "description": f"Check up to {MOST_IN_A_BATCH} presented keys. The verdicts come in the order of the keys.",
        "operationId": "verify_api_keys",
        **_asked_and_told(BatchRequest, BatchResponse),
    }
    return {VERIFY: {"post": one}, BATCH: {"post": several}}


def _asked_and_told(asked: type[BaseModel], told: type[BaseModel]) -> dict[str, Any]:
    good = {"description": "The verdict", **_json_of(told), **documented_answer(200, "Keywright-Stale")[200]}
    errors = documented_errors(400, 401, 403, 413, 415, 422, 503, also=["limits_unavailable"])
    return {
        "tags": ["Checking keys"],
        "requestBody": {"required": True, **_json_of(asked)},
        "responses": {"200": good, **{str(status): error for status, error in errors.items()}},
        "security": [{"BearerAuth": []}, {"VerifierAuth": []}],
        "x-permission": Permission.VERIFY.value,
    }


def _json_of(model: type[BaseModel]) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": _reference(model.__name__)}}}


def _error_response(codes: Sequence[str]) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": "; ".join(f"`{code}`: {PROBLEMS[code].title}" for code in codes),
        "content": {
            "application/json": {
                "schema": _reference(ErrorResponse.__name__),
                "examples": {code: {"value": _example_of(code)} for code in codes},
            },
            PROBLEM_TYPE: {"schema": _reference(ProblemResponse.__name__)},
        },
    }
    headers = {name for code in codes for name in _headers_of(code)}
    if headers:
        response["headers"] = {name: _header(name) for name in sorted(headers)}
    return response


def _example_of(code: str) -> dict[str, Any]:
    flaw = {"loc": ["body", "name"], "msg": "Field required", "type": "missing"}
    detail = [flaw] if code == "validation_failed" else PROBLEMS[code].sentence
    return {"detail": detail, "code": code, "request_id": "0c9f6f3a6a604e1f8a1c8d9b4bb0c5de"}


def _headers_of(code: str) -> list[str]:
    if code in RETRY_SECONDS or PROBLEMS[code].status == 503:
        return ["Retry-After"]
    return ["WWW-Authenticate"] if PROBLEMS[code].status == 401 or code == "insufficient_scope" else []


def _reference(name: str) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(model=name)}


def _header(name: str) -> dict[str, Any]:
    return {"description": _HEADERS[name], "schema": {"type": "string"}}
