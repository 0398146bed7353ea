"""The part of `service.operator.ports` that is the same on both engines."""

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from keywright.service.management.audit_log import Event
from keywright.service.management.ports import MOST_EXAMINED, EventFilter, Found, KeyFilter, Link
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
from keywright.storage.shared import audit_rows, filters, operator_rows, rows
from keywright.storage.shared import operator_statements as sql
from keywright.storage.shared.filters import Term
from keywright.storage.shared.rows import Row
from keywright.storage.shared.statements import Dialect
from keywright.storage.shared.store import LAST_ID, SharedStore


class SharedOperatorStore(SharedStore):
    """
    Reads keys, events and organizations of all organizations, and the revocations of many keys.

    Args:
        dialect: The engine.
    """

    def __init__(self, dialect: Dialect) -> None:
        super().__init__(dialect)
        self._by_id = sql.key_by_id(dialect)
        self._by_digest = sql.key_by_secret(dialect, "secret_digest")
        self._by_public_key = sql.key_by_secret(dialect, "public_key")
        self._keys_of_all = sql.keys_of_all(dialect)
        self._events_of_all = sql.events_of_all(dialect)

    async def find_by_id(self, reader: UUID, key_id: UUID) -> StoredKey | None:
        """See `OperatorStore.find_by_id`."""
        found = await self._rows(reader, self._by_id, key_id)
        return operator_rows.stored_key(self._decoding, self._keys, found[0]) if found else None

    async def find_by_digest(self, reader: UUID, digest: bytes) -> FoundKey | None:
        """See `OperatorStore.find_by_digest`."""
        return self._found(await self._rows(reader, self._by_digest, digest))

    async def find_by_public_key(self, reader: UUID, value: bytes) -> FoundKey | None:
        """See `OperatorStore.find_by_public_key`."""
        return self._found(await self._rows(reader, self._by_public_key, value))

    def _found(self, found: Sequence[Row]) -> FoundKey | None:
        return operator_rows.found_key(self._decoding, self._keys, found[0]) if found else None

    async def keys_of_all(self, reader: UUID, *, limit: int, before: UUID | None, which: KeyFilter) -> Found[StoredKey]:
        """See `OperatorStore.keys_of_all`."""
        terms = filters.key_terms(self._dialect, which)
        if terms is None:
            return Found([], None)
        if which.external_id is not None:
            terms.append(Term("k.external_id = {}", (which.external_id,)))
        found = await self._page_of_all(reader, self._keys_of_all, terms, limit, before)
        keys = [operator_rows.stored_key(self._decoding, self._keys, row[1:]) for row in found if row[1] is not None]
        return Found(keys, keys[-1].api_key.id if len(keys) == limit else self._last_examined(found[0]))

    async def events_of_all(
        self, reader: UUID, *, limit: int, before: UUID | None, which: EventFilter
    ) -> Found[tuple[Event, Link | None]]:
        """See `OperatorStore.events_of_all`."""
        terms = filters.event_terms(which)
        if terms is None:
            return Found([], None)
        if which.key_id is not None:
            terms.append(Term("e.key_id = {}", (which.key_id,)))
        found = await self._page_of_all(reader, self._events_of_all, terms, limit, before)
        events = [
            audit_rows.event_and_link(self._decoding, position, hash_, erased_by, id_, *row)
            for _, position, hash_, erased_by, id_, *row in found
            if id_ is not None
        ]
        return Found(events, events[-1][0].id if len(events) == limit else self._last_examined(found[0]))

    async def _page_of_all(
        self, reader: UUID, statement: str, terms: Sequence[Term], limit: int, before: UUID | None
    ) -> Sequence[Row]:
        query = filters.query(self._dialect, terms, LAST_ID if before is None else before, limit, MOST_EXAMINED)
        return await self._rows(reader, statement.format(query.conditions), *query.values)

    async def counted_organizations(
        self, reader: UUID, *, limit: int, before: UUID | None
    ) -> Sequence[CountedOrganization]:
        """See `OperatorStore.counted_organizations`."""
        return await self._counted(reader, sql.ORGANIZATIONS, LAST_ID if before is None else before, limit)

    async def counted_organization(self, reader: UUID, org_id: UUID) -> CountedOrganization | None:
        """See `OperatorStore.counted_organization`."""
        return next(iter(await self._counted(reader, sql.ORGANIZATION, org_id)), None)

    async def counted_organization_named(
        self, reader: UUID, issuer: str, external_id: str
    ) -> CountedOrganization | None:
        """See `OperatorStore.counted_organization_named`."""
        if not rows.is_storable((external_id,)):
            return None
        return next(iter(await self._counted(reader, sql.ORGANIZATION_NAMED, issuer, external_id)), None)

    async def _counted(self, reader: UUID, statement: str, *values: Any) -> list[CountedOrganization]:
        found = await self._rows(reader, statement, *values)
        return [operator_rows.organization(self._decoding, *row) for row in found]

    async def count_revocable(self, reader: UUID, target: Target, *, after: UUID) -> Counted:
        """See `OperatorStore.count_revocable`."""
        statement = sql.count_revocable(self._dialect, target)
        return operator_rows.counted(
            self._decoding, await self._rows(reader, statement, after, EXAMINED_IN_A_STEP, *_given(target))
        )

    async def revocable(self, target: Target, *, after: UUID) -> Batch:
        """See `OperatorStore.revocable`."""
        statement = sql.revocable(self._dialect, target)
        # Beside checking, as other background tasks: nobody's turn is used up.
        return operator_rows.batch(
            self._decoding, await self._rows(None, statement, after, EXAMINED_IN_A_STEP, *_given(target))
        )

    async def add_preview(self, revocation: BulkRevocation) -> None:
        """See `OperatorStore.add_preview`."""
        row = operator_rows.bulk_row(revocation)
        rows.refuse_unstorable(row)
        await self._execute(None, sql.ADD_PREVIEW, *row)

    async def bulk_revocation(self, reader: UUID | None, id_: UUID) -> BulkRevocation | None:
        """See `OperatorStore.bulk_revocation`."""
        return next(iter(await self._bulk(reader, sql.BULK, id_)), None)

    async def bulk_revocations(self, reader: UUID, *, limit: int, before: UUID | None) -> Sequence[BulkRevocation]:
        """See `OperatorStore.bulk_revocations`."""
        return await self._bulk(reader, sql.BULKS, LAST_ID if before is None else before, limit)

    async def start_bulk_revocation(self, id_: UUID, actor: Actor, at: datetime) -> None:
        """See `OperatorStore.start_bulk_revocation`."""
        values = operator_rows.actor_values(actor)
        rows.refuse_unstorable(values)
        await self._execute(None, sql.START, id_, at, *values)

    async def running_bulk_revocations(self) -> Sequence[BulkRevocation]:
        """See `OperatorStore.running_bulk_revocations`."""
        return await self._bulk(None, sql.RUNNING)

    async def _bulk(self, reader: UUID | None, statement: str, *values: Any) -> list[BulkRevocation]:
        found = await self._rows(reader, statement, *values)
        return [operator_rows.bulk_revocation(self._decoding, row) for row in found]

    @abstractmethod
    async def revoke_many(
        self, revocation: BulkRevocation, events: Sequence[Event], *, position: UUID, finished_at: datetime | None
    ) -> None:
        """See `OperatorStore.revoke_many`."""


def _given(target: Target) -> list[Any]:
    return [value for value in (target.org_id, target.created_by) if value is not None]
