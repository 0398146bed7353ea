"""The OpenAPI document, and the live service compared with it."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest

from keywright.api.http.problems import PROBLEMS
from keywright.app import create_app
from keywright.config import Settings
from keywright.service.principal import Permission
from tests.api.caller import KEYS, Caller
from tests.api.verifier import BATCH, VERIFY
from tests.conftest import on_any_store

# Its own lists of the statuses that mean a refusal leave out 413, which may come before or instead of another one.
SCHEMATHESIS = f"""
hooks = "{Path(__file__).with_name("schemathesis_hooks.py")}"
[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "409", "412", "413", "415", "422", "5xx"]
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "403", "404", "409", "412", "413"]
# Of the environments, each key accepts the one that it has.
[[operations]]
include-name = "PATCH {KEYS}/{{key_id}}"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "403", "404", "409", "412", "413", "422"]
[auth.openapi.BearerAuth]
bearer = """


@pytest.fixture
def document(caller: Caller) -> dict[str, Any]:
    found: dict[str, Any] = caller.http.get("/openapi.json").json()
    return found


@on_any_store
def test_the_names_that_are_fixed(document: dict[str, Any]) -> None:
    """The operation, its request model and the security scheme are called what the contract calls them."""
    create = document["paths"][KEYS]["post"]
    assert create["summary"] == "Create API Key"
    assert create["security"] == [{"BearerAuth": []}]
    assert document["components"]["securitySchemes"]["BearerAuth"] == {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A JWT access token from Auth0, for this API's audience.",
    }
    body = create["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/CreateApiKeyRequestV2"}


@on_any_store
def test_the_request_model(document: dict[str, Any]) -> None:
    """The request model has the contract's fields with the contract's rules, and no others."""
    model = document["components"]["schemas"]["CreateApiKeyRequestV2"]
    assert model["required"] == ["name"]
    assert model["additionalProperties"] is False
    optional = {"description", "environment", "expires_at", "external_id", "scopes", "allowed_ips", "rate_limits"}
    assert model["properties"].keys() == {"name", "metadata"} | optional
    name = model["properties"]["name"]
    assert (name["type"], name["minLength"], name["maxLength"]) == ("string", 1, 100)
    assert name["description"] == "A user-friendly name for the API key"
    assert model["properties"]["environment"]["anyOf"][0]["enum"] == ["live", "sandbox"]
    assert model["properties"]["scopes"]["maxItems"] == 100
    text, null = model["properties"]["description"]["anyOf"]
    assert (text["type"], text["maxLength"], null["type"]) == ("string", 255, "null")


@on_any_store
def test_the_ids_of_operations(document: dict[str, Any]) -> None:
    """The id of an operation is short, in the style of a method's name, and no two are the same."""
    ids = [operation["operationId"] for _, operation in operations(document)]
    assert {"createApiKey", "listApiKeys", "getApiKey", "updateApiKey", "verifyApiKey", "verifyApiKeys"} <= set(ids)
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch("[a-z]+([A-Z][a-z]+)+", each) for each in ids)


@on_any_store
def test_every_body_has_an_example(document: dict[str, Any]) -> None:
    """Every request body and every good answer with a body has an example, which its schema describes."""
    components = {"components": document["components"]}
    for name, operation in operations(document):
        bodies = [operation["requestBody"]] if "requestBody" in operation else []
        bodies += [answer for status, answer in operation["responses"].items() if status in ("200", "201")]
        for body in bodies:
            described = body["content"]["application/json"]
            jsonschema_rs.validate({**described["schema"], **components}, described["example"])
        assert bodies or name.startswith("delete"), name


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Give every operation, by method and path."""
    return [
        (f"{method} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


@pytest.mark.parametrize(
    ("address", "servers"), [(None, None), ("https://keys.acme.example/", [{"url": "https://keys.acme.example"}])]
)
async def test_the_servers(address: str | None, servers: object) -> None:
    """The document names the public address of the service where a setting has it, and else none."""
    app = create_app(Settings(auth0_domain="acme.eu.auth0.com", audience="a", public_url=address))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://keywright") as http:
        assert (await http.get("/openapi.json")).json().get("servers") == servers


@on_any_store
def test_a_change_has_the_same_rules(document: dict[str, Any]) -> None:
    """The fields of an update are those of a creation and `enabled`, with the same rules, and none is required."""
    schemas = document["components"]["schemas"]
    new, change = schemas["CreateApiKeyRequestV2"], schemas["UpdateApiKeyRequest"]
    assert change["properties"].keys() == {*new["properties"], "enabled"}
    assert "required" not in change
    assert change["additionalProperties"] is False
    for name in new["properties"].keys() - {"environment"}:
        assert rules(new["properties"][name]) == rules(change["properties"][name])
        assert "default" not in change["properties"][name]


def rules(field: dict[str, Any]) -> dict[str, Any]:
    """The constraints of a field's schema, without its descriptions."""
    return {name: rule for name, rule in field.items() if name not in ("title", "description", "default")}


