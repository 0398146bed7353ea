"""Verdicts on presented keys. `api.verify_answers` writes them by hand, because one is written for every check."""

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from msgspec import Meta

from keywright.contract.codec import AwareTime, Count, Positive
from keywright.keys.verdict import Code

WholeSeconds = Annotated[float, Meta(ge=0, extra_json_schema={"type": "integer"})]
"""Written as a whole number; a client takes a fraction, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedKey:
    """The key whose secret was presented."""

    id: UUID
    org_id: UUID
    name: str
    environment: str
    scopes: tuple[str, ...]
    expires_at: AwareTime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitStateResponse:
    """A limit of the key, and how it stands after this request."""

    name: str
    limit: Positive
    """Units at once, and over time in a window"""
    window_seconds: Positive
    remaining: Count
    """Units that could be spent right now"""
    reset_seconds: WholeSeconds
    """Seconds until the limit is whole again, rounded up"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplanationResponse:
    """Which rule refused, and what would pass."""

    reason: str
    would_pass: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FactsResponse:
    """What an in-process verifier judges a key by."""

    revoked: bool
    expires_at: float | None
    """Seconds since the epoch; null for never"""
    retires_at: float | None = None
    """Likewise for the secret that was presented"""
    allowed_ips: tuple[str, ...] = ()
    """Networks in CIDR form; none for any"""
    rate_limits: tuple[tuple[str, Positive, Positive], ...] = ()
    """Each as name, limit and seconds of the window"""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyResponse:
    """A verdict. A refusal is an answer, not an error; without the right secret it is always `not_found`."""

    valid: bool
    code: Code
    api_key: VerifiedKey | None
    rate_limits: tuple[LimitStateResponse, ...] | None = None
    """Present where limits of the key were counted: where it has any and no other rule refused"""
    retry_after_seconds: Count | None = None
    """Present with `rate_limited`: when to try again; null where the cost is beyond a limit for ever"""
    stale: bool = False
    """Present, and true, while the database cannot be asked"""
    explanation: ExplanationResponse | None = None
    """Present where `explain` asked for it and a rule refused"""
    facts: FactsResponse | None = None
    """Present where `Keywright-Facts: 1` asked for them"""


@dataclass(frozen=True, slots=True)
class BatchResponse:
    """A verdict for each key, in order."""

    results: tuple[VerifyResponse, ...]
