"""The audit log: one event for every change to a key."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from keywright.contract.codec import AwareTime, Count


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorResponse:
    """Who made the change: the bearer of an access token, or the service, with issuer and subject `keywright`."""

    issuer: str
    subject: str
    client_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventResponse:
    """One change to a key."""

    id: UUID
    type: str
    """Such as `api_key.created`; a newer service may have further types"""
    key_id: UUID
    """The organization's id in an event about the log itself, such as `audit_log.erased`"""
    occurred_at: AwareTime
    actor: ActorResponse
    request_id: str
    """The `X-Request-Id` of the answer to the request that made the change"""
    address: str | None
    """The address that the request came from; null where it is not known"""
    data: Mapping[str, Any] = field(hash=False)
    """Details of the change; never a secret"""
    position: Count | None
    """The place in the chain of the organization's events, from 1; null for an event older than the chain"""
    hash: str | None
    """SHA-256, in hexadecimal, over the hash before it and this event"""
    erased: bool = False
    """Whether the personal fields were erased: subject, client, address, and texts about the key in `data`"""
