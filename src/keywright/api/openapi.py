"""
The OpenAPI document, derived from the operations: their inputs, answers and errors.

Bodies of requests are pydantic models. Answers are classes of the contract, or lists and unions of them.
"""

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from types import UnionType
from typing import Any, Literal, get_args

from pydantic import TypeAdapter

from keywright import contract
from keywright.api.http.bodies import BodyInput, body_model_of
from keywright.api.http.problems import PROBLEM_TYPE, PROBLEMS, RETRY_SECONDS
from keywright.api.http.routing import Operation, Parameter, PathInput, QueryInput, operations_of
from keywright.api.keys.requests import CreateApiKeyRequestV2, UpdateApiKeyRequest
from keywright.api.verify.schemas import BATCH, MOST_IN_A_BATCH, VERIFY, BatchRequest, VerifyRequest
from keywright.contract.examples import EXAMPLES
from keywright.contract.schema import schemas as schemas_of
from keywright.service.management.audit_log import EventType
from keywright.service.principal import Permission

_REFERENCE = "#/components/schemas/{name}"
_DESCRIPTION = """API keys for the organizations of a product whose users sign in through Auth0.

Every request carries an Auth0 access token: `Authorization: Bearer <token>`. The organization comes from the token.
API servers, which check keys, send a verifier's credential instead.
A key of another organization, a deleted key and an unknown key give the same 404."""

_HEADERS = {
    "ETag": "The version of the key, for `If-Match`. It changes with every change to the key, but not with a use",
    "Location": "The path of the new key",
    "Link": 'The next page, `rel="next"`; absent on the last',
    "Idempotency-Replayed": "`true` for the answer to an earlier request with this idempotency key; otherwise absent",
    "Retry-After": "Seconds until a retry makes sense",
    "WWW-Authenticate": "The challenge of RFC 6750",
    "Keywright-Stale": "`true` while the answer comes from the cache because the database cannot be reached; otherwise "
    "absent",
}

_TOKEN_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "A JWT access token from Auth0, for this API's audience.",
}
_VERIFIER_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "{brand}_vk_…",
    "description": "The credential of a verifier: an API server that checks keys, of every organization. An operator "
    "makes it with `keywright verifiers create NAME`.",
}
_FACTS_HEADER = {
    "name": "Keywright-Facts",
    "in": "header",
    "required": False,
    "description": "`1`: answer from the database, with `facts`, and count no rate limits: the caller decides itself",
    "schema": {"type": "string"},
}
# Codes that every operation may answer.
_OF_ALL = ("internal", "storage_unavailable")
_OF_VERIFICATIONS = (
    *("invalid_request", "invalid_json", "missing_token", "invalid_token", "organization_required"),
    *("organization_conflict", "insufficient_permission", "payload_too_large", "unsupported_media_type"),
    *("validation_failed", "auth_unavailable", "limits_unavailable", "overloaded"),
)

_ANSWERS = {contract.VerifyResponse, contract.BatchResponse, contract.ErrorResponse, contract.ProblemResponse}


def documented(groups: Iterable[object]) -> list[Operation]:
    """Give the operations of objects; those without a tag are left out."""
    return [found for group in groups for found, _ in operations_of(group) if found.tag is not None]


def document(
    operations: Sequence[Operation], *, version: str, environments: Sequence[str], server: str | None = None
) -> dict[str, Any]:
    """
    Build the document of *operations* and of the verifications.

    Args:
        version: The version of the service.
        environments: The environments of keys.
        server: The address of the service for its clients; None for the one that the document was read from.
    """
    schemas = _Schemas(operations)
    paths: dict[str, dict[str, Any]] = {}
    for found in operations:
        paths.setdefault(found.path, {})[found.method.lower()] = _documented(found, schemas)
    components = schemas.components
    components[CreateApiKeyRequestV2.__name__]["properties"]["environment"]["anyOf"][0]["enum"] = [*environments]
    components[UpdateApiKeyRequest.__name__]["properties"]["environment"]["enum"] = [*environments]
    return {
        "openapi": "3.1.0",
        "info": {"title": "Keywright", "description": _DESCRIPTION, "version": version},
        **({} if server is None else {"servers": [{"url": server}]}),
        "paths": paths | _verifications(schemas),
        "components": {
            "schemas": components,
            "securitySchemes": {"BearerAuth": _TOKEN_SCHEME, "VerifierAuth": _VERIFIER_SCHEME},
        },
    }


