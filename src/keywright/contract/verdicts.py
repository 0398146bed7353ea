"""Verdicts on presented keys. `api.verify.bodies` writes them by hand, because every check writes one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta

from keywright.contract.codec import ABSENT, AwareTime, Count, Positive
from keywright.keys.verdict import Code

WholeSeconds = Annotated[float, Meta(ge=0, extra_json_schema={"type": "integer"})]
"""Written as a whole number; a client also reads a fraction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedKey:
    """The API key that the presented key belongs to."""

    id: UUID
    org_id: UUID
    name: str
    environment: str
    scopes: tuple[str, ...]
    expires_at: AwareTime | None
    external_id: str | None = None
    """The id of the key's owner in the caller's own records"""
    org_external_id: str | None = None
    """The organization's id in access tokens"""
    created_by: str | None = None
    """The subject of the access token that created the key"""
    metadata: Mapping[str, Any] = field(default=ABSENT, hash=False)
    """A JSON object that the key's owner chose; present where the request includes it"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitStateResponse:
    """The state of a rate limit after this request."""

    name: str
    limit: Positive
    """The most units at once, and over time in a window"""
    window_seconds: Positive
    remaining: Count
    """Units that may be used now"""
    reset_seconds: WholeSeconds
    """Seconds until all units may be used again, rounded up"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplanationResponse:
    """The rule that refused, and what it would accept."""

    reason: str
    would_pass: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FactsResponse:
    """The facts by which an in-process verifier decides on a key."""

    revoked: bool
    disabled: bool = False
    """Present, and true, for a disabled key"""
    expires_at: float | None
    """Seconds since the epoch; null for never"""
    retires_at: float | None = None
    """When the presented secret stops working, in seconds since the epoch; null for the current secret"""
    allowed_ips: tuple[str, ...] = ()
    """Networks in CIDR form; none for any"""
    rate_limits: tuple[tuple[str, Positive, Positive], ...] = ()
    """Each as name, limit and seconds of the window; none for any number of uses"""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyResponse:
    """A verdict. A refusal is an answer, not an error. A text that is not a key's secret is always `not_found`."""

    valid: bool
    code: Code
    api_key: VerifiedKey | None
    rate_limits: tuple[LimitStateResponse, ...] | None = None
    """Present where the key has limits and no other rule refused"""
    retry_after_seconds: Count | None = None
    """Present with `rate_limited`: seconds until the next try; null where the cost is above a limit"""
    stale: bool = False
    """Present, and true, while the database cannot be reached"""
    explanation: ExplanationResponse | None = None
    """Present where the request has `explain` and a rule refused"""
    facts: FactsResponse | None = None
    """Present where the request has `Keywright-Facts: 1`"""


@dataclass(frozen=True, slots=True)
class BatchResponse:
    """A verdict for each key, in the order of the request."""

    results: tuple[VerifyResponse, ...]
