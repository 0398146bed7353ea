"""How the records of the service become the answers of the contract: one function for each type."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

import msgspec
from pydantic_core import to_json

from keywright.contract.api_keys import (
    ApiKeyResponse,
    CreatedApiKeyResponse,
    RateLimitResponse,
    SecretResponse,
    UsedApiKeyResponse,
)
from keywright.contract.audit_log import ActorResponse, EventResponse
from keywright.contract.options import OptionsResponse, PolicyResponse, ScopeResponse
from keywright.contract.revocation import RevocationResponse, VerifierSessionResponse
from keywright.contract.usage import CountResponse, DaysResponse, SecretUseResponse, SourceResponse
from keywright.keys.record import ApiKey, RevocationReason, Secret
from keywright.service.checking_ports import Source
from keywright.service.events import Event
from keywright.service.policy import Options
from keywright.service.ports import Link
from keywright.service.presence import Receipt, Witness
from keywright.service.wishes import Created


def api_key_response(key: ApiKey, now: datetime) -> ApiKeyResponse:
    """Give *key* as it stands at *now*."""
    return ApiKeyResponse(**_members(key, now))


def created_response(created: Created, now: datetime) -> CreatedApiKeyResponse:
    """Give a key with a new pair, and the private half of it."""
    return CreatedApiKeyResponse(**_members(created.api_key, now), private_key=created.private_key)


def used_response(key: ApiKey, now: datetime, days: Sequence[CountResponse]) -> UsedApiKeyResponse:
    """Give *key* with its uses of the last days."""
    return UsedApiKeyResponse(**_members(key, now), usage=DaysResponse(tuple(days)))


def event_response(event: Event, place: Link | None) -> EventResponse:
    """Give an event with its place in the chain, None for one that has none."""
    return EventResponse(
        id=event.id,
        type=event.type,
        key_id=event.key_id,
        occurred_at=event.occurred_at,
        actor=ActorResponse(issuer=event.issuer, subject=event.subject, client_id=event.client_id),
        request_id=event.origin.request_id,
        address=event.origin.address,
        data=_free_form(event.data),
        position=None if place is None else place.position,
        hash=None if place is None else place.hash.hex(),
    )


def revocation_response(receipt: Receipt) -> RevocationResponse:
    """Give the receipt of a revocation."""
    return RevocationResponse(
        key_id=receipt.key_id,
        revoked_at=receipt.revoked_at,
        confirmed=receipt.confirmed,
        pending=len(receipt.witnesses) - receipt.confirmed,
        believed_until=receipt.believed_until,
        verifiers=tuple(map(_session_response, receipt.witnesses)),
    )


def source_response(source: Source) -> SourceResponse:
    """Give a source of uses."""
    return SourceResponse(
        public_key=source.public_key,
        network=source.network,
        agent=source.agent,
        verifier=source.verifier,
        first_seen=source.first_seen,
        last_seen=source.last_seen,
        count=source.count,
    )


def secret_use_response(secret: Secret) -> SecretUseResponse:
    """Give the last use of a pair."""
    return SecretUseResponse(
        public_key=secret.public_key.text,
        private_key_display=secret.display,
        last_used_at=secret.last_used_at,
        retires_at=secret.retires_at,
    )


def options_response(options: Options) -> OptionsResponse:
    """Give what a new key may be."""
    life, scopes = options.policy.max_life, options.scopes
    return OptionsResponse(
        environments=tuple(options.environments),
        scopes=None
        if scopes is None
        else tuple(ScopeResponse(scope=name, description=scopes[name]) for name in scopes),
        policy=PolicyResponse(
            max_life_seconds=None if life is None else int(life.total_seconds()),
            expiry_required=options.policy.expiry_required,
            max_active_keys=options.policy.max_active,
        ),
    )


def _members(key: ApiKey, now: datetime) -> dict[str, Any]:
    revoked = key.revoked_at is not None
    retiring = key.retiring_at(now)
    return {
        "id": key.id,
        "org_id": key.org_id,
        "name": key.name,
        "description": key.description,
        "environment": key.environment,
        "public_key": key.secret.public_key.text,
        "private_key_display": key.secret.display,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "is_revoked": revoked,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
        "status": key.status_at(now),
        # Keys that were revoked before reasons were asked for have none.
        "revocation_reason": (key.revocation_reason or RevocationReason.UNSPECIFIED) if revoked else None,
        "scopes": key.scopes,
        "allowed_ips": key.allowed_ips,
        "rate_limits": tuple(
            RateLimitResponse(name=name, limit=limit, window_seconds=window) for name, limit, window in key.rate_limits
        ),
        "external_id": key.external_id,
        "metadata": _free_form(key.metadata),
        "secrets": tuple(_secret_response(secret) for secret in (key.secret, retiring) if secret is not None),
    }


def _secret_response(secret: Secret) -> SecretResponse:
    return SecretResponse(
        public_key=secret.public_key.text,
        private_key_display=secret.display,
        created_at=secret.created_at,
        first_used_at=secret.first_used_at,
        last_used_at=secret.last_used_at,
        retires_at=secret.retires_at,
        retire_when_quiet_seconds=secret.quiet_seconds,
    )


def _session_response(witness: Witness) -> VerifierSessionResponse:
    return VerifierSessionResponse(
        name=witness.session.name,
        kind="server" if witness.session.verifier_id is None else "verifier",
        connected_at=witness.connected_at,
        confirmed_at=witness.confirmed_at,
        believes_until=witness.believes_until,
    )


def _free_form(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give a JSON object that is written as it always was: msgspec writes 1e16 where pydantic writes 1e+16."""
    return cast("Mapping[str, Any]", msgspec.Raw(to_json(value, inf_nan_mode="null"))) if value else {}
