"""
The answers of the operations on keys: records of the service become classes of the contract, written as JSON.

The answer with a key has its entity tag, and no shared cache may store it.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from pydantic_core import to_json
from starlette.responses import Response

from keywright.api.http.idempotency import Reply
from keywright.api.http.problems import Refusal, refusal_of
from keywright.contract.audit_log import ActorResponse, EventResponse
from keywright.contract.codec import written
from keywright.contract.options import OptionsResponse, PolicyResponse, ScopeResponse
from keywright.contract.revocation import RevocationResponse, VerifierSessionResponse
from keywright.contract.usage import CountResponse, DaysResponse, RefusalResponse, SecretUseResponse, SourceResponse
from keywright.keys.record import ApiKey, RevocationReason, Secret
from keywright.service.management.audit_log import Event, Origin
from keywright.service.management.commands import Created, Policy
from keywright.service.management.ports import Link, RefusedSource, Source
from keywright.service.management.refusals import Refused
from keywright.service.management.usage_reports import Count
from keywright.service.ports import Clock
from keywright.service.principal import Permission, Principal
from keywright.service.turns import Turns
from keywright.service.verifier_sessions import Confirmation, Receipt

PATH = "/api/v2/api-keys"
TAG = "API keys"
_NONE: Mapping[str, str] = {}
_ITEMS_IN_A_STEP = 100

Item = TypeVar("Item")

Members = dict[str, Any]
"""The members of a class of the contract by name, in its order; tests/api/test_answers.py holds that they are those."""


def path_of(api_key: ApiKey) -> str:
    """Give the path of a key."""
    return f"{PATH}/{api_key.id}"


def etag_of(api_key: ApiKey) -> str:
    """
    Give the strong entity tag of a key (RFC 9110, section 8.8.3).

    It covers all that management can change. A use moves `last_used_at` and leaves the tag.
    """
    return f'"{api_key.version}"'


def answer(body: object, headers: Mapping[str, str] = _NONE) -> Response:
    """Answer an instance of a class of the contract; no shared cache may store the answer."""
    return _private(written(body), headers)


async def answer_page(
    turns: Turns,
    principal: Principal,
    items: Sequence[Item],
    response_of: Callable[[Item], object],
    headers: Mapping[str, str],
) -> Response:
    """Answer a list as `answer` does. It is written in steps of some milliseconds, and each of them takes a turn."""
    parts = []
    for first in range(0, len(items), _ITEMS_IN_A_STEP):
        # A turn that is free at once leaves the event loop to no other task.
        await asyncio.sleep(0)
        async with turns.one(principal.organization.id):
            part = written([response_of(item) for item in items[first : first + _ITEMS_IN_A_STEP]])
            parts.append(part[1:-1])
    return _private(b"[%b]" % b",".join(parts), headers)


def one_key(outcome: ApiKey | Refused | None, principal: Principal, clock: Clock) -> Response:
    """
    Answer one key.

    Args:
        outcome: The result of the use case; None where there is no such key.
        principal: Whose organization the key belongs to.
        clock: Read here, after the use case: an end that it set to now then shows in the status.

    Raises:
        Refusal: There is no such key, or the use case refused.
    """
    if outcome is None:
        raise Refusal("not_found")
    if isinstance(outcome, Refused):
        raise refusal_of(outcome)
    return answer(api_key_response(outcome, principal, clock()), {"ETag": etag_of(outcome)})


def shown_once(created: Created, principal: Principal, now: datetime) -> Reply:
    """Write a key with its new private key; only `idempotency.answer_of` sends it."""
    return Reply({"ETag": etag_of(created.api_key)}, written(created_response(created, principal, now)))


def created_response(created: Created, principal: Principal, now: datetime) -> Members:
    """Give a key with a new pair, and the private key: the members of a `CreatedApiKeyResponse`."""
    return {**api_key_response(created.api_key, principal, now), "private_key": created.private_key}


def used_response(key: ApiKey, principal: Principal, now: datetime, days: Sequence[Count]) -> Members:
    """Give *key* with its uses and refusals of the last days: the members of a `UsedApiKeyResponse`."""
    return {
        **api_key_response(key, principal, now),
        "usage": DaysResponse(tuple(map(count_response, days))),
    }


def event_response(event: Event, link: Link | None) -> EventResponse:
    """Give an event with its position and hash; None for an event older than the chain."""
    return EventResponse(
        id=event.id,
        type=event.type,
        key_id=event.key_id,
        occurred_at=event.occurred_at,
        actor=ActorResponse(issuer=event.issuer, subject=event.subject, client_id=event.client_id),
        request_id=event.origin.request_id,
        address=event.origin.address,
        data=_free_form(event.data),
        position=None if link is None else link.position,
        hash=None if link is None else link.hash.hex(),
        erased=link is not None and link.erased_by is not None,
    )


def revocation_response(key_id: UUID, receipt: Receipt) -> RevocationResponse:
    """Give the receipt of a revocation or deletion, with its counts."""
    return RevocationResponse(
        key_id=key_id,
        revoked_at=receipt.ended_at,
        confirmed=receipt.confirmed,
        pending=len(receipt.confirmations) - receipt.confirmed,
        may_accept_until=receipt.may_accept_until,
        verifiers=tuple(_session_response(each, receipt.committed_by) for each in receipt.confirmations),
    )


def count_response(count: Count) -> CountResponse:
    """Give the accepted uses and the refusals of one period."""
    return CountResponse(count.start, count.count, count.refused)


def source_response(source: Source) -> SourceResponse:
    """Give a network and user agent that used the key."""
    return SourceResponse(**_members(source))


def refusal_response(source: RefusedSource) -> RefusalResponse:
    """Give a network and user agent that presented the key and was refused."""
    return RefusalResponse(**_members(source))


def _members(source: Source) -> Members:
    return {member.name: getattr(source, member.name) for member in fields(source)}


def secret_use_response(secret: Secret) -> SecretUseResponse:
    """Give a pair with its last use."""
    return SecretUseResponse(
        public_key=secret.public_key.text,
        private_key_display=secret.display,
        last_used_at=secret.last_used_at,
        retires_at=secret.retires_at,
    )


def options_response(policy: Policy, principal: Principal, origin: Origin) -> OptionsResponse:
    """Give the environments, scopes and rules for new keys, what the principal may do, and where it called from."""
    life, scopes = policy.max_life, policy.scopes
    return OptionsResponse(
        environments=tuple(policy.environments),
        scopes=None
        if scopes is None
        else tuple(ScopeResponse(scope=name, description=scopes[name]) for name in scopes),
        policy=PolicyResponse(
            max_life_seconds=None if life is None else int(life.total_seconds()),
            expiry_required=policy.expiry_required,
            max_active_keys=policy.max_active,
        ),
        # Whether a token operates depends on the operator's organization, and says nothing of the keys of its own.
        permissions=tuple(each.value for each in Permission if each is not Permission.OPERATE and principal.may(each)),
        grantable_scopes=principal.grantable,
        client_ip=origin.address,
    )


def _private(body: bytes, headers: Mapping[str, str]) -> Response:
    headers = {**headers, "Cache-Control": "private, no-cache"}
    return Response(body, media_type="application/json", headers=headers)


def api_key_response(key: ApiKey, principal: Principal, now: datetime) -> Members:
    """
    Give *key*, of the principal's organization, with its state at *now*: the members of an `ApiKeyResponse`.

    No instance of the class is made: that, and reading it again, takes longer than to write its members.
    """
    revoked = key.revoked_at is not None
    current, retiring = _secret_members(key.secret), key.retiring_at(now)
    return {
        "id": key.id,
        "org_id": key.org_id,
        "org_external_id": principal.organization.external_id,
        "name": key.name,
        "description": key.description,
        "environment": key.environment,
        "public_key": current["public_key"],
        "private_key_display": current["private_key_display"],
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "enabled": key.disabled_at is None,
        "is_revoked": revoked,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
        "status": str(key.status_at(now)),
        # Keys that were revoked before there were reasons have none.
        "revocation_reason": (key.revocation_reason or RevocationReason.UNSPECIFIED) if revoked else None,
        "created_by": key.created_by,
        "revoked_by": key.revoked_by,
        "scopes": key.scopes,
        "allowed_ips": key.allowed_ips,
        "rate_limits": [limit._asdict() for limit in key.rate_limits],
        "external_id": key.external_id,
        "metadata": _free_form(key.metadata),
        "secrets": (current,) if retiring is None else (current, _secret_members(retiring)),
    }


def _secret_members(secret: Secret) -> Members:
    return {
        "public_key": secret.public_key.text,
        "private_key_display": secret.display,
        "created_at": secret.created_at,
        "first_used_at": secret.first_used_at,
        "last_used_at": secret.last_used_at,
        "retires_at": secret.retires_at,
        "retire_when_idle_seconds": secret.idle_seconds,
    }


def _session_response(confirmation: Confirmation, committed_by: datetime) -> VerifierSessionResponse:
    return VerifierSessionResponse(
        kind="server" if confirmation.session.verifier_id is None else "verifier",
        connected_at=confirmation.connected_at,
        confirmed_at=confirmation.confirmed_at,
        may_accept_until=confirmation.may_accept_until(committed_by),
    )


def _free_form(value: Mapping[str, Any]) -> Any:
    """Give a JSON object that pydantic has written: it writes 1e+16 as released, where msgspec writes 1e16."""
    return msgspec.Raw(to_json(value, inf_nan_mode="null")) if value else value
