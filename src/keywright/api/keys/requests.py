"""
The bodies of requests on keys, version 2, and their fields. The type of a field checks its rules and publishes them.

A flaw is reported in one sentence that does not quote the value. A rule that a schema cannot express stands in the
description.
"""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, WithJsonSchema
from pydantic_core import PydanticCustomError

from keywright.keys import scopes
from keywright.keys.addresses import MOST_NETWORKS, canonical_network
from keywright.keys.format import ENVIRONMENT
from keywright.keys.rate_limits import LIMIT_MAX, MOST_RATE_LIMITS, NAME_PATTERN, WINDOW_SECONDS_MAX, RateLimit
from keywright.keys.record import (
    DESCRIPTION_MAX,
    EXTERNAL_ID_MAX,
    NAME_MAX,
    RevocationReason,
)
from keywright.keys.shown_text import DESCRIPTION_PATTERN, PATTERN_NOTE, flaw_in_description, flaw_in_name
from keywright.keys.shown_text import NAME_PATTERN as KEY_NAME_PATTERN
from keywright.service.management.commands import Changes, NewKey
from keywright.strict_json import has_lone_surrogate

MOST_SEARCHED = 100
# The longest subject of an access token, which an event stores.
SUBJECT_MAX = 255
MOST_METADATA_BYTES = 8 * 1024
# An address with a zone or a length has at most 49 characters; a longer text is refused unread.
_NETWORK_MAX = 64
_DATE_TIME_MAX = 64
# RFC 3339, section 5.6. Python has no leap seconds, so one is refused.
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def date_time(value: object) -> datetime:
    """
    Read a date and time of RFC 3339 with an offset into UTC; parts below a microsecond are cut off.

    Raises:
        PydanticCustomError: The value is anything else.
    """
    if isinstance(value, str) and len(value) <= _DATE_TIME_MAX and _DATE_TIME.fullmatch(value):
        try:
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise PydanticCustomError(
        "date_time_malformed", "This must be a date and time of RFC 3339 with an offset, such as 2027-01-31T12:00:00Z."
    )


def whole(value: object) -> object:
    """Accept 1.0 as 1: in JSON they are one number, and some languages write all numbers with a fraction."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _checked_name(name: str) -> str:
    return _raise_flaw(name, flaw_in_name(name))


def _checked_text(text: str) -> str:
    return _raise_flaw(text, flaw_in_description(text))


def _raise_flaw(text: str, flaw: str | None) -> str:
    if flaw is not None:
        raise PydanticCustomError("characters_not_allowed", "{flaw}", {"flaw": flaw})
    return text


def _checked_scope(scope: str) -> str:
    if not scopes.is_scope(scope):
        raise PydanticCustomError(
            "scope_malformed",
            "A scope is resource:action, each a word of up to 63 letters, digits, dots, underscores and hyphens, or *.",
        )
    return scope


def _canonical(network: str) -> str:
    found = canonical_network(network)
    if found is None:
        raise PydanticCustomError(
            "network_malformed",
            "This must be an IPv4 or IPv6 address, or a CIDR block without bits beyond its length.",
        )
    return found


def _distinct(values: list[str]) -> list[str]:
    if len(set(values)) != len(values):
        raise PydanticCustomError("given_twice", "Each may be given once.")
    return values


class RateLimitBody(BaseModel):
    """At most `limit` units at once and, over time, in `window_seconds`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Annotated[str, Field(pattern=NAME_PATTERN, description="Unique among the limits of one key")]
    limit: Annotated[int, Field(ge=1, le=LIMIT_MAX), BeforeValidator(whole)]
    window_seconds: Annotated[int, Field(ge=1, le=WINDOW_SECONDS_MAX), BeforeValidator(whole)]

    @property
    def value(self) -> RateLimit:
        """The same limit as a value of the domain."""
        return RateLimit(self.name, self.limit, self.window_seconds)


def _distinct_limits(limits: list[RateLimitBody]) -> list[RateLimitBody]:
    _distinct([limit.name for limit in limits])
    return limits


def _checked_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    written = json.dumps(metadata, ensure_ascii=False, separators=(",", ":"))
    if has_lone_surrogate(written):
        raise PydanticCustomError("characters_not_allowed", "Lone surrogates are not allowed.")
    if len(written.encode()) > MOST_METADATA_BYTES:
        raise PydanticCustomError("metadata_too_large", "Metadata may have 8 KiB, written as compact JSON in UTF-8.")
    return metadata


_TEXT_SCHEMA: dict[str, JsonValue] = {"pattern": DESCRIPTION_PATTERN, "$comment": PATTERN_NOTE}

