"""The answers of a service about one API key, as the fake service gives them, and `keywright keys` against it."""

from collections.abc import Mapping
from typing import Any

from typer.testing import CliRunner

from keywright.cli.application import app
from keywright.keys.pair import mint
from tests.cli.fake_service import Answer, FakeService

KEY_ID = "019a5d2e-7c1f-7c44-9b0e-2d0c8f3a1b55"
PATH = "/api/v2/api-keys"
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
    "name": "Billing export",
    "description": None,
    "environment": "live",
    "public_key": PAIR.public.text,
    "private_key_display": PAIR.private.display,
    "created_at": "2026-11-23T21:48:05.120340Z",
    "expires_at": None,
    "is_revoked": False,
    "revoked_at": None,
    "last_used_at": None,
    "status": "active",
    "revocation_reason": None,
    "scopes": ["invoices:read"],
    "allowed_ips": ["192.0.2.0/24"],
    "rate_limits": [{"name": "minute", "limit": 100, "window_seconds": 60}],
    "external_id": "customer-1742",
    "metadata": {"plan": "team"},
    "secrets": [SECRET],
}
REVOKED = {
    **FIELDS,
    "is_revoked": True,
    "revoked_at": "2026-11-24T00:00:00Z",
    "status": "revoked",
    "revocation_reason": "key_compromise",
}


def problem(status: int, code: str, detail: Any = "A sentence.", headers: Mapping[str, str] = {}) -> Answer:
    """Give a refusal."""
    return Answer(status, {"detail": detail, "code": code, "request_id": "req-12345678"}, headers)


def invoke(service: FakeService | str, *arguments: str, token: str = TOKEN) -> Any:
    """Run `keywright keys` in this process, on a wide terminal without colours."""
    url = service if isinstance(service, str) else service.url
    env = {"KEYWRIGHT_URL": url, "KEYWRIGHT_TOKEN": token, "COLUMNS": "200", "NO_COLOR": "1"}
    return CliRunner().invoke(app, ["keys", *arguments], env=env)
