"""The schemas of the contract, as the OpenAPI document has them."""

from dataclasses import dataclass

import pytest

from keywright import contract
from keywright.contract import ApiKeyResponse, CreatedApiKeyResponse, EventResponse, ProblemResponse, VerifyResponse
from keywright.contract.examples import EXAMPLES
from keywright.contract.schema import schemas

SCHEMAS = schemas(
    [CreatedApiKeyResponse, ApiKeyResponse, EventResponse, VerifyResponse, ProblemResponse], reference="#/{name}"
)


@dataclass
class Odd:
    """A class."""

    first: int
    first_is_read = True
    """Not of a member."""
    second: int = 0


def test_parts_are_described() -> None:
    """Whatever an answer is made of has a schema of its own, named after its class."""
    assert {"SecretResponse", "RateLimitResponse", "ActorResponse", "VerifiedKey", "Status", "Code"} <= SCHEMAS.keys()
    assert SCHEMAS["ApiKeyResponse"]["properties"]["secrets"]["items"] == {"$ref": "#/SecretResponse"}


def test_sentences() -> None:
    """The sentence below a member is its description, inherited members and those of parts included."""
    for name in ("ApiKeyResponse", "CreatedApiKeyResponse"):
        members = SCHEMAS[name]["properties"]
        assert members["org_id"]["description"] == "The organization the key belongs to"
        assert "description" not in members["name"]
    assert SCHEMAS["SecretResponse"]["properties"]["retires_at"]["description"].startswith("When it stops working")
    assert SCHEMAS["LimitStateResponse"]["properties"]["remaining"]["description"].startswith("Units")
    assert SCHEMAS["FieldError"]["properties"]["type"]["description"] == "A stable word for the flaw"


def test_headers_are_no_members() -> None:
    """A member that travels in a header is not described as part of the body."""
    assert SCHEMAS["CreatedApiKeyResponse"]["properties"].keys() == EXAMPLES[CreatedApiKeyResponse].keys()
    assert SCHEMAS["CreatedApiKeyResponse"]["properties"]["private_key"]["type"] == "string"


def test_required() -> None:
    """A member without a default is required, one with a default is not."""
    assert set(SCHEMAS["ApiKeyResponse"]["required"]) == EXAMPLES[ApiKeyResponse].keys()
    assert set(SCHEMAS["VerifyResponse"]["required"]) == {"valid", "code", "api_key"}
    assert "errors" not in SCHEMAS["ProblemResponse"]["required"]


def test_examples() -> None:
    """An example stands beside the schema that it is of."""
    assert SCHEMAS["EventResponse"]["examples"] == [EXAMPLES[EventResponse]]


@pytest.mark.parametrize("name", [name for name in contract.__all__ if name[0].isupper() and name != "ContractError"])
def test_every_class_can_be_described(name: str) -> None:
    """Every class of the contract has a schema with a sentence of its own."""
    found = schemas([getattr(contract, name)], reference="#/{name}")[name]
    assert found["description"] == getattr(contract, name).__doc__
    assert found["type"] == "object"


def test_other_strings_are_no_sentences() -> None:
    """Only a string directly below a member describes it."""
    members = schemas([Odd], reference="#/{name}")["Odd"]["properties"]
    assert all("description" not in member for member in members.values())
