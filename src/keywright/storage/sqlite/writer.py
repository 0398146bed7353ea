"""
The writer of a SQLite file: its connection, and what it does in a transaction: changes, their events, and the chain.

Durability: WAL with `synchronous=FULL` syncs the log at every commit, so that what was acknowledged survives a power
cut; `fullfsync` asks the same of macOS, whose plain fsync stops at the drive's cache.

On PostgreSQL a trigger makes the chain. Here one process writes at a time, so no other adds to it meanwhile.
"""

import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keywright.keys.record import ApiKey
from keywright.service.management.audit_log import CHAIN_BEGINS, link
from keywright.service.management.ports import Outcome
from keywright.storage.shared.readers import SQLITE, KeyReader
from keywright.storage.shared.rows import AnswerRow, ChangedRow, EventRow, NewRows, SecretRow
from keywright.storage.sqlite import file as sqlite_file
from keywright.storage.sqlite import operator, retention
from keywright.storage.sqlite import statements as sql

_BEFORE_THE_FIRST = (0, CHAIN_BEGINS)
_KEYS = KeyReader(SQLITE)
# Rows after which the log is moved into the file. A creation is six, on sixteen pages or so where it has a commit of
# its own, and the log then grows to 60 MiB. What was written again and again is moved once: after half as many rows,
# moving took twice the part of a creation's time.
_CHECKPOINT_AFTER = 4800
_CHECKPOINT_PATIENCE_MS = 1000
_POLL = 0.001
_WAL_PATIENCE = 2.0


Owner = tuple[bytes, str, str]
"""The id of an organization, its issuer and its external id."""


@dataclass(frozen=True, slots=True)
class Creation:
    """One creation, in SQLite's types; see `ports.NewApiKey`."""

    rows: NewRows
    answer: AnswerRow | None
    most_active: int | None


@dataclass(frozen=True, slots=True)
class Replacement:
    """One rotation, in SQLite's types; see `ports.Rotation`."""

    version: int
    secret: SecretRow
    retires_at: int
    idle_seconds: int | None
    event: EventRow
    answer: AnswerRow | None