@on_any_store
@pytest.mark.parametrize(
    ("method", "path", "name", "parameters", "headers"),
    [
        ("post", KEYS, "Create API Key", {"Idempotency-Key"}, {"ETag", "Location", "Idempotency-Replayed"}),
        ("get", f"{KEYS}/{{key_id}}", "Get API Key", set(), {"ETag"}),
        ("patch", f"{KEYS}/{{key_id}}", "Update API Key", {"If-Match"}, {"ETag"}),
        (
            *("post", f"{KEYS}/{{key_id}}/rotate", "Rotate API Key"),
            *({"Idempotency-Key", "If-Match"}, {"ETag", "Idempotency-Replayed"}),
        ),
        ("put", f"{KEYS}/{{key_id}}/rotation", "Set Rotation", set(), {"ETag"}),
        ("put", f"{KEYS}/{{key_id}}/revoke", "Revoke API Key", set(), {"ETag"}),
        ("get", KEYS, "List API Keys", set(), {"Link"}),
        ("get", "/api/v2/api-key-events", "List API Key Events", set(), {"Link"}),
        ("get", f"{KEYS}/{{key_id}}/events", "List Events of API Key", set(), {"Link"}),
    ],
)
def test_headers(
    document: dict[str, Any], method: str, path: str, name: str, parameters: set[str], headers: set[str]
) -> None:
    """Every header that an operation reads or answers is in the document."""
    operation = document["paths"][path][method]
    assert operation["summary"] == name
    found = {parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "header"}
    assert found == parameters
    (good,) = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
    assert good.get("headers", {}).keys() == headers
    assert good["description"]
    assert "Retry-After" in operation["responses"]["503"]["headers"]


@on_any_store
def test_requests_to_repeat_later(document: dict[str, Any]) -> None:
    """Every 429 and 503 names Retry-After, and every operation, verifications included, names too long a queue."""
    for name, operation in operations(document):
        later = [answer for status, answer in operation["responses"].items() if status in ("429", "503")]
        assert all("Retry-After" in answer["headers"] for answer in later), name
        assert "overloaded" in operation["responses"]["503"]["content"]["application/json"]["examples"], name


@on_any_store
def test_every_error_has_an_example(document: dict[str, Any]) -> None:
    """Every error answer names its codes, each with an example that its model describes."""
    for operations in document["paths"].values():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                if int(status) < 400:
                    continue
                examples = answer["content"]["application/json"]["examples"]
                assert examples
                for code, example in examples.items():
                    assert f"`{code}`" in answer["description"]
                    assert PROBLEMS[code].status == int(status)
                    more = {"missing_scopes"} if code == "scopes_not_grantable" else set()
                    assert example["value"].keys() == {"detail", "code", "request_id"} | more


@on_any_store
def test_the_answer_models(document: dict[str, Any]) -> None:
    """Every field is always present, and the private key is in the creation's answer alone."""
    schemas = document["components"]["schemas"]
    key, created = schemas["ApiKeyResponse"], schemas["CreatedApiKeyResponse"]
    assert set(key["required"]) == key["properties"].keys()
    assert set(created["required"]) == key["properties"].keys() | {"private_key"}
    assert key["properties"]["org_id"]["format"] == "uuid"
    assert key["properties"]["created_at"]["format"] == "date-time"


