"""
The ports of management to its store. An adapter promises every sentence written here.

tests/storage/contract.py holds the promises of `Store` as tests; they run on every store.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from typing import Generic, NamedTuple, Protocol, TypeVar
from uuid import UUID

from keywright.keys.record import ApiKey, RevocationReason, Secret, Status
from keywright.service.management.audit_log import Event, EventType
from keywright.service.principal import Organization
from keywright.service.verifier_sessions import Receipt

Item = TypeVar("Item")

SECRETS_PER_PAGE = 20
"""How many secrets of a key a page of its usage has, unless another number is given."""

MOST_EXAMINED = 500
"""How many rows one call to a filtered list examines at most."""


class Found(NamedTuple, Generic[Item]):
    """
    A part of a list. The rest begins at the id `next`, as a list does at its `before`; None where there is no rest.

    A filtered list examines up to MOST_EXAMINED keys or events in one call, so a part may be short or empty although
    there is a rest.
    """

    items: list[Item]
    next: UUID | None


class Outcome(Enum):
    """The outcome of a change. All but `DONE` changed nothing."""

    DONE = auto()
    REPEATED = auto()
    """An answer is stored for this request: it was sent before."""
    TOO_MANY = auto()
    """The organization has the most active keys that it may have."""
    OTHER_OWNER = auto()
    """The id of the organization is stored for another issuer or external id."""
    OUTDATED = auto()
    """The key was changed since it was read, or is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedAnswer:
    """
    The stored answer to an idempotent request, sealed so that only the same request opens it.

    `request_digest` (32 bytes) identifies it within the organization; `fingerprint` (32 bytes) differs for a request
    with other content; `sealed` is the answer. After `expires_at` it is treated as absent.
    """

    request_digest: bytes
    fingerprint: bytes
    sealed: bytes
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewApiKey:
    """
    The rows of one creation. `secret_digest` is the digest of the private key, 32 bytes.

    `most_active` is the most active keys of the organization, this one included; None for any number.
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
    The changes of one rotation: the key gets *secret*, and its current secret retires.

    `version` is the version of the key that was read. The new secret's row has the id of the event.
    """

    version: int
    secret: Secret
    secret_digest: bytes
    retires_at: datetime
    idle_seconds: int | None
    event: Event
    sealed_answer: SealedAnswer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotations:
    """
    The past rotations of a key.

    `pairs` is the number of its pairs, current and former, or the most that were to be counted. `latest` are the times
    of the latest rotations, newest first.
    """

    pairs: int
    latest: Sequence[datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFilter:
    """
    A filter of keys; a field that is None does not filter.

    `status` is the status at the moment `at`. `expires_before` leaves out keys that expire later or never; with the
    status active it finds keys that expire soon. `text` is part of the name or the description, without regard to the
    case of ASCII letters, or the beginning of the public key or the end of the displayed private key, of the current
    secret or the one that the last rotation replaced. `unused_since` leaves out keys that were used at this moment or
    later, and those created later and never used. `scope` is one scope as the key has it: a wildcard finds itself only.
    `created_since` is included, `created_before` is not. With `oldest_first` the page is read in the other direction.
    """

    at: datetime
    status: Status | None = None
    expires_before: datetime | None = None
    text: str | None = None
    environment: str | None = None
    external_id: str | None = None
    unused_since: datetime | None = None
    created_by: str | None = None
    created_since: datetime | None = None
    created_before: datetime | None = None
    scope: str | None = None
    oldest_first: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """A filter of events; a field that is None does not filter. `since` is included, `until` is not."""

    key_id: UUID | None = None
    type: EventType | None = None
    subject: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """
    One stored position in the chain of an organization's events.

    `position` counts from 1. `digest` is stored beside the event, and an altered event has another one; it is None
    where the event is gone. `event` is None where the event is gone or can no longer be read. `erased_by` is the event
    of the erasure that blanked its personal fields; `digest` is still that of the whole event.
    """

    position: int
    hash: bytes
    digest: bytes | None
    event: Event | None
    erased_by: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A network and user agent that used a key recently. `public_key` is the text of the used secret's public key."""

    public_key: str
    network: str | None
    agent: str | None
    verifier: str
    first_seen: datetime
    last_seen: datetime
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedSource(Source):
    """A network and user agent from which a secret was refused recently, with the code of the verdict."""

    code: str


class UsageCount(NamedTuple):
    """The accepted uses of a key in some time, and its refusals by code."""

    uses: int
    refused: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """
    The usage of a key: accepted uses and refusals by hour or day, and a page of its secrets, newest first.

    `counts` has an hour or day by its beginning, in UTC; those without uses are left out. `refused` has refusals in the
    same way, by code.

    `sources` and `refusals` are the recent ones of these secrets, latest first. `next` is the id of the last secret,
    below which the following page begins; None on the last page.
    """

    last_used_at: datetime | None
    counts: dict[datetime, int]
    sources: list[Source]
    secrets: list[Secret]
    next: UUID | None = None
    refused: dict[datetime, dict[str, int]] = field(default_factory=dict)
    refusals: list[RefusedSource] = field(default_factory=list)


class UsageStore(Protocol):
    """The usage of keys. The rules of `Store` hold."""

    async def usage(
        self,
        org_id: UUID,
        key_id: UUID,
        *,
        since: datetime,
        by_day: bool = False,
        limit: int = SECRETS_PER_PAGE,
        before: UUID | None = None,
    ) -> Usage | None:
        """
        Give the usage of one key since *since*, with up to *limit* of its secrets, beginning below *before*.

        With *by_day* the database adds the hours of a day up, so that there is one row for each day.
        None without such a key. Without such a secret as *before*, there are no secrets on the page.
        """
        ...

    async def daily_counts(
        self, org_id: UUID, key_ids: Sequence[UUID], *, since: datetime
    ) -> dict[UUID, dict[datetime, UsageCount]]:
        """
        Give accepted uses and refusals since *since* by key and day in UTC; keys and days without either are left out.

        A day is named by its beginning.
        """
        ...


class Store(UsageStore, Protocol):
    """
    Stores API keys and their audit log.

    For every method:
    - One call is one transaction. When it returns, its changes survive a crash of the process and of the machine.
    - It sees one organization: a key of another one is treated as absent.
    - A deleted key is treated as absent.
    - A stored event gets the next position in the chain of its organization, in the same transaction.
    - It raises `StorageUnavailable` when the database is unavailable, too busy or not migrated, within a few seconds
      and never later; then a change may or may not have been made, but never half of it.
    - It raises `ValueError` when the database refuses the data: an id, a public key or a digest is taken, or a value
      does not fit its column. Then nothing is stored.
    - Calls may run concurrently, from one event loop.
    """

    async def create(self, new: NewApiKey) -> Outcome:
        """
        Store a key, its organization where it is new, the event, and the sealed answer where there is one.

        A stored organization never changes. Of two that are new, have one id and come at the same time, one is stored.

        Creations that wait at the same time share one commit; one that cannot be stored does not affect the others.

        Returns:
            `DONE`, `REPEATED`, `TOO_MANY` or `OTHER_OWNER`.
        """
        ...

    async def sealed_answer(self, org_id: UUID, request_digest: bytes, at: datetime) -> SealedAnswer | None:
        """Read the sealed answer of a request; None where there is none, or it has expired at that moment."""
        ...

    async def get(self, org_id: UUID, key_id: UUID) -> ApiKey | None:
        """Read one key; None where there is none."""
        ...

    async def list_newest(
        self, org_id: UUID, *, limit: int, before: UUID | None, which: KeyFilter | None = None
    ) -> Found[ApiKey]:
        """
        Read up to *limit* keys in descending order of id, beginning below *before* or at the newest.

        With `which.oldest_first` in ascending order, beginning above *before* or at the oldest. The keys of an external
        id have an index: those of others are not examined.
        """
        ...

    async def update(self, api_key: ApiKey, event: Event, *, most_active: int | None = None) -> Outcome:
        """
        Store the changed fields of a key that was read, and the event; its version becomes one more.

        Only these fields are written: name, description, expiry, when it was disabled, scopes, networks, rate limits,
        external id, metadata.
        A change of the expiry removes its notices.

        Args:
            most_active: The most active keys of the organization, this one included; None for any number. It counts for
                a change that makes a key active again.

        Returns:
            `DONE`, `TOO_MANY`, or `OUTDATED` when its version is no longer `api_key.version` or it is gone.
        """
        ...

    async def past_rotations(self, org_id: UUID, key_id: UUID, *, latest: int, most: int) -> Rotations:
        """
        Give the past rotations of a key; none without such a key.

        Args:
            latest: How many times to give.
            most: Up to which number to count pairs; the work grows with it, and not with the number of pairs.
        """
        ...

    async def rotate(self, rotation: Rotation) -> Outcome:
        """
        Give the key of the event a new secret, retire its current one, and store the event and the sealed answer.

        A secret that retired before is not changed, so that it never works again.

        Returns:
            `DONE`, `REPEATED`, or `OUTDATED` as for `update`, and also when an earlier secret still works at the
            event's time.
        """
        ...

    async def set_retirement(self, event: Event, *, version: int, retires_at: datetime) -> Outcome:
        """
        Set another end for the retiring secret; from now on it no longer ends sooner for being idle.

        Returns:
            `DONE`, or `OUTDATED` as for `update`, and also when no secret is retiring at the event's time.
        """
        ...

    async def revoke(self, event: Event, reason: RevocationReason) -> ApiKey | None:
        """
        Revoke the key of *event* at the event's time, and store the event.

        A key that was revoked before is not changed and gets no second event.

        Returns:
            The key after the call, or None without such a key.
        """
        ...

    async def delete(self, event: Event) -> bool:
        """
        Delete the key of *event*, leaving a tombstone with its digest, and store the event.

        Returns:
            Whether there was such a key.
        """
        ...

    async def events(
        self, org_id: UUID, *, limit: int, before: UUID | None, which: EventFilter
    ) -> Found[tuple[Event, Link | None]]:
        """
        Read up to *limit* events in descending order of id, beginning below *before*, each with its link of the chain.

        Events of deleted keys are included; events of a type that a newer version wrote are not. The link is None for
        events older than the chain.
        """
        ...

    async def receipt(self, org_id: UUID, key_id: UUID) -> Receipt | None:
        """
        Give the receipt of a key's revocation or deletion, with every session that may have used the key.

        These are the sessions that acknowledged the change, and those that were stored before `committed_by` and at
        `ended_at` were neither closed nor expired. A session expires `outage_seconds` plus SESSION_SECONDS after its
        last renewal: from then on its process does not use its cache. None without such a key, or where it was neither
        revoked nor deleted, or where the receipt was removed for its age. A deleted key of the organization has a
        receipt, too.
        """
        ...

    async def check(self) -> None:
        """Return if the database answers and is migrated; raise `StorageUnavailable` otherwise."""
        ...
