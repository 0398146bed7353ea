"""
The fields of an API key as a client may send them: each a type that holds its rules and publishes them.

A flaw is told in one sentence that does not quote the value. What a schema cannot say, its description does.
"""

import json
import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from keywright.keys import scopes
from keywright.keys.addresses import MOST_NETWORKS, canonical_network
from keywright.keys.format import ENVIRONMENT
from keywright.keys.rate_limits import LIMIT_MAX, MOST_RATE_LIMITS, NAME_PATTERN, WINDOW_SECONDS_MAX, RateLimit
from keywright.keys.record import (
    DESCRIPTION_MAX,
    DESCRIPTION_PATTERN,
    EXTERNAL_ID_MAX,
    NAME_MAX,
    flaw_in_description,
    flaw_in_name,
)
from keywright.keys.record import NAME_PATTERN as KEY_NAME_PATTERN
from keywright.strict_json import has_lone_surrogate

MOST_SEARCHED = 100
# Of an access token; nobody's is longer.
SUBJECT_MAX = 255
MOST_METADATA_BYTES = 8 * 1024
# An address with a zone or a length is 49 characters at most; anything longer is not worth reading.
_NETWORK_MAX = 64
_DATE_TIME_MAX = 64
# RFC 3339, section 5.6; a leap second is none of Python's and is refused.
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def date_time(value: object) -> datetime:
    """
    Read a moment as RFC 3339 writes it, offset included, into UTC; finer parts than microseconds are cut off.

    Raises:
        PydanticCustomError: It is anything else.
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
    """Let 1.0 be 1: in JSON they are one number, and some languages write every number like the latter."""
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

    name: Annotated[str, Field(pattern=NAME_PATTERN, description="Tells the limits of one key apart")]
    limit: Annotated[int, Field(ge=1, le=LIMIT_MAX), BeforeValidator(whole)]
    window_seconds: Annotated[int, Field(ge=1, le=WINDOW_SECONDS_MAX), BeforeValidator(whole)]

    @property
    def value(self) -> RateLimit:
        """The same as the rooms below know it."""
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


DateTime = Annotated[datetime, BeforeValidator(date_time), WithJsonSchema({"type": "string", "format": "date-time"})]
Name = Annotated[
    str,
    Field(
        min_length=1,
        max_length=NAME_MAX,
        description="A user-friendly name for the API key",
        json_schema_extra={"pattern": KEY_NAME_PATTERN},
    ),
    AfterValidator(_checked_name),
]
Description = Annotated[
    str,
    Field(max_length=DESCRIPTION_MAX, json_schema_extra={"pattern": DESCRIPTION_PATTERN}),
    AfterValidator(_checked_text),
]
ExternalId = Annotated[
    str,
    Field(min_length=1, max_length=EXTERNAL_ID_MAX, json_schema_extra={"pattern": DESCRIPTION_PATTERN}),
    AfterValidator(_checked_text),
]
SearchedText = Annotated[
    str,
    Field(min_length=1, max_length=MOST_SEARCHED, json_schema_extra={"pattern": DESCRIPTION_PATTERN}),
    AfterValidator(_checked_text),
]
Subject = Annotated[
    str,
    Field(min_length=1, max_length=SUBJECT_MAX, json_schema_extra={"pattern": DESCRIPTION_PATTERN}),
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
