"""The usage of a key: counts by period, sources of uses and of refusals, and the last use of each secret."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated
from uuid import UUID

from msgspec import Meta

from keywright.contract.codec import AwareTime, Count
from keywright.keys.verdict import Code

Period = Annotated[str, Meta(extra_json_schema={"enum": ["hour", "day"]})]
RefusalCode = Annotated[
    str, Meta(extra_json_schema={"enum": [code.value for code in Code if code not in (Code.VALID, Code.NOT_FOUND)]})
]


@dataclass(frozen=True, slots=True)
class CountResponse:
    """The accepted uses and the refusals in one hour or day."""

    start: AwareTime
    count: Count
    """Accepted uses"""
    refused: Mapping[str, Count] = field(hash=False)
    """Refusals by the code of the verdict, such as `revoked`; codes without any are left out"""


@dataclass(frozen=True, slots=True)
class DaysResponse:
    """The accepted uses and the refusals of the last days."""

    days: tuple[CountResponse, ...]
    """The last 7 days in UTC, today last; days without uses are included"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceResponse:
    """A network and user agent from which a key was used recently."""

    public_key: str
    """The public key of the pair that was presented"""
    network: str | None
    """A /24 or /48 in CIDR form; null where the address is not known"""
    agent: str | None
    """The family of the user agent; null where it is not known"""
    verifier: str
    first_seen: AwareTime
    last_seen: AwareTime
    count: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalResponse(SourceResponse):
    """A network and user agent from which a key was refused recently, although its secret was right."""

    code: RefusalCode
    """The code of the verdict"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretUseResponse:
    """A current or former pair of a key, and its last use."""

    public_key: str
    private_key_display: str
    last_used_at: AwareTime | None
    retires_at: AwareTime | None
    """When it stops or stopped working; null for the current pair"""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageResponse:
    """The usage of one key."""

    key_id: UUID
    last_used_at: AwareTime | None
    period: Period
    counts: tuple[CountResponse, ...]
    """Every period from `since` to now; periods without uses are included"""
    sources: tuple[SourceResponse, ...]
    """Those of the pairs below, the latest first, at most 50"""
    secrets: tuple[SecretUseResponse, ...]
    """Current and former pairs, newest first: one page, with the next one in the `Link` header"""
    refusals: tuple[RefusalResponse, ...]
    """Sources from which the pairs above were refused, each with one code, the latest first, at most 50"""
