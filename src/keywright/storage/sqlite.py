"""
The store in a SQLite file: one thread writes and commits what waits together, another one reads beside it.

Several processes may share the file; each has a writer of its own, and SQLite lets one of them write at a time.

One thread reads because more are slower: they hand the interpreter's lock to each other at every row. Measured with 64
callers, one thread answers 40 000 look-ups or 1 360 pages of 100 a second, and four answer 18 000 or 610.
"""

import asyncio
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from keywright.keys.record import ApiKey
from keywright.service.events import Event
from keywright.service.faults import StorageUnavailable
from keywright.service.ports import NewApiKey
from keywright.storage import rows, sqlite_file
from keywright.storage.gather import PATIENCE, Gather, OnBatch
from keywright.storage.revision import MIGRATE, missing
from keywright.storage.rows import NewRows, Row
from keywright.storage.sqlite_checking import Look, SqliteChecking, Work

_MOST_READS_TOGETHER = 16
_LONGEST_LINE_OF_READS = 1024
# Rows after which the log is moved into the file; a creation is three or four, on a dozen pages at most.
_CHECKPOINT_AFTER = 2000

_LAST_ID = b"\xff" * 16

_ALIVE = f"""
    SELECT {rows.API_KEY_COLUMNS}
    FROM api_keys k JOIN api_key_secrets s ON s.key_id = k.id AND s.retires_at IS NULL
    WHERE k.deleted_at IS NULL AND k.org_id = ?
"""  # noqa: S608 - columns of our own
_GET = f"{_ALIVE} AND k.id = ?"
_LIST = f"{_ALIVE} AND k.id < ? ORDER BY k.id DESC LIMIT ?"

_REVOKE = """
    UPDATE api_keys SET revoked_at = ?, revoked_by = ?
    WHERE id = ? AND org_id = ? AND deleted_at IS NULL AND revoked_at IS NULL
"""
_DELETE = "UPDATE api_keys SET deleted_at = ?, deleted_by = ? WHERE id = ? AND org_id = ? AND deleted_at IS NULL"


def _insert(table: str, columns: Sequence[str]) -> str:
    marks = ", ".join("?" * len(columns))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608 - names of our own


_ADD_ORGANIZATION = _insert("organizations", rows.ORGANIZATION_COLUMNS) + " ON CONFLICT DO NOTHING"
_ADD_KEY = _insert("api_keys", rows.KEY_COLUMNS)
_ADD_SECRET = _insert("api_key_secrets", rows.SECRET_COLUMNS)
_ADD_EVENT = _insert("events", rows.EVENT_COLUMNS)


@dataclass(frozen=True, slots=True)
class _Creation:
    rows: NewRows


@dataclass(frozen=True, slots=True)
class _Revocation:
    event: Row


@dataclass(frozen=True, slots=True)
class _Deletion:
    event: Row


@dataclass(frozen=True, slots=True)
class _Other:
    work: Work


_Change = _Creation | _Revocation | _Deletion | _Other


class SqliteStore(SqliteChecking):
    """
    `service.ports.Store` and `service.checking_ports.CheckingStore` in a SQLite file, to be closed after use.

    Args:
        path: The file; it has to exist and be migrated by the time of the first call.
        on_batch: Called with the number of changes that shared a commit, for each commit.
        patience: Seconds after which a caller has its answer, whatever it is.
    """

    def __init__(self, path: Path, *, on_batch: OnBatch | None = None, patience: float = PATIENCE) -> None:
        super().__init__(path)
        # Less than a caller waits, so that it hears what was wrong.
        self._writer = _Writer(path, lock_patience=patience * 0.8)
        self._reader = _Reader(path)
        self._write_thread = ThreadPoolExecutor(1, thread_name_prefix="keywright-write")
        self._read_thread = ThreadPoolExecutor(1, thread_name_prefix="keywright-read")
        self._changes: Gather[_Change, Any] = Gather(self._commit, patience=patience, on_batch=on_batch)
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

    async def create(self, new: NewApiKey) -> None:
        """See `Store.create`."""
        added = NewRows(*map(rows.for_sqlite, rows.new_rows(new)))
        await self._changes.submit(_Creation(added))

    async def get(self, org_id: UUID, key_id: UUID) -> ApiKey | None:
        """See `Store.get`."""
        found = await self._read(lambda connection: _keys(connection, _GET, org_id.bytes, key_id.bytes))
        return found[0] if found else None

    async def list_newest(self, org_id: UUID, *, limit: int, before: UUID | None) -> list[ApiKey]:
        """See `Store.list_newest`."""
        below = _LAST_ID if before is None else before.bytes
        return await self._read(lambda connection: _keys(connection, _LIST, org_id.bytes, below, limit))

    async def revoke(self, event: Event) -> ApiKey | None:
        """See `Store.revoke`."""
        revoked: ApiKey | None = await self._changes.submit(_Revocation(rows.for_sqlite(rows.event_row(event))))
        self._stir()
        return revoked

    async def delete(self, event: Event) -> bool:
        """See `Store.delete`."""
        deleted = await self._changes.submit(_Deletion(rows.for_sqlite(rows.event_row(event))))
        self._stir()
        return deleted is not None

    async def check(self) -> None:
        """See `Store.check`."""
        await self._read(self._check)

    async def _read(self, look: Look) -> list[Any]:
        return await self._looks.submit(look)

    async def _write(self, work: Work) -> Any:
        return await self._changes.submit(_Other(work))

    async def _commit(self, changes: Sequence[_Change]) -> list[Any]:
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

    def commit(self, changes: Sequence[_Change]) -> list[Any]:
        """
        Carry out all of *changes* or none, in one transaction.

        Returns:
            For each the key as it stands after a revocation, or stood before a deletion; None where there was no such
            key, and for a creation. For anything else, what it gave.

        Raises:
            ValueError: One of them is refused.
            StorageUnavailable: None could be carried out.
        """
        connection = self._open()
        try:
            sqlite_file.begin(connection, self._lock_patience)
            results = _carry_out(connection, changes)
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


def _keys(connection: sqlite3.Connection, query: str, *values: Any) -> list[ApiKey]:
    return [rows.sqlite_api_key(row) for row in connection.execute(query, values)]


def _carry_out(connection: sqlite3.Connection, changes: Sequence[_Change]) -> list[Any]:
    # A creation cannot depend on another change of its batch, nor another change on it: its id is known to nobody yet.
    _add(connection, [change.rows for change in changes if isinstance(change, _Creation)])
    return [_change(connection, change) for change in changes]


def _add(connection: sqlite3.Connection, new: list[NewRows]) -> None:
    organizations: dict[bytes, Row] = {added.organization[0]: added.organization for added in new}
    connection.executemany(_ADD_ORGANIZATION, organizations.values())
    connection.executemany(_ADD_KEY, [added.key for added in new])
    connection.executemany(_ADD_SECRET, [added.secret for added in new])
    connection.executemany(_ADD_EVENT, [added.event for added in new])


def _change(connection: sqlite3.Connection, change: _Change) -> Any:
    if isinstance(change, _Creation):
        return None
    if isinstance(change, _Other):
        return change.work(connection)
    _, org_id, key_id, _, at, _, by, *_ = change.event
    if isinstance(change, _Deletion):
        found = _keys(connection, _GET, org_id, key_id)
        changed = connection.execute(_DELETE, (at, by, key_id, org_id)).rowcount
    else:
        changed = connection.execute(_REVOKE, (at, by, key_id, org_id)).rowcount
        found = _keys(connection, _GET, org_id, key_id)
    if changed:
        connection.execute(_ADD_EVENT, change.event)
    return found[0] if found else None
