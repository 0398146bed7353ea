"""What a client may ask of keys, version 2: the bodies of the management routes."""

from datetime import timedelta
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from keywright.api.key_fields import (
    DateTime,
    Description,
    Environment,
    ExternalId,
    Metadata,
    Name,
    Networks,
    RateLimitBody,
    RateLimits,
    Scopes,
    whole,
)
from keywright.keys.record import RevocationReason
from keywright.service.management.commands import Changes, NewKey

LONGEST_OVERLAP_SECONDS = int(timedelta(days=30).total_seconds())
SHORTEST_QUIET_SECONDS = 60

_WISH: dict[str, Any] = {
    "name": "Billing export",
    "description": "Nightly job",
    "expires_at": "2099-12-31T00:00:00Z",
    "scopes": ["invoices:read", "reports:*"],
    "allowed_ips": ["192.0.2.0/24", "2001:db8::7"],
    "rate_limits": [{"name": "minute", "limit": 100, "window_seconds": 60}],
    "external_id": "customer-1742",
    "metadata": {"plan": "team"},
}

Overlap = Annotated[int, Field(ge=0, le=LONGEST_OVERLAP_SECONDS), BeforeValidator(whole)]
Quiet = Annotated[int, Field(ge=SHORTEST_QUIET_SECONDS, le=LONGEST_OVERLAP_SECONDS), BeforeValidator(whole)]


def _empty(published: Any) -> Any:
    """Publish a default as any other; what is a default's own it would copy deeply for every request."""
    return Field(default_factory=type(published), json_schema_extra={"default": published})


class CreateApiKeyRequestV2(BaseModel):
    """What a new key is called, and what it may do."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"name": "Billing export", "description": "Nightly job"}, _WISH]},
    )

    name: Name
    description: Annotated[Description | None, Field(description="What the key is for")] = None
    environment: Annotated[
        Environment | None, Field(description="Where the key is for; the first of the service's environments if absent")
    ] = None
    expires_at: Annotated[
        DateTime | None,
        Field(description="When the key stops working, in the future; null for never, as far as the policy allows"),
    ] = None
    scopes: Annotated[Scopes, Field(description="What the key may do, each `resource:action`, `*` for any")] = _empty(
        []
    )
    allowed_ips: Annotated[
        Networks, Field(description="Addresses and CIDR blocks that the key may be used from; none for any")
    ] = _empty([])
    rate_limits: Annotated[RateLimits, Field(description="How often the key may be used; no name twice")] = _empty([])
    external_id: Annotated[ExternalId | None, Field(description="What your own records call the key's owner")] = None
    metadata: Annotated[Metadata, Field(description="Anything else, up to 8 KiB as compact JSON in UTF-8")] = _empty({})

    def wish(self) -> NewKey:
        """The same as the use cases know it."""
        # What was not given is of the same worth there.
        return NewKey(**_given(self, self.model_fields_set))


def _absent() -> Any:
    return None


class UpdateApiKeyRequest(BaseModel):
    """What is to change: each field that is given replaces the old value, and the others stay as they are."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"scopes": ["invoices:read"], "expires_at": None}]},
    )

    name: Name = Field(default_factory=_absent)
    description: Description | None = Field(default_factory=_absent)
    environment: Environment = Field(
        default_factory=_absent, description="Part of the key's text: only the value that it has is accepted"
    )
    expires_at: DateTime | None = Field(default_factory=_absent, description="In the future, or null for never")
    scopes: Scopes = Field(default_factory=_absent)
    allowed_ips: Networks = Field(default_factory=_absent)
    rate_limits: RateLimits = Field(default_factory=_absent)
    external_id: ExternalId | None = Field(default_factory=_absent)
    metadata: Metadata = Field(default_factory=_absent)

    def changes(self) -> Changes:
        """Give the fields that were given, as the use cases know them."""
        return _given(self, self.model_fields_set)


class RotateApiKeyRequest(BaseModel):
    """How long the old secret goes on working beside the new one."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"overlap_seconds": 3600}, {"retire_when_quiet_seconds": 86_400}]},
    )

    overlap_seconds: Overlap = Field(
        default_factory=_absent,
        description="From now; 86400 unless given, and 2592000 with `retire_when_quiet_seconds`. 0 ends it at once",
    )
    retire_when_quiet_seconds: Quiet = Field(
        default_factory=_absent,
        description="End the old secret sooner: once it has not been used for so long after the new one's first use",
    )


class SetRotationRequest(BaseModel):
    """How much longer the old secret of a rotation goes on working."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [{"overlap_seconds": 0}]})

    overlap_seconds: Overlap = Field(description="From now; 0 ends it at once")


class RevokeApiKeyRequest(BaseModel):
    """Why a key is revoked."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"reason": "key_compromise"}]}
    )

    reason: RevocationReason = Field(default=RevocationReason.UNSPECIFIED, strict=False)


def _given(body: BaseModel, names: set[str]) -> dict[str, Any]:
    return {name: _plain(getattr(body, name)) for name in names}


def _plain(value: Any) -> Any:
    """Lists of a body are tuples further in, and limits are no models there."""
    if isinstance(value, list):
        return tuple(member.value if isinstance(member, RateLimitBody) else member for member in value)
    return value
