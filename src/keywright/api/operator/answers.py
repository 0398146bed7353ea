"""The answers to operators: records of the service become classes of the contract."""

from datetime import datetime
from typing import Any
from uuid import UUID

from keywright.api.keys.answers import Members, api_key_response, event_response, revocation_response
from keywright.contract.audit_log import ActorResponse
from keywright.contract.operator import (
    BulkRevocationResponse,
    CreatedVerifierResponse,
    FoundPairResponse,
    NamedRevocationResponse,
    NamedSessionResponse,
    OrganizationEventResponse,
    OrganizationResponse,
    VerifierResponse,
)
from keywright.keys.pair import VerifierCredential
from keywright.keys.record import Secret
from keywright.service.management.audit_log import Event
from keywright.service.management.ports import Link
from keywright.service.operator.bulk import PREVIEW_LASTS
from keywright.service.operator.lookup import FoundByText
from keywright.service.operator.ports import BulkRevocation, CountedOrganization
from keywright.service.principal import Principal
from keywright.service.verifier_sessions import Receipt
from keywright.service.verifiers import Verifier


def found_response(finding: FoundByText, principal: Principal, now: datetime) -> Members:
    """Give a key that a text belongs to: the members of a `FoundApiKeyResponse`. *principal* is the operator."""
    key = finding.key
    return {
        "found_by": finding.by.value,
        "pair": None if finding.secret is None else _pair_response(finding.secret, now),
        "deleted_at": key.deleted_at,
        "deleted_by": key.deleted_by,
        "api_key": api_key_response(key.api_key, principal.visiting(key.organization), now),
    }


def organization_response(found: CountedOrganization) -> OrganizationResponse:
    """Give an organization with its number of keys."""
    organization = found.organization
    return OrganizationResponse(
        id=organization.id,
        issuer=organization.issuer,
        external_id=organization.external_id,
        created_at=found.created_at,
        active_keys=found.active_keys,
    )


def organization_event_response(event: Event, link: Link | None) -> OrganizationEventResponse:
    """Give an event with its organization."""
    return OrganizationEventResponse(**_members(event_response(event, link)), org_id=event.org_id)


def named_revocation_response(key_id: UUID, receipt: Receipt) -> NamedRevocationResponse:
    """Give the receipt of a revocation or deletion, with the names of processes."""
    plain = revocation_response(key_id, receipt)
    names = [each.session.name for each in receipt.confirmations]
    sessions = tuple(
        NamedSessionResponse(**_members(session), name=name)
        for session, name in zip(plain.verifiers, names, strict=True)
    )
    return NamedRevocationResponse(**{**_members(plain), "verifiers": sessions})


def bulk_response(revocation: BulkRevocation, receipt: Receipt | None = None) -> BulkRevocationResponse:
    """Give a revocation of many keys, with the receipt of the key that was revoked last."""
    target, actor, last = revocation.target, revocation.actor, revocation.last
    return BulkRevocationResponse(
        id=revocation.id,
        status=_status(revocation),
        org_id=target.org_id,
        created_by=target.created_by,
        reason=revocation.reason,
        keys=revocation.keys,
        organizations=revocation.organizations,
        previewed_at=revocation.previewed_at,
        start_before=revocation.previewed_at + PREVIEW_LASTS,
        actor=ActorResponse(issuer=actor.issuer, subject=actor.subject, client_id=actor.client_id),
        started_at=revocation.started_at,
        finished_at=revocation.finished_at,
        revoked=revocation.revoked,
        receipt=None if receipt is None or last is None else named_revocation_response(last[1], receipt),
    )


def verifier_response(verifier: Verifier) -> VerifierResponse:
    """Give a verifier without its credential."""
    return VerifierResponse(**_verifier(verifier))


def created_verifier_response(verifier: Verifier, credential: VerifierCredential) -> CreatedVerifierResponse:
    """Give a new verifier and its credential."""
    return CreatedVerifierResponse(**_verifier(verifier), credential=credential)


def _pair_response(secret: Secret, now: datetime) -> FoundPairResponse:
    end = secret.retires_at
    return FoundPairResponse(
        public_key=secret.public_key.text,
        private_key_display=secret.display,
        status="current" if end is None else "retiring" if end > now else "ended",
        retires_at=end,
    )


def _status(revocation: BulkRevocation) -> str:
    if revocation.started_at is None:
        return "previewed"
    return "running" if revocation.finished_at is None else "done"


def _verifier(verifier: Verifier) -> dict[str, Any]:
    return {
        "id": verifier.id,
        "name": verifier.name,
        "credential_display": verifier.display,
        "created_at": verifier.created_at,
        "revoked_at": verifier.revoked_at,
    }


def _members(answer: Any) -> dict[str, Any]:
    """Give the members of an answer, for a class that adds some."""
    return {name: getattr(answer, name) for name in answer.__dataclass_fields__}