@dataclass(slots=True, eq=False)
class Writing:
    """
    One transaction of the writer. The code that opened it calls `chain` last, and commits.

    Rows, ids and times are in SQLite's types.
    """

    connection: sqlite3.Connection
    _events: list[EventRow] = field(default_factory=list)

    def create(self, creations: Sequence[Creation]) -> list[Outcome]:
        """See `Store.create`; the keys that other changes of this transaction make room for do not count."""
        active: dict[bytes, int] = {}
        owned: set[Owner] = set()
        outcomes = [self._admit(creation, active, owned) for creation in creations]
        fresh = [each.rows for each, outcome in zip(creations, outcomes, strict=True) if outcome is Outcome.DONE]
        self.connection.executemany(sql.ADD_KEY, [new.key for new in fresh])
        self.connection.executemany(sql.ADD_SECRET, [new.secret for new in fresh])
        self._add_events([new.event for new in fresh])
        return outcomes

    def revoke(self, event: EventRow, reason: str) -> ApiKey | None:
        """See `Store.revoke`."""
        if self._execute(sql.REVOKE, event.occurred_at, event.subject, reason, event.key_id, event.org_id):
            self._add_events([event])
        found = keys(self.connection, sql.GET, event.org_id, event.key_id)
        return found[0] if found else None

    def delete(self, event: EventRow) -> bool:
        """See `Store.delete`."""
        done = self._execute(sql.DELETE, event.occurred_at, event.subject, event.key_id, event.org_id)
        return self._add_event_if(event, done)

    def update(self, changed: ChangedRow, version: int, event: EventRow, most_active: int | None) -> Outcome:
        """See `Store.update`."""
        key = (event.key_id, event.org_id, version)
        revives = self.connection.execute(sql.REVIVES, (*key, changed.expires_at)).fetchone() is not None
        if revives and not self._has_room(event.org_id, event.occurred_at, most_active, {}):
            return Outcome.TOO_MANY
        done = self._add_event_if(event, self._execute(sql.UPDATE, *changed, changed.expires_at, *key))
        return Outcome.DONE if done else Outcome.OUTDATED

    def rotate(self, new: Replacement) -> Outcome:
        """See `Store.rotate`."""
        event = new.event
        if new.answer is not None and self._is_answered(new.answer):
            return Outcome.REPEATED
        if not self._execute(sql.BEGIN_ROTATION, event.key_id, event.org_id, new.version, event.occurred_at):
            return Outcome.OUTDATED
        self._execute(sql.BEGIN_RETIREMENT, new.retires_at, new.idle_seconds, event.key_id)
        self._execute(sql.ADD_SECRET, *new.secret)
        if new.answer is not None:
            self._execute(sql.ADD_ANSWER, *new.answer)
        self._add_events([event])
        return Outcome.DONE

    def set_retirement(self, event: EventRow, version: int, retires_at: int) -> Outcome:
        """See `Store.set_retirement`."""
        if not self._execute(sql.CHANGE_ROTATION, event.key_id, event.org_id, version, event.occurred_at):
            return Outcome.OUTDATED
        self._execute(sql.SET_RETIREMENT, retires_at, event.key_id, event.occurred_at)
        self._add_events([event])
        return Outcome.DONE

    def add_expiry_notice(self, event: EventRow, expires_at: int, days: int) -> bool:
        """See `KeyTaskStore.add_expiry_notice`."""
        return self._add_event_if(
            event, self._execute(sql.ADD_EXPIRY_NOTICE, days, event.key_id, event.org_id, expires_at)
        )

    def erase(self, erasure: EventRow) -> None:
        """See `AuditStore.erase`."""
        retention.erase(self.connection, erasure, self._add_events)

    def erase_key(self, event: EventRow) -> bool:
        """See `KeyEraser.erase_key`."""
        return self._add_event_if(event, retention.erase_key(self.connection, event))

    def revoke_many(self, step: operator.Step) -> None:
        """See `OperatorStore.revoke_many`."""
        operator.revoke(self.connection, step, self._add_events)

    def chain(self) -> None:
        """Append the events of this transaction to the chain, in the order in which they were added."""
        heads: dict[bytes, tuple[int, bytes]] = {}
        links = []
        for event in self._events:
            org_id = event.org_id
            position, before = heads.get(org_id) or self._head(org_id)
            hash_ = link(before, event.digest)
            heads[org_id] = position + 1, hash_
            links.append((org_id, position + 1, event.id, hash_))
        self.connection.executemany(sql.ADD_LINK, links)
        self.connection.executemany(sql.SET_CHAIN_HEAD, [(org_id, *head) for org_id, head in heads.items()])

    def _admit(self, creation: Creation, active: dict[bytes, int], owned: set[Owner]) -> Outcome:
        """
        Decide whether a creation may be done, and if so, store its organization and its sealed answer, and count it.

        *active* has the numbers of active keys so far, *owned* the organizations that this transaction found or stored.
        """
        organization = creation.rows.organization
        owner = organization[:3]
        is_stored = owner in owned or self._is_stored(owner)
        if is_stored is False:
            return Outcome.OTHER_OWNER
        if creation.answer is not None and self._is_answered(creation.answer):
            return Outcome.REPEATED
        key = creation.rows.key
        if not self._has_room(key.org_id, key.created_at, creation.most_active, active):
            return Outcome.TOO_MANY
        if creation.most_active is not None:
            active[key.org_id] += 1
        if is_stored is None:
            self._execute(sql.ADD_ORGANIZATION, *organization)
        owned.add(owner)
        if creation.answer is not None:
            self._execute(sql.ADD_ANSWER, *creation.answer)
        return Outcome.DONE

    def _is_stored(self, owner: Owner) -> bool | None:
        """Return whether an organization is stored: None if not, False if another one has its id or its name."""
        found = self.connection.execute(sql.OWNERS, owner).fetchall()
        return found == [(1,)] if found else None

    def _has_room(self, org_id: bytes, at: int, most_active: int | None, active: dict[bytes, int]) -> bool:
        """Tell whether an organization may have one more active key at *at*; *active* has the numbers so far."""
        if most_active is None:
            return True
        if org_id not in active:
            active[org_id] = self._active(org_id)
        if active[org_id] >= most_active:
            before = self._active(org_id)
            self._execute(sql.SETTLE, at, org_id)
            active[org_id] -= before - self._active(org_id)
        return active[org_id] < most_active

    def _active(self, org_id: bytes) -> int:
        found = self.connection.execute(sql.ACTIVE, (org_id,)).fetchone()
        return 0 if found is None else found[0]

    def _is_answered(self, answer: AnswerRow) -> bool:
        key = (answer.org_id, answer.request_digest, answer.created_at)
        return self.connection.execute(sql.IS_ANSWERED, key).fetchone() is not None

    def _head(self, org_id: bytes) -> tuple[int, bytes]:
        return self.connection.execute(sql.CHAIN_HEAD, (org_id,)).fetchone() or _BEFORE_THE_FIRST

    def _add_event_if(self, event: EventRow, changed: int) -> bool:
        if changed:
            self._add_events([event])
        return changed > 0

    def _add_events(self, events: list[EventRow]) -> None:
        self.connection.executemany(sql.ADD_EVENT, events)
        self._events += events

    def _execute(self, statement: str, *values: Any) -> int:
        """Execute a statement, and say how many rows it changed."""
        return self.connection.execute(statement, values).rowcount


