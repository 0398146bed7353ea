"""
A process of revision 20261130_0006 on either engine, for the test that migrates a database under it.

It executes the statements of that version, as `statements_before.py` has them. Every call holds the result that the
version before needs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg

from keywright.service.checking.ports import HourlyUsage
from keywright.service.management.audit_log import CHAIN_BEGINS, EventType, link
from keywright.service.management.ports import NewApiKey, Rotation, SealedAnswer
from keywright.service.verifier_sessions import Session
from keywright.storage.shared import checking_rows, rows
from keywright.storage.shared.store import LAST_ID
from keywright.storage.sqlite import writer
from tests.storage import statements_before as sql
from tests.storage.making import NOON, a_sealed_answer, an_event

WRITE_PATIENCE = 4.0


@dataclass(frozen=True, slots=True)
class Life:
    """What is done to one key, in this order; `retires` is the end that its rotation gets afterwards, if any."""

    made: NewApiKey
    answer: SealedAnswer
    rotation: Rotation
    retires: datetime | None
    session: Session
    use: HourlyUsage
    reporter: UUID


class FileBefore:
    """A writer and reader of a SQLite file."""

    def __init__(self, path: Path) -> None:
        self._connection = writer.open_to_write(path)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def live(self, life: Life) -> None:
        """Do all of a life."""
        for step in (self._create, self._rotate, self._retire, self._revoke, self._acknowledge, self._use, self._purge):
            with self._transaction():
                step(life)

    def look(self, org_id: UUID, key_id: UUID, digest: bytes) -> None:
        """Read a key in every way."""
        key = {"org": org_id.bytes, "key": key_id.bytes, "since": 0}
        assert len(self._all(sql.SQLITE_FIND, digest)) == 1
        assert len(self._all(sql.SQLITE_GET, org_id.bytes, key_id.bytes)) == 1
        assert len(self._all(sql.SQLITE_LIST, org_id.bytes, LAST_ID.bytes, 10)) == 10
        assert self._connection.execute(sql.SQLITE_USAGE, key).fetchall()
        self._connection.execute(sql.SQLITE_ENDING, key).fetchall()
        self._all(sql.SQLITE_QUIET, rows.SQLITE.time(NOON), 0.0, 10)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        writer.begin(self._connection, WRITE_PATIENCE)
        yield
        self._connection.execute("COMMIT")

    def _all(self, statement: str, *values: Any) -> list[Any]:
        return self._connection.execute(statement, values).fetchall()

    def _changed(self, statement: str, *values: Any) -> int:
        return self._connection.execute(statement, values).rowcount

    def _create(self, life: Life) -> None:
        new = rows.new_rows(life.made, rows.SQLITE)
        answer = rows.answer_row(life.made.api_key.org_id, life.answer, rows.SQLITE)
        assert self._all(sql.SQLITE_IS_REPEATED, answer.org_id, answer.request_digest, answer.created_at) == []
        self._changed(sql.SQLITE_ADD_REPLAY, *answer)
        self._changed(sql.SQLITE_ADD_ORGANIZATION, *new.organization)
        self._changed(sql.SQLITE_ADD_KEY, *new.key)
        self._changed(sql.SQLITE_ADD_SECRET, *new.secret)
        self._note(new.event)
        assert self._all(sql.SQLITE_IS_REPEATED, answer.org_id, answer.request_digest, answer.created_at) == [(1,)]
        assert len(self._all(sql.SQLITE_REPLAY, answer.org_id, answer.request_digest, answer.created_at)) == 1

    def _rotate(self, life: Life) -> None:
        new = life.rotation
        event = rows.event_row(new.event, rows.SQLITE)
        secret = rows.secret_row(event.id, event.key_id, new.secret, new.secret_digest, rows.SQLITE)
        key = (event.key_id, event.org_id, new.version, event.occurred_at)
        assert self._changed(sql.SQLITE_BEGIN_ROTATION, *key) == 1
        end = rows.SQLITE.time(new.retires_at)
        assert self._changed(sql.SQLITE_BEGIN_RETIREMENT, end, new.idle_seconds, event.key_id) == 1
        self._changed(sql.SQLITE_ADD_SECRET, *secret)
        self._note(event)

    def _retire(self, life: Life) -> None:
        if life.retires is None:
            return
        event = rows.event_row(_retirement(life), rows.SQLITE)
        key = (event.key_id, event.org_id, life.rotation.version + 1, event.occurred_at)
        assert self._changed(sql.SQLITE_CHANGE_ROTATION, *key) == 1
        end = rows.SQLITE.time(life.retires)
        assert self._changed(sql.SQLITE_SET_RETIREMENT, end, event.key_id, event.occurred_at) == 1
        self._note(event)

    def _revoke(self, life: Life) -> None:
        event = rows.event_row(_revocation(life), rows.SQLITE)
        key = (event.occurred_at, event.subject, "unspecified", event.key_id, event.org_id)
        assert self._changed(sql.SQLITE_REVOKE, *key) == 1
        self._note(event)

    def _acknowledge(self, life: Life) -> None:
        self._changed(sql.SQLITE_NOTE_SESSION, *rows.for_sqlite(_session_before(life.session)))
        key_id = life.made.api_key.id.bytes
        for (seq,) in self._all("SELECT seq FROM changes WHERE changed_id = ?", key_id):
            for _ in range(2):
                self._changed(sql.SQLITE_CONFIRM, life.session.id.bytes, seq)
        key = {"org": life.made.api_key.org_id.bytes, "key": key_id}
        found = self._connection.execute(sql.SQLITE_ENDING, key).fetchall()
        assert [row[2] is None for row in found if row[5] == life.session.id.bytes] == [False]

    def _use(self, life: Life) -> None:
        (use,) = checking_rows.hourly_usage_rows([life.use], rows.SQLITE)
        assert self._changed(sql.SQLITE_BEGIN_BATCH, life.reporter.bytes, 1) == 1
        ((secret,),) = self._all(sql.SQLITE_NAMED_BY_DIGEST, use.digest, use.key_id)
        assert self._changed(sql.SQLITE_USED, use.first_seen, use.last_seen, secret) == 1
        self._changed(sql.SQLITE_ADD_TO_HOUR, use.key_id, use.hour, use.count)
        source = (use.network, use.agent, use.verifier, use.first_seen, use.last_seen, use.count)
        self._changed(sql.SQLITE_ADD_TO_SOURCE, secret, *source)
        self._changed(sql.SQLITE_KEEP_LATEST_SOURCES, secret)

    def _purge(self, life: Life) -> None:
        expired = rows.answer_row(life.made.api_key.org_id, _expired(), rows.SQLITE)
        self._changed(sql.SQLITE_ADD_REPLAY, *expired)
        self._changed(sql.SQLITE_PURGE_REPLAYS, expired.expires_at, 100)
        before = expired.created_at - 1
        assert self._all(sql.SQLITE_IS_REPEATED, expired.org_id, expired.request_digest, before) == []
        self._changed(sql.SQLITE_PURGE_REPORTERS, 0, 100)

    def _note(self, event: rows.EventRow) -> None:
        self._changed(sql.SQLITE_ADD_EVENT, *event)
        position, before = (self._all(sql.SQLITE_CHAIN_HEAD, event.org_id) or [(0, CHAIN_BEGINS)])[0]
        hash_ = link(before, event.digest)
        self._changed(sql.SQLITE_ADD_PLACE, event.org_id, position + 1, event.id, hash_)
        self._changed(sql.SQLITE_SET_CHAIN_HEAD, event.org_id, position + 1, hash_)


class ServerBefore:
    """A connection to PostgreSQL, whose statements stay prepared."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._fetch = connection.fetch

    async def live(self, life: Life) -> None:
        """Do all of a life."""
        for step in (self._create, self._rotate, self._retire, self._revoke, self._acknowledge, self._use, self._purge):
            await step(life)

    async def look(self, org_id: UUID, key_id: UUID, digest: bytes) -> None:
        """Read a key in every way."""
        assert len(await self._fetch(sql.POSTGRES_FIND, digest)) == 1
        assert len(await self._fetch(sql.POSTGRES_FIND_MANY, digest + bytes(32))) == 1
        assert len(await self._fetch(sql.POSTGRES_GET, org_id, key_id)) == 1
        assert len(await self._fetch(sql.POSTGRES_LIST, org_id, LAST_ID, 10)) == 10
        assert await self._fetch(sql.POSTGRES_USAGE, org_id, key_id, NOON - timedelta(days=1))
        await self._fetch(sql.POSTGRES_ENDING, org_id, key_id)
        await self._fetch(sql.POSTGRES_QUIET, NOON, 0.0, 10)

    async def _create(self, life: Life) -> None:
        new = rows.new_rows(life.made, rows.POSTGRES_TEXTS)
        answer = rows.answer_row(life.made.api_key.org_id, life.answer, rows.POSTGRES_TEXTS)
        values = [[value] for row in new for value in row]
        guard = [[value] for value in (new.key.id, *answer, answer.created_at, None)]
        assert len(await self._fetch(sql.POSTGRES_CREATE_GUARDED, *values, *guard)) == 1
        assert len(await self._fetch(sql.POSTGRES_REPLAY, *self._request(life, life.answer), NOON)) == 1

    async def _rotate(self, life: Life) -> None:
        new = life.rotation
        event = rows.event_row(new.event, rows.POSTGRES)
        secret = rows.secret_row(new.event.id, new.event.key_id, new.secret, new.secret_digest, rows.POSTGRES)
        answer = rows.answer_row(event.org_id, a_sealed_answer(), rows.POSTGRES)
        values = (new.version, new.retires_at, new.idle_seconds, *secret, *answer)
        assert len(await self._fetch(sql.POSTGRES_ROTATE, *event, *values)) == 1

    async def _retire(self, life: Life) -> None:
        if life.retires is not None:
            event = rows.event_row(_retirement(life), rows.POSTGRES)
            version = life.rotation.version + 1
            assert len(await self._fetch(sql.POSTGRES_SET_RETIREMENT, *event, version, life.retires)) == 1

    async def _revoke(self, life: Life) -> None:
        event = rows.event_row(_revocation(life), rows.POSTGRES)
        assert len(await self._fetch(sql.POSTGRES_REVOKE, *event, "unspecified")) == 1

    async def _acknowledge(self, life: Life) -> None:
        await self._fetch(sql.POSTGRES_NOTE_SESSION, *_session_before(life.session))
        key = life.made.api_key
        changes = await self._fetch("SELECT seq FROM changes WHERE changed_id = $1", key.id)
        for _ in range(2):
            await self._fetch(sql.POSTGRES_CONFIRM, life.session.id, [str(row["seq"]) for row in changes])
        found = await self._fetch(sql.POSTGRES_ENDING, key.org_id, key.id)
        assert [row["at"] is None for row in found if row["id"] == life.session.id] == [False]

    async def _use(self, life: Life) -> None:
        # Without the last column, the code: that version knows no refusals.
        uses = [row[:-1] for row in checking_rows.hourly_usage_rows([life.use], rows.POSTGRES_TEXTS)]
        await self._fetch(sql.POSTGRES_NOTE_USAGE, *zip(*uses, strict=True), life.reporter, 1)

    async def _purge(self, life: Life) -> None:
        expired = _expired()
        answer = rows.answer_row(life.made.api_key.org_id, expired, rows.POSTGRES)
        await self._fetch(f"INSERT INTO replays ({', '.join(answer._fields)}) VALUES ($1, $2, $3, $4, $5, $6)", *answer)
        while await self._fetch(sql.POSTGRES_REPLAY, *self._request(life, expired), expired.created_at):
            # Another process may be removing it at this moment, which leaves it to that one.
            await self._fetch(sql.POSTGRES_PURGE, expired.expires_at, expired.expires_at, 100)

    def _request(self, life: Life, answer: SealedAnswer) -> tuple[UUID, bytes]:
        return life.made.api_key.org_id, answer.request_digest


def _session_before(session: Session) -> rows.Row:
    """Give the row of a session as it was without the version of its process."""
    return checking_rows.session_row(session)[:4]


def _revocation(life: Life) -> Any:
    return an_event(EventType.REVOKED, life.made.api_key, occurred_at=NOON + timedelta(hours=2))


def _retirement(life: Life) -> Any:
    at = life.rotation.event.occurred_at + timedelta(seconds=1)
    return an_event(EventType.ROTATION_CHANGED, life.made.api_key, occurred_at=at)


def _expired() -> SealedAnswer:
    """Give an answer that expired a day before noon."""
    return a_sealed_answer(created_at=NOON - timedelta(days=2), expires_at=NOON - timedelta(days=1))
