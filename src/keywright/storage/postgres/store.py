"""
The store in PostgreSQL, or in any engine that speaks it.

Every call is one statement and every statement a transaction, so nothing depends on the session: a pooler may hand each
one to another connection.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
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
from keywright.storage.postgres import checking_statements as checking_sql
from keywright.storage.postgres import figures_statements as figures_sql
from keywright.storage.postgres import operator_statements as operator_sql
from keywright.storage.postgres import retention_statements as retention_sql
from keywright.storage.postgres import statements as sql
from keywright.storage.postgres.change_feed import PostgresChangeFeed
from keywright.storage.postgres.connecting import Servers
from keywright.storage.postgres.creations import Creations, bound_of
from keywright.storage.postgres.faults import ConnectionLost, NoRoom, RolledBack
from keywright.storage.postgres.pool import Pool
from keywright.storage.shared import checking_rows, rows
from keywright.storage.shared.figures_store import SharedFiguresStore
from keywright.storage.shared.group_commit import PATIENCE, OnBatch
from keywright.storage.shared.rows import POSTGRES, POSTGRES_TEXTS, AnswerRow, EventRow, Row
from keywright.storage.url import PostgresUrl

if TYPE_CHECKING:
    import asyncpg


class PostgresStore(SharedFiguresStore):
    """
    All ports of `service.management`, `.operator` and `.checking` in PostgreSQL, to be closed after use.

    Two fifths of the connections serve checking and the process itself, the others management; one each at least.

    Args:
        url: The database; it has to be migrated by the time of the first call.
        on_batch: Called with the number of creations that shared a commit, for each commit.
        patience: Seconds after which a caller has an answer or a fault.
    """

    def __init__(self, url: PostgresUrl, *, on_batch: OnBatch | None = None, patience: float = PATIENCE) -> None:
        super().__init__(sql.DIALECT)
        self._url = url
        self._servers = Servers(url)
        # What checking and the process itself need waits for no statement of management.
        checking = max(1, url.pool_size * 2 // 5)
        self._checking = Pool(self._servers, checking, most_of_share=checking, patience=patience)
        managing = max(1, url.pool_size - checking)
        self._managing = Pool(self._servers, managing, most_of_share=max(1, managing * 2 // 3), patience=patience)
        self._creations = Creations(self._execute, patience=patience, on_batch=on_batch)

    async def start(self) -> None:
        """Do nothing: connections are opened when they are needed, and again when they were lost. See `check`."""

    async def close(self) -> None:
        """Finish what was accepted, then close every connection."""
        await self._close_feeds()
        await self._creations.close()
        await self._managing.close()
        await self._checking.close()

    async def create(self, new: NewApiKey) -> Outcome:
        """See `Store.create`."""
        was_owned = self._creations.owns(new.organization)
        outcome = await self._creations.submit(new)
        if outcome is not Outcome.DONE and not was_owned:
            found = await self.organizations_like(new.organization)
            if found and found != [new.organization]:
                return Outcome.OTHER_OWNER
            # Another transaction may have stored the same organization meanwhile; the second attempt sees it.
            outcome = await self._creations.submit(new)
        # Check for a sealed answer before the cap: the first request may have made the last key that was allowed.
        if outcome is Outcome.TOO_MANY and await self._is_answered(new.api_key.org_id, new.sealed_answer):
            return Outcome.REPEATED
        return outcome

    async def get(self, org_id: UUID, key_id: UUID) -> ApiKey | None:
        """See `Store.get`."""
        found = await self._rows(org_id, sql.GET, org_id, key_id)
        return self._keys.read(found[0]) if found else None

    async def update(self, api_key: ApiKey, event: Event, *, most_active: int | None = None) -> Outcome:
        """See `Store.update`."""
        bound = bound_of(most_active, event.occurred_at)
        changed = rows.changed_row(api_key, POSTGRES)
        try:
            return await self._change(sql.UPDATE, event, api_key.version, *changed, bound)
        except NoRoom:
            return Outcome.TOO_MANY

    async def rotate(self, rotation: Rotation) -> Outcome:
        """See `Store.rotate`."""
        event = rotation.event
        outcome = await self._change(
            sql.ROTATE,
            event,
            rotation.version,
            rotation.retires_at,
            rotation.idle_seconds,
            *rows.secret_row(event.id, event.key_id, rotation.secret, rotation.secret_digest, POSTGRES),
            *_answer_row(event.org_id, rotation.sealed_answer),
        )
        # Check for a sealed answer: the first request has changed the key.
        if outcome is Outcome.OUTDATED and await self._is_answered(event.org_id, rotation.sealed_answer):
            return Outcome.REPEATED
        return outcome

    async def set_retirement(self, event: Event, *, version: int, retires_at: datetime) -> Outcome:
        """See `Store.set_retirement`."""
        return await self._change(sql.SET_RETIREMENT, event, version, retires_at)

    async def revoke(self, event: Event, reason: RevocationReason) -> ApiKey | None:
        """See `Store.revoke`."""
        began = self._servers.primacy.now()
        found = await self._execute(event.org_id, sql.REVOKE, *rows.event_row(event, POSTGRES), reason.value)
        self._wake()
        if not found:
            self._refuse_unproven(began)
            return None
        overtaken, *row = found[0]
        # A deletion meanwhile comes after the revocation.
        newer = await self.get(event.org_id, event.key_id) if overtaken else None
        return newer or self._keys.read(row)

    async def delete(self, event: Event) -> bool:
        """See `Store.delete`."""
        return await self._change(sql.DELETE, event) is Outcome.DONE

    async def add_expiry_notice(self, event: Event, *, expires_at: datetime, days: int) -> bool:
        """See `KeyTaskStore.add_expiry_notice`."""
        return await self._change(sql.ADD_EXPIRY_NOTICE, event, expires_at, days) is Outcome.DONE

    async def purge(self, kind: Removable, until: datetime, *, limit: int) -> int:
        """See `KeyTaskStore.purge`."""
        return len(await self._execute(None, retention_sql.PURGE[kind], until, limit))

    async def prune(self, org_id: UUID, position: int, hash_: bytes, before: datetime, *, limit: int) -> int:
        """See `KeyTaskStore.prune`."""
        ((removed,),) = await self._execute(None, retention_sql.PRUNE, org_id, position, hash_, before, limit)
        return int(removed)

    async def erase(self, erasure: Event) -> None:
        """See `AuditStore.erase`."""
        row = rows.event_row(erasure, POSTGRES)
        await self._execute(None, retention_sql.ERASE, row.id, row.org_id, row.occurred_at, row.data, row.digest)
        self._wake()

    async def erase_key(self, event: Event) -> bool:
        """See `KeyEraser.erase_key`."""
        return await self._change(sql.ERASE_KEY, event) is Outcome.DONE

    async def find_keys(self, digests: Sequence[bytes]) -> Mapping[bytes, KeyFacts]:
        """See `KeyStore.find_keys`."""
        # The server cuts digests out of one value: one of another length would shift the others.
        wanted = [digest for digest in digests if len(digest) == checking_rows.DIGEST_BYTES]
        found = await self._admitting(None, checking_sql.FIND_MANY, b"".join(wanted))
        facts = self._facts.facts
        return {wanted[place]: facts(*row) for place, *row in found}

    async def revoke_many(
        self, revocation: BulkRevocation, events: Sequence[Event], *, position: UUID, finished_at: datetime | None
    ) -> None:
        """See `OperatorStore.revoke_many`."""
        added = [rows.event_row(event, POSTGRES_TEXTS) for event in events]
        columns = [[row[column] for row in added] for column in range(len(EventRow._fields))]
        step = (revocation.id, revocation.position, position, finished_at, revocation.reason.value)
        await self._execute(None, operator_sql.REVOKE_MANY, *step, *columns)
        self._wake()

    async def revoke_verifier(self, name: str, at: datetime) -> Verifier | None:
        """See `VerifierStore.revoke_verifier`."""
        rows.refuse_unstorable((name,))
        found = await self._execute(None, checking_sql.REVOKE_VERIFIER, name, at)
        self._wake()
        return self._verifier(tuple(found[0])) if found else None

    async def renew_sessions(self, sessions: Sequence[Session]) -> None:
        """See `SessionStore.renew_sessions`. A statement changes a row once, so an id that is there twice takes two."""
        left = [checking_rows.session_row(session) for session in sessions]
        while left:
            # Backwards, so that the first of several with one id stays.
            once = {row.id: row for row in reversed(left)}
            named = [once[session_id] for session_id in sorted(once)]
            columns = [
                [None if value is None else str(value) for value in column] for column in zip(*named, strict=True)
            ]
            await self._execute(None, checking_sql.RENEW_SESSIONS, *columns)
            left = [row for row in left if once[row.id] is not row]

    async def confirm_together(self, acknowledged: Sequence[Acknowledged]) -> None:
        """See `SessionStore.confirm_together`. Numbers that no change has are passed over."""
        pairs = {(str(session_id), str(seq)) for session_id, seqs in acknowledged for seq in seqs}
        if pairs:
            await self._execute(None, checking_sql.ACKNOWLEDGE, *map(list, zip(*pairs, strict=True)))

    async def add_usage(self, usage: Iterable[HourlyUsage], batch: UsageBatch) -> None:
        """See `CheckingStore.add_usage`; a text that a database cannot store is a `ValueError`."""
        columns = await asyncio.to_thread(_usage_columns, usage)
        if columns:
            await self._execute(None, checking_sql.ADD_USAGE, *columns, *batch)

    async def _add_verdicts(self, counts: Sequence[VerdictCount], batch: UsageBatch) -> None:
        texts = [(POSTGRES_TEXTS.time(each.start), each.code, POSTGRES_TEXTS.number(each.number)) for each in counts]
        await self._execute(None, figures_sql.ADD_VERDICTS, *zip(*texts, strict=True), *batch)

    async def roll_up_verdicts(self, before: datetime, *, limit: int) -> int:
        """See `FiguresStore.roll_up_verdicts`."""
        ((moved,),) = await self._execute(None, figures_sql.ROLL_UP, before, limit)
        return int(moved)

    async def daily_counts(
        self, org_id: UUID, key_ids: Sequence[UUID], *, since: datetime
    ) -> dict[UUID, dict[datetime, UsageCount]]:
        """See `Store.daily_counts`."""
        found = await self._rows(org_id, checking_sql.DAILY_COUNTS, org_id, [str(key_id) for key_id in key_ids], since)
        return checking_rows.days_by_key(self._decoding, found)

    async def check(self) -> None:
        """See `Store.check`. A server that acknowledges what it may lose counts as unavailable, too."""
        found = await self._read(None, sql.VERSION)
        if migrations.POSTGRESQL.missing([version for (version,) in found]):
            raise StorageUnavailable(f"the database is not migrated, {MIGRATE}")

    async def _is_answered(self, org_id: UUID, sealed_answer: SealedAnswer | None) -> bool:
        if sealed_answer is None:
            return False
        return await self.sealed_answer(org_id, sealed_answer.request_digest, sealed_answer.created_at) is not None

    async def _change(self, statement: str, event: Event, *values: Any) -> Outcome:
        """Execute a statement that adds *event* for each row that it changes, and gives these rows."""
        began = self._servers.primacy.now()
        changed = await self._execute(event.org_id, statement, *rows.event_row(event, POSTGRES), *values)
        self._wake()
        if not changed:
            # No standby had to confirm that there was nothing to change.
            self._refuse_unproven(began)
        return Outcome.DONE if changed else Outcome.OUTDATED

    async def _rows(self, org_id: UUID | None, statement: str, *values: Any) -> list[Row]:
        began = self._servers.primacy.now()
        found = await self._read(org_id, statement, *values)
        self._refuse_unproven(began)
        return [tuple(row) for row in found]

    def _refuse_unproven(self, began: float) -> None:
        """
        Refuse what was read from *began* on where a former primary may have told it.

        A process that reads no changes has no proof either, nor has one that starts; for these the server's word is
        enough.
        """
        if self._feeds and self._servers.primacy.ever_proven:
            self._servers.primacy.refuse_unproven(began)

    async def _admitting(self, org_id: UUID | None, statement: str, *values: Any) -> list[Row]:
        began = self._servers.primacy.now()
        found = await self._rows(org_id, statement, *values)
        self._servers.primacy.refuse_unproven(began)
        return found

    def _open_feed(self) -> PostgresChangeFeed:
        return PostgresChangeFeed(self._url, servers=self._servers, forget=self._feeds.discard)

    async def _read(self, share: Share, statement: str, *values: Any) -> "list[asyncpg.Record]":
        deadline = self._managing.deadline()
        try:
            return await self._fetch(share, statement, values, deadline)
        except ConnectionLost:
            # Mostly a connection that broke while it was idle; reading twice does no harm.
            return await self._fetch(share, statement, values, deadline)

    async def _execute(self, share: Share, statement: str, *values: Any) -> "list[asyncpg.Record]":
        # Not repeated after a lost connection: the change may have been made.
        return await self._fetch(share, statement, values, self._managing.deadline())

    async def _fetch(
        self, share: Share, statement: str, values: Sequence[Any], deadline: float
    ) -> "list[asyncpg.Record]":
        pool = self._checking if share is None else self._managing
        while True:
            try:
                return await pool.fetch(statement, values, share=share, deadline=deadline)
            except RolledBack:
                # Nothing was done: the server chose this transaction as the victim of a deadlock.
                continue


def _usage_columns(usage: Iterable[HourlyUsage]) -> list[tuple[Any, ...]]:
    return list(zip(*checking_rows.hourly_usage_rows(usage, POSTGRES_TEXTS), strict=True))


def _answer_row(org_id: UUID, answer: SealedAnswer | None) -> AnswerRow:
    """Give the row of a sealed answer; of none, one whose columns but the first are absent."""
    if answer is None:
        return AnswerRow(org_id, *[None] * (len(AnswerRow._fields) - 1))
    return rows.answer_row(org_id, answer, POSTGRES)
