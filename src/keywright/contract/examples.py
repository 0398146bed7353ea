"""Examples of answers, for the OpenAPI document."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from keywright.contract.api_keys import ApiKeyResponse, CreatedApiKeyResponse, RateLimitResponse, SecretResponse
from keywright.contract.audit_log import ActorResponse, EventResponse
from keywright.contract.figures import (
    ConnectedSessionResponse,
    DelayResponse,
    ExpiringKeysResponse,
    KeyFiguresResponse,
    KeyStatesResponse,
    RevocationFiguresResponse,
    TopFiguresResponse,
    UnusedKeysResponse,
    UsedKeyResponse,
    UsedOrganizationResponse,
    VerdictCountsResponse,
    VerdictFiguresResponse,
    VerifierFiguresResponse,
)
from keywright.contract.operator import (
    BulkRevocationResponse,
    CreatedVerifierResponse,
    FoundApiKeyResponse,
    FoundPairResponse,
    NamedRevocationResponse,
    NamedSessionResponse,
    OrganizationEventResponse,
    OrganizationResponse,
    VerifierResponse,
)
from keywright.contract.options import OptionsResponse, PolicyResponse, ScopeResponse
from keywright.contract.revocation import RevocationResponse, VerifierSessionResponse
from keywright.contract.usage import CountResponse, RefusalResponse, SecretUseResponse, SourceResponse, UsageResponse
from keywright.contract.verdicts import BatchResponse, VerifiedKey, VerifyResponse
from keywright.keys.record import RevocationReason, Status

_PUBLIC_KEY = "kw_pk_live_E5WIc9sd1Lg9Hte0rQUfCDCwNApTwmX0HaJbOA4P8x72VB7Ui"
_DISPLAY = "kw_sk_live_...9rwP"
_CREATED_AT = datetime(2026, 11, 23, 21, 48, 5, 120340, UTC)

_API_KEY = ApiKeyResponse(
    id=UUID("019a5d2e-7c1f-7c44-9b0e-2d0c8f3a1b55"),
    org_id=UUID("6f1f2c1e-3a8e-5b0f-8a43-0f6f5c1e9d21"),
    org_external_id="org_aBcDeFgHiJkLmNoP",
    name="Billing export",
    description="Nightly job",
    environment="live",
    public_key=_PUBLIC_KEY,
    private_key_display=_DISPLAY,
    created_at=_CREATED_AT,
    expires_at=None,
    enabled=True,
    is_revoked=False,
    revoked_at=None,
    last_used_at=None,
    status=Status.ACTIVE,
    revocation_reason=None,
    created_by="auth0|6543210fedcba",
    revoked_by=None,
    scopes=("invoices:read",),
    allowed_ips=("192.0.2.0/24",),
    rate_limits=(RateLimitResponse(name="minute", limit=100, window_seconds=60),),
    external_id="customer-1742",
    metadata={"plan": "team"},
    secrets=(
        SecretResponse(
            public_key=_PUBLIC_KEY,
            private_key_display=_DISPLAY,
            created_at=_CREATED_AT,
            first_used_at=None,
            last_used_at=None,
            retires_at=None,
            retire_when_idle_seconds=None,
        ),
    ),
)
_EVENT = EventResponse(
    id=UUID("019a5d2e-7c1f-7c44-9b0e-2d0c8f3a1b56"),
    type="api_key.updated",
    key_id=_API_KEY.id,
    occurred_at=datetime(2026, 11, 23, 21, 50, 11, 4711, UTC),
    actor=ActorResponse(issuer="https://acme.eu.auth0.com/", subject="auth0|6543210fedcba", client_id="dashboard"),
    request_id="0c9f6f3a6a604e1f8a1c8d9b4bb0c5de",
    address="192.0.2.7",
    data={"before": {"scopes": []}, "after": {"scopes": ["invoices:read"]}},
    position=17,
    hash="5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef",
    erased=False,
)

_USE = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)
_USAGE = UsageResponse(
    key_id=_API_KEY.id,
    last_used_at=_USE,
    period="day",
    counts=(CountResponse(start=datetime(2026, 11, 30, tzinfo=UTC), count=1042, refused={"rate_limited": 3}),),
    sources=(
        SourceResponse(
            public_key=_PUBLIC_KEY,
            network="192.0.2.0/24",
            agent="python-httpx",
            verifier="api",
            first_seen=_CREATED_AT,
            last_seen=_USE,
            count=1042,
        ),
    ),
    secrets=(
        SecretUseResponse(public_key=_PUBLIC_KEY, private_key_display=_DISPLAY, last_used_at=_USE, retires_at=None),
    ),
    refusals=(
        RefusalResponse(
            public_key=_PUBLIC_KEY,
            network="192.0.2.0/24",
            agent="python-httpx",
            verifier="api",
            first_seen=_USE,
            last_seen=_USE,
            count=3,
            code="rate_limited",
        ),
    ),
)
_RECEIPT = RevocationResponse(
    key_id=_API_KEY.id,
    revoked_at=_USE,
    confirmed=1,
    pending=0,
    may_accept_until=None,
    verifiers=(
        VerifierSessionResponse(
            kind="verifier",
            connected_at=_CREATED_AT,
            confirmed_at=datetime(2026, 11, 30, 9, 0, 0, 80_000, tzinfo=UTC),
            may_accept_until=None,
        ),
    ),
)
_OPTIONS = OptionsResponse(
    environments=("live", "sandbox"),
    scopes=(ScopeResponse(scope="invoices:read", description="Read invoices"),),
    policy=PolicyResponse(max_life_seconds=31_536_000, expiry_required=False, max_active_keys=100),
    permissions=("create:api_keys", "read:api_keys"),
    grantable_scopes=None,
    client_ip="203.0.113.9",
)
_ORGANIZATION = OrganizationResponse(
    id=_API_KEY.org_id,
    issuer="https://acme.eu.auth0.com/",
    external_id="org_aBcDeFgHiJkLmNoP",
    created_at=_CREATED_AT,
    active_keys=42,
)
_NAMED_RECEIPT = NamedRevocationResponse(
    key_id=_API_KEY.id,
    revoked_at=_USE,
    confirmed=1,
    pending=0,
    may_accept_until=None,
    verifiers=(
        NamedSessionResponse(
            kind="verifier",
            name="billing-api-1",
            connected_at=_CREATED_AT,
            confirmed_at=datetime(2026, 11, 30, 9, 0, 0, 80_000, tzinfo=UTC),
            may_accept_until=None,
        ),
    ),
)
_BULK = BulkRevocationResponse(
    id=UUID("019a5d2e-7c1f-7c44-9b0e-2d0c8f3a1b57"),
    status="done",
    org_id=_API_KEY.org_id,
    created_by=None,
    reason=RevocationReason.KEY_COMPROMISE,
    keys=42,
    organizations=1,
    previewed_at=_USE,
    start_before=datetime(2026, 11, 30, 9, 15, tzinfo=UTC),
    actor=ActorResponse(issuer="https://acme.eu.auth0.com/", subject="auth0|olivia", client_id="operations"),
    started_at=_USE,
    finished_at=_USE,
    revoked=42,
    receipt=_NAMED_RECEIPT,
)
_FOUND = FoundApiKeyResponse(
    found_by="private_key",
    pair=FoundPairResponse(public_key=_PUBLIC_KEY, private_key_display=_DISPLAY, status="current", retires_at=None),
    deleted_at=None,
    deleted_by=None,
    api_key=_API_KEY,
)
_VERIFIER = VerifierResponse(
    id=UUID("019a5d2e-7c1f-7c44-9b0e-2d0c8f3a1b58"),
    name="billing-api-1",
    credential_display="kw_vk_...IIi6",
    created_at=_CREATED_AT,
    revoked_at=None,
)
_USED_KEY = UsedKeyResponse(
    key_id=_API_KEY.id,
    name=_API_KEY.name,
    org_id=_API_KEY.org_id,
    org_external_id=_API_KEY.org_external_id,
    uses=1042,
    refusals=0,
)
_TODAY, _NOW = datetime(2026, 11, 30, tzinfo=UTC), datetime(2026, 11, 30, 9, 12, 33, 120_340, UTC)
_FIGURES = (
    VerdictFiguresResponse(
        per="day",
        since=_TODAY,
        until=_NOW,
        periods=(VerdictCountsResponse(_TODAY, {"valid": 1042, "not_found": 3, "revoked": 1}),),
    ),
    TopFiguresResponse(
        since=datetime(2026, 11, 29, 10, tzinfo=UTC),
        until=_NOW,
        keys=(_USED_KEY,),
        organizations=(
            UsedOrganizationResponse(
                org_id=_API_KEY.org_id, org_external_id=_API_KEY.org_external_id, uses=1042, refusals=4
            ),
        ),
        refused_keys=(replace(_USED_KEY, name="Old export", uses=0, refusals=4),),
    ),
    KeyFiguresResponse(
        counted_at=_USE,
        states=KeyStatesResponse(active=42, disabled=1, expired=3, revoked=7),
        since_last_use=(UnusedKeysResponse("day", 30), UnusedKeysResponse("never", 12)),
        expiries=(ExpiringKeysResponse("2026-11-30", 0), ExpiringKeysResponse("2026-12-01", 2)),
    ),
    RevocationFiguresResponse(
        since=datetime(2026, 11, 29, 9, 12, 33, 120_340, UTC),
        until=_NOW,
        revocations=2,
        acknowledgements=16,
        p50_ms=9,
        p99_ms=31,
        histogram=(DelayResponse(10, 12), DelayResponse(25, 3), DelayResponse(50, 1), DelayResponse(None, 0)),
    ),
    VerifierFiguresResponse(
        at=_NOW,
        sessions=(
            ConnectedSessionResponse(
                session_id=UUID("6b0d6f0c-6a55-4d9c-9b3e-1f0a3c5d7e91"),
                kind="verifier",
                verifier=_VERIFIER.name,
                name="billing-api-1:4711",
                version="0.1.0",
                connected_at=_CREATED_AT,
                seen_at=datetime(2026, 11, 30, 9, 12, 31, tzinfo=UTC),
                unacknowledged=0,
                lag_ms=0,
            ),
        ),
        more=False,
    ),
)
# Without the members that are present in some answers only.
_VERDICT: Mapping[str, Any] = {
    "valid": True,
    "code": "valid",
    "api_key": msgspec.to_builtins(
        VerifiedKey(
            id=_API_KEY.id,
            org_id=_API_KEY.org_id,
            name=_API_KEY.name,
            environment="live",
            scopes=_API_KEY.scopes,
            expires_at=None,
            external_id=_API_KEY.external_id,
            org_external_id=_API_KEY.org_external_id,
            created_by=_API_KEY.created_by,
        )
    ),
    "rate_limits": [{"name": "minute", "limit": 100, "window_seconds": 60, "remaining": 99, "reset_seconds": 1}],
}

EXAMPLES: Mapping[type, Mapping[str, Any]] = {
    ApiKeyResponse: msgspec.to_builtins(_API_KEY),
    UsageResponse: msgspec.to_builtins(_USAGE),
    RevocationResponse: msgspec.to_builtins(_RECEIPT),
    OptionsResponse: msgspec.to_builtins(_OPTIONS),
    VerifyResponse: _VERDICT,
    BatchResponse: {"results": [_VERDICT, {"valid": False, "code": "not_found", "api_key": None}]},
    CreatedApiKeyResponse: {
        **msgspec.to_builtins(_API_KEY),
        # Made of 32 zero bytes.
        "private_key": "kw_sk_live_00000000000000000000000000000000000000000000x9rwP",
    },
    EventResponse: msgspec.to_builtins(_EVENT),
    OrganizationEventResponse: {**msgspec.to_builtins(_EVENT), "org_id": str(_API_KEY.org_id)},
    OrganizationResponse: msgspec.to_builtins(_ORGANIZATION),
    NamedRevocationResponse: msgspec.to_builtins(_NAMED_RECEIPT),
    BulkRevocationResponse: msgspec.to_builtins(_BULK),
    FoundApiKeyResponse: msgspec.to_builtins(_FOUND),
    VerifierResponse: msgspec.to_builtins(_VERIFIER),
    **{type(each): msgspec.to_builtins(each) for each in _FIGURES},
    CreatedVerifierResponse: {
        **msgspec.to_builtins(_VERIFIER),
        # Made of 32 zero bytes.
        "credential": "kw_vk_00000000000000000000000000000000000000000000YIIi6",
    },
}
"""For each schema that has one, an answer as JSON values."""
