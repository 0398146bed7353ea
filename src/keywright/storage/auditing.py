"""What reads the trail, its chain, replays and what is due, on the connections of either store."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from keywright.service.management.audit_log import CHAIN_BEGINS, Event
from keywright.service.management.ports import Due, EventFilter, Link, Replay
from keywright.storage import audit_rows as shape
from keywright.storage import filters, rows
from keywright.storage.checking_rows import Engine
from keywright.storage.filters import Words

_LAST_ID = UUID(int=2**128 - 1)


class Dialect(NamedTuple):
    """
    What an engine needs of its own.

    `events_of_organization` and `events_of_key` are statements with `{}` where further conditions stand; their values
    are organisation, id to begin below, the most rows to give, and key. `quiet` is `audit_rows.quiet`.
    """

    engine: Engine
    words: Words
    events_of_organization: str
    events_of_key: str
    quiet: str


class Auditing(ABC):
    """
    All of `service.management.ports` that only reads, but for keys.

    Args:
        dialect: What the engine needs of its own.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._engine = dialect.engine

    @abstractmethod
    async def _rows(self, statement: str, *values: Any) -> Sequence[Sequence[Any]]:
        """Execute a statement of `audit_rows`, or of the dialect, that changes nothing."""

    async def replay(self, org_id: UUID, request_digest: bytes, at: datetime) -> Replay | None:
        """See `Store.replay`."""
        found = await self._rows(shape.REPLAY, org_id, request_digest, at)
        return rows.replay(found[0], self._engine.time) if found else None

    async def events(
        self, org_id: UUID, *, limit: int, before: UUID | None, which: EventFilter
    ) -> list[tuple[Event, Link | None]]:
        """See `Store.events`."""
        terms = filters.event_terms(which)
        if terms is None:
            return []
        values: list[Any] = [org_id, _LAST_ID if before is None else before, limit]
        statement = self._dialect.events_of_organization
        if which.key_id is not None:
            statement = self._dialect.events_of_key
            values.append(which.key_id)
        asked = filters.query(self._dialect.words, terms, *values)
        found = await self._rows(statement.format(asked.conditions), *asked.values)
        return [shape.event_and_place(self._engine, row) for row in found]

    async def chained_organizations(self) -> Sequence[UUID]:
        """See `AuditStore.chained_organizations`."""
        return [self._engine.id(org_id) for (org_id,) in await self._rows(shape.ORGANIZATIONS)]

    async def links(self, org_id: UUID, *, after: int, limit: int) -> Sequence[Link]:
        """See `AuditStore.links`."""
        return [shape.link(self._engine, row) for row in await self._rows(shape.LINKS, org_id, after, limit)]

    async def chain_end(self, org_id: UUID) -> tuple[int, bytes]:
        """See `AuditStore.chain_end`."""
        for position, hash_ in await self._rows(shape.CHAIN_END, org_id):
            return position, hash_
        return 0, CHAIN_BEGINS

    async def loose_events(self, org_id: UUID) -> Sequence[UUID]:
        """See `AuditStore.loose_events`."""
        return [self._engine.id(id_) for (id_,) in await self._rows(shape.LOOSE, org_id)]

    async def quiet(self, at: datetime, *, lag_seconds: float, limit: int) -> Sequence[Due]:
        """See `KeyTaskStore.quiet`."""
        found = await self._rows(self._dialect.quiet, at, lag_seconds, limit)
        return [shape.quieted(self._engine, row) for row in found]

    async def expiring(self, at: datetime, *, within_days: int, limit: int) -> Sequence[Due]:
        """See `KeyTaskStore.expiring`."""
        found = await self._rows(shape.EXPIRING, at, at + timedelta(days=within_days), within_days, limit)
        return [shape.expiring(self._engine, row) for row in found]
