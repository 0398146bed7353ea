"""How a key is used."""

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from msgspec import Meta

from keywright.contract.codec import AwareTime, Count

Period = Annotated[str, Meta(extra_json_schema={"enum": ["hour", "day"]})]


@dataclass(frozen=True, slots=True)
class CountResponse:
    """Accepted uses in one period, which begins at `start`."""

    start: AwareTime
    count: Count


@dataclass(frozen=True, slots=True)
class DaysResponse:
    """Accepted uses by day."""

    days: tuple[CountResponse, ...]
    """The last 7 days in UTC, today last, those without uses included"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceResponse:
    """Where a key was used from lately."""

    public_key: str
    """Of the pair that was used"""
    network: str | None
    """/24 or /48 in CIDR form"""
    agent: str | None
    """The family of the user agent"""
    verifier: str
    first_seen: AwareTime
    last_seen: AwareTime
    count: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretUseResponse:
    """A pair that a key has or had, and when it was used last."""

    public_key: str
    private_key_display: str
    last_used_at: AwareTime | None
    retires_at: AwareTime | None
    """When it stops working, or did; null for the current pair"""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageResponse:
    """How a key was used."""

    key_id: UUID
    last_used_at: AwareTime | None
    period: Period
    counts: tuple[CountResponse, ...]
    """Every period since `since`, those without uses included"""
    sources: tuple[SourceResponse, ...]
    """The latest first, 50 at most"""
    secrets: tuple[SecretUseResponse, ...]
    """Every pair that the key ever had, newest first"""
