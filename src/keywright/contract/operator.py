"""The answers to operators: keys of all organizations, organizations, verifiers, revocations of many keys."""

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from msgspec import Meta

from keywright.contract.api_keys import ApiKeyResponse
from keywright.contract.audit_log import ActorResponse, EventResponse
from keywright.contract.codec import AwareTime, Count
from keywright.contract.revocation import RevocationResponse, VerifierSessionResponse
from keywright.keys.pair import VerifierCredential
from keywright.keys.record import RevocationReason

FoundBy = Annotated[str, Meta(extra_json_schema={"enum": ["id", "public_key", "private_key"]})]
PairStatus = Annotated[str, Meta(extra_json_schema={"enum": ["current", "retiring", "ended"]})]
BulkStatus = Annotated[str, Meta(extra_json_schema={"enum": ["previewed", "running", "done"]})]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPairResponse:
    """The pair of a key that a searched text belongs to."""

    public_key: str
    private_key_display: str
    status: PairStatus
    """`current`; `retiring`: replaced, and still working; `ended`"""
    retires_at: AwareTime | None
    """When it stops working, or stopped; null for the current pair"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundApiKeyResponse:
    """A key of any organization, found by a text."""

    found_by: FoundBy
    pair: FoundPairResponse | None
    """The pair that the text belongs to; null for an id"""
    deleted_at: AwareTime | None
    """When the key was deleted; a deleted key never works again"""
    deleted_by: str | None
    api_key: ApiKeyResponse


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganizationResponse:
    """An organization with the number of its keys."""

    id: UUID
    issuer: str
    external_id: str
    """Its id at the issuer, as the organization claim has it"""
    created_at: AwareTime
    """When its first key was created"""
    active_keys: Count
    """Keys that are neither revoked nor deleted; those that have expired may count"""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganizationEventResponse(EventResponse):
    """One change to a key of any organization."""

    org_id: UUID
    """The organization whose audit log has it"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedSessionResponse(VerifierSessionResponse):
    """A process that may have had the key in its cache when the key ended, with its name."""

    name: str
    """Host and process id of a process of the service; the name that a verifier gave itself"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedRevocationResponse(RevocationResponse):
    """The receipt of a revocation or deletion, with the names of processes."""

    verifiers: tuple[NamedSessionResponse, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkRevocationResponse:
    """A revocation of many keys: all of an organization, of a creator, or of a creator in an organization."""

    id: UUID
    status: BulkStatus
    org_id: UUID | None
    """Keys of this organization only; null for those of all"""
    created_by: str | None
    """Keys that this token subject created; null for those of everybody"""
    reason: RevocationReason
    keys: Count
    """The number of keys in the preview"""
    organizations: Count
    """The number of their organizations in the preview"""
    previewed_at: AwareTime
    start_before: AwareTime
    """Until when it can be started"""
    actor: ActorResponse
    """Who started it; before, who previewed it"""
    started_at: AwareTime | None
    finished_at: AwareTime | None
    revoked: Count
    """The number of keys that it has revoked so far"""
    receipt: NamedRevocationResponse | None
    """Which processes acknowledged all of it so far; null before the first key, in a list, or once it was removed"""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierResponse:
    """An API server that may check keys."""

    id: UUID
    name: str
    credential_display: str
    """The credential, masked; safe to show and to log"""
    created_at: AwareTime
    revoked_at: AwareTime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedVerifierResponse(VerifierResponse):
    """A new verifier, and its credential, which no other answer shows."""

    credential: VerifierCredential
