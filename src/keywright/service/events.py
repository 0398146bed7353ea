"""The trail: one event for every change to a key, stored in the same transaction as the change."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Self
from uuid import UUID

from keywright.service.principal import Principal


class EventType(StrEnum):
    """What happened."""

    CREATED = "api_key.created"
    REVOKED = "api_key.revoked"
    DELETED = "api_key.deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a change was asked from: the request's id, and the caller's address where it is known."""

    request_id: str
    address: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """
    One row of the trail: who did what to which key, when, and from where.

    `data` holds what is worth keeping of the change itself, as JSON values; never a secret.
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
    data: dict[str, str | None] = field(default_factory=dict)

    @classmethod
    def by(
        cls,
        principal: Principal,
        origin: Origin,
        type_: EventType,
        *,
        id: UUID,  # noqa: A002 - the field's own name
        key_id: UUID,
        occurred_at: datetime,
        data: dict[str, str | None] | None = None,
    ) -> Self:
        """Write down that *principal*, calling from *origin*, did *type_* to the key."""
        return cls(
            id=id,
            type=type_,
            org_id=principal.organization.id,
            key_id=key_id,
            occurred_at=occurred_at,
            issuer=principal.issuer,
            subject=principal.subject,
            client_id=principal.client_id,
            origin=origin,
            data=data or {},
        )
