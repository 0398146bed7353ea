"""The shapes of the HTTP contract, version 2: what a client gets."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from keywright.keys.record import ApiKey, RevocationReason, Secret, Status
from keywright.service.management.commands import Created

_PUBLIC_KEY = "kw_pk_live_E5WIc9sd1Lg9Hte0rQUfCDCwNApTwmX0HaJbOA4P8x72VB7Ui"
_DISPLAY = "kw_sk_live_...9rwP"
_EXAMPLE: dict[str, Any] = {
    "id": "019a5d2e-7c1f-7c44-9b0e-2d0c8f3a1b55",
    "org_id": "6f1f2c1e-3a8e-5b0f-8a43-0f6f5c1e9d21",
    "name": "Billing export",
    "description": "Nightly job",
    "environment": "live",
    "public_key": _PUBLIC_KEY,
    "private_key_display": _DISPLAY,
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
    "secrets": [
        {
            "public_key": _PUBLIC_KEY,
            "private_key_display": _DISPLAY,
            "created_at": "2026-11-23T21:48:05.120340Z",
            "first_used_at": None,
            "last_used_at": None,
            "retires_at": None,
            "retire_when_quiet_seconds": None,
        }
    ],
}


class RateLimitResponse(BaseModel):
    """At most `limit` units at once and, over time, in `window_seconds`."""

    name: str
    limit: int
    window_seconds: int


class SecretResponse(BaseModel):
    """A pair of an API key that still works, or is its current one."""

    public_key: str
    private_key_display: str
    created_at: datetime
    first_used_at: datetime | None
    last_used_at: datetime | None
    retires_at: datetime | None = Field(description="When it stops working; null for the current pair")
    retire_when_quiet_seconds: int | None = Field(
        description="It stops sooner, once it has not been used for so long after the first use of the new pair"
    )


class ApiKeyResponse(BaseModel):
    """An API key, without its private half."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    id: UUID
    org_id: UUID = Field(description="The organization the key belongs to")
    name: str
    description: str | None
    environment: str | None = Field(description="`live`, `sandbox`, …")
    public_key: str = Field(description="The Ed25519 public key of the current pair")
    private_key_display: str = Field(description="The current private key, masked; safe to show and to log")
    created_at: datetime
    expires_at: datetime | None
    is_revoked: bool
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="The last use of any of its pairs")
    status: Status
    revocation_reason: RevocationReason | None = Field(description="Null unless the key is revoked")
    scopes: list[str]
    allowed_ips: list[str] = Field(description="Networks in CIDR form; none for any")
    rate_limits: list[RateLimitResponse]
    external_id: str | None
    metadata: dict[str, Any]
    secrets: list[SecretResponse] = Field(description="The pairs that still work or are current, newest first")

    @classmethod
    def fields_of(cls, key: ApiKey, now: datetime) -> dict[str, Any]:
        """Say *key* as it stands at *now* in the contract's words."""
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
            "scopes": list(key.scopes),
            "allowed_ips": list(key.allowed_ips),
            "rate_limits": [limit._asdict() for limit in key.rate_limits],
            "external_id": key.external_id,
            "metadata": dict(key.metadata),
            "secrets": [_fields_of_secret(secret) for secret in (key.secret, retiring) if secret is not None],
        }


class CreatedApiKeyResponse(ApiKeyResponse):
    """An API key with a new pair, and the private half of it, which is shown this once."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {**_EXAMPLE, "private_key": "kw_sk_live_00000000000000000000000000000000000000000000x9rwP"},
            ]
        },
    )

    private_key: str = Field(description="The private key for authentication; in this answer only")

    @classmethod
    def fields_of_created(cls, created: Created, now: datetime) -> dict[str, Any]:
        """Say a key with a new pair in the contract's words. The one place where a private key leaves the service."""
        return {**cls.fields_of(created.api_key, now), "private_key": created.private_key.reveal()}


def _fields_of_secret(secret: Secret) -> dict[str, Any]:
    return {
        "public_key": secret.public_key.text,
        "private_key_display": secret.display,
        "created_at": secret.created_at,
        "first_used_at": secret.first_used_at,
        "last_used_at": secret.last_used_at,
        "retires_at": secret.retires_at,
        "retire_when_quiet_seconds": secret.quiet_seconds,
    }


class FieldFlaw(BaseModel):
    """One flaw of a body or parameter."""

    loc: list[str | int] = Field(description="Where: `body`, `query` or `path`, then the field")
    msg: str
    type: str = Field(description="A stable word for the flaw")


class ErrorResponse(BaseModel):
    """An answer that is not the wished-for one."""

    detail: str | list[FieldFlaw] = Field(description="A sentence; for 422 the list of flaws")
    code: str = Field(description="Stable, for programs")
    request_id: str = Field(description="Finds the request in the service's log")


class ProblemResponse(BaseModel):
    """The same answer as RFC 9457 has it, for `Accept: application/problem+json`."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[FieldFlaw] | None = None
