"""The receipt of a revocation or deletion."""

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from msgspec import Meta

from keywright.contract.codec import AwareTime, Count

ProcessKind = Annotated[str, Meta(extra_json_schema={"enum": ["server", "verifier"]})]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierSessionResponse:
    """A process that had keys in its cache when the key changed."""

    name: str
    kind: ProcessKind
    connected_at: AwareTime
    confirmed_at: AwareTime | None
    """When it acknowledged the change"""
    may_accept_until: AwareTime | None
    """The longest it can still believe the old state; null once confirmed"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationResponse:
    """How far a revocation or deletion has come."""

    key_id: UUID
    revoked_at: AwareTime
    confirmed: Count
    """How many processes acknowledged it"""
    pending: Count
    """How many have not yet"""
    may_accept_until: AwareTime | None
    """The latest moment anybody can still believe the old state; null once all have confirmed"""
    verifiers: tuple[VerifierSessionResponse, ...]
