"""Examples of answers, for the OpenAPI document."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from keywright.contract.api_keys import ApiKeyResponse, CreatedApiKeyResponse, RateLimitResponse, SecretResponse
from keywright.contract.audit_log import ActorResponse, EventResponse
from keywright.keys.record import Status

_PUBLIC_KEY = "kw_pk_live_E5WIc9sd1Lg9Hte0rQUfCDCwNApTwmX0HaJbOA4P8x72VB7Ui"
_DISPLAY = "kw_sk_live_...9rwP"
_CREATED_AT = datetime(2026, 11, 23, 21, 48, 5, 120340, UTC)

_API_KEY = ApiKeyResponse(
    id=UUID("019a5d2e-7c1f-7c44-9b0e-2d0c8f3a1b55"),
    org_id=UUID("6f1f2c1e-3a8e-5b0f-8a43-0f6f5c1e9d21"),
    name="Billing export",
    description="Nightly job",
    environment="live",
    public_key=_PUBLIC_KEY,
    private_key_display=_DISPLAY,
    created_at=_CREATED_AT,
    expires_at=None,
    is_revoked=False,
    revoked_at=None,
    last_used_at=None,
    status=Status.ACTIVE,
    revocation_reason=None,
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

EXAMPLES: Mapping[type, Mapping[str, Any]] = {
    ApiKeyResponse: msgspec.to_builtins(_API_KEY),
    CreatedApiKeyResponse: {
        **msgspec.to_builtins(_API_KEY),
        # Made of 32 zero bytes.
        "private_key": "kw_sk_live_00000000000000000000000000000000000000000000x9rwP",
    },
    EventResponse: msgspec.to_builtins(_EVENT),
}
"""For each schema that has one, an answer as JSON values."""