class _Schemas:
    """
    The schemas of the document: those of requests by pydantic, those of answers by the contract.

    `components` are the schemas that others refer to. Models of queries are not among them: their fields are
    parameters.
    """

    def __init__(self, operations: Sequence[Operation]) -> None:
        params = [param for found in operations for param in found.inputs]
        read = {kind for each in params if (kind := _type_of(each)) is not None} | {VerifyRequest, BatchRequest}
        types: list[tuple[Any, Literal["validation"], TypeAdapter[Any]]] = [
            (kind, "validation", TypeAdapter(kind)) for kind in read
        ]
        found, definitions = TypeAdapter.json_schemas(types, ref_template=_REFERENCE.format(name="{model}"))
        self._requests = {kind: schema for (kind, _), schema in found.items()}
        components = definitions["$defs"]
        queries = {_type_of(each) for each in params if isinstance(each.input, QueryInput)}
        self._queries = {kind: components.pop(kind.__name__) for kind in queries}
        written = {kind for found in operations for kind in _classes_of(found.answers)}
        answers = schemas_of(written | _ANSWERS, reference=_REFERENCE)
        for name in ("EventResponse", "OrganizationEventResponse"):
            answers[name]["properties"]["type"] |= {"enum": [type_.value for type_ in EventType]}
        self.components: dict[str, Any] = dict(sorted({**answers, **components}.items()))

    def request(self, kind: Any) -> dict[str, Any]:
        """Describe the body of a request, with its first example."""
        examples = kind.model_config["json_schema_extra"]["examples"]
        return {"content": {"application/json": {"schema": self._requests[kind], "example": examples[0]}}}

    def parameters(self, param: Parameter) -> list[dict[str, Any]]:
        """Describe the parameters that an input reads from path, query and headers."""
        kind = _type_of(param)
        if isinstance(param.input, PathInput):
            return [{"name": param.name, "in": "path", "required": True, "schema": self._requests[kind]}]
        if isinstance(param.input, QueryInput):
            query = self._queries[kind]
            return [
                {"name": name, "in": "query", "required": name in query.get("required", ()), **_field(schema)}
                for name, schema in query["properties"].items()
            ]
        return [] if param.input.header is None else [dict(param.input.header)]


def _field(schema: dict[str, Any]) -> dict[str, Any]:
    # A query cannot contain null, so a default of null is not published.
    schema = {name: value for name, value in schema.items() if (name, value) != ("default", None)}
    description = schema.get("description")
    return {"schema": schema} if description is None else {"description": description, "schema": schema}


def _type_of(param: Parameter) -> Any:
    if isinstance(param.input, BodyInput):
        return body_model_of(param.hint)
    if isinstance(param.input, QueryInput):
        return get_args(param.hint)[0]
    return param.hint if isinstance(param.input, PathInput) else None


def _documented(found: Operation, schemas: _Schemas) -> dict[str, Any]:
    inputs = [param.input for param in found.inputs]
    parameters = [parameter for param in found.inputs for parameter in schemas.parameters(param)]
    headers = [*found.headers, *(name for each in inputs for name in each.headers)]
    good: dict[str, Any] = {"description": HTTPStatus(found.status).phrase}
    if headers:
        good["headers"] = {name: _header(name) for name in headers}
    if found.answers is not None:
        good |= _answer(found.answers)
    described: dict[str, Any] = {
        "tags": [found.tag],
        "summary": found.summary,
        "description": found.description,
        "operationId": _operation_id(found.name),
    }
    if parameters:
        described["parameters"] = parameters
    for param in found.inputs:
        if isinstance(param.input, BodyInput):
            described["requestBody"] = {"required": param.input.required, **schemas.request(_type_of(param))}
    codes = [*found.refusals, *(code for each in inputs for code in each.codes)]
    return described | {
        "responses": {str(found.status): good, **_error_responses(codes)},
        "security": [{"BearerAuth": []}],
        "x-permission": next(each.permission for each in inputs if each.permission is not None).value,
    }


