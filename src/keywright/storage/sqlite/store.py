"""
The store in a SQLite file: one thread writes and commits what waits together, two read beside it.

Several processes may share the file; each has a writer of its own, and SQLite lets one of them write at a time.

One thread reads for management, and one for checking and the process itself, which wait for no list of an organization.
More are slower: they hand the interpreter's lock to each other at every row. Measured with 64 callers, one thread
answers 40 000 look-ups or 1 360 pages of 100 a second, and four answer 18 000 or 610.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from keywright.keys.record import ApiKey, RevocationReason
from keywright.keys.verdict import KeyFacts
from keywright.service.checking.ports import HourlyUsage, UsageBatch
from keywright.service.fair_queue import Share
from keywright.service.faults import StorageUnavailable
from keywright.service.figures.ports import VerdictCount
from keywright.service.management.audit_log import Event
from keywright.service.management.ports import NewApiKey, Outcome, Rotation, SealedAnswer, UsageCount
from keywright.service.management.task_ports import Removable
from keywright.service.operator.ports import BulkRevocation
from keywright.service.verifier_sessions import Acknowledged, Session
from keywright.service.verifiers import Verifier
from keywright.storage import migrations
from keywright.storage.migrations import MIGRATE
from keywright.storage.shared import checking_rows, rows
from keywright.storage.shared.checking_rows import VerifierRow
from keywright.storage.shared.figures_store import SharedFiguresStore
from keywright.storage.shared.group_commit import PATIENCE, GroupCommit, OnBatch
from keywright.storage.shared.rows import SQLITE, AnswerRow, Row
from keywright.storage.sqlite import figures, retention
from keywright.storage.sqlite import file as sqlite_file
from keywright.storage.sqlite import statements as sql
from keywright.storage.sqlite import usage as usage_batches
from keywright.storage.sqlite.change_feed import SqliteChangeFeed
from keywright.storage.sqlite.operator import Step
from keywright.storage.sqlite.writer import Change, Creation, Replacement, Writer, Writing

T = TypeVar("T")

ReadQuery = Callable[[sqlite3.Connection], list[Any]]
"""Executes a query, and gives its rows."""

_MOST_READS_TOGETHER = 16
_LONGEST_QUEUE_OF_READS = 1024
_MOST_KEYS_AT_ONCE = 1000


class SqliteStore(SharedFiguresStore):
    """
    All ports of `service.management`, `.operator` and `.checking` in a SQLite file, to be closed after use.

    Args:
        path: The file; it has to exist and be migrated by the time of the first call.
        on_batch: Called with the number of changes that shared a commit, for each commit.
        patience: Seconds after which a caller has an answer or a fault.
    """

    def __init__(self, path: Path, *, on_batch: OnBatch | None = None, patience: float = PATIENCE) -> None:
        super().__init__(sql.DIALECT)
        self._path = path
        # Less than a caller waits, so that the caller gets the cause.
        self._writer = Writer(path, lock_patience=patience * 0.8)
        self._write_thread = ThreadPoolExecutor(1, thread_name_prefix="keywright-write")
        self._changes: GroupCommit[Change, Any] = GroupCommit(self._commit, patience=patience, on_batch=on_batch)
        self._managing = ReadThread(path, "keywright-read", patience=patience)
        self._checking = ReadThread(path, "keywright-check", patience=patience)

    async def start(self) -> None:
        """Do nothing: the file is opened when it is needed, and again after a fault. See `check`."""

    async def close(self) -> None:
        """Finish what was accepted, then close the file."""
        await self._close_feeds()
        await self._changes.close()
        await self._managing.finish()
        await self._checking.finish()
        await asyncio.to_thread(self._let_go)

    async def create(self, new: NewApiKey) -> Outcome:
        """See `Store.create`."""
        answer = _answer_row(new.api_key.org_id, new.sealed_answer)
        creation = Creation(rows.new_rows(new, SQLITE), answer, new.most_active)
        outcome: Outcome = await self._changes.submit(creation, _share(new.api_key.org_id))
        return outcome

    async def get(self, org_id: UUID, key_id: UUID) -> ApiKey | None:
        """See `Store.get`."""
        found = await self._rows(org_id, sql.GET, org_id, key_id)
        return self._keys.read(found[0]) if found else None

    async def update(self, api_key: ApiKey, event: Event, *, most_active: int | None = None) -> Outcome:
        """See `Store.update`."""
        changed, row = rows.changed_row(api_key, SQLITE), rows.event_row(event, SQLITE)
        return await self._change(
            event.org_id, lambda writing: writing.update(changed, api_key.version, row, most_active)
        )

    async def rotate(self, rotation: Rotation) -> Outcome:
        """See `Store.rotate`."""
        event = rotation.event
        new = Replacement(
            version=rotation.version,
            secret=rows.secret_row(event.id.bytes, event.key_id.bytes, rotation.secret, rotation.secret_digest, SQLITE),
            retires_at=SQLITE.time(rotation.retires_at),
            idle_seconds=rotation.idle_seconds,
            event=rows.event_row(event, SQLITE),
            answer=_answer_row(event.org_id, rotation.sealed_answer),
        )
        return await self._change(event.org_id, lambda writing: writing.rotate(new))

    async def set_retirement(self, event: Event, *, version: int, retires_at: datetime) -> Outcome:
        """See `Store.set_retirement`."""
        row, at = rows.event_row(event, SQLITE), SQLITE.time(retires_at)
        return await self._change(event.org_id, lambda writing: writing.set_retirement(row, version, at))

    async def revoke(self, event: Event, reason: RevocationReason) -> ApiKey | None:
        """See `Store.revoke`."""
        row = rows.event_row(event, SQLITE)
        return await self._change(event.org_id, lambda writing: writing.revoke(row, reason.value))

    async def delete(self, event: Event) -> bool:
        """See `Store.delete`."""
        row = rows.event_row(event, SQLITE)
        return await self._change(event.org_id, lambda writing: writing.delete(row))

    async def add_expiry_notice(self, event: Event, *, expires_at: datetime, days: int) -> bool:
        """See `KeyTaskStore.add_expiry_notice`."""
        row, at = rows.event_row(event, SQLITE), SQLITE.time(expires_at)
        return await self._change(None, lambda writing: writing.add_expiry_notice(row, at, days))

    async def purge(self, kind: Removable, until: datetime, *, limit: int) -> int:
        """See `KeyTaskStore.purge`."""
        at = SQLITE.time(until)
        removed: int = await self._write(lambda connection: retention.purge(connection, kind, at, limit))
        return removed

    async def prune(self, org_id: UUID, position: int, hash_: bytes, before: datetime, *, limit: int) -> int:
        """See `KeyTaskStore.prune`."""
        end, at = (org_id.bytes, position, hash_), SQLITE.time(before)
        removed: int = await self._write(lambda connection: retention.prune(connection, *end, at, limit))
        return removed

    async def erase(self, erasure: Event) -> None:
        """See `AuditStore.erase`."""
        row = rows.event_row(erasure, SQLITE)
        await self._change(None, lambda writing: writing.erase(row))

    async def erase_key(self, event: Event) -> bool:
        """See `KeyEraser.erase_key`."""
        row = rows.event_row(event, SQLITE)
        return await self._change(None, lambda writing: writing.erase_key(row))

    async def find_keys(self, digests: Sequence[bytes]) -> Mapping[bytes, KeyFacts]:
        """See `KeyStore.find_keys`."""
        # SQLite cuts digests out of one value: one of another length would shift the others.
        wanted = [digest for digest in digests if len(digest) == checking_rows.DIGEST_BYTES]
        values = (sql.places(len(wanted)), b"".join(wanted))
        found = await self._checking.read(lambda connection: connection.execute(sql.FIND_MANY, values).fetchall())
        facts = self._facts.facts
        return {wanted[place]: facts(*row) for place, *row in found}

    async def revoke_many(
        self, revocation: BulkRevocation, events: Sequence[Event], *, position: UUID, finished_at: datetime | None
    ) -> None:
        """See `OperatorStore.revoke_many`."""
        step = Step(
            id=revocation.id.bytes,
            position=revocation.position.bytes,
            next_position=position.bytes,
            finished_at=None if finished_at is None else SQLITE.time(finished_at),
            reason=revocation.reason.value,
            events=[rows.event_row(event, SQLITE) for event in events],
        )
        await self._change(None, lambda writing: writing.revoke_many(step))

    async def revoke_verifier(self, name: str, at: datetime) -> Verifier | None:
        """See `VerifierStore.revoke_verifier`."""
        rows.refuse_unstorable((name,))
        row = await self._write(lambda connection: _revoke_verifier(connection, name, SQLITE.time(at)))
        self._wake()
        return None if row is None else self._verifier(row)

    async def renew_sessions(self, sessions: Sequence[Session]) -> None:
        """See `SessionStore.renew_sessions`."""
        named = [rows.for_sqlite(checking_rows.session_row(session)) for session in sessions]
        await self._write(lambda connection: connection.executemany(sql.RENEW_SESSION, named).rowcount)

    async def confirm_together(self, acknowledged: Sequence[Acknowledged]) -> None:
        """See `SessionStore.confirm_together`. Numbers that no change has are passed over."""
        pairs = [(session_id.bytes, seq) for session_id, seqs in acknowledged for seq in seqs]
        await self._write(lambda connection: connection.executemany(sql.ACKNOWLEDGE, pairs).rowcount)

    async def add_usage(self, usage: Iterable[HourlyUsage], batch: UsageBatch) -> None:
        """See `CheckingStore.add_usage`; a text that a database cannot store is a `ValueError`."""
        # In a thread because of the requests, and before the transaction, which keeps others from writing.
        uses = await asyncio.to_thread(checking_rows.hourly_usage_rows, usage, SQLITE)
        if uses:
            await self._write(lambda connection: usage_batches.add(connection, uses, rows.for_sqlite(batch)))

    async def _add_verdicts(self, counts: Sequence[VerdictCount], batch: UsageBatch) -> None:
        added = [(SQLITE.time(each.start), each.code, each.number) for each in counts]
        await self._write(lambda connection: figures.add(connection, added, rows.for_sqlite(batch)))

    async def roll_up_verdicts(self, before: datetime, *, limit: int) -> int:
        """See `FiguresStore.roll_up_verdicts`."""
        at = SQLITE.time(before)
        moved: int = await self._write(lambda connection: figures.roll_up(connection, at, limit))
        return moved

    async def daily_counts(
        self, org_id: UUID, key_ids: Sequence[UUID], *, since: datetime
    ) -> dict[UUID, dict[datetime, UsageCount]]:
        """See `Store.daily_counts`."""
        ids = [key_id.bytes for key_id in key_ids]
        beginning = SQLITE.time(since)
        found = await self._managing.read(
            lambda connection: list(_days(connection, org_id.bytes, ids, beginning)), org_id.int
        )
        return checking_rows.days_by_key(self._decoding, found)

    async def check(self) -> None:
        """See `Store.check`."""
        await self._checking.read(self._check)

    async def _rows(self, org_id: UUID | None, statement: str, *values: Any) -> Sequence[Row]:
        text, encoded = statement.replace("$", sql.DIALECT.mark), rows.for_sqlite(values)
        reading = self._checking if org_id is None else self._managing
        return await reading.read(lambda connection: connection.execute(text, encoded).fetchall(), _share(org_id))

    async def _execute(self, org_id: UUID | None, statement: str, *values: Any) -> Sequence[Row]:
        text, encoded = statement.replace("$", sql.DIALECT.mark), rows.for_sqlite(values)
        found: Sequence[Row] = await self._changes.submit(
            lambda writing: writing.connection.execute(text, encoded).fetchall(), _share(org_id)
        )
        return found

    def _open_feed(self) -> SqliteChangeFeed:
        return SqliteChangeFeed(self._path, forget=self._feeds.discard)

    async def _write(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        return await self._changes.submit(lambda writing: work(writing.connection))

    async def _change(self, org_id: UUID | None, work: Callable[[Writing], T]) -> T:
        """Commit a change that adds an event."""
        result: T = await self._changes.submit(work, _share(org_id))
        self._wake()
        return result

    async def _commit(self, changes: Sequence[Change]) -> list[Any]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._write_thread, self._writer.commit, changes)

    def _check(self, connection: sqlite3.Connection) -> list[Any]:
        # A connection outlives its file, but what is written through it would be lost.
        if not self._path.exists():
            raise StorageUnavailable(f"the database {self._path} does not exist, {MIGRATE}")
        if migrations.SQLITE.missing(sqlite_file.version(connection)):
            raise StorageUnavailable(f"the database is not migrated, {MIGRATE}")
        return []

    def _let_go(self) -> None:
        self._managing.let_go()
        self._checking.let_go()
        self._write_thread.shutdown()
        # Last: the last connection to a file moves what is left of the log into it, and removes the log.
        self._writer.close()


class ReadThread:
    """
    One connection that reads, and its thread. What waits is read together, a share after another.

    Args:
        path: The file.
        name: The name of the thread.
        patience: Seconds after which a caller has an answer or a fault.
    """

    def __init__(self, path: Path, name: str, *, patience: float) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._connection: sqlite3.Connection | None = None
        self._queries: GroupCommit[ReadQuery, list[Any]] = GroupCommit(
            self._execute_in_thread,
            most=_MOST_READS_TOGETHER,
            longest_queue=_LONGEST_QUEUE_OF_READS,
            patience=patience,
        )

    async def read(self, query: ReadQuery, share: Share = None) -> list[Any]:
        """
        Execute a query and give its rows; see `GroupCommit.submit`.

        Raises:
            StorageUnavailable: It failed, or one that was executed together with it.
        """
        return await self._queries.submit(query, share)

    async def finish(self) -> None:
        """Refuse new queries, and return when all others have been answered."""
        await self._queries.close()

    def let_go(self) -> None:
        """End the thread, and close the connection."""
        self._thread.shutdown()
        self._close()

    async def _execute_in_thread(self, queries: Sequence[ReadQuery]) -> list[list[Any]]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._execute, queries)

    def _execute(self, queries: Sequence[ReadQuery]) -> list[list[Any]]:
        if self._connection is None:
            self._connection = sqlite_file.open_to_read(self._path)
        try:
            return [query(self._connection) for query in queries]
        except sqlite3.Error as error:
            self._close()
            raise sqlite_file.fault(error) from error

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _share(org_id: UUID | None) -> Share:
    # The number: a UUID is hashed by Python code.
    return None if org_id is None else org_id.int


def _answer_row(org_id: UUID, answer: SealedAnswer | None) -> AnswerRow | None:
    return None if answer is None else rows.answer_row(org_id, answer, SQLITE)


def _revoke_verifier(connection: sqlite3.Connection, name: str, at: int) -> Row | None:
    found = connection.execute(sql.NAMED_VERIFIER, (name,)).fetchone()
    if found is None:
        return None
    verifier = VerifierRow(*found)
    if verifier.revoked_at is not None:
        return verifier
    revoked: Row = connection.execute(sql.REVOKE_VERIFIER, (at, verifier.id)).fetchone()
    return revoked


def _days(connection: sqlite3.Connection, org_id: bytes, ids: list[bytes], since: int) -> Iterator[Row]:
    for start in range(0, len(ids), _MOST_KEYS_AT_ONCE):
        some = ids[start : start + _MOST_KEYS_AT_ONCE]
        yield from connection.execute(sql.daily_counts(len(some)), (org_id, *some, since)).fetchall()
