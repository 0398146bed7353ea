"""What became of keys: events, how they were used, how far a revocation has come, and what a new key may be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from keywright.client.fields import read_list, read_object, read_optional, read_text, read_time, read_truth, read_whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who did something: the bearer of an access token, or the service itself, whose issuer is `keywright`."""

    issuer: str
    subject: str
    client_id: str | None

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Self:
        """Read an actor; see `records.ApiKey.read`."""
        return cls(
            issuer=read_text(fields["issuer"]),
            subject=read_text(fields["subject"]),
            client_id=read_optional(read_text, fields["client_id"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """
    One row of an organisation's trail.

    `type` is such as `api_key.created`; a newer service may know more of them. `position` and `hash` (64 hexadecimal
    digits) are its place in the chain of the organisation's events, None for one from before there was a chain.
    """

    id: UUID
    type: str
    key_id: UUID
    occurred_at: datetime
    actor: Actor
    request_id: str
    address: str | None
    data: Mapping[str, Any] = field(hash=False)
    position: int | None
    hash: str | None

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Self:
        """Read an event; see `records.ApiKey.read`."""
        return cls(
            id=UUID(read_text(fields["id"])),
            type=read_text(fields["type"]),
            key_id=UUID(read_text(fields["key_id"])),
            occurred_at=read_time(fields["occurred_at"]),
            actor=Actor.read(fields["actor"]),
            request_id=read_text(fields["request_id"]),
            address=read_optional(read_text, fields["address"]),
            data=read_object(fields["data"]),
            position=read_optional(read_whole, fields["position"]),
            hash=read_optional(read_text, fields["hash"]),
        )


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events, newest first; `next` is the cursor of the following page, None on the last one."""

    events: Sequence[Event]
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Accepted uses in one period, which begins at `start`."""

    start: datetime
    count: int

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Self:
        """Read a count; see `records.ApiKey.read`."""
        return cls(start=read_time(fields["start"]), count=read_whole(fields["count"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a key was used from lately: `network` is a /24 or /48, `public_key` that of the pair that was used."""

    public_key: str
    network: str | None
    agent: str | None
    verifier: str
    first_seen: datetime
    last_seen: datetime
    count: int

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Self:
        """Read a source; see `records.ApiKey.read`."""
        return cls(
            public_key=read_text(fields["public_key"]),
            network=read_optional(read_text, fields["network"]),
            agent=read_optional(read_text, fields["agent"]),
            verifier=read_text(fields["verifier"]),
            first_seen=read_time(fields["first_seen"]),
            last_seen=read_time(fields["last_seen"]),
            count=read_whole(fields["count"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretUse:
    """A pair that a key has or had, and when it was used last."""

    public_key: str
    private_key_display: str
    last_used_at: datetime | None
    retires_at: datetime | None

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Self:
        """Read the use of a pair; see `records.ApiKey.read`."""
        return cls(
            public_key=read_text(fields["public_key"]),
            private_key_display=read_text(fields["private_key_display"]),
            last_used_at=read_optional(read_time, fields["last_used_at"]),
            retires_at=read_optional(read_time, fields["retires_at"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """How a key was used: `counts` by `period` (`hour` or `day`), empty ones included; `sources` the latest first."""

    key_id: UUID
    last_used_at: datetime | None
    period: str
    counts: Sequence[Count]
    sources: Sequence[Source]
    secrets: Sequence[SecretUse]

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Self:
        """Read the usage of a key; see `records.ApiKey.read`."""
        return cls(
            key_id=UUID(read_text(fields["key_id"])),
            last_used_at=read_optional(read_time, fields["last_used_at"]),
            period=read_text(fields["period"]),
            counts=read_list(Count.read, fields["counts"]),
            sources=read_list(Source.read, fields["sources"]),
            secrets=read_list(SecretUse.read, fields["secrets"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """
    A process that held keys when a key changed; `kind` is `server` or `verifier`.

    `believes_until` is the longest it can still believe the old state; None once it has confirmed that it does not.
    """

    name: str
    kind: str
    connected_at: datetime
    confirmed_at: datetime | None
    believes_until: datetime | None

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Self:
        """Read a witness; see `records.ApiKey.read`."""
        return cls(
            name=read_text(fields["name"]),
            kind=read_text(fields["kind"]),
            connected_at=read_time(fields["connected_at"]),
            confirmed_at=read_optional(read_time, fields["confirmed_at"]),
            believes_until=read_optional(read_time, fields["believes_until"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """How far a revocation or deletion has come; nobody believes the old state after `believed_until`."""

    key_id: UUID
    revoked_at: datetime
    confirmed: int
    pending: int
    believed_until: datetime | None
    verifiers: Sequence[Witness]

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Self:
        """Read a receipt; see `records.ApiKey.read`."""
        return cls(
            key_id=UUID(read_text(fields["key_id"])),
            revoked_at=read_time(fields["revoked_at"]),
            confirmed=read_whole(fields["confirmed"]),
            pending=read_whole(fields["pending"]),
            believed_until=read_optional(read_time, fields["believed_until"]),
            verifiers=read_list(Witness.read, fields["verifiers"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownScope:
    """A scope that the operator has described."""

    scope: str
    description: str

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Self:
        """Read a scope; see `records.ApiKey.read`."""
        return cls(scope=read_text(fields["scope"]), description=read_text(fields["description"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the operator demands of keys; what is None is not limited."""

    max_life_seconds: int | None
    expiry_required: bool
    max_active_keys: int | None

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Self:
        """Read a policy; see `records.ApiKey.read`."""
        return cls(
            max_life_seconds=read_optional(read_whole, fields["max_life_seconds"]),
            expiry_required=read_truth(fields["expiry_required"]),
            max_active_keys=read_optional(read_whole, fields["max_active_keys"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyOptions:
    """What a new key may be: the first environment is the usual one; without `scopes`, any of the grammar will do."""

    environments: Sequence[str]
    scopes: Sequence[KnownScope] | None
    policy: Policy

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Self:
        """Read the options; see `records.ApiKey.read`."""
        scopes = fields["scopes"]
        return cls(
            environments=read_list(read_text, fields["environments"]),
            scopes=None if scopes is None else read_list(KnownScope.read, scopes),
            policy=Policy.read(fields["policy"]),
        )
