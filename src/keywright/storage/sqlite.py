"""
The store in a SQLite file: one thread writes and commits what waits together, another one reads beside it.

Several processes may share the file; each has a writer of its own, and SQLite lets one of them write at a time.

One thread reads because more are slower: they hand the interpreter's lock to each other at every row. Measured with 64
callers, one thread answers 40 000 look-ups or 1 360 pages of 100 a second, and four answer 18 000 or 610.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from keywright.keys.record import ApiKey, RevocationReason
from keywright.service.faults import StorageUnavailable
from keywright.service.management.audit_log import Event
from keywright.service.management.ports import KeyFilter, NewApiKey, Outcome, Replay, Rotation
from keywright.storage import checking_rows, filters, rows, sqlite_file
from keywright.storage import sqlite_sql as sql
from keywright.storage.auditing import Auditing
from keywright.storage.gather import PATIENCE, Gather, OnBatch
from keywright.storage.revision import MIGRATE, missing
from keywright.storage.rows import NewRows, Row
from keywright.storage.sqlite_changes import Creation, Replacement, Work, Writing, carry_out, keys
from keywright.storage.sqlite_checking import Look, SqliteChecking

T = TypeVar("T")

_MOST_READS_TOGETHER = 16
_LONGEST_LINE_OF_READS = 1024
# Rows after which the log is moved into the file. A creation is five, on sixteen pages or so where it has a commit of
# its own, and the log then grows to 60 MiB. What was written again and again is moved once: after half as many rows,
# moving took twice the part of a creation's time.
_CHECKPOINT_AFTER = 4000

_LAST_ID = b"\xff" * 16


Change = Creation | Work


class SqliteStore(Auditing, SqliteChecking):
    """
    All of `service.management.ports` and `service.checking_ports` in a SQLite file, to be closed after use.

    Args:
        path: The file; it has to exist and be migrated by the time of the first call.
        on_batch: Called with the number of changes that shared a commit, for each commit.
        patience: Seconds after which a caller has its answer, whatever it is.
    """

    def __init__(self, path: Path, *, on_batch: OnBatch | None = None, patience: float = PATIENCE) -> None:
        Auditing.__init__(self, sql.DIALECT)
        SqliteChecking.__init__(self, path)
        # Less than a caller waits, so that it hears what was wrong.
        self._writer = _Writer(path, lock_patience=patience * 0.8)
        self._reader = _Reader(path)
        self._write_thread = ThreadPoolExecutor(1, thread_name_prefix="keywright-write")
        self._read_thread = ThreadPoolExecutor(1, thread_name_prefix="keywright-read")
        self._changes: Gather[Change, Any] = Gather(self._commit, patience=patience, on_batch=on_batch)
        self._looks: Gather[Look, list[Any]] = Gather(
            self._look,
            most=_MOST_READS_TOGETHER,
            line=_LONGEST_LINE_OF_READS,
            patience=patience,
        )

    async def start(self) -> None:
        """Do nothing: the file is opened when it is needed, and again when it was lost. `check` tells how it is."""

    async def close(self) -> None:
        """Finish what was accepted, then let go of the file."""
        await self._close_trails()
        await self._changes.close()
        await self._looks.close()
        await asyncio.to_thread(self._let_go)

    async def create(self, new: NewApiKey) -> Outcome:
        """See `Store.create`."""
        added = NewRows(*map(rows.for_sqlite, rows.new_rows(new)))
        replay = _replay_row(new.api_key.org_id, new.replay)
        outcome: Outcome = await self._changes.submit(Creation(added, replay, new.most_active))
        return outcome

    async def get(self, org_id: UUID, key_id: UUID) -> ApiKey | None:
        """See `Store.get`."""
        found = await self._read(lambda connection: keys(connection, sql.GET, org_id.bytes, key_id.bytes))
        return found[0] if found else None

    async def list_newest(
        self, org_id: UUID, *, limit: int, before: UUID | None, which: KeyFilter | None = None
    ) -> list[ApiKey]:
        """See `Store.list_newest`."""
        terms = [] if which is None else filters.key_terms(filters.SQLITE, which)
        if terms is None:
            return []
        asked = filters.query(filters.SQLITE, terms, org_id.bytes, _LAST_ID if before is None else before.bytes, limit)
        statement, values = sql.LIST.format(asked.conditions), rows.for_sqlite(asked.values)
        return await self._read(lambda connection: keys(connection, statement, *values))

    async def update(self, api_key: ApiKey, event: Event) -> Outcome:
        """See `Store.update`."""
        changed, note = rows.for_sqlite(rows.changed_row(api_key)), rows.for_sqlite(rows.event_row(event))
        return await self._change(lambda writing: writing.update(changed, api_key.version, note))

    async def rotate(self, rotation: Rotation) -> Outcome:
        """See `Store.rotate`."""
        event = rotation.event
        secret = rows.secret_row(event.id, event.key_id, rotation.secret, rotation.secret_digest)
        (retires_at,) = rows.for_sqlite((rotation.retires_at,))
        new = Replacement(
            version=rotation.version,
            secret=rows.for_sqlite(secret),
            retires_at=retires_at,
            quiet_seconds=rotation.quiet_seconds,
            event=rows.for_sqlite(rows.event_row(event)),
            replay=_replay_row(event.org_id, rotation.replay),
        )
        return await self._change(lambda writing: writing.rotate(new))

    async def set_retirement(self, event: Event, *, version: int, retires_at: datetime) -> Outcome:
        """See `Store.set_retirement`."""
        (*note, at) = rows.for_sqlite((*rows.event_row(event), retires_at))
        return await self._change(lambda writing: writing.set_retirement(tuple(note), version, at))

    async def revoke(self, event: Event, reason: RevocationReason) -> ApiKey | None:
        """See `Store.revoke`."""
        note = rows.for_sqlite(rows.event_row(event))
        return await self._change(lambda writing: writing.revoke(note, reason.value))

    async def delete(self, event: Event) -> bool:
        """See `Store.delete`."""
        note = rows.for_sqlite(rows.event_row(event))
        return await self._change(lambda writing: writing.delete(note))

    async def note_expiring(self, event: Event, *, expires_at: datetime, days: int) -> bool:
        """See `KeyTaskStore.note_expiring`."""
        (*note, at) = rows.for_sqlite((*rows.event_row(event), expires_at))
        return await self._change(lambda writing: writing.note_expiring(tuple(note), at, days))

    async def purge(self, at: datetime, *, limit: int) -> int:
        """See `KeyTaskStore.purge`."""
        until, silent_since = rows.for_sqlite((at, at - checking_rows.REPORTERS_KEPT))
        purged: int = await self._changes.submit(lambda writing: writing.purge(until, silent_since, limit))
        return purged

    async def check(self) -> None:
        """See `Store.check`."""
        await self._read(self._check)

    async def _read(self, look: Look) -> list[Any]:
        return await self._looks.submit(look)

    async def _rows(self, statement: str, *values: Any) -> Sequence[Row]:
        asked, told = statement.replace("$", filters.SQLITE.mark), rows.for_sqlite(values)
        return await self._read(lambda connection: connection.execute(asked, told).fetchall())

    async def _write(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        return await self._changes.submit(lambda writing: work(writing.connection))

    async def _change(self, work: Callable[[Writing], T]) -> T:
        """Do what leaves an event."""
        result: T = await self._changes.submit(work)
        self._stir()
        return result

    async def _commit(self, changes: Sequence[Change]) -> list[Any]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._write_thread, self._writer.commit, changes)

    async def _look(self, looks: Sequence[Look]) -> list[list[Any]]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._read_thread, self._reader.look, looks)

    def _check(self, connection: sqlite3.Connection) -> list[Any]:
        # A connection outlives its file, but what is written through it would be lost with it.
        if not self._path.exists():
            raise StorageUnavailable(f"the database {self._path} does not exist, {MIGRATE}")
        if missing(sqlite_file.version(connection)):
            raise StorageUnavailable(f"the database is not migrated, {MIGRATE}")
        return []

    def _let_go(self) -> None:
        self._read_thread.shutdown()
        self._write_thread.shutdown()
        self._reader.close()
        # Last: the last connection to a file moves what is left of the log into it, and removes the log.
        self._writer.close()


class _Writer:
    """The one connection of this process that writes. Used by one thread."""

    def __init__(self, path: Path, *, lock_patience: float) -> None:
        self._path = path
        self._lock_patience = lock_patience
        self._connection: sqlite3.Connection | None = None
        self._checkpointed_at = 0

    def commit(self, changes: Sequence[Change]) -> list[Any]:
        """
        Carry out all of *changes* or none, in one transaction, and give what each of them gives.

        Raises:
            ValueError: One of them is refused.
            StorageUnavailable: None could be carried out.
        """
        connection = self._open()
        try:
            sqlite_file.begin(connection, self._lock_patience)
            results = carry_out(connection, changes)
            connection.execute("COMMIT")
        except (sqlite3.Error, OverflowError) as error:
            meaning = sqlite_file.fault(error)
            if not isinstance(meaning, ValueError):
                # Closing rolls back, and another connection may fare better.
                self.close()
            raise meaning from error
        finally:
            self._roll_back()
        self._checkpoint(connection)
        return results

    def close(self) -> None:
        """Close the connection; what was not committed is gone."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = sqlite_file.open_to_write(self._path)
            # The first commit is followed by a checkpoint: a crash may have left a long log.
            self._checkpointed_at = -_CHECKPOINT_AFTER
        return self._connection

    def _roll_back(self) -> None:
        if self._connection is None or not self._connection.in_transaction:
            return
        try:
            self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            self.close()

    def _checkpoint(self, connection: sqlite3.Connection) -> None:
        if connection.total_changes - self._checkpointed_at < _CHECKPOINT_AFTER:
            return
        self._checkpointed_at = connection.total_changes
        try:
            sqlite_file.checkpoint(connection)
        except sqlite3.Error:
            # The changes are committed and safe in the log; the next commit meets the same trouble and says so.
            self.close()


class _Reader:
    """The one connection of this process that reads. Used by one thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def look(self, looks: Sequence[Look]) -> list[list[Any]]:
        """
        Answer all of *looks*.

        Raises:
            StorageUnavailable: One of them could not be answered.
        """
        if self._connection is None:
            self._connection = sqlite_file.open_to_read(self._path)
        try:
            return [look(self._connection) for look in looks]
        except sqlite3.Error as error:
            self.close()
            raise sqlite_file.fault(error) from error

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _replay_row(org_id: UUID, replay: Replay | None) -> Row | None:
    return None if replay is None else rows.for_sqlite(rows.replay_row(org_id, replay))