def _operation_id(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def _error_responses(codes: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Describe the error answers by status, in both of their forms."""
    by_status: dict[int, list[str]] = {}
    for code, problem in PROBLEMS.items():
        if code in {*codes, *_OF_ALL}:
            by_status.setdefault(problem.status, []).append(code)
    return {str(status): _error_response(listed) for status, listed in sorted(by_status.items())}


def _verifications(schemas: _Schemas) -> dict[str, Any]:
    """Describe the operations that `checking` answers in front of all routes."""
    one = {
        "summary": "Verify API Key",
        "description": "Check a presented key. A refusal is a normal answer with `valid: false` and the reason in "
        "`code`. The bearer of a token can check its organization's keys only; a verifier checks all keys.",
        "operationId": "verifyApiKey",
        "parameters": [_FACTS_HEADER],
        **_verification(schemas.request(VerifyRequest), _answer(contract.VerifyResponse)),
    }
    several = {
        "summary": "Verify API Keys",
        "description": f"Check up to {MOST_IN_A_BATCH} presented keys. The verdicts come in the order of the keys.",
        "operationId": "verifyApiKeys",
        **_verification(schemas.request(BatchRequest), _answer(contract.BatchResponse)),
    }
    return {VERIFY: {"post": one}, BATCH: {"post": several}}


def _verification(request: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    headers = {"Keywright-Stale": _header("Keywright-Stale")}
    good = {"description": "The verdict", **answer, "headers": headers}
    return {
        "tags": ["Checking keys"],
        "requestBody": {"required": True, **request},
        "responses": {"200": good, **_error_responses(_OF_VERIFICATIONS)},
        "security": [{"BearerAuth": []}, {"VerifierAuth": []}],
        "x-permission": Permission.VERIFY.value,
    }


def _error_response(codes: Sequence[str]) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": "; ".join(f"`{code}`: {PROBLEMS[code].title}" for code in codes),
        "content": {
            "application/json": {
                "schema": _schema_of(contract.ErrorResponse),
                "examples": {code: {"value": _example_of(code)} for code in codes},
            },
            PROBLEM_TYPE: {"schema": _schema_of(contract.ProblemResponse)},
        },
    }
    headers = {name for code in codes for name in _headers_of(code)}
    if headers:
        response["headers"] = {name: _header(name) for name in sorted(headers)}
    return response


def _example_of(code: str) -> dict[str, Any]:
    flaw = {"loc": ["body", "name"], "msg": "Field required", "type": "missing"}
    detail = [flaw] if code == "validation_failed" else PROBLEMS[code].sentence
    example = {"detail": detail, "code": code, "request_id": "0c9f6f3a6a604e1f8a1c8d9b4bb0c5de"}
    return example | ({"missing_scopes": ["reports:write"]} if code == "scopes_not_grantable" else {})


def _headers_of(code: str) -> list[str]:
    if code in RETRY_SECONDS or PROBLEMS[code].status in (429, 503):
        return ["Retry-After"]
    return ["WWW-Authenticate"] if PROBLEMS[code].status == 401 or code == "insufficient_permission" else []


def _answer(kind: Any) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": _schema_of(kind), "example": _answer_example(kind)}}}


def _answer_example(kind: Any) -> Any:
    """Give an example of an answer; of a union, one of its last type."""
    if isinstance(kind, UnionType):
        return _answer_example(get_args(kind)[-1])
    if items := get_args(kind):
        return [_answer_example(items[0])]
    return EXAMPLES[kind]


def _schema_of(kind: Any) -> dict[str, Any]:
    if isinstance(kind, UnionType):
        return {"anyOf": [_schema_of(one) for one in get_args(kind)]}
    if items := get_args(kind):
        return {"type": "array", "items": _schema_of(items[0])}
    return {"$ref": _REFERENCE.format(name=kind.__name__)}


def _classes_of(kind: Any) -> set[type]:
    """Give the classes of the contract in a list or union."""
    if parts := get_args(kind):
        return {found for part in parts for found in _classes_of(part)}
    return set() if kind is None else {kind}


def _header(name: str) -> dict[str, Any]:
    return {"description": _HEADERS[name], "schema": {"type": "string"}}
