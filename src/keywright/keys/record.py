"""
The record of an API key, and its status at a given time.

Nothing here is secret: a record has the public half of the pair, and the display of the private one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Self
from uuid import UUID

from keywright.keys.pair import KeyPair, PublicKey
from keywright.keys.rate_limits import RateLimit

# Lengths count Unicode code points.
NAME_MAX = 100
DESCRIPTION_MAX = 255
EXTERNAL_ID_MAX = 255


class Status(StrEnum):
    """Whether a key can be used, as management shows it."""

    ACTIVE = "active"
    REVOKED = "revoked"
    DISABLED = "disabled"
    EXPIRED = "expired"


class RevocationReason(StrEnum):
    """Why a key was revoked: the reasons of RFC 5280, section 5.3.1, that apply to keys."""

    UNSPECIFIED = "unspecified"
    KEY_COMPROMISE = "key_compromise"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessation_of_operation"
    PRIVILEGE_WITHDRAWN = "privilege_withdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """
    One pair of an API key, as it is stored.

    `retires_at` is None for the current pair, and the end of a pair that a rotation has replaced. With `idle_seconds`
    the replaced pair ends sooner: once it was idle for so long after the first use of the new pair.
    """

    public_key: PublicKey
    display: str
    created_at: datetime
    first_used_at: datetime | None = None
    last_used_at: datetime | None = None
    retires_at: datetime | None = None
    idle_seconds: int | None = None

    @classmethod
    def of(cls, pair: KeyPair, *, created_at: datetime) -> Self:
        """Give the secret to store for a pair that was just minted."""
        return cls(public_key=pair.public, display=pair.private.display, created_at=created_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """
    One API key. Times are aware, in UTC. `created_by` and `revoked_by` are the subjects of tokens.

    `secret` is the current pair, `retiring` the pair that the last rotation replaced, None without a rotation.
    `scopes` follow the grammar of the module `scopes`. `allowed_ips` are networks in canonical form (`addresses`);
    an empty tuple allows any address. `metadata` is a JSON object. `disabled_at` is None for an
    enabled key. `version` counts changes by management, not uses.
    """

    id: UUID
    org_id: UUID
    name: str
    description: str | None
    environment: str
    created_at: datetime
    created_by: str
    secret: Secret
    retiring: Secret | None = None
    expires_at: datetime | None = None
    disabled_at: datetime | None = None
    revoked_at: datetime | None = None
    revoked_by: str | None = None
    revocation_reason: RevocationReason | None = None
    scopes: tuple[str, ...] = ()
    allowed_ips: tuple[str, ...] = ()
    rate_limits: tuple[RateLimit, ...] = ()
    external_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    version: int = 1

    @property
    def last_used_at(self) -> datetime | None:
        """The time of the last use of either pair; None for an unused key."""
        current, old = self.secret.last_used_at, None if self.retiring is None else self.retiring.last_used_at
        return current or old if current is None or old is None else max(current, old)

    def retiring_at(self, now: datetime) -> Secret | None:
        """Give the replaced pair if it still works at *now*."""
        old = self.retiring
        return old if old is not None and old.retires_at is not None and old.retires_at > now else None

    def status_at(self, now: datetime) -> Status:
        """Give the status at *now*, in the order of the verdicts: a revoked key stays revoked when it expires."""
        if self.revoked_at is not None:
            return Status.REVOKED
        if self.disabled_at is not None:
            return Status.DISABLED
        if self.expires_at is not None and self.expires_at <= now:
            return Status.EXPIRED
        return Status.ACTIVE