Work = Callable[[Writing], Any]
Change = Creation | Work


def carry_out(connection: sqlite3.Connection, changes: Sequence[Change]) -> list[Any]:
    """
    Carry out changes in the transaction that is open, and give what each of them gives.

    Creations go first, for they are done together. No other change can depend on one: its id is not known outside yet.
    """
    writing = Writing(connection)
    outcomes = iter(writing.create([change for change in changes if isinstance(change, Creation)]))
    results = [next(outcomes) if isinstance(change, Creation) else change(writing) for change in changes]
    writing.chain()
    return results


def keys(connection: sqlite3.Connection, query: str, *values: Any) -> list[ApiKey]:
    """Read keys by a query for `readers.API_KEY_COLUMNS`."""
    return [_KEYS.read(row) for row in connection.execute(query, values)]


class Writer:
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
            begin(connection, self._lock_patience)
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
            self._connection = open_to_write(self._path)
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
            checkpoint(connection)
        except sqlite3.Error:
            # The changes are committed and safe in the log; the next commit meets the same trouble and says so.
            self.close()


def create(path: Path) -> sqlite3.Connection:
    """
    Open a file to migrate it, creating it where it is missing.

    Raises:
        StorageUnavailable: It cannot be opened.
    """
    return sqlite_file.open_file(path, "rwc", _set_up_to_write)


def open_to_write(path: Path) -> sqlite3.Connection:
    """
    Open an existing file for the one thread of this process that writes to it.

    Raises:
        StorageUnavailable: It cannot be opened.
    """
    return sqlite_file.open_file(path, "rw", _set_up_to_write)


def begin(connection: sqlite3.Connection, patience: float) -> None:
    """
    Begin a transaction that may write, once no other process is in one.

    Args:
        patience: Seconds to wait for that.

    Raises:
        sqlite3.OperationalError: Another process was in one all the time.
    """
    _once_free(connection, "BEGIN IMMEDIATE", patience)


def checkpoint(connection: sqlite3.Connection) -> None:
    """
    Move what was committed from the log into the file, so that the log can start over.

    In mode FULL, which holds the write lock: up to SQLite 3.51.2 a checkpoint that runs while another process starts
    the log over can lose what was committed (https://sqlite.org/wal.html#walresetbug). That is why SQLite's own
    checkpoints, which hold no such lock, are switched off.
    """
    connection.execute(f"PRAGMA busy_timeout = {_CHECKPOINT_PATIENCE_MS}")
    connection.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
    connection.execute("PRAGMA busy_timeout = 0")


def _set_up_to_write(connection: sqlite3.Connection) -> None:
    mode = _once_free(connection, "PRAGMA journal_mode = WAL", _WAL_PATIENCE)
    if mode != ("wal",):
        raise sqlite3.OperationalError("no write-ahead log can be kept beside it")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA fullfsync = ON")
    connection.execute("PRAGMA foreign_keys = ON")
    # `checkpoint` does it.
    connection.execute("PRAGMA wal_autocheckpoint = 0")


def _once_free(connection: sqlite3.Connection, statement: str, patience: float) -> object:
    """
    Execute a statement that needs a lock, and give its first row.

    The lock is asked for every millisecond. SQLite's own waiting pauses for up to 100 ms, and some statements it does
    not wait for at all; with four processes writing, a commit then takes 105 ms at the 99th percentile instead of 20.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            return connection.execute(statement).fetchone()
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or time.monotonic() >= deadline:
                raise
            time.sleep(_POLL)


def _is_busy(error: sqlite3.OperationalError) -> bool:
    # The low byte is the kind; the rest says which lock.
    return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
