"""The shapes of requests and responses of `/verify` and `/verify/batch`, and their paths."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from keywright.keys.rate_limits import MOST_COST
from keywright.keys.verdict import Code

VERIFY = "/api/v2/api-keys/verify"
BATCH = f"{VERIFY}/batch"
MOST_IN_A_BATCH = 100
Scope = Annotated[str, Field(min_length=1, max_length=255)]


def _whole(value: object) -> object:
    # In JSON 1 and 1.0 are one number, and some languages write every number like the latter.
    return int(value) if isinstance(value, float) and value.is_integer() else value


Cost = Annotated[int, Field(ge=0, le=MOST_COST), BeforeValidator(_whole)]


class VerifyRequest(BaseModel):
    """A presented key, and what the request that presents it asks of it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    key: str = Field(description="What was presented: anything at all")
    # Made anew, where a default would be copied deeply for every key of a batch.
    scopes: list[Scope] = Field(
        default_factory=list,
        max_length=100,
        description="What the request needs, all of it",
        json_schema_extra={"default": []},
    )
    environment: str | None = Field(default=None, max_length=255, description="The environment it must belong to")
    client_ip: str | None = Field(
        default=None,
        max_length=255,
        description="The customer's address; a key that is bound to networks passes only where it is told",
    )
    method: str | None = Field(default=None, max_length=64, description="The method of the customer's request")
    path: str | None = Field(default=None, max_length=4096, description="The path of the customer's request")
    cost: Cost = Field(default=1, description="How many units of the key's limits the request takes")
    explain: bool = Field(default=False, description="Say which rule refused, and what would pass")


class BatchRequest(BaseModel):
    """Up to 100 verifications at once."""

    model_config = ConfigDict(extra="forbid", strict=True)

    keys: list[VerifyRequest] = Field(min_length=1, max_length=MOST_IN_A_BATCH)


class VerifiedKey(BaseModel):
    """The key whose secret was presented."""

    id: UUID
    org_id: UUID
    name: str
    environment: str
    scopes: list[str]
    expires_at: datetime | None


class LimitStateResponse(BaseModel):
    """A limit of the key, and how it stands after this request."""

    name: str
    limit: int = Field(description="Units at once, and over time in a window")
    window_seconds: int
    remaining: int = Field(description="Units that could be spent right now")
    reset_seconds: int = Field(description="Seconds until the limit is whole again, rounded up")


class FactsResponse(BaseModel):
    """What an in-process verifier judges a key by."""

    revoked: bool
    expires_at: float | None = Field(description="Seconds since the epoch")
    retires_at: float | None = Field(description="Likewise for the secret that was presented")
    allowed_ips: list[str]
    rate_limits: list[tuple[str, int, int]] = Field(description="Each as name, limit and seconds of the window")


class ExplanationResponse(BaseModel):
    """Which rule refused, and what would pass."""

    rule: str
    would_pass: str


class VerifyResponse(BaseModel):
    """A verdict. A refusal is an answer, not an error; without the right secret it is always `not_found`."""

    valid: bool
    code: Code
    api_key: VerifiedKey | None
    rate_limits: list[LimitStateResponse] | None = Field(
        default=None,
        description="Present where limits of the key were counted: where it has any and no other rule refused",
    )
    retry_after_seconds: int | None = Field(
        default=None,
        description="Present with `rate_limited`: when to try again; null where the cost is beyond a limit for ever",
    )
    stale: Literal[True] | None = Field(default=None, description="Present while the database cannot be asked")
    explanation: ExplanationResponse | None = None
    facts: FactsResponse | None = Field(default=None, description="Present where `Keywright-Facts: 1` asked for them")


class BatchResponse(BaseModel):
    """A verdict for each key, in order."""

    results: list[VerifyResponse]
