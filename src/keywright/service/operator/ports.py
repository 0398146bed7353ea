"""
The port of the operator's use cases to the store. An adapter promises every sentence written here.

tests/storage/test_operator.py holds the promises as tests, on every store.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from keywright.keys.record import ApiKey, RevocationReason, Secret
from keywright.service.management.audit_log import Event, Origin
from keywright.service.management.ports import EventFilter, Found, KeyFilter, Link, Store
from keywright.service.principal import Organization

KEYS_IN_A_STEP = 500
"""The most keys that one transaction of a revocation of many revokes."""

EXAMINED_IN_A_STEP = 5000
"""The most keys that one step of a revocation of many, or of its preview, examines."""

BEGIN = UUID(int=0)
"""The position of a revocation that has examined no key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """A key with its organization; of a deleted key, too, `deleted_at` and the subject that deleted it."""

    organization: Organization
    api_key: ApiKey
    deleted_at: datetime | None = None
    deleted_by: str | None = None


class FoundKey(NamedTuple):
    """A key, and the one of its pairs by which it was found."""

    key: StoredKey
    secret: Secret


class CountedOrganization(NamedTuple):
    """
    An organization with the number of its keys that are neither revoked nor deleted.

    Keys that have expired count, unless a creation at the organization's limit has counted them out.
    """

    organization: Organization
    created_at: datetime
    active_keys: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Whose keys: of one organization, of one creator, or of one creator in one organization; not both None."""

    org_id: UUID | None = None
    created_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """The operator that acts: the issuer and the subject of the token, the client, and the request."""

    issuer: str
    subject: str
    client_id: str | None
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkRevocation:
    """
    A revocation of many keys: previewed, then started, then finished.

    `actor` is the operator that started it, and until then the one that previewed it. `position` is the id of the last
    key that was examined. `last` is the organization and id of the key that was revoked last.
    """

    id: UUID
    target: Target
    reason: RevocationReason
    previewed_at: datetime
    keys: int
    organizations: int
    actor: Actor
    started_at: datetime | None = None
    finished_at: datetime | None = None
    position: UUID = BEGIN
    revoked: int = 0
    last: tuple[UUID, UUID] | None = None


class Counted(NamedTuple):
    """A part of a count: how many keys of each organization match, and the last id; None where no key is left."""

    keys: dict[UUID, int]
    last: UUID | None


class Batch(NamedTuple):
    """The next keys to revoke, each with its organization first, and the last examined id; None where none is left."""

    keys: Sequence[tuple[UUID, UUID]]
    last: UUID | None


class OperatorStore(Store, Protocol):
    """
    Reads and revokes keys of all organizations. The rules of `Store` hold, but that of the one organization.

    `reader` is the organization in whose turn a call waits for the database: the operator's.
    """

    async def find_by_id(self, reader: UUID, key_id: UUID) -> StoredKey | None:
        """Give a key by its id; a deleted one, too."""
        ...

    async def find_by_digest(self, reader: UUID, digest: bytes) -> FoundKey | None:
        """Give the key that has, or had, a private key with this digest; a deleted one, too."""
        ...

    async def find_by_public_key(self, reader: UUID, value: bytes) -> FoundKey | None:
        """Give the key that has, or had, the public key with these 32 bytes; a deleted one, too."""
        ...

    async def keys_of_all(self, reader: UUID, *, limit: int, before: UUID | None, which: KeyFilter) -> Found[StoredKey]:
        """Read keys of all organizations as `Store.list_newest` does, newest first, whatever `oldest_first` says."""
        ...

    async def events_of_all(
        self, reader: UUID, *, limit: int, before: UUID | None, which: EventFilter
    ) -> Found[tuple[Event, Link | None]]:
        """Read events of all organizations as `Store.events` does."""
        ...

    async def counted_organizations(
        self, reader: UUID, *, limit: int, before: UUID | None
    ) -> Sequence[CountedOrganization]:
        """Give up to *limit* organizations in descending order of id, beginning below *before*; no key is read."""
        ...

    async def counted_organization(self, reader: UUID, org_id: UUID) -> CountedOrganization | None:
        """Give one organization by its id."""
        ...

    async def counted_organization_named(
        self, reader: UUID, issuer: str, external_id: str
    ) -> CountedOrganization | None:
        """Give one organization by its issuer and external id."""
        ...

    async def count_revocable(self, reader: UUID, target: Target, *, after: UUID) -> Counted:
        """Count the keys of *target* that are neither revoked nor deleted, among EXAMINED_IN_A_STEP above *after*."""
        ...

    async def revocable(self, target: Target, *, after: UUID) -> Batch:
        """Give up to KEYS_IN_A_STEP of the keys that `count_revocable` counts, in ascending order of id."""
        ...

    async def add_preview(self, revocation: BulkRevocation) -> None:
        """Store a revocation that was previewed."""
        ...

    async def bulk_revocation(self, reader: UUID | None, id_: UUID) -> BulkRevocation | None:
        """Give one revocation of many keys; None as the reader is a background task."""
        ...

    async def bulk_revocations(self, reader: UUID, *, limit: int, before: UUID | None) -> Sequence[BulkRevocation]:
        """Give up to *limit* revocations of many keys in descending order of id, beginning below *before*."""
        ...

    async def start_bulk_revocation(self, id_: UUID, actor: Actor, at: datetime) -> None:
        """Start a revocation that is not started, in the name of *actor*."""
        ...

    async def running_bulk_revocations(self) -> Sequence[BulkRevocation]:
        """Give the revocations that are started and not finished."""
        ...

    async def revoke_many(
        self,
        revocation: BulkRevocation,
        events: Sequence[Event],
        *,
        position: UUID,
        finished_at: datetime | None,
    ) -> None:
        """
        Revoke the keys of *events*, store the events of those that were not revoked, and move the position.

        Nothing is done where another call has moved the position from that of *revocation*, or has finished it.
        """
        ...
