"""The OpenAPI document: what FastAPI derives from the routes, and what it cannot know."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from keywright.api.checking import BATCH, VERIFY
from keywright.api.problems import PROBLEM_TYPE, PROBLEMS
from keywright.api.schemas import CreateApiKeyRequestV2, ErrorResponse, ProblemResponse
from keywright.api.verify_schemas import MOST_IN_A_BATCH, BatchRequest, BatchResponse, VerifyRequest, VerifyResponse
from keywright.service.principal import Permission

_REFERENCE = "#/components/schemas/{model}"
_DESCRIPTION = """API keys for the organizations of a product whose users sign in through Auth0.

Every request carries an Auth0 access token: `Authorization: Bearer <token>`. The organization comes from the token.
API servers, which check keys, carry a verifier's credential instead.
A key of another organization, a deleted key and a key that never was give one and the same 404."""


_VERIFIER_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "{brand}_vk_…",
    "description": "The credential of a verifier: an API server that checks keys, of every organization. An operator "
    "makes it with `keywright verifiers create NAME`.",
}


def documented_errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the error answers a route may give, in both of their forms. Any route may answer 500."""
    return {status: _error_response(status) for status in (*statuses, 500)}


def document(app: FastAPI, version: str) -> dict[str, Any]:
    """Build the document once, the bodies that the routes read by themselves included."""
    found = get_openapi(
        title="Keywright", version=version, description=_DESCRIPTION, routes=app.routes, openapi_version="3.1.0"
    )
    schemas = found["components"]["schemas"]
    written = (CreateApiKeyRequestV2, ErrorResponse, ProblemResponse)
    for model in (*written, VerifyRequest, VerifyResponse, BatchRequest, BatchResponse):
        schema = model.model_json_schema(ref_template=_REFERENCE)
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema
    create = found["paths"]["/api/v2/api-keys"]["post"]
    create["requestBody"] = {"required": True, **_json_of(CreateApiKeyRequestV2)}
    create["responses"]["201"]["headers"] = {"Location": _header("The path of the new key")}
    listing = found["paths"]["/api/v2/api-keys"]["get"]
    listing["responses"]["200"]["headers"] = {"Link": _header('The next page, `rel="next"`; absent on the last')}
    found["paths"] |= _verifications()
    found["components"]["securitySchemes"]["VerifierAuth"] = _VERIFIER_SCHEME
    return found


def _verifications() -> dict[str, Any]:
    """Describe what `checking` answers in front of every route."""
    one = {
        "summary": "Verify API Key",
        "description": "Check a presented key. A refusal is an answer like any other, with `valid: false` and the "
        "reason in `code`. A token's bearer learns of its organization's keys only; a verifier checks all keys.",
        "operationId": "verify_api_key",
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
    stale = _header("`true` while the answer comes from memory because the database cannot be asked; otherwise absent")
    good = {"description": "The verdict", **_json_of(told), "headers": {"Keywright-Stale": stale}}
    errors = documented_errors(400, 401, 403, 413, 415, 422, 503)
    return {
        "tags": ["Checking keys"],
        "requestBody": {"required": True, **_json_of(asked)},
        "responses": {"200": good, **{str(status): error for status, error in errors.items()}},
        "security": [{"BearerAuth": []}, {"VerifierAuth": []}],
        "x-permission": Permission.VERIFY.value,
    }


def _json_of(model: type[BaseModel]) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": _reference(model.__name__)}}}


def _error_response(status: int) -> dict[str, Any]:
    codes = [code for code, problem in PROBLEMS.items() if problem.status == status]
    response: dict[str, Any] = {
        "description": f"{' / '.join(f'`{code}`' for code in codes)}: {PROBLEMS[codes[0]].title}",
        "content": {
            "application/json": {"schema": _reference(ErrorResponse.__name__)},
            PROBLEM_TYPE: {"schema": _reference(ProblemResponse.__name__)},
        },
    }
    if status == 503:
        response["headers"] = {"Retry-After": _header("Seconds until trying again makes sense")}
    if status == 401:
        response["headers"] = {"WWW-Authenticate": _header("The challenge of RFC 6750")}
    return response


def _reference(name: str) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(model=name)}


def _header(description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}}
