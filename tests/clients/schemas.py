"""The requests and answers of the OpenAPI document, as the tests of clients compare their types with it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from keywright.contract import (
    ApiKeyResponse,
    CreatedApiKeyResponse,
    EventResponse,
    FieldError,
    OptionsResponse,
    RevocationResponse,
    UsageResponse,
    VerifyResponse,
)
from keywright.contract.schema import schemas

# Every class that they use comes with them.
_ANSWERS = (
    ApiKeyResponse,
    CreatedApiKeyResponse,
    EventResponse,
    FieldError,
    OptionsResponse,
    RevocationResponse,
    UsageResponse,
    VerifyResponse,
)
# Only in-process verifiers ask for the facts of a key.
_LEFT_OUT = {"FactsResponse", "facts"}

_KEYS = "/api/v2/api-keys"
_REQUESTS = {
    "create": ("post", _KEYS),
    "list": ("get", _KEYS),
    "update": ("patch", f"{_KEYS}/{{key_id}}"),
    "rotate": ("post", f"{_KEYS}/{{key_id}}/rotate"),
    "usage": ("get", f"{_KEYS}/{{key_id}}/usage"),
    "events": ("get", "/api/v2/api-key-events"),
    "verify": ("post", f"{_KEYS}/verify"),
}
# Usage beside each key of a list is for pages that show it; method and path of the customer's request decide nothing.
_NOT_SENT = {"list": {"include"}, "verify": {"method", "path"}}


def requests(document: Mapping[str, Any]) -> dict[str, set[str]]:
    """Give the names that each request of a client may have in its body or query."""
    return {
        name: _names(document["paths"][path][method], document) - _NOT_SENT.get(name, set())
        for name, (method, path) in _REQUESTS.items()
    }


def _names(operation: Mapping[str, Any], document: Mapping[str, Any]) -> set[str]:
    if operation.get("requestBody") is None:
        return {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "query"}
    reference: str = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    return set(document["components"]["schemas"][reference.rpartition("/")[2]]["properties"])


@dataclass(frozen=True, slots=True)
class Type:
    """The type of a member: a JSON type, `date-time`, `any` or the name of a schema; a list, or null beside it."""

    name: str
    is_list: bool = False
    is_nullable: bool = False
    is_required: bool = True
    values: tuple[str, ...] = ()


@cache
def answers() -> Mapping[str, Mapping[str, Type]]:
    """Give the members of every answer that a client reads, by the name of its schema."""
    found = schemas(_ANSWERS, reference="#/{name}")
    return {
        name: dict(_members(schema, found))
        for name, schema in found.items()
        if "properties" in schema and name not in _LEFT_OUT
    }


def _members(schema: Mapping[str, Any], all_schemas: Mapping[str, Any]) -> Iterator[tuple[str, Type]]:
    for name, member in schema["properties"].items():
        if name not in _LEFT_OUT:
            yield name, _type(member, all_schemas, is_required=name in schema["required"])


def _type(member: Mapping[str, Any], all_schemas: Mapping[str, Any], *, is_required: bool) -> Type:
    choices = member.get("anyOf", [member])
    (plain,) = [choice for choice in choices if choice.get("type") != "null"]
    is_list = plain.get("type") == "array" and "items" in plain
    name, values = _name(plain["items"] if is_list else plain, all_schemas)
    return Type(name, is_list, len(choices) > 1, is_required, values)


def _name(schema: Mapping[str, Any], all_schemas: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/")
        return name, tuple(all_schemas[name].get("enum", ()))
    if schema.get("format") == "date-time":
        return "date-time", ()
    if schema.get("additionalProperties", {}).get("type") == "integer":
        return "counts", ()
    return schema.get("type", "any"), tuple(schema.get("enum", ()))
