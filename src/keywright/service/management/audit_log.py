"""
The audit log: one event for every change to a key, stored in the same transaction as the change.

The events of an organization are a chain: each has a hash over its own content and the hash of the one before, so that
`audit` finds a row that was altered or removed later. The hashed form is defined here, the same for every engine.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final, Self
from uuid import UUID

import msgspec

CHAIN_BEGINS = bytes(32)
"""The hash before the first event."""

SERVICE = "keywright"
"""The issuer and subject of events of the background tasks and of operators, which no request made."""

LEAST_DAYS_OF_EVENTS: Final = 30
"""The database refuses to remove younger events, whatever the settings are."""

PERSONAL: Final = ("name", "description", "external_id", "metadata")
"""The members of an event's data, and of its `before` and `after`, that may name a person."""

_encode = json.JSONEncoder().encode
_quoted = json.encoder.encode_basestring_ascii
# The same as str(id), in a quarter of the time.
_text_of: Callable[[UUID], str] = msgspec.to_builtins

# PostgreSQL cannot store a NUL.
_NUL, _INSTEAD_OF_NUL = "\0", "\ufffd"


class EventType(StrEnum):
    """
    The kind of change that an event records.

    Events whose type begins with `audit_log` are about the log itself; their key is the organization's id.
    """

    CREATED = "api_key.created"
    UPDATED = "api_key.updated"
    ROTATED = "api_key.rotated"
    ROTATION_CHANGED = "api_key.rotation_changed"
    SECRET_RETIRED = "api_key.secret_retired"  # noqa: S105 - no secret
    EXPIRING = "api_key.expiring"
    REVOKED = "api_key.revoked"
    DELETED = "api_key.deleted"
    SEALED = "audit_log.sealed"
    """`events` counts the events from before there was a chain, which have no digest."""
    ERASED = "audit_log.erased"
    """`events` has, for each position whose personal fields were erased, the digest of the rest in hexadecimal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The request that made a change: its id, and the caller's address where it is known."""

    request_id: str
    address: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """
    One row of the audit log: who changed which key, how, when, and from where.

    `data` are the details of the change, as JSON values that are `storable`; never a secret. An update has the members
    `before` and `after`, each with the fields that changed.
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
    def blanked(self) -> Self:
        """The event without its personal fields: subject, client and address, and `PERSONAL` in its data."""
        data = _without_personal(self.data)
        for name in ("before", "after"):
            if isinstance(data.get(name), Mapping):
                data[name] = _without_personal(data[name])
        return replace(
            self, subject="", client_id=None, origin=Origin(request_id=self.origin.request_id, address=None), data=data
        )

    @property
    def digest(self) -> bytes:
        """SHA-256, 32 bytes, over the whole event in its `canonical` form."""
        # The `canonical` form of the members, written in its order: an encoder takes twice the time.
        address, client = _text(self.origin.address), _text(self.client_id)
        occurred_at = self.occurred_at.isoformat(timespec="microseconds")
        content = (
            f'{{"address":{address},"client_id":{client},"data":{canonical(self.data)},"id":"{_text_of(self.id)}",'
            f'"issuer":{_quoted(self.issuer)},"key_id":"{_text_of(self.key_id)}","occurred_at":"{occurred_at}",'
            f'"org_id":"{_text_of(self.org_id)}","request_id":{_quoted(self.origin.request_id)},'
            f'"subject":{_quoted(self.subject)},"type":"{self.type}"}}'
        )
        return sha256(content.encode()).digest()


def canonical(value: Any) -> str:
    """
    Write a JSON value in the form that is hashed: compact ASCII JSON with sorted names.

    A number with a whole value is written as a whole number: 1.0 as 1, 1e16 with its 17 digits. So the form is the same
    for a value that a database has read and written, since a database stores the value of a number, not its spelling.
    """
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, (dict, Mapping)):
        return f"{{{','.join([f'{_quoted(name)}:{canonical(value[name])}' for name in sorted(value)])}}}"
    if isinstance(value, list | tuple):
        return f"[{','.join([canonical(inner) for inner in value])}]"
    if isinstance(value, float):
        # By the shortest decimal text, as JSON writes it: int(1e23) is another number than 1e23 written out.
        exact = Decimal(repr(value))
        return _encode(int(exact) if exact == exact.to_integral_value() else value)
    return _encode(value)


def storable(value: Any) -> Any:
    """Give a JSON value as every database can store it: with U+FFFD for each NUL."""
    if isinstance(value, str):
        return value.replace(_NUL, _INSTEAD_OF_NUL)
    if isinstance(value, (dict, Mapping)):
        return {storable(name): storable(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [storable(inner) for inner in value]
    return value


def _text(value: str | None) -> str:
    return "null" if value is None else _quoted(value)


def service_event(type_: EventType, org_id: UUID, key_id: UUID, at: datetime, id_: UUID, data: dict[str, Any]) -> Event:
    """Make an event that no request made; its request id is its own id."""
    origin = Origin(request_id=str(id_), address=None)
    return Event(
        id=id_,
        type=type_,
        org_id=org_id,
        key_id=key_id,
        occurred_at=at,
        issuer=SERVICE,
        subject=SERVICE,
        client_id=None,
        origin=origin,
        data=data,
    )


def rfc3339(at: datetime | None) -> str | None:
    """Write an aware time for the data of an event: RFC 3339 in UTC, to the microsecond, ending in `Z`."""
    return None if at is None else at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def link(previous: bytes, digest: bytes) -> bytes:
    """Give the hash of an event in its chain: SHA-256 over the hash before it and its own digest, 32 bytes each."""
    return sha256(previous + digest).digest()


def _without_personal(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: None if name in PERSONAL else value for name, value in data.items()}
