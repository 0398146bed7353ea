"""The receipt of a revocation or deletion."""

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from msgspec import Meta

from keywright.contract.codec import AwareTime, Count

ProcessKind = Annotated[str, Meta(extra_json_schema={"enum": ["server", "verifier"]})]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierSessionResponse:
    """A process that may have had the key in its cache when the key ended; operators can read its name."""

    kind: ProcessKind
    connected_at: AwareTime
    confirmed_at: AwareTime | None
    """When it acknowledged the change; null until then"""
    may_accept_until: AwareTime | None
    """The latest moment at which it may still accept the key; null once it acknowledged"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationResponse:
    """The receipt of a revocation or deletion: which processes acknowledged it."""

    key_id: UUID
    revoked_at: AwareTime
    confirmed: Count
    """The number of processes that acknowledged it"""
    pending: Count
    """The number of processes that did not yet"""
    may_accept_until: AwareTime | None
    """The latest moment at which any process may still accept the key; null once all acknowledged"""
    verifiers: tuple[VerifierSessionResponse, ...]
