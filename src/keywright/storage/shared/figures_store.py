"""The part of `service.figures.ports` that is the same on both engines."""

import json
from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from keywright.service.checking.ports import UsageBatch
from keywright.service.figures.ports import (
    FEW_KEYS,
    Connected,
    ConnectedSession,
    CountedSlice,
    Delays,
    KeyCount,
    KeyHour,
    Numbers,
    UnfinishedCount,
    VerdictCount,
)
from keywright.service.verifier_sessions import Session
from keywright.storage.exports.store import SharedExportStore
from keywright.storage.shared import figures_statements as sql
from keywright.storage.shared import rows
from keywright.storage.shared.recent_use import AFTER_ALL
from keywright.storage.shared.rows import Row
from keywright.storage.shared.statements import Dialect
from keywright.storage.shared.store import FIRST_ID


class SharedFiguresStore(SharedExportStore):
    """
    Adds figures up and reads them.

    Args:
        dialect: The engine.
    """

    def __init__(self, dialect: Dialect) -> None:
        super().__init__(dialect)
        self._delays = sql.revocation_delays(dialect)
        self._connected = sql.connected_sessions(dialect)
        self._count_keys = sql.count_keys(dialect)
        self._count_is_due = sql.key_count_is_due(dialect)
        self._claim_count = sql.claim_key_count(dialect)
        self._keep_slice = sql.keep_slice(dialect)

    async def add_verdicts(self, counts: Sequence[VerdictCount], batch: UsageBatch) -> None:
        """See `VerdictStore.add_verdicts`; a code that a database cannot store is a `ValueError`."""
        rows.refuse_unstorable([each.code for each in counts])
        if counts:
            await self._add_verdicts(counts, batch)

    @abstractmethod
    async def _add_verdicts(self, counts: Sequence[VerdictCount], batch: UsageBatch) -> None:
        """Add counts, of which there are some."""

    @abstractmethod
    async def roll_up_verdicts(self, before: datetime, *, limit: int) -> int:
        """See `FiguresStore.roll_up_verdicts`."""

    async def verdict_minutes(self, reader: UUID, *, since: datetime) -> Sequence[VerdictCount]:
        """See `FiguresStore.verdict_minutes`."""
        return self._verdicts(await self._rows(reader, sql.VERDICT_MINUTES, since))

    async def verdict_hours(self, reader: UUID, *, since: datetime) -> Sequence[VerdictCount]:
        """See `FiguresStore.verdict_hours`."""
        return self._verdicts(await self._rows(reader, sql.VERDICT_HOURS, since))

    def _verdicts(self, found: Sequence[Row]) -> list[VerdictCount]:
        return [VerdictCount(self._decoding.time(start), code, count) for start, code, count in found]

    async def key_hours(self, reader: UUID, *, since: datetime, below: KeyHour | None, limit: int) -> Sequence[KeyHour]:
        """See `FiguresStore.key_hours`."""
        id_, time = self._decoding.id, cache(self._decoding.time)
        return [
            KeyHour(time(hour), id_(key_id), id_(org_id), uses, refusals)
            for hour, key_id, org_id, uses, refusals in await self._rows(
                reader, sql.KEY_HOURS, since, *(below or AFTER_ALL)[:2], limit
            )
        ]

    async def key_names(self, reader: UUID, ids: Collection[UUID]) -> Mapping[UUID, str]:
        """See `FiguresStore.key_names`."""
        return await self._names(reader, sql.key_names, ids)

    async def organization_names(self, reader: UUID, ids: Collection[UUID]) -> Mapping[UUID, str]:
        """See `FiguresStore.organization_names`."""
        return await self._names(reader, sql.organization_names, ids)

    async def _names(self, reader: UUID, statement: Callable[[int], str], ids: Collection[UUID]) -> Mapping[UUID, str]:
        found = await self._rows(reader, statement(len(ids)), *ids) if ids else []
        return {self._decoding.id(id_): name for id_, name in found}

    async def revocation_delays(self, reader: UUID, *, hours: int, changes: int, acknowledgements: int) -> Delays:
        """See `FiguresStore.revocation_delays`."""
        first, *delays = await self._rows(reader, self._delays, float(hours * 3600), changes, acknowledgements)
        _, _, revocations, since, at = first
        return Delays(
            since=self._decoding.time(since),
            until=self._decoding.time(at),
            revocations=revocations,
            acknowledgements={ms: number for _, ms, number, _, _ in delays},
        )

    async def connected_sessions(self, reader: UUID) -> Connected:
        """See `FiguresStore.connected_sessions`."""
        found = await self._rows(reader, self._connected)
        # Without any session there is one row, which has the time alone.
        sessions = [self._connected_session(*row[1:]) for row in found if row[1] is not None]
        return Connected(self._decoding.time(found[0][0]), sessions)

    def _connected_session(
        self,
        id_: Any,
        verifier_id: Any,
        name: str,
        outage_seconds: int,
        version: str | None,
        verifier: str | None,
        connected_at: Any,
        seen_at: Any,
        unacknowledged: int,
        waits_since: Any,
    ) -> ConnectedSession:
        decoding = self._decoding
        return ConnectedSession(
            Session(
                id=decoding.id(id_),
                verifier_id=None if verifier_id is None else decoding.id(verifier_id),
                name=name,
                outage_seconds=outage_seconds,
                version=version,
            ),
            verifier,
            decoding.time(connected_at),
            decoding.time(seen_at),
            unacknowledged,
            None if waits_since is None else decoding.time(waits_since),
        )

    async def key_count(self, reader: UUID) -> KeyCount | None:
        """See `FiguresStore.key_count`."""
        found = await self._rows(reader, sql.KEY_COUNT)
        return KeyCount(self._decoding.time(found[0][0]), json.loads(found[0][1])) if found else None

    async def key_count_is_due(self, *, few: int = FEW_KEYS) -> bool:
        """See `FiguresStore.key_count_is_due`."""
        return bool(await self._rows(None, self._count_is_due, few))

    async def claim_key_count(self, worker: UUID, *, few: int = FEW_KEYS) -> UnfinishedCount | None:
        """See `FiguresStore.claim_key_count`."""
        found = await self._execute(None, self._claim_count, worker, FIRST_ID, few)
        for begun_at, position, numbers in found:
            return UnfinishedCount(self._decoding.time(begun_at), self._decoding.id(position), json.loads(numbers))
        return None

    async def count_keys(self, count: UnfinishedCount, *, limit: int) -> CountedSlice:
        """See `FiguresStore.count_keys`."""
        # Not beside checking, whose look-ups wait for nothing that takes milliseconds.
        found = await self._rows(FIRST_ID, self._count_keys, count.position, limit, count.begun_at)
        *counted, (_, _, _, _, examined, last) = found
        numbers = {self._counted_as(kind, name, day): number for _, kind, name, day, number, _ in counted}
        return CountedSlice(numbers, self._decoding.id(last) if examined == limit else None)

    def _counted_as(self, kind: str, name: str | None, day: Any) -> str:
        return f"{kind}.{self._decoding.time(day).date().isoformat() if name is None else name}"

    async def keep_key_count(self, worker: UUID, count: UnfinishedCount, numbers: Numbers, last: UUID | None) -> bool:
        """See `FiguresStore.keep_key_count`."""
        values = (worker, count.position, json.dumps(numbers))
        if last is None:
            return bool(await self._execute(None, sql.KEEP_KEY_COUNT, *values))
        return bool(await self._execute(None, self._keep_slice, *values, last))
