"""
The store in PostgreSQL, or in any engine that speaks it.

Every call is one statement and every statement a transaction, so nothing depends on the session: a pooler may hand each
one to another connection.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import compress
from typing import TYPE_CHECKING, Any
from uuid import UUID

from keywright.keys.record import ApiKey, RevocationReason
from keywright.keys.verdict import KeyFacts
from keywright.service.checking.ports import HourlyUsage, UsageBatch
from keywright.service.fair_queue import Share
from keywright.service.faults import StorageUnavailable
from keywright.service.management.audit_log import Event
from keywright.service.management.ports import NewApiKey, Outcome, Rotation, SealedAnswer
from keywright.service.management.task_ports import Removable
from keywright.service.principal import Organization
from keywright.service.verifiers import Verifier
from keywright.storage import migrations
from keywright.storage.migrations import MIGRATE
from keywright.storage.postgres import checking_statements as checking_sql
from keywright.storage.postgres import retention_statements as retention_sql
from keywright.storage.postgres import statements as sql
from keywright.storage.postgres.change_feed import PostgresChangeFeed
from keywright.storage.postgres.faults import ConnectionLost, NoRoom, RolledBack
from keywright.storage.postgres.pool import Pool
from keywright.storage.shared import checking_rows, rows, statements
from keywright.storage.shared.group_commit import MOST_IN_A_BATCH, PATIENCE, GroupCommit, OnBatch
from keywright.storage.shared.rows import POSTGRES, POSTGRES_TEXTS, AnswerRow, NewRows, Row
from keywright.storage.shared.store import SharedStore
from keywright.storage.url import PostgresUrl

if TYPE_CHECKING:
    import asyncpg

LANES = 2
"""Batches of creations under way at once: while one waits for the disk, the next is on its way."""

_CREATIONS = "creations"
"""The share of statements that create keys of many organizations."""

LOOK_UP_LANES = 2
"""Statements under way at once that look up what waits together."""


_MOST_OWNED = 10_000
"""Organizations that are known to be stored."""

MOST_FULL = 10_000
"""The most organizations that a process remembers to be near their bound."""

_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class _Creation:
    """A creation as texts; `guard` is None where there is no answer to store. `at` is its time."""

    rows: NewRows
    guard: sql.GuardRow | None
    at: datetime


class PostgresStore(SharedStore):
    """
    All of `service.management.ports` and `service.checking.ports` in PostgreSQL, to be closed after use.

    Look-ups that wait at the same time are one statement: 60 000 a second with 64 callers, instead of 19 000.

    Two fifths of the connections serve checking and the process itself, the others management; one each at least.

    Args:
        url: The database; it has to be migrated by the time of the first call.
        on_batch: Called with the number of creations that shared a commit, for each commit.
        patience: Seconds after which a caller has an answer or a fault.
    """

    def __init__(self, url: PostgresUrl, *, on_batch: OnBatch | None = None, patience: float = PATIENCE) -> None:
        super().__init__(sql.DIALECT)
        self._url = url
        # What checking and the process itself need waits for no statement of management.
        checking = max(1, url.pool_size * 2 // 5)
        self._checking = Pool(url, checking, most_of_share=checking, patience=patience)
        managing = max(1, url.pool_size - checking)
        self._managing = Pool(url, managing, most_of_share=max(1, managing * 2 // 3), patience=patience)
        self._patience = patience
        self._on_batch = on_batch
        # By the bound on active keys, which is the same for all creations of a service.
        self._creations: dict[int | None, GroupCommit[_Creation, Outcome | None]] = {}
        # The organizations that had no room lately, in hexadecimal digits: there is a look before their creations.
        self._full: set[str] = set()
        self._finds: GroupCommit[bytes, KeyFacts | None] = GroupCommit(
            self._find, lanes=LOOK_UP_LANES, patience=patience
        )

        self._owned: dict[Organization, None] = {}

    async def start(self) -> None:
        """Do nothing: connections are opened when they are needed, and again when they were lost. See `check`."""

    async def close(self) -> None:
        """Finish what was accepted, then close every connection."""
        await self._close_feeds()
        await self._finds.close()
        for creations in self._creations.values():
            await creations.close()
        await self._managing.close()
        await self._checking.close()

    async def create(self, new: NewApiKey) -> Outcome:
        """See `Store.create`."""
        added = rows.new_rows(new, POSTGRES_TEXTS)
        was_owned = new.organization in self._owned
        outcome = await self._submit(new, added)
        if outcome is not Outcome.DONE and not was_owned:
            found = await self.organizations_like(new.organization)
            if found and found != [new.organization]:
                return Outcome.OTHER_OWNER
            # Another transaction may have stored the same organization meanwhile; the second attempt sees it.
            outcome = await self._submit(new, added)
        if outcome is Outcome.DONE:
            self._remember(new.organization)
        # Check for a sealed answer before the cap: the first request may have made the last key that was allowed.
        elif outcome is Outcome.TOO_MANY and await self._is_answered(new.api_key.org_id, new.sealed_answer):
            return Outcome.REPEATED
        return outcome

    async def get(self, org_id: UUID, key_id: UUID) -> ApiKey | None:
        """See `Store.get`."""
        found = await self._rows(org_id, sql.GET, org_id, key_id)
        return self._keys.read(found[0]) if found else None

    async def update(self, api_key: ApiKey, event: Event, *, most_active: int | None = None) -> Outcome:
        """See `Store.update`."""
        bound = _bound(most_active, event.occurred_at)
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
        found = await self._execute(event.org_id, sql.REVOKE, *rows.event_row(event, POSTGRES), reason.value)
        self._wake()
        if not found:
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

    async def find_key(self, digest: bytes) -> KeyFacts | None:
        """See `CheckingStore.find_key`."""
        # The server cuts digests out of one long text: one of another length would shift the others.
        return await self._finds.submit(digest) if len(digest) == checking_rows.DIGEST_BYTES else None

    async def revoke_verifier(self, name: str, at: datetime) -> Verifier | None:
        """See `VerifierStore.revoke_verifier`."""
        rows.refuse_unstorable((name,))
        found = await self._execute(None, checking_sql.REVOKE_VERIFIER, name, at)
        self._wake()
        return self._verifier(tuple(found[0])) if found else None

    async def confirm(self, session_id: UUID, seqs: Sequence[int]) -> None:
        """See `SessionStore.confirm`. Numbers that no change has are passed over."""
        await self._execute(None, checking_sql.ACKNOWLEDGE, session_id, [str(seq) for seq in seqs])

    async def add_usage(self, usage: Sequence[HourlyUsage], batch: UsageBatch) -> None:
        """See `CheckingStore.add_usage`; a text that a database cannot store is a `ValueError`."""
        if usage:
            uses = checking_rows.hourly_usage_rows(usage, POSTGRES_TEXTS)
            await self._execute(None, checking_sql.ADD_USAGE, *zip(*uses, strict=True), *batch)

    async def daily_counts(
        self, org_id: UUID, key_ids: Sequence[UUID], *, since: datetime
    ) -> dict[UUID, dict[datetime, int]]:
        """See `Store.daily_counts`."""
        found = await self._rows(org_id, checking_sql.DAILY_COUNTS, org_id, [str(key_id) for key_id in key_ids], since)
        return checking_rows.days_by_key(self._decoding, found)

    async def check(self) -> None:
        """See `Store.check`. A server that acknowledges what it may lose counts as unavailable, too."""
        found = await self._read(None, sql.VERSION)
        if migrations.POSTGRESQL.missing([version for (version,) in found]):
            raise StorageUnavailable(f"the database is not migrated, {MIGRATE}")

    async def _submit(self, new: NewApiKey, added: NewRows) -> Outcome:
        is_plain = new.sealed_answer is None and new.organization in self._owned
        creation = _Creation(added, None if is_plain else _guard(new, added), new.api_key.created_at)
        org_id = new.api_key.org_id
        outcome = await self._creations_within(new.most_active).submit(creation, org_id)
        while outcome is None:
            outcome = await self._creations_within(new.most_active).submit(creation, org_id)
        return outcome

    def _remember(self, organization: Organization) -> None:
        """Note that an organization is stored; it never changes, so no later creation needs to look."""
        if organization not in self._owned:
            while len(self._owned) >= _MOST_OWNED:
                del self._owned[next(iter(self._owned))]
            self._owned[organization] = None

    def _creations_within(self, most_active: int | None) -> GroupCommit[_Creation, Outcome | None]:
        """Give the queue of the creations with a bound."""
        found = self._creations.get(most_active)
        if found is None:
            found = self._creations[most_active] = GroupCommit(
                lambda new: self._create(new, most_active),
                lanes=LANES,
                patience=self._patience,
                on_batch=self._on_batch,
            )
        return found

    async def _create(self, new: Sequence[_Creation], most_active: int | None) -> list[Outcome | None]:
        """Create keys in one transaction, as many as have room; None for one that is to be tried again."""
        for _ in range(_ATTEMPTS):
            room = await self._room(new, most_active)
            admitted = _admitted(new, room)
            try:
                outcomes = await self._insert(list(compress(new, admitted)), most_active)
            except NoRoom as error:
                # Nothing was done. From now on there is a look at this organization before.
                self._full.add(error.org_id)
            else:
                return _outcomes(new, admitted, outcomes)
        raise StorageUnavailable("other processes take the room of the organization")

    async def _room(self, new: Sequence[_Creation], most_active: int | None) -> dict[str, int]:
        """Give how many keys may be added to each organization that is near its bound."""
        near = self._full & {creation.rows.key.org_id for creation in new}
        if most_active is None or not near:
            return {}
        at = max(creation.at for creation in new)
        room = {
            org: most_active - active for org, active in await self._execute(_CREATIONS, sql.SETTLE, list(near), at)
        }
        self._full -= {org for org, left in room.items() if left > MOST_IN_A_BATCH}
        if len(self._full) > MOST_FULL:
            self._full.clear()
        return room

    async def _insert(self, new: Sequence[_Creation], most_active: int | None) -> list[Outcome]:
        if not new:
            return []
        bound = _bound(most_active, max(creation.at for creation in new))
        if all(creation.guard is None for creation in new):
            await self._execute(_CREATIONS, sql.CREATE, *_columns_of([creation.rows for creation in new]), bound)
            return [Outcome.DONE] * len(new)
        # The same request twice in one statement would be an error of the server's; the first of them is done.
        firsts = {_request_of(creation): creation for creation in reversed(new)}
        unique = [creation for creation in new if firsts[_request_of(creation)] is creation]
        guards = [creation.guard or _unconditional(creation.rows) for creation in unique]
        columns = _columns_of([creation.rows for creation in unique])
        created = await self._execute(_CREATIONS, sql.CREATE_GUARDED, *columns, *zip(*guards, strict=True), bound)
        done = {key_id.hex for (key_id,) in created}
        return [
            Outcome.DONE
            if creation.rows.key.id in done and firsts[_request_of(creation)] is creation
            else Outcome.REPEATED
            for creation in new
        ]

    async def _is_answered(self, org_id: UUID, sealed_answer: SealedAnswer | None) -> bool:
        if sealed_answer is None:
            return False
        return await self.sealed_answer(org_id, sealed_answer.request_digest, sealed_answer.created_at) is not None

    async def _change(self, statement: str, event: Event, *values: Any) -> Outcome:
        """Execute a statement that adds *event* for each row that it changes, and gives these rows."""
        changed = await self._execute(event.org_id, statement, *rows.event_row(event, POSTGRES), *values)
        self._wake()
        return Outcome.DONE if changed else Outcome.OUTDATED

    async def _rows(self, org_id: UUID | None, statement: str, *values: Any) -> list[Row]:
        return [tuple(row) for row in await self._read(org_id, statement, *values)]

    def _open_feed(self) -> PostgresChangeFeed:
        return PostgresChangeFeed(self._url, forget=self._feeds.discard)

    async def _find(self, digests: Sequence[bytes]) -> list[KeyFacts | None]:
        if len(digests) == 1:
            found = await self._read(None, statements.FIND, digests[0])
            return [self._facts.facts(*found[0]) if found else None]
        facts: list[KeyFacts | None] = [None] * len(digests)
        for place, *row in await self._read(None, checking_sql.FIND_MANY, b"".join(digests)):
            facts[place] = self._facts.facts(*row)
        return facts

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


def _columns_of(new: Sequence[NewRows]) -> list[Sequence[Any]]:
    """Give the columns of the four tables, an array for each."""
    # In one order in every batch: two batches that add the same organizations wait for each other, never in a ring.
    organizations = sorted({added.organization for added in new})
    keys, secrets, events = ([getattr(added, table) for added in new] for table in ("key", "secret", "event"))
    return [column for table in (organizations, keys, secrets, events) for column in zip(*table, strict=True)]


def _answer_row(org_id: UUID, answer: SealedAnswer | None) -> AnswerRow:
    """Give the row of a sealed answer; of none, one whose columns but the first are absent."""
    if answer is None:
        return AnswerRow(org_id, *[None] * (len(AnswerRow._fields) - 1))
    return rows.answer_row(org_id, answer, POSTGRES)


def _bound(most_active: int | None, at: datetime) -> str:
    """Write the bound on active keys for the triggers; see `active_keys_refuse` in the migrations."""
    return "" if most_active is None else f"{most_active}@{at.isoformat()}"


def _admitted(new: Sequence[_Creation], room: Mapping[str, int]) -> list[bool]:
    """Say of each creation whether its organization has room for it, after those before it."""
    left = dict(room)
    admitted = []
    for creation in new:
        org_id = creation.rows.key.org_id
        left[org_id] = left.get(org_id, len(new)) - 1
        admitted.append(left[org_id] >= 0)
    return admitted


def _outcomes(new: Sequence[_Creation], admitted: Sequence[bool], inserted: Sequence[Outcome]) -> list[Outcome | None]:
    """
    Give the outcome of each creation from those of the admitted ones.

    One that was not admitted is refused, unless a repeated request left its room: then it is to be tried again.
    """
    found = iter(inserted)
    outcomes = [next(found) if given else None for given in admitted]
    left = {each.rows.key.org_id for each, outcome in zip(new, outcomes, strict=True) if outcome is Outcome.REPEATED}
    return [
        Outcome.TOO_MANY if outcome is None and creation.rows.key.org_id not in left else outcome
        for creation, outcome in zip(new, outcomes, strict=True)
    ]


def _guard(new: NewApiKey, added: NewRows) -> sql.GuardRow:
    guard = _unconditional(added)
    if new.sealed_answer is None:
        return guard
    answer = rows.answer_row(new.api_key.org_id, new.sealed_answer, POSTGRES_TEXTS)
    return guard._replace(**answer._asdict())


def _unconditional(added: NewRows) -> sql.GuardRow:
    organization = added.organization
    return sql.GuardRow(added.key.id, added.key.org_id, organization.issuer, organization.external_id)


def _request_of(creation: _Creation) -> Row:
    """Give what identifies a request: organization and request, or the key where it has no answer to repeat."""
    if creation.guard is None or creation.guard.request_digest is None:
        return (creation.rows.key.id,)
    return (creation.guard.org_id, creation.guard.request_digest)