@on_any_store
@pytest.mark.parametrize(
    ("path", "asked", "told"),
    [(VERIFY, "VerifyRequest", "VerifyResponse"), (BATCH, "BatchRequest", "BatchResponse")],
)
def test_verifications(document: dict[str, Any], path: str, asked: str, told: str) -> None:
    """The operations in front of the routes are documented like them: credentials, request, answers."""
    (operation,) = document["paths"][path].values()
    assert operation["security"] == [{"BearerAuth": []}, {"VerifierAuth": []}]
    assert document["components"]["securitySchemes"]["VerifierAuth"]["scheme"] == "bearer"
    for place, name in ((operation["requestBody"], asked), (operation["responses"]["200"], told)):
        assert place["content"]["application/json"]["schema"] == {"$ref": f"#/components/schemas/{name}"}
        assert name in document["components"]["schemas"]


@on_any_store
def test_the_models_of_a_verification(document: dict[str, Any]) -> None:
    """A verification requires a key and allows no unknown field, and every verdict has its three members."""
    schemas = document["components"]["schemas"]
    assert schemas["VerifyRequest"]["required"] == ["key"]
    assert schemas["VerifyRequest"]["additionalProperties"] is False
    assert set(schemas["VerifyResponse"]["required"]) == {"valid", "code", "api_key"}
    assert set(schemas["Code"]["enum"]) >= {"valid", "not_found", "revoked", "expired", "rate_limited"}
    assert schemas["BatchRequest"]["properties"]["keys"]["maxItems"] == 100


@on_any_store
def test_errors_follow_from_what_is_read(document: dict[str, Any]) -> None:
    """An operation documents the errors of what it reads of a request, and none of what it does not read."""
    for path, operations in document["paths"].items():
        for operation in operations.values():
            codes = codes_of(operation)
            read = {parameter["name"] for parameter in operation.get("parameters", [])}
            assert {
                "missing_token",
                "invalid_token",
                "insufficient_permission",
                "auth_unavailable",
                "internal",
            } <= codes
            # These two name a key or an organization in their bodies.
            names_one = "{" in path or path.endswith(("/find", "/bulk-revocations"))
            assert ("not_found" in codes) is (names_one and operation["operationId"] != "listBulkRevocations")
            assert ("precondition_failed" in codes) is ("If-Match" in read)
            assert ({"idempotency_key_in_use", "idempotency_key_reused"} <= codes) is ("Idempotency-Key" in read)
            of_bodies = {"invalid_json", "payload_too_large", "unsupported_media_type"}
            assert codes & of_bodies == (of_bodies if "requestBody" in operation else set())
            if read - {"If-Match", "Idempotency-Key", "Keywright-Facts"} or "requestBody" in operation:
                assert "validation_failed" in codes


def codes_of(operation: dict[str, Any]) -> set[str]:
    """The codes of all errors that an operation documents."""
    errors = [answer for status, answer in operation["responses"].items() if int(status) >= 400]
    return {code for answer in errors for code in answer["content"]["application/json"]["examples"]}


@pytest.mark.early
@pytest.mark.timeout(900)
# Once, and on PostgreSQL, because it is stricter than SQLite in what texts and numbers it stores.
@pytest.mark.parametrize("service", ["postgresql"], indirect=True)
def test_schemathesis_finds_nothing(caller: Caller, tmp_path: Path) -> None:
    """Thousands of generated requests, good and bad, find no answer that the document does not describe."""
    token = caller.issuer.token(caller.organization, permissions=list(Permission))
    config = tmp_path / "schemathesis.toml"
    config.write_text(f'{SCHEMATHESIS}"{token}"')
    command = [
        str(Path(sys.executable).parent / "schemathesis"),
        f"--config-file={config}",
        "run",
        f"{caller.service.base_url}/openapi.json",
        "--checks=all",
        # A deleted key leaves its receipt, by design; that all else of it is gone, test_matrix.py holds.
        "--exclude-checks=use_after_free",
        "--max-examples=60",
        "--seed=20261123",
        "--workers=1",
        "--generation-database=none",
        "--suppress-health-check=all",
        "--no-color",
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=tmp_path, env={**os.environ, "NO_PROXY": "*"}
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
