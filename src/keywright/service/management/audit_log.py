"""
The audit log: one event for every change to a key, stored in the same transaction as the change.

The events of an organization are a chain: each has a hash over its own content and the hash of the one before, so that
a row that was altered or taken out later is found (`audit`). What is hashed is written here, the same for every engine.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any
from uuid import UUID

CHAIN_BEGINS = bytes(32)
"""What stands for the hash before the first."""

SERVICE = "keywright"
"""The issuer and subject of events that no request made: those of the background tasks."""

_canonical = json.JSONEncoder(ensure_ascii=True, sort_keys=True, separators=(",", ":")).encode


class EventType(StrEnum):
    """What happened."""

    CREATED = "api_key.created"
    UPDATED = "api_key.updated"
    ROTATED = "api_key.rotated"
    ROTATION_CHANGED = "api_key.rotation_changed"
    SECRET_RETIRED = "api_key.secret_retired"  # noqa: S105 - no secret
    EXPIRING = "api_key.expiring"
    REVOKED = "api_key.revoked"
    DELETED = "api_key.deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The request that made a change: its id, and the caller's address where it is known."""

    request_id: str
    address: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """
    One row of the audit log: who did what to which key, when, and from where.

    `data` holds what is worth keeping of the change itself, as JSON values without fractions; never a secret. A change
    to what a key may do has the members `before` and `after`, each with the fields that changed.
    """

    id: UUID
    type: EventType
    org_id: UUID
    key_id: UUID
    occurred_at: datetime
    issuer: str
    subject: str
    client_id: str | None
    origin: Origin
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> bytes:
        """SHA-256 over all of the event, in one canonical form: JSON with sorted names, in UTF-8."""
        content = {
            "id": str(self.id),
            "type": self.type.value,
            "org_id": str(self.org_id),
            "key_id": str(self.key_id),
            "occurred_at": self.occurred_at.isoformat(timespec="microseconds"),
            "issuer": self.issuer,
            "subject": self.subject,
            "client_id": self.client_id,
            "request_id": self.origin.request_id,
            "address": self.origin.address,
            "data": self.data,
        }
        return sha256(_canonical(content).encode()).digest()


def rfc3339(at: datetime | None) -> str | None:
    """Write an aware time as the data of events has it: RFC 3339 in UTC, to the microsecond, ending in `Z`."""
    return None if at is None else at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def link(previous: bytes, digest: bytes) -> bytes:
    """Give the hash of an event in its chain: SHA-256 over the hash before it and its own digest, 32 bytes each."""
    return sha256(previous + digest).digest()
