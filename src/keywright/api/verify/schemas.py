"""The request bodies of verifications. `contract.verdicts` has the answers."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from keywright.keys.rate_limits import MOST_COST

VERIFY = "/api/v2/api-keys/verify"
BATCH = f"{VERIFY}/batch"
MOST_IN_A_BATCH = 100
MOST_SCOPES = 100
LONGEST_TEXT = 255
LONGEST_METHOD = 64
LONGEST_PATH = 4096
_EXAMPLE: dict[str, Any] = {
    # Made of 32 zero bytes.
    "key": "kw_sk_live_00000000000000000000000000000000000000000000x9rwP",
    "scopes": ["invoices:read"],
    "client_ip": "192.0.2.7",
    "include": ["metadata"],
}
Scope = Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT)]


def _whole(value: object) -> object:
    # In JSON 1 and 1.0 are the same number, and some languages write every number as a float.
    return int(value) if isinstance(value, float) and value.is_integer() else value


Cost = Annotated[int, Field(ge=0, le=MOST_COST), BeforeValidator(_whole)]


class VerifyRequest(BaseModel):
    """A presented key, and the requirements of the request that presents it."""

    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True, json_schema_extra={"examples": [_EXAMPLE]})

    key: str = Field(description="The presented text: anything at all")
    # A factory, because pydantic copies a default deeply for every key of a batch.
    scopes: list[Scope] = Field(
        default_factory=list,
        max_length=MOST_SCOPES,
        description="The scopes that the request needs, all of them",
        json_schema_extra={"default": []},
    )
    environment: str | None = Field(
        default=None, max_length=LONGEST_TEXT, description="The environment that the key must have"
    )
    client_ip: str | None = Field(
        default=None,
        max_length=LONGEST_TEXT,
        description="The customer's address; a key that is bound to networks is refused without it",
    )
    method: str | None = Field(
        default=None, max_length=LONGEST_METHOD, description="The method of the customer's request"
    )
    path: str | None = Field(default=None, max_length=LONGEST_PATH, description="The path of the customer's request")
    cost: Cost = Field(default=1, description="How many units of the key's limits the request takes")
    include: list[Literal["metadata"]] = Field(
        default_factory=list,
        max_length=1,
        description="`metadata`: the answer has the key's metadata",
        json_schema_extra={"default": []},
    )
    explain: bool = Field(default=False, description="Explain a refusal: which rule, and what would pass")


class BatchRequest(BaseModel):
    """Up to 100 verifications at once."""

    model_config = ConfigDict(
        extra="forbid", strict=True, defer_build=True, json_schema_extra={"examples": [{"keys": [_EXAMPLE]}]}
    )

    keys: list[VerifyRequest] = Field(min_length=1, max_length=MOST_IN_A_BATCH)
