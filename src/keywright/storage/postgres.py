"""
The store in PostgreSQL, or in any engine that speaks it.

Every call is one statement and every statement a transaction, so nothing depends on the session: a pooler may hand each
one to another connection.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from keywright.keys.record import ApiKey, RevocationReason
from keywright.service.faults import StorageUnavailable
from keywright.service.management.audit_log import Event
from keywright.service.management.ports import KeyFilter, NewApiKey, Outcome, Replay, Rotation
from keywright.storage import checking_rows, filters, rows
from keywright.storage import postgres_sql as sql
from keywright.storage.auditing import Auditing
from keywright.storage.gather import PATIENCE, Gather, OnBatch
from keywright.storage.pool import Pool
from keywright.storage.postgres_checking import PostgresChecking
from keywright.storage.postgres_faults import ConnectionLost, RolledBack
from keywright.storage.revision import MIGRATE, missing
from keywright.storage.rows import NewRows, Row
from keywright.storage.url import PostgresUrl

if TYPE_CHECKING:
    import asyncpg

LANES = 2
"""Batches of creations under way at once: while one waits for the disk, the next is on its way."""

_LAST_ID = UUID(int=2**128 - 1)


@dataclass(frozen=True, slots=True)
class _Creation:
    """A creation as texts; `guard` is a row of `sql.GUARD_COLUMNS` where there is anything to guard."""

    rows: NewRows
    guard: Row | None


class PostgresStore(Auditing, PostgresChecking):
    """
    All of `service.management.ports` and `service.checking_ports` in PostgreSQL, to be closed after use.

    Args:
        url: The database; it has to be migrated by the time of the first call.
        on_batch: Called with the number of creations that shared a commit, for each commit.
        patience: Seconds after which a caller has its answer, whatever it is.
    """

    def __init__(self, url: PostgresUrl, *, on_batch: OnBatch | None = None, patience: float = PATIENCE) -> None:
        Auditing.__init__(self, sql.DIALECT)
        PostgresChecking.__init__(self, url, patience=patience)
        self._pool = Pool(url, patience=patience)
        self._creations: Gather[_Creation, Outcome] = Gather(
            self._create, lanes=LANES, patience=patience, on_batch=on_batch
        )
        # One by one: what is counted is what is committed. Few at once, or they hold all connections while they wait
        # for each other.
        self._bounded: Gather[_Creation, Outcome] = Gather(
            self._create, lanes=LANES, most=1, patience=patience, on_batch=on_batch
        )

    async def start(self) -> None:
        """Do nothing: connections are opened when they are needed, and again when they were lost. See `check`."""

    async def close(self) -> None:
        """Finish what was accepted, then close every connection."""
        await self._close_checking()
        await self._creations.close()
        await self._bounded.close()
        await self._pool.close()

    async def create(self, new: NewApiKey) -> Outcome:
        """See `Store.create`."""
        key = new.api_key
        added = NewRows(*map(rows.as_text, rows.new_rows(new)))
        if new.replay is None and new.most_active is None:
            return await self._creations.submit(_Creation(added, None))
        replay = _replay_row(key.org_id, new.replay)
        guard = rows.as_text((key.id, *replay, key.created_at, new.most_active))
        if new.most_active is None:
            return await self._creations.submit(_Creation(added, guard))
        outcome = await self._bounded.submit(_Creation(added, guard))
        # Who repeats what took the last place finds no room, either.
        if outcome is not Outcome.DONE and not await self._is_repeated(key.org_id, new.replay):
            return Outcome.TOO_MANY
        return outcome

    async def get(self, org_id: UUID, key_id: UUID) -> ApiKey | None:
        """See `Store.get`."""
        found = await self._read(sql.GET, org_id, key_id)
        return rows.postgres_api_key(found[0]) if found else None

    async def list_newest(
        self, org_id: UUID, *, limit: int, before: UUID | None, which: KeyFilter | None = None
    ) -> list[ApiKey]:
        """See `Store.list_newest`."""
        page = (org_id, _LAST_ID if before is None else before, limit)
        if which is None:
            found = await self._read(sql.LIST, *page)
        elif (terms := filters.key_terms(filters.POSTGRES, which)) is not None:
            asked = filters.query(filters.POSTGRES, terms, *page)
            found = await self._read(sql.LIST_SOME.format(asked.conditions), *asked.values)
        else:
            found = []
        return [rows.postgres_api_key(row) for row in found]

    async def update(self, api_key: ApiKey, event: Event) -> Outcome:
        """See `Store.update`."""
        return await self._change(sql.UPDATE, event, api_key.version, *rows.changed_row(api_key))

    async def rotate(self, rotation: Rotation) -> Outcome:
        """See `Store.rotate`."""
        event = rotation.event
        outcome = await self._change(
            sql.ROTATE,
            event,
            rotation.version,
            rotation.retires_at,
            rotation.quiet_seconds,
            *rows.secret_row(event.id, event.key_id, rotation.secret, rotation.secret_digest),
            *_replay_row(event.org_id, rotation.replay),
        )
        # Who repeats what was done finds the key changed by that.
        if outcome is Outcome.OUTDATED and await self._is_repeated(event.org_id, rotation.replay):
            return Outcome.REPEATED
        return outcome

    async def set_retirement(self, event: Event, *, version: int, retires_at: datetime) -> Outcome:
        """See `Store.set_retirement`."""
        return await self._change(sql.SET_RETIREMENT, event, version, retires_at)

    async def revoke(self, event: Event, reason: RevocationReason) -> ApiKey | None:
        """See `Store.revoke`."""
        found = await self._write(sql.REVOKE, *rows.event_row(event), reason.value)
        self._stir()
        if not found:
            return None
        overtaken, *row = found[0]
        # Whoever deletes it meanwhile comes after the revocation.
        newer = await self.get(event.org_id, event.key_id) if overtaken else None
        return newer or rows.postgres_api_key(row)

    async def delete(self, event: Event) -> bool:
        """See `Store.delete`."""
        return await self._change(sql.DELETE, event) is Outcome.DONE

    async def note_expiring(self, event: Event, *, expires_at: datetime, days: int) -> bool:
        """See `KeyTaskStore.note_expiring`."""
        return await self._change(sql.NOTE_EXPIRING, event, expires_at, days) is Outcome.DONE

    async def purge(self, at: datetime, *, limit: int) -> int:
        """See `KeyTaskStore.purge`."""
        return len(await self._write(sql.PURGE, at, at - checking_rows.REPORTERS_KEPT, limit))

    async def check(self) -> None:
        """See `Store.check`. A server that acknowledges what it may lose counts as unavailable, too."""
        found = await self._read(sql.VERSION)
        if missing([version for (version,) in found]):
            raise StorageUnavailable(f"the database is not migrated, {MIGRATE}")

    async def _create(self, new: Sequence[_Creation]) -> list[Outcome]:
        if all(creation.guard is None for creation in new):
            await self._write(sql.CREATE, *_columns_of([creation.rows for creation in new]))
            return [Outcome.DONE] * len(new)
        # The same request twice in one statement would be an error of the server's; the first of them is done.
        asked = {_request_of(creation): creation for creation in reversed(new)}
        unique = [creation for creation in new if asked[_request_of(creation)] is creation]
        guards = [creation.guard or _unguarded(creation.rows) for creation in unique]
        columns = _columns_of([creation.rows for creation in unique])
        created = await self._write(sql.CREATE_GUARDED, *columns, *zip(*guards, strict=True))
        done = {key_id.hex for (key_id,) in created}
        return [
            Outcome.DONE
            if creation.rows.key[0] in done and asked[_request_of(creation)] is creation
            else Outcome.REPEATED
            for creation in new
        ]

    async def _is_repeated(self, org_id: UUID, replay: Replay | None) -> bool:
        if replay is None:
            return False
        return await self.replay(org_id, replay.request_digest, replay.created_at) is not None

    async def _change(self, statement: str, event: Event, *values: Any) -> Outcome:
        """Execute what notes *event* for each row that it changes, and gives these rows."""
        changed = await self._write(statement, *rows.event_row(event), *values)
        self._stir()
        return Outcome.DONE if changed else Outcome.OUTDATED

    async def _rows(self, statement: str, *values: Any) -> list[Row]:
        return [tuple(row) for row in await self._read(statement, *values)]

    async def _read(self, statement: str, *values: Any) -> "list[asyncpg.Record]":
        deadline = self._pool.deadline()
        try:
            return await self._execute(statement, values, deadline)
        except ConnectionLost:
            # Mostly a connection that died while it lay idle; reading twice does no harm.
            return await self._execute(statement, values, deadline)

    async def _write(self, statement: str, *values: Any) -> "list[asyncpg.Record]":
        # Never again after a lost connection, which does not tell whether the change was made.
        return await self._execute(statement, values, self._pool.deadline())

    async def _execute(self, statement: str, values: Sequence[Any], deadline: float) -> "list[asyncpg.Record]":
        while True:
            try:
                return await self._pool.fetch(statement, values, deadline=deadline)
            except RolledBack:
                # Nothing was done, and one of those that met is through by now.
                continue


def _columns_of(new: Sequence[NewRows]) -> list[Sequence[Any]]:
    """Give the columns of the four tables, an array for each."""
    # In one order in every batch: two batches that add the same organisations wait for each other, never in a ring.
    organizations = sorted({added.organization for added in new})
    tables = (organizations, *([added[place] for added in new] for place in (1, 2, 3)))
    return [column for table in tables for column in zip(*table, strict=True)]


def _replay_row(org_id: UUID, replay: Replay | None) -> Row:
    if replay is None:
        return (org_id, *[None] * (len(rows.REPLAY_COLUMNS) - 1))
    return rows.replay_row(org_id, replay)


def _unguarded(new: NewRows) -> Row:
    """Give a row of `sql.GUARD_COLUMNS` that lets everything pass."""
    key_id, org_id, *_ = new.key
    return (key_id, org_id, *[None] * (len(sql.GUARD_COLUMNS) - 2))


def _request_of(creation: _Creation) -> Row:
    """Give what tells requests apart: organisation and request, or the key where it may not be repeated."""
    if creation.guard is None or creation.guard[2] is None:
        return (creation.rows.key[0],)
    return creation.guard[1:3]
