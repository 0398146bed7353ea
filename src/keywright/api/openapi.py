"""The OpenAPI document: what FastAPI derives from the routes, and what it cannot know."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from keywright.api.problems import PROBLEM_TYPE, PROBLEMS
from keywright.api.schemas import CreateApiKeyRequestV2, ErrorResponse, ProblemResponse

_REFERENCE = "#/components/schemas/{model}"
_DESCRIPTION = """API keys for the organizations of a product whose users sign in through Auth0.

Every request carries an Auth0 access token: `Authorization: Bearer <token>`. The organization comes from the token.
A key of another organization, a deleted key and a key that never was give one and the same 404."""


def documented_errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the error answers a route may give, in both of their forms. Any route may answer 500."""
    return {status: _error_response(status) for status in (*statuses, 500)}


def document(app: FastAPI, version: str) -> dict[str, Any]:
    """Build the document once, the bodies that the routes read by themselves included."""
    found = get_openapi(
        title="Keywright", version=version, description=_DESCRIPTION, routes=app.routes, openapi_version="3.1.0"
    )
    schemas = found["components"]["schemas"]
    for model in (CreateApiKeyRequestV2, ErrorResponse, ProblemResponse):
        schema = model.model_json_schema(ref_template=_REFERENCE)
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema
    create = found["paths"]["/api/v2/api-keys"]["post"]
    create["requestBody"] = {
        "required": True,
        "content": {"application/json": {"schema": _reference(CreateApiKeyRequestV2.__name__)}},
    }
    create["responses"]["201"]["headers"] = {"Location": _header("The path of the new key")}
    listing = found["paths"]["/api/v2/api-keys"]["get"]
    listing["responses"]["200"]["headers"] = {"Link": _header('The next page, `rel="next"`; absent on the last')}
    return found


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
