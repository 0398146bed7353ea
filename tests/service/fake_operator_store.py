"""A store in memory with the keys of all organizations, for tests of the operator's use cases."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from keywright.keys.record import ApiKey
from keywright.service.management.audit_log import Event
from keywright.service.management.ports import EventFilter, Found, KeyFilter, Link
from keywright.service.operator.ports import (
    EXAMINED_IN_A_STEP,
    Actor,
    Batch,
    BulkRevocation,
    Counted,
    CountedOrganization,
    FoundKey,
    StoredKey,
    Target,
)
from tests.service.fake_store import FakeStore, fits
from tests.service.managing import NOW


class FakeOperatorStore(FakeStore):
    """
    `tombstones` has the ids of deleted keys; `examined` is how many keys a step examines. `is_overtaken` tells of each
    step whether another process takes it first.
    """

    def __init__(self) -> None:
        super().__init__()
        self.tombstones: dict[UUID, datetime] = {}
        self.bulk: dict[UUID, BulkRevocation] = {}
        self.examined = EXAMINED_IN_A_STEP
        self.is_overtaken: Callable[[], bool] = lambda: False

    async def get(self, org_id: UUID, key_id: UUID) -> ApiKey | None:
        return None if key_id in self.tombstones else await super().get(org_id, key_id)

    async def find_by_id(self, reader: UUID, key_id: UUID) -> StoredKey | None:
        key = self.keys.get(key_id)
        return None if key is None else self._stored(key)

    async def find_by_digest(self, reader: UUID, digest: bytes) -> FoundKey | None:
        for new in self.new:
            if new.secret_digest == digest:
                return FoundKey(self._stored(new.api_key), new.api_key.secret)
        return None

    async def find_by_public_key(self, reader: UUID, value: bytes) -> FoundKey | None:
        for key in self.keys.values():
            if key.secret.public_key.value == value:
                return FoundKey(self._stored(key), key.secret)
        return None

    async def keys_of_all(self, reader: UUID, *, limit: int, before: UUID | None, which: KeyFilter) -> Found[StoredKey]:
        keys = sorted(self.keys.values(), key=lambda key: key.id, reverse=True)
        found = [self._stored(key) for key in keys if (before is None or key.id < before) and fits(key, which)][:limit]
        return Found(found, found[-1].api_key.id if len(found) == limit else None)

    async def events_of_all(
        self, reader: UUID, *, limit: int, before: UUID | None, which: EventFilter
    ) -> Found[tuple[Event, Link | None]]:
        return Found([(event, None) for event in reversed(self.trail)][:limit], None)

    async def counted_organizations(
        self, reader: UUID, *, limit: int, before: UUID | None
    ) -> Sequence[CountedOrganization]:
        found = sorted({new.organization for new in self.new}, key=lambda each: each.id, reverse=True)
        return [CountedOrganization(each, NOW, 1) for each in found if before is None or each.id < before][:limit]

    async def counted_organization(self, reader: UUID, org_id: UUID) -> CountedOrganization | None:
        every = await self.counted_organizations(reader, limit=99, before=None)
        return next((each for each in every if each.organization.id == org_id), None)

    async def counted_organization_named(
        self, reader: UUID, issuer: str, external_id: str
    ) -> CountedOrganization | None:
        every = await self.counted_organizations(reader, limit=99, before=None)
        return next((each for each in every if each.organization.external_id == external_id), None)

    async def count_revocable(self, reader: UUID, target: Target, *, after: UUID) -> Counted:
        batch = await self.revocable(target, after=after)
        orgs = [org_id for org_id, _ in batch.keys]
        return Counted({org_id: orgs.count(org_id) for org_id in orgs}, batch.last)

    async def revocable(self, target: Target, *, after: UUID) -> Batch:
        examined = [key for key in self._in_order(target) if key.id > after][: self.examined]
        keys = [(key.org_id, key.id) for key in examined if key.revoked_at is None]
        return Batch(keys, examined[-1].id if len(examined) == self.examined else None)

    async def add_preview(self, revocation: BulkRevocation) -> None:
        self.bulk[revocation.id] = revocation

    async def bulk_revocation(self, reader: UUID | None, id_: UUID) -> BulkRevocation | None:
        return self.bulk.get(id_)

    async def bulk_revocations(self, reader: UUID, *, limit: int, before: UUID | None) -> Sequence[BulkRevocation]:
        return list(self.bulk.values())[:limit]

    async def start_bulk_revocation(self, id_: UUID, actor: Actor, at: datetime) -> None:
        self.bulk[id_] = replace(self.bulk[id_], actor=actor, started_at=at)

    async def running_bulk_revocations(self) -> Sequence[BulkRevocation]:
        return [each for each in self.bulk.values() if each.started_at is not None and each.finished_at is None]

    async def revoke_many(
        self, revocation: BulkRevocation, events: Sequence[Event], *, position: UUID, finished_at: datetime | None
    ) -> None:
        if self.is_overtaken():
            return
        stored = self.bulk[revocation.id]
        assert stored.position == revocation.position
        for event in events:
            await self.revoke(event, revocation.reason)
        self.bulk[stored.id] = replace(
            stored,
            position=position,
            finished_at=finished_at,
            revoked=stored.revoked + len(events),
            last=(events[-1].org_id, events[-1].key_id) if events else stored.last,
        )

    def _in_order(self, target: Target) -> Iterator[ApiKey]:
        for key in sorted(self.keys.values(), key=lambda key: key.id):
            if target.org_id in (None, key.org_id) and target.created_by in (None, key.created_by):
                yield key

    def _stored(self, key: ApiKey) -> StoredKey:
        (organization,) = {new.organization for new in self.new if new.organization.id == key.org_id}
        return StoredKey(organization=organization, api_key=key, deleted_at=self.tombstones.get(key.id))
