"""What the SQLite store does for checking: look-ups by digest, the trail, verifiers, receipts, usage."""

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from keywright.keys.verdict import KeyFacts
from keywright.service.checking_ports import Sighting, UsageBatch
from keywright.service.faults import StorageUnavailable
from keywright.service.management.ports import Usage
from keywright.service.verifier_sessions import Receipt, Session
from keywright.service.verifiers import Verifier
from keywright.storage import checking_rows, rows
from keywright.storage import sqlite_checking_sql as sql
from keywright.storage.checking_rows import SQLITE, Facts
from keywright.storage.rows import Row
from keywright.storage.sqlite_trail import SqliteTrail

Look = Callable[[sqlite3.Connection], list[Any]]

_MOST_KEYS_AT_ONCE = 1000


class SqliteChecking(ABC):
    """
    `service.checking_ports.CheckingStore` on the connections of a store.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._facts = Facts(SQLITE)
        self._trails: set[SqliteTrail] = set()
        self._followable = True

    @abstractmethod
    async def _read(self, look: Look) -> list[Any]:
        """Look into the database with whatever else waits to."""

    @abstractmethod
    async def _write(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        """Do something in the transaction of whatever else waits; it is committed when this returns."""

    def _stir(self) -> None:
        """Tell whoever follows the changes that there may be one."""
        for trail in self._trails:
            trail.stir()

    async def _close_trails(self) -> None:
        self._followable = False
        for trail in list(self._trails):
            await trail.close()

    async def find(self, digest: bytes) -> KeyFacts | None:
        """See `CheckingStore.find`."""
        found = await self._read(lambda connection: connection.execute(sql.FIND, (digest,)).fetchall())
        return self._facts.of(found[0]) if found else None

    async def follow(self) -> SqliteTrail:
        """See `ChangeStore.follow`."""
        if not self._followable:
            raise StorageUnavailable("the store is closed")
        trail = SqliteTrail(self._path, forget=self._trails.discard)
        await trail.start()
        self._trails.add(trail)
        return trail

    async def add_verifier(self, verifier: Verifier, credential_digest: bytes) -> None:
        """See `VerifierStore.add_verifier`."""
        row = rows.for_sqlite(checking_rows.verifier_row(verifier, credential_digest))
        await self._write(lambda connection: connection.execute(sql.ADD_VERIFIER, row).rowcount)

    async def verifiers(self) -> Sequence[Verifier]:
        """See `VerifierStore.verifiers`."""
        return await self._read(lambda connection: list(_verifiers(connection, sql.VERIFIERS)))

    async def find_verifier(self, credential_digest: bytes) -> Verifier | None:
        """See `VerifierStore.find_verifier`."""
        found = await self._read(lambda connection: list(_verifiers(connection, sql.FIND_VERIFIER, credential_digest)))
        return found[0] if found else None

    async def revoke_verifier(self, name: str, at: datetime) -> Verifier | None:
        """See `VerifierStore.revoke_verifier`."""
        rows.refuse_unstorable((name,))
        (time,) = rows.for_sqlite((at,))
        verifier: Verifier | None = await self._write(lambda connection: _revoke_verifier(connection, name, time))
        self._stir()
        return verifier

    async def note_session(self, session: Session) -> None:
        """See `SessionStore.note_session`."""
        row = rows.for_sqlite(checking_rows.session_row(session))
        await self._write(lambda connection: connection.execute(sql.NOTE_SESSION, row).rowcount)

    async def close_session(self, session_id: UUID, verifier_id: UUID | None) -> None:
        """See `SessionStore.close_session`."""
        row = rows.for_sqlite((session_id, verifier_id))
        await self._write(lambda connection: connection.execute(sql.CLOSE_SESSION, row).rowcount)

    async def confirm(self, session_id: UUID, seqs: Sequence[int]) -> None:
        """See `SessionStore.confirm`. Numbers that no change has are passed over."""
        confirmed = [rows.for_sqlite((session_id, seq)) for seq in seqs]
        await self._write(lambda connection: connection.executemany(sql.CONFIRM, confirmed).rowcount)

    async def ending(self, org_id: UUID, key_id: UUID) -> Receipt | None:
        """See `Store.ending`."""
        values = {"org": org_id.bytes, "key": key_id.bytes}
        found = await self._read(lambda connection: connection.execute(sql.ENDING, values).fetchall())
        return checking_rows.ending(SQLITE, found)

    async def note_usage(self, sightings: Sequence[Sighting], batch: UsageBatch) -> None:
        """See `CheckingStore.note_usage`; a text that a database cannot store is a `ValueError`."""
        if sightings:
            told = [rows.for_sqlite(row) for row in checking_rows.sighting_rows(sightings)]
            await self._write(lambda connection: _note_usage(connection, told, rows.for_sqlite(batch)))

    async def usage(self, org_id: UUID, key_id: UUID, *, since: datetime) -> Usage | None:
        """See `Store.usage`."""
        (beginning,) = rows.for_sqlite((since,))
        values = {"org": org_id.bytes, "key": key_id.bytes, "since": beginning}
        found = await self._read(lambda connection: connection.execute(sql.USAGE, values).fetchall())
        return checking_rows.usage(SQLITE, found)

    async def hourly_counts(
        self, org_id: UUID, key_ids: Sequence[UUID], *, since: datetime
    ) -> dict[UUID, dict[datetime, int]]:
        """See `Store.hourly_counts`."""
        (beginning,) = rows.for_sqlite((since,))
        ids = [key_id.bytes for key_id in key_ids]
        found = await self._read(lambda connection: list(_hours(connection, org_id.bytes, ids, beginning)))
        return checking_rows.hours_by_key(SQLITE, found)


def _verifiers(connection: sqlite3.Connection, query: str, *values: Any) -> Iterator[Verifier]:
    for row in connection.execute(query, values).fetchall():
        yield checking_rows.verifier(SQLITE, row)


def _revoke_verifier(connection: sqlite3.Connection, name: str, at: int) -> Verifier | None:
    found = next(_verifiers(connection, sql.NAMED_VERIFIER, name), None)
    if found is None or found.revoked_at is not None:
        return found
    return next(_verifiers(connection, sql.REVOKE_VERIFIER, at, found.id.bytes))


def _note_usage(connection: sqlite3.Connection, told: list[Row], batch: Row) -> None:
    if not connection.execute(sql.BEGIN_BATCH, batch).rowcount:
        return
    secrets: dict[tuple[bytes, bytes], list[Any]] = {}
    for key_id, digest, hour, network, agent, verifier, first_seen, last_seen, count in told:
        secret = secrets.get((digest, key_id))
        if secret is None:
            secret = secrets[digest, key_id] = connection.execute(sql.NAMED_BY_DIGEST, (digest, key_id)).fetchall()
        for (secret_id,) in secret:
            connection.execute(sql.USED, (first_seen, last_seen, secret_id))
            connection.execute(sql.ADD_TO_HOUR, (key_id, hour, count))
            connection.execute(sql.ADD_TO_SOURCE, (secret_id, network, agent, verifier, first_seen, last_seen, count))
    connection.executemany(sql.KEEP_LATEST_SOURCES, [row for secret in secrets.values() for row in secret])


def _hours(connection: sqlite3.Connection, org_id: bytes, ids: list[bytes], since: int) -> Iterator[Row]:
    for start in range(0, len(ids), _MOST_KEYS_AT_ONCE):
        some = ids[start : start + _MOST_KEYS_AT_ONCE]
        yield from connection.execute(sql.hourly_counts(len(some)), (org_id, since, *some)).fetchall()
