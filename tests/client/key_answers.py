"""The answers of a service about one API key, its events, usage and receipt, and about the options of new keys."""

from typing import Any

from keywright.keys.pair import mint

KEY_ID = "019a5d2e-7c1f-7c44-9b0e-2d0c8f3a1b55"
TOKEN = "eyJhbGciOiJSUzI1NiJ9.e30.c2ln"
PAIR = mint(bytes(range(32)), brand="kw", environment="live")
PRIVATE = PAIR.private.reveal()
SECRET: dict[str, Any] = {
    "public_key": PAIR.public.text,
    "private_key_display": PAIR.private.display,
    "created_at": "2026-11-23T21:48:05.120340Z",
    "first_used_at": None,
    "last_used_at": None,
    "retires_at": None,
    "retire_when_idle_seconds": None,
}
FIELDS: dict[str, Any] = {
    "id": KEY_ID,
    "org_id": "6f1f2c1e-3a8e-5b0f-8a43-0f6f5c1e9d21",
    "org_external_id": "org_aBcDeFgHiJkLmNoP",
    "name": "Billing export",
    "description": None,
    "environment": "live",
    "public_key": PAIR.public.text,
    "private_key_display": PAIR.private.display,
    "created_at": "2026-11-23T21:48:05.120340Z",
    "expires_at": None,
    "enabled": True,
    "is_revoked": False,
    "revoked_at": None,
    "last_used_at": None,
    "status": "active",
    "revocation_reason": None,
    "created_by": "auth0|6543210fedcba",
    "revoked_by": None,
    "scopes": ["invoices:read"],
    "allowed_ips": ["192.0.2.0/24"],
    "rate_limits": [{"name": "minute", "limit": 100, "window_seconds": 60}],
    "external_id": "customer-1742",
    "metadata": {"plan": "team"},
    "secrets": [SECRET],
}
NEW = {**FIELDS, "private_key": PRIVATE}
REVOKED = {
    **FIELDS,
    "is_revoked": True,
    "revoked_at": "2026-11-24T00:00:00Z",
    "status": "revoked",
    "revocation_reason": "key_compromise",
    "revoked_by": "auth0|6543210fedcba",
}
EVENT: dict[str, Any] = {
    "id": "019a5d2e-7c1f-7c44-9b0e-2d0c8f3a1b56",
    "type": "api_key.updated",
    "key_id": KEY_ID,
    "occurred_at": "2026-11-23T21:50:11.004711Z",
    "actor": {"issuer": "https://acme.eu.auth0.com/", "subject": "auth0|6543210fedcba", "client_id": None},
    "request_id": "0c9f6f3a6a604e1f8a1c8d9b4bb0c5de",
    "address": "192.0.2.7",
    "data": {"before": {"scopes": []}, "after": {"scopes": ["invoices:read"]}},
    "position": 17,
    "hash": "5f" * 32,
    "erased": False,
}
USAGE: dict[str, Any] = {
    "key_id": KEY_ID,
    "last_used_at": None,
    "period": "hour",
    "counts": [{"start": "2026-11-23T21:00:00Z", "count": 3, "refused": {"revoked": 5}}],
    "sources": [
        {
            "public_key": PAIR.public.text,
            "network": "192.0.2.0/24",
            "agent": None,
            "verifier": "billing-api",
            "first_seen": "2026-11-23T21:00:00Z",
            "last_seen": "2026-11-23T21:01:00Z",
            "count": 3,
        }
    ],
    "secrets": [
        {
            "public_key": PAIR.public.text,
            "private_key_display": PAIR.private.display,
            "last_used_at": "2026-11-23T21:01:00Z",
            "retires_at": None,
        }
    ],
    "refusals": [
        {
            "public_key": PAIR.public.text,
            "network": "198.51.100.0/24",
            "agent": "curl",
            "verifier": "billing-api",
            "first_seen": "2026-11-23T21:02:00Z",
            "last_seen": "2026-11-23T21:03:00Z",
            "count": 5,
            "code": "revoked",
        }
    ],
}
RECEIPT: dict[str, Any] = {
    "key_id": KEY_ID,
    "revoked_at": "2026-11-23T23:26:11.804821Z",
    "confirmed": 1,
    "pending": 1,
    "may_accept_until": "2026-11-23T23:31:11Z",
    "verifiers": [
        {
            "kind": "verifier",
            "connected_at": "2026-11-23T20:00:00Z",
            "confirmed_at": None,
            "may_accept_until": "2026-11-23T23:31:11Z",
        }
    ],
}
OPTIONS: dict[str, Any] = {
    "environments": ["live", "sandbox"],
    "scopes": [{"scope": "reports:read", "description": "Read reports"}],
    "policy": {"max_life_seconds": 86_400, "expiry_required": True, "max_active_keys": None},
    "permissions": ["read:api_keys"],
    "grantable_scopes": ["reports:*"],
    "client_ip": "203.0.113.9",
}
