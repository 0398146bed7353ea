"""
What management needs of its store, as contracts. An adapter promises every sentence written here.

tests/storage/contract.py holds the promises of `Store` as tests; they run on every store.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Protocol
from uuid import UUID

from keywright.keys.record import ApiKey, RevocationReason, Secret, Status
from keywright.service.management.audit_log import Event, EventType
from keywright.service.principal import Organization
from keywright.service.verifier_sessions import Receipt


class Outcome(Enum):
    """The result of a change. With any other than `DONE` nothing was changed."""

    DONE = auto()
    REPEATED = auto()
    """A sealed answer is stored for this request already: it was sent before."""
    TOO_MANY = auto()
    """The organization has as many active keys as it may have."""
    OUTDATED = auto()
    """The key was changed since it was read, or is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedAnswer:
    """
    The answer to a request that may be repeated, sealed so that only the repeated request opens it.

    `request_digest` (32 bytes) finds it among those of the organization; `fingerprint` (32 bytes) tells whether what
    is asked is the same; `sealed` is the answer. After `expires_at` it is as if it had never been.
    """

    request_digest: bytes
    fingerprint: bytes
    sealed: bytes
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewApiKey:
    """
    All that one creation stores. `secret_digest` is the 32 bytes by which the private key will be found.

    `most_active` is how many active keys the organization may have, this one included; None for any number.
    """

    organization: Organization
    api_key: ApiKey
    secret_digest: bytes
    event: Event
    sealed_answer: SealedAnswer | None = None
    most_active: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """
    All that one rotation changes: the key gets *secret*, and its current one retires.

    `version` is that of the key that was read. The new secret's row bears the id of the event.
    """

    version: int
    secret: Secret
    secret_digest: bytes
    retires_at: datetime
    quiet_seconds: int | None
    event: Event
    sealed_answer: SealedAnswer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFilter:
    """
    Which keys to list; what is None does not matter. `at` is the moment that the others are about.

    `status` is what a key is worth at that moment. `expires_before` leaves out keys that expire later or not at all,
    and with `status` active finds those that are expiring. `text` is part of the name or the description, in any case
    of ASCII letters, or the beginning of the public key or the end of the private one as they are shown, of the current
    secret or the one that the last rotation replaced. `unused_since` leaves out keys that were used at that moment or
    later, and those created later and never used.
    """

    at: datetime
    status: Status | None = None
    expires_before: datetime | None = None
    text: str | None = None
    environment: str | None = None
    external_id: str | None = None
    unused_since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events to list; what is None does not matter. `since` is included, `until` is not."""

    key_id: UUID | None = None
    type: EventType | None = None
    subject: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """
    One place in the chain of an organization's events, as it is stored.

    `position` counts from 1. `digest` is what is stored with the event, which an altered event no longer has; None
    where the event is gone. `event` is None then, and also where what is stored cannot be read as an event any more.
    """

    position: int
    hash: bytes
    digest: bytes | None
    event: Event | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A key for which a background task is due; `version` is that of the key."""

    org_id: UUID
    key_id: UUID
    version: int
    expires_at: datetime | None = None
    public_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A recent source of a key's usage, added up. `public_key` is the text of the secret's public key."""

    public_key: str
    network: str | None
    agent: str | None
    verifier: str
    first_seen: datetime
    last_seen: datetime
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """
    How a key was used: accepted uses by hour, those without any left out, and the recent sources, latest first.

    `secrets` are all that the key ever had, newest first.
    """

    last_used_at: datetime | None
    hours: dict[datetime, int]
    sources: list[Source]
    secrets: list[Secret]


class UsageStore(Protocol):
    """The uses of keys. The rules of `Store` hold."""

    async def usage(self, org_id: UUID, key_id: UUID, *, since: datetime) -> Usage | None:
        """Give the use of one key since then; None where there is no such key."""
        ...

    async def hourly_counts(
        self, org_id: UUID, key_ids: Sequence[UUID], *, since: datetime
    ) -> dict[UUID, dict[datetime, int]]:
        """Give accepted uses by key and hour, for many keys in one call; keys and hours without any are left out."""
        ...


class Store(UsageStore, Protocol):
    """
    Keeps API keys and their audit log.

    For every method:
    - One call is one transaction. When it returns, what it did survives a crash of the process and of the machine.
    - It sees one organization: a key of another one is the same as no key.
    - A deleted key is the same as no key.
    - An event that is stored gets the next place in the chain of its organization, in the same transaction.
    - It raises `StorageUnavailable` within a few seconds when the database is unavailable, too busy or not migrated;
      then a change may or may not have been made, but never half of one.
    - It raises `ValueError` when the database refuses the data: an id, a public key or a digest is taken, or a value is
      beyond what a column holds. Then nothing of it is stored.
    - Calls may run side by side, from one event loop.
    """

    async def create(self, new: NewApiKey) -> Outcome:
        """
        Store a key, its organization where that is new, the event, and the sealed answer where there is one.

        Creations that wait at the same time share one commit; one that cannot be stored fails alone.

        Returns:
            `DONE`, `REPEATED` or `TOO_MANY`.
        """
        ...

    async def sealed_answer(self, org_id: UUID, request_digest: bytes, at: datetime) -> SealedAnswer | None:
        """Read the sealed answer of a request, unless it has expired at that moment."""
        ...

    async def get(self, org_id: UUID, key_id: UUID) -> ApiKey | None:
        """Read one key."""
        ...

    async def list_newest(
        self, org_id: UUID, *, limit: int, before: UUID | None, which: KeyFilter | None = None
    ) -> list[ApiKey]:
        """Read up to *limit* keys in descending order of id, beginning below *before* or at the newest."""
        ...

    async def update(self, api_key: ApiKey, event: Event) -> Outcome:
        """
        Store what may be changed of a key that was read as it now stands, and the event; its version becomes one more.

        What may be changed: name, description, expiry, scopes, networks, rate limits, external id, metadata. Nothing
        else is written. Notices of an expiry that changed are forgotten.

        Returns:
            `DONE`, or `OUTDATED` when its version is not `api_key.version` any more or it is gone.
        """
        ...

    async def rotate(self, rotation: Rotation) -> Outcome:
        """
        Give the key that the event names a new secret, retire its current one, and store event and sealed answer.

        A secret that retired before stays as it is, so that it never works again.

        Returns:
            `DONE`, `REPEATED`, or `OUTDATED` as for `update`, and also when an earlier secret still works at the
            event's time.
        """
        ...

    async def set_retirement(self, event: Event, *, version: int, retires_at: datetime) -> Outcome:
        """
        Give the secret that is being rotated out another end, which no idle time makes earlier.

        Returns:
            `DONE`, or `OUTDATED` as for `update`, and also when no secret is being rotated out at the event's time.
        """
        ...

    async def revoke(self, event: Event, reason: RevocationReason) -> ApiKey | None:
        """
        Revoke the key that *event* names as of the time it names, and store the event.

        A key that was revoked before stays as it is and gets no second event.

        Returns:
            The key as it stands after the call, or None when there is no such key.
        """
        ...

    async def delete(self, event: Event) -> bool:
        """
        Delete the key that *event* names, leaving a tombstone with its digest, and store the event.

        Returns:
            Whether there was such a key.
        """
        ...

    async def events(
        self, org_id: UUID, *, limit: int, before: UUID | None, which: EventFilter
    ) -> list[tuple[Event, Link | None]]:
        """
        Read up to *limit* events in descending order of id, beginning below *before*, each with its place in the chain.

        Events of deleted keys are included; those of a type that a newer version wrote are not. The place is None for
        events from before there was a chain.
        """
        ...

    async def receipt(self, org_id: UUID, key_id: UUID) -> Receipt | None:
        """
        Give when the key was revoked or deleted, and the state of every session that may have used it.

        These are the sessions that confirmed, and those that were stored before `committed_by` and were neither closed
        nor unseen for too long at `ended_at`. Too long is `outage_seconds` and SESSION_SECONDS: a process that could
        not renew its session for that long uses nothing that it cached. None where there is no such key, or it was
        neither revoked nor deleted. Works for a deleted key of the organization, too.
        """
        ...

    async def check(self) -> None:
        """Return when the database answers and is migrated; raise `StorageUnavailable` otherwise."""
        ...


class AuditStore(Protocol):
    """What is read to prove the audit log. The rules of `Store` hold, but it sees every organization."""

    async def chained_organizations(self) -> Sequence[UUID]:
        """Give every organization that has events, in ascending order."""
        ...

    async def links(self, org_id: UUID, *, after: int, limit: int) -> Sequence[Link]:
        """Read up to *limit* places of a chain in ascending order of position, beginning above *after*."""
        ...

    async def chain_end(self, org_id: UUID) -> tuple[int, bytes]:
        """Give the position and the hash that the next event is to be chained to; 0 and `CHAIN_BEGINS` at first."""
        ...

    async def unchained_events(self, org_id: UUID) -> Sequence[UUID]:
        """Give up to 100 ids of events with a digest and no place in the chain: they were inserted by other means."""
        ...


class KeyTaskStore(Store, Protocol):
    """What is due in the background. The rules of `Store` hold, but the methods here see every organization."""

    async def idle_secrets(self, at: datetime, *, lag_seconds: float, limit: int) -> Sequence[Due]:
        """
        Give keys whose replaced secret was idle for long enough.

        That is: at *at*, the key is active and the secret still works, the one that replaced it was first used, and
        both that and its own last use are longer ago than its `quiet_seconds` and *lag_seconds* together.
        `Due.public_key` is the text of the replaced one's.
        """
        ...

    async def expiring(self, at: datetime, *, within_days: int, limit: int) -> Sequence[Due]:
        """
        Give active keys that expire within so many days after *at*, and were given no notice of these days or fewer.

        With `Due.expires_at`.
        """
        ...

    async def add_expiry_notice(self, event: Event, *, expires_at: datetime, days: int) -> bool:
        """
        Store a notice that a key is about to expire; give whether it was the first of so many days or fewer.

        Nothing is stored for a key that expires at another time by now, was revoked, or does not exist any more.
        """
        ...

    async def purge(self, at: datetime, *, limit: int) -> int:
        """
        Remove up to *limit* rows that are not needed any more at *at*, and give how many.

        These are sealed answers that have expired, and the last batch numbers of reporters that wrote no usage for
        7 days.
        """
        ...
