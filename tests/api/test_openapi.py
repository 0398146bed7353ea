"""The OpenAPI document, and the live service held against it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.api.caller import KEYS, Caller


@pytest.fixture
def document(caller: Caller) -> dict[str, Any]:
    found: dict[str, Any] = caller.http.get("/openapi.json").json()
    return found


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


def test_the_request_model(document: dict[str, Any]) -> None:
    """The request model has the contract's fields with the contract's rules, and no others."""
    model = document["components"]["schemas"]["CreateApiKeyRequestV2"]
    assert model["required"] == ["name"]
    assert model["additionalProperties"] is False
    assert model["properties"].keys() == {"name", "description"}
    name = model["properties"]["name"]
    assert (name["type"], name["minLength"], name["maxLength"]) == ("string", 1, 100)
    assert name["description"] == "A user-friendly name for the API key"
    text, null = model["properties"]["description"]["anyOf"]
    assert (text["type"], text["maxLength"], null["type"]) == ("string", 255, "null")


def test_the_answer_models(document: dict[str, Any]) -> None:
    """Every field is always present, and the private key is in the creation's answer alone."""
    schemas = document["components"]["schemas"]
    key, created = schemas["ApiKeyResponse"], schemas["CreatedApiKeyResponse"]
    assert set(key["required"]) == key["properties"].keys()
    assert set(created["required"]) == key["properties"].keys() | {"private_key"}
    assert key["properties"]["org_id"]["format"] == "uuid"
    assert key["properties"]["created_at"]["format"] == "date-time"


def test_no_default_of_the_framework_is_left(document: dict[str, Any]) -> None:
    """The framework's own error model, which echoes what was sent, is nowhere."""
    assert "HTTPValidationError" not in str(document)
    for operations in document["paths"].values():
        for operation in operations.values():
            assert {"401", "403", "500", "503"} <= operation["responses"].keys()


def test_schemathesis_finds_nothing(caller: Caller, tmp_path: Path) -> None:
    """Thousands of generated requests, good and bad, find no answer that the document does not describe."""
    command = [
        str(Path(sys.executable).parent / "schemathesis"),
        "run",
        f"{caller.service.base_url}/openapi.json",
        "--checks=all",
        f"--header=Authorization: {caller.http.headers['Authorization']}",
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
