"""
The store in PostgreSQL, or in any engine that speaks it.

Every call is one statement and every statement a transaction, so nothing depends on the session: a pooler may hand each
one to another connection.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from keywright.keys.record import ApiKey
from keywright.service.events import Event
from keywright.service.faults import StorageUnavailable
from keywright.service.ports import NewApiKey
from keywright.storage import postgres_sql as sql
from keywright.storage import rows
from keywright.storage.gather import PATIENCE, Gather, OnBatch
from keywright.storage.pool import Pool
from keywright.storage.postgres_checking import PostgresChecking
from keywright.storage.postgres_faults import ConnectionLost, RolledBack
from keywright.storage.revision import MIGRATE, missing
from keywright.storage.rows import NewRows
from keywright.storage.url import PostgresUrl

if TYPE_CHECKING:
    import asyncpg

LANES = 2
"""Batches of creations under way at once: while one waits for the disk, the next is on its way."""

_LAST_ID = UUID(int=2**128 - 1)


class PostgresStore(PostgresChecking):
    """
    `service.ports.Store` and `service.checking_ports.CheckingStore` in PostgreSQL, to be closed after use.

    Args:
        url: The database; it has to be migrated by the time of the first call.
        on_batch: Called with the number of creations that shared a commit, for each commit.
        patience: Seconds after which a caller has its answer, whatever it is.
    """

    def __init__(self, url: PostgresUrl, *, on_batch: OnBatch | None = None, patience: float = PATIENCE) -> None:
        super().__init__(url, patience=patience)
        self._pool = Pool(url, patience=patience)
        self._creations: Gather[NewRows, None] = Gather(self._create, lanes=LANES, patience=patience, on_batch=on_batch)

    async def start(self) -> None:
        """Do nothing: connections are opened when they are needed, and again when they were lost. See `check`."""

    async def close(self) -> None:
        """Finish what was accepted, then close every connection."""
        await self._close_checking()
        await self._creations.close()
        await self._pool.close()

    async def create(self, new: NewApiKey) -> None:
        """See `Store.create`."""
        await self._creations.submit(NewRows(*map(rows.as_text, rows.new_rows(new))))

    async def get(self, org_id: UUID, key_id: UUID) -> ApiKey | None:
        """See `Store.get`."""
        found = await self._read(sql.GET, org_id, key_id)
        return rows.postgres_api_key(found[0]) if found else None

    async def list_newest(self, org_id: UUID, *, limit: int, before: UUID | None) -> list[ApiKey]:
        """See `Store.list_newest`."""
        found = await self._read(sql.LIST, org_id, _LAST_ID if before is None else before, limit)
        return [rows.postgres_api_key(row) for row in found]

    async def revoke(self, event: Event) -> ApiKey | None:
        """See `Store.revoke`."""
        found = await self._write(sql.REVOKE, *rows.event_row(event))
        self._stir()
        return rows.postgres_api_key(found[0]) if found else None

    async def delete(self, event: Event) -> bool:
        """See `Store.delete`."""
        deleted = await self._write(sql.DELETE, *rows.event_row(event))
        self._stir()
        return bool(deleted)

    async def check(self) -> None:
        """See `Store.check`. A server that acknowledges what it may lose counts as unavailable, too."""
        found = await self._read(sql.VERSION)
        if missing([version for (version,) in found]):
            raise StorageUnavailable(f"the database is not migrated, {MIGRATE}")

    async def _create(self, new: Sequence[NewRows]) -> list[None]:
        # In one order in every batch: two batches that add the same organisations wait for each other, never in a ring.
        organizations = sorted({added.organization for added in new})
        keys, secrets, events = ([added[place] for added in new] for place in (1, 2, 3))
        columns = [column for table in (organizations, keys, secrets, events) for column in zip(*table, strict=True)]
        await self._write(sql.CREATE, *columns)
        return [None] * len(new)

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