DateTime = Annotated[datetime, BeforeValidator(date_time), WithJsonSchema({"type": "string", "format": "date-time"})]
Name = Annotated[
    str,
    Field(
        min_length=1,
        max_length=NAME_MAX,
        description="A user-friendly name for the API key",
        json_schema_extra={"pattern": KEY_NAME_PATTERN, "$comment": PATTERN_NOTE},
    ),
    AfterValidator(_checked_name),
]
Description = Annotated[
    str,
    Field(max_length=DESCRIPTION_MAX, description=PATTERN_NOTE, json_schema_extra=_TEXT_SCHEMA),
    AfterValidator(_checked_text),
]
ExternalId = Annotated[
    str,
    Field(min_length=1, max_length=EXTERNAL_ID_MAX, json_schema_extra=_TEXT_SCHEMA),
    AfterValidator(_checked_text),
]
SearchedText = Annotated[
    str,
    Field(min_length=1, max_length=MOST_SEARCHED, json_schema_extra=_TEXT_SCHEMA),
    AfterValidator(_checked_text),
]
Subject = Annotated[
    str,
    Field(min_length=1, max_length=SUBJECT_MAX, json_schema_extra=_TEXT_SCHEMA),
    AfterValidator(_checked_text),
]
Environment = Annotated[str, Field(pattern=f"^{ENVIRONMENT.pattern}$")]
Scope = Annotated[str, Field(json_schema_extra={"pattern": scopes.PATTERN}), AfterValidator(_checked_scope)]
Scopes = Annotated[
    list[Scope],
    Field(max_length=scopes.MOST_SCOPES, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_distinct),
]
Network = Annotated[
    str, Field(max_length=_NETWORK_MAX, json_schema_extra={"format": "ip-network"}), AfterValidator(_canonical)
]
Networks = Annotated[
    list[Network],
    Field(max_length=MOST_NETWORKS, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_distinct),
]
RateLimits = Annotated[
    list[RateLimitBody],
    Field(max_length=MOST_RATE_LIMITS, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_distinct_limits),
]
Metadata = Annotated[dict[str, Any], AfterValidator(_checked_metadata)]

LONGEST_OVERLAP_SECONDS = int(timedelta(days=30).total_seconds())
SHORTEST_IDLE_SECONDS = 60

_EXAMPLE: dict[str, Any] = {
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
Idle = Annotated[int, Field(ge=SHORTEST_IDLE_SECONDS, le=LONGEST_OVERLAP_SECONDS), BeforeValidator(whole)]


def _empty(published: Any) -> Any:
    """Declare an empty default and publish it; pydantic would deep-copy a plain default for every request."""
    return Field(default_factory=type(published), json_schema_extra={"default": published})


class CreateApiKeyRequestV2(BaseModel):
    """The fields of a new key."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"name": "Billing export", "description": "Nightly job"}, _EXAMPLE]},
    )

    name: Name
    description: Annotated[Description | None, Field(description="What the key is for")] = None
    environment: Annotated[
        Environment | None, Field(description="The environment; the first of the service's environments if absent")
    ] = None
    expires_at: Annotated[
        DateTime | None,
        Field(description="When the key stops working, in the future; null for never, if the policy allows it"),
    ] = None
    scopes: Annotated[Scopes, Field(description="What the key may do, each `resource:action`, `*` for any")] = _empty(
        []
    )
    allowed_ips: Annotated[
        Networks, Field(description="Addresses and CIDR blocks that the key may be used from; none for any")
    ] = _empty([])
    rate_limits: Annotated[RateLimits, Field(description="How often the key may be used; no name twice")] = _empty([])
    external_id: Annotated[ExternalId | None, Field(description="The id of the key's owner in your own records")] = None
    metadata: Annotated[Metadata, Field(description="Anything else, up to 8 KiB as compact JSON in UTF-8")] = _empty({})

    def command(self) -> NewKey:
        """Give the command of the use case."""
        # NewKey has the same defaults.
        return NewKey(**_given(self))


def _absent() -> Any:
    return None


class UpdateApiKeyRequest(BaseModel):
    """The fields to change: each given field replaces the old value, and all others stay as they are."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"scopes": ["invoices:read"], "expires_at": None}]},
    )

    name: Name = Field(default_factory=_absent)
    description: Description | None = Field(default_factory=_absent)
    environment: Environment = Field(
        default_factory=_absent, description="Part of the key's text: only the present value is accepted"
    )
    expires_at: DateTime | None = Field(default_factory=_absent, description="In the future, or null for never")
    enabled: bool = Field(default_factory=_absent, description="`false` disables the key until `true` enables it again")
    scopes: Scopes = Field(default_factory=_absent)
    allowed_ips: Networks = Field(default_factory=_absent)
    rate_limits: RateLimits = Field(default_factory=_absent)
    external_id: ExternalId | None = Field(default_factory=_absent)
    metadata: Metadata = Field(default_factory=_absent)

    def changes(self) -> Changes:
        """Give the command of the use case: the given fields alone."""
        return _given(self)


class RotateApiKeyRequest(BaseModel):
    """How long the old secret still works beside the new one."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"overlap_seconds": 3600}, {"retire_when_idle_seconds": 86_400}]},
    )

    overlap_seconds: Overlap = Field(
        default_factory=_absent,
        description="Seconds from now. Default: 86400, and 2592000 with `retire_when_idle_seconds`. 0 ends it at once",
    )
    retire_when_idle_seconds: Idle = Field(
        default_factory=_absent,
        description="End the old secret sooner: once it was not used for this long after the new one's first use",
    )


class SetRotationRequest(BaseModel):
    """How much longer the old secret of a rotation still works."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [{"overlap_seconds": 0}]})

    overlap_seconds: Overlap = Field(description="Seconds from now; 0 ends it at once")


class RevokeApiKeyRequest(BaseModel):
    """The reason of a revocation."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"reason": "key_compromise"}]}
    )

    reason: RevocationReason = Field(default=RevocationReason.UNSPECIFIED, strict=False)


def _given(body: BaseModel) -> dict[str, Any]:
    values = body.__dict__
    return {name: _plain(values[name]) for name in body.model_fields_set}


def _plain(value: Any) -> Any:
    """Give a value of a body as the domain has it: lists become tuples, and limits plain values."""
    if isinstance(value, list):
        return tuple(member.value if isinstance(member, RateLimitBody) else member for member in value)
    return value
