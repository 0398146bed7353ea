"""
The figures for operators: verdicts, keys, revocations and verifiers of all processes, as numbers.

`since` and `until` bound what was counted: from the first moment, up to and without the second.
"""

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from msgspec import Meta

from keywright.contract.codec import AwareTime, Count
from keywright.contract.revocation import ProcessKind

FiguresPeriod = Annotated[str, Meta(extra_json_schema={"enum": ["minute", "hour", "day"]})]
Age = Annotated[str, Meta(extra_json_schema={"enum": ["day", "week", "month", "quarter", "year", "longer", "never"]})]
Day = Annotated[str, Meta(extra_json_schema={"format": "date"})]


@dataclass(frozen=True, slots=True)
class VerdictCountsResponse:
    """The verdicts in one minute, hour or day."""

    start: AwareTime
    verdicts: dict[str, Count]
    """The number by code; a code without verdicts is absent"""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictFiguresResponse:
    """The verdicts of all processes and in-process verifiers, by period and code."""

    per: FiguresPeriod
    since: AwareTime
    until: AwareTime
    periods: tuple[VerdictCountsResponse, ...]
    """Every period from `since`, the earliest first; those without verdicts are included"""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedKeyResponse:
    """A key with the number of its uses."""

    key_id: UUID
    name: str
    org_id: UUID
    org_external_id: str
    uses: Count
    refusals: Count
    """How often it was presented and refused"""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedOrganizationResponse:
    """An organization with the number of uses of its keys."""

    org_id: UUID
    org_external_id: str
    uses: Count
    refusals: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class TopFiguresResponse:
    """The keys and organizations with the most uses, and the keys with the most refusals."""

    since: AwareTime
    """Later than the query says where it would read too many counts"""
    until: AwareTime
    keys: tuple[UsedKeyResponse, ...]
    organizations: tuple[UsedOrganizationResponse, ...]
    refused_keys: tuple[UsedKeyResponse, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyStatesResponse:
    """The number of keys by status."""

    active: Count
    disabled: Count
    expired: Count
    revoked: Count


@dataclass(frozen=True, slots=True)
class UnusedKeysResponse:
    """The number of active keys by the time since their last use."""

    bucket: Age
    """`day`: used within a day; `week`: within a week, and not within a day; and so on"""
    keys: Count


@dataclass(frozen=True, slots=True)
class ExpiringKeysResponse:
    """The number of active keys that expire on one day in UTC."""

    day: Day
    keys: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFiguresResponse:
    """The keys of all organizations by status, age and expiry, counted once an hour, few keys every minute."""

    counted_at: AwareTime | None
    """When they were counted; null before the first time, with numbers of 0"""
    states: KeyStatesResponse
    since_last_use: tuple[UnusedKeysResponse, ...]
    expiries: tuple[ExpiringKeysResponse, ...]
    """30 days, from that of `counted_at` on; empty before the first time"""


@dataclass(frozen=True, slots=True)
class DelayResponse:
    """The acknowledgements whose delay was longer than the bound before, and not longer than this one."""

    up_to_ms: Count | None
    """null: without a bound"""
    acknowledgements: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationFiguresResponse:
    """How long processes took to acknowledge revocations and deletions."""

    since: AwareTime
    """Later than the query says where it would read too many changes"""
    until: AwareTime
    revocations: Count
    acknowledgements: Count
    p50_ms: Count | None
    """The delay of half of the acknowledgements, in milliseconds; null without any"""
    p99_ms: Count | None
    histogram: tuple[DelayResponse, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectedSessionResponse:
    """A process that caches keys now."""

    session_id: UUID
    kind: ProcessKind
    verifier: str | None
    """The name of its credential; null for a process of the service"""
    name: str
    """Host and process id of a process of the service; the name that a verifier gave itself"""
    version: str | None
    """Its version of Keywright; null where it did not say"""
    connected_at: AwareTime
    seen_at: AwareTime
    unacknowledged: Count
    """How many of the 20 newest changes it has not acknowledged"""
    lag_ms: Count
    """How long the oldest of these waits; 0 where none does"""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierFiguresResponse:
    """The processes that cache keys now: those of the service, and connected in-process verifiers."""

    at: AwareTime
    sessions: tuple[ConnectedSessionResponse, ...]
    """The latest first, at most 1000"""
    more: bool
    """Whether there are more"""
