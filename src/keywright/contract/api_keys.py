"""API keys, as the answers to a creation, a rotation, a list and every change show them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from keywright.contract.codec import AwareTime, Count, Positive, in_header
from keywright.contract.usage import DaysResponse
from keywright.keys.pair import PrivateKey
from keywright.keys.record import RevocationReason, Status


@dataclass(frozen=True, slots=True)
class RateLimitResponse:
    """At most `limit` units at once and, over time, in `window_seconds`."""

    name: str
    """Unique among the limits of one key."""
    limit: Positive
    window_seconds: Positive


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretResponse:
    """A pair of an API key that still works, or is its current one."""

    public_key: str
    private_key_display: str
    """The private key, masked; safe to show and to log"""
    created_at: AwareTime
    first_used_at: AwareTime | None
    last_used_at: AwareTime | None
    retires_at: AwareTime | None
    """When it stops working; null for the current pair"""
    retire_when_idle_seconds: Count | None
    """It stops sooner: once it was not used for this long after the first use of the new pair"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyResponse:
    """An API key, without its private half."""

    id: UUID
    org_id: UUID
    """The organization the key belongs to"""
    org_external_id: str
    """The organization's id in access tokens"""
    name: str
    description: str | None
    environment: str | None
    """`live`, `sandbox`, …"""
    public_key: str
    """The Ed25519 public key of the current pair"""
    private_key_display: str
    """The current private key, masked; safe to show and to log"""
    created_at: AwareTime
    expires_at: AwareTime | None
    """When it stops working; null for never"""
    enabled: bool
    """False for a key that is disabled until it is enabled again"""
    is_revoked: bool
    revoked_at: AwareTime | None
    last_used_at: AwareTime | None
    """The last use of any of its pairs"""
    status: Status
    revocation_reason: RevocationReason | None
    """Null unless the key is revoked"""
    created_by: str
    """The subject of the access token that created the key"""
    revoked_by: str | None
    """The subject of the access token that revoked it; null unless the key is revoked"""
    scopes: tuple[str, ...]
    """What the key may do"""
    allowed_ips: tuple[str, ...]
    """Networks in CIDR form; none for any"""
    rate_limits: tuple[RateLimitResponse, ...]
    """How often the key may be used; none for any number of uses"""
    external_id: str | None
    """The id of the key's owner in the caller's own records"""
    metadata: Mapping[str, Any] = field(hash=False)
    """A JSON object that the caller chose"""
    secrets: tuple[SecretResponse, ...]
    """The current pair, then the one that a rotation replaced while it still works"""
    etag: str | None = in_header("ETag")
    """The version of the key, for `if_match`; None in a list"""

    @property
    def retiring(self) -> SecretResponse | None:
        """The pair that a rotation replaced and that still works, if there is one."""
        return next((secret for secret in self.secrets if secret.retires_at is not None), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedApiKeyResponse(ApiKeyResponse):
    """An API key with a new pair, and the private key of that pair, which no other answer shows."""

    private_key: PrivateKey
    """The private key for authentication; in this answer only"""
    replayed: bool = in_header("Idempotency-Replayed")
    """Whether this is the answer to an earlier request with the same idempotency key"""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedApiKeyResponse(ApiKeyResponse):
    """An API key with its recent usage."""

    usage: DaysResponse
