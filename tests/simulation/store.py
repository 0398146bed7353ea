"""The store of one process on the database of the simulation: `CheckingStore`, and the few changes that a key gets."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from keywright.keys.verdict import KeyFacts
from keywright.service.change_feed import LONGEST_TRANSACTION_SECONDS, Change, ChangeFeed, Reading
from keywright.service.checking.ports import HourlyUsage, UsageBatch
from keywright.service.faults import StorageUnavailable
from keywright.service.verifier_sessions import SESSION_SECONDS, Acknowledged, Confirmation, Receipt, Session
from keywright.storage.postgres.change_reader import ChangeReader
from tests.simulation.database import Database, Drawn, Key, Link, Row, SessionRow, Writing
from tests.simulation.loop import Handle, Process

MOST_RECENT = 1000
RECENT = timedelta(seconds=LONGEST_TRANSACTION_SECONDS)
POLL_WITHOUT_NOTIFICATIONS_SECONDS = 0.05


@dataclass(slots=True)
class Twist:
    """What becomes of the next change that a process makes: see `Writing`."""

    slow: bool = False
    extra: float = 0.0
    rolled_back: bool = False
    answer_lost: bool = False


NO_TWIST = Twist()


class Store:
    """
    A store. `patience` is after how many seconds a caller has an answer, whatever it is.

    Args:
        database: Where everything is.
        process: Whose it is.
        number: Of its connections: numbers of changes are handed out in blocks to each.
        link: The way to the database; the trail has one of its own.
        hears: Whether notifications reach it.
    """

    patience = 1.2
    """Shorter than in the real store, for time is dear here."""

    def __init__(self, database: Database, process: Process, number: int, link: Link, *, hears: bool = True) -> None:
        self.database = database
        self.process = process
        self.number = number
        self.link = link
        self.trail_link = Link()
        self.hears = hears
        self.trail: SimulatedTrail | None = None
        # How much longer than usual the answers to the next look-up and the next reading of the trail take.
        self.late = self.trail_late = 0.0
        # The same for the next writing.
        self.write_late = 0.0

    # how it is asked

    async def read(self, work: Callable[[Database], Any]) -> Any:
        """Have the database look into itself; `StorageUnavailable` when it does not answer."""
        future = self.database.loop.create_future()
        late, self.late = self.late, 0.0
        self.database.submit(self.process, self.link, self.patience, work, partial(_answer, future), late)
        return await future

    async def write(self, writing: Writing) -> Any:
        """Have the database do something; `StorageUnavailable` when it does not say that it did."""
        future = self.database.loop.create_future()
        writing.connection = self.number
        writing.extra += self.write_late
        self.write_late = 0.0
        self.database.write(self.process, self.link, self.patience, writing, partial(_answer, future))
        return await future

    # keys

    async def find_keys(self, digests: Sequence[bytes]) -> Mapping[bytes, KeyFacts]:
        """See `KeyStore.find_keys`."""
        return await self.read(lambda database: _find(database, digests))  # type: ignore[no-any-return]

    async def create(self, key: Key, twist: Twist = NO_TWIST) -> None:
        """Store a key."""
        await self._change(key, _create, twist, numbered=False)

    async def revoke(self, key: Key, at: datetime, twist: Twist = NO_TWIST) -> None:
        """Revoke a key as of a time."""
        await self._change(key, lambda database, drawn: _end(database, drawn, key, at, deleted=False), twist)

    async def delete(self, key: Key, at: datetime, twist: Twist = NO_TWIST) -> None:
        """Delete a key as of a time."""
        await self._change(key, lambda database, drawn: _end(database, drawn, key, at, deleted=True), twist)

    async def disable(self, key: Key, at: datetime, twist: Twist = NO_TWIST) -> None:
        """Disable a key: a change after which it is refused, and which is no end of it."""
        await self._change(key, lambda database, drawn: _disable(database, drawn, key, at), twist)

    async def touch(self, key: Key, at: datetime, twist: Twist = NO_TWIST) -> None:
        """Change something of a key that no verdict depends on."""
        await self._change(key, lambda database, drawn: _touch(database, drawn, key, at), twist)

    async def _change(self, key: Key, work: Callable[..., object], twist: Twist, *, numbered: bool = True) -> None:
        do = work if numbered else lambda database, _: work(database, key)
        await self.write(
            Writing(
                do,
                key=key,
                numbered=numbered,
                slow=twist.slow,
                extra=twist.extra,
                rolled_back=twist.rolled_back,
                answer_lost=twist.answer_lost,
            )
        )

    # the trail

    async def follow(self) -> ChangeFeed:
        """See `CheckingStore.follow`."""
        trail = (SimulatedTrail if self.database.postgres else NumberedTrail)(self)
        await trail.start()
        self.trail = trail
        return trail

    # sessions

    async def renew_session(self, session: Session) -> None:
        """See `CheckingStore.renew_session`."""
        await self.write(Writing(lambda database, drawn: _renew_session(database, drawn, session)))

    async def renew_sessions(self, sessions: Sequence[Session]) -> None:
        """See `CheckingStore.renew_sessions`."""

        def write(database: Database, drawn: Drawn) -> None:
            for session in sessions:
                _renew_session(database, drawn, session)

        await self.write(Writing(write))

    async def close_session(self, session_id: UUID, verifier_id: UUID | None) -> None:
        """See `CheckingStore.close_session`."""
        await self.write(Writing(lambda database, drawn: _close_session(database, drawn, session_id, verifier_id)))

    async def confirm(self, session_id: UUID, seqs: Sequence[int]) -> None:
        """See `CheckingStore.confirm`."""
        await self.write(Writing(lambda database, drawn: _confirm(database, drawn, session_id, seqs)))

    async def confirm_together(self, acknowledged: Sequence[Acknowledged]) -> None:
        """See `CheckingStore.confirm_together`."""

        def write(database: Database, drawn: Drawn) -> None:
            for session_id, seqs in acknowledged:
                _confirm(database, drawn, session_id, seqs)

        await self.write(Writing(write))

    async def receipt(self, org_id: UUID, key_id: UUID) -> Receipt | None:
        """See `CheckingStore.receipt`."""
        return await self.read(lambda database: _ending(database, org_id, key_id))  # type: ignore[no-any-return]

    # uses

    async def add_usage(self, usage: Iterable[HourlyUsage], batch: UsageBatch) -> None:
        """See `CheckingStore.add_usage`."""
        records = list(usage)
        if records:
            await self.write(Writing(lambda database, _: _add_usage(database, records, batch)))


def _answer(future: "asyncio.Future[Any]", result: Any, error: Exception | None) -> None:
    """Bring an answer to whoever waits for it."""
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(StorageUnavailable(str(error)))


class NumberedTrail:
    """The changes of an engine whose numbers are in the order of commits: `storage.sqlite_trail`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._database = store.database
        self._loop = store.database.loop
        self._begins_after = 0
        self._last = 0
        self._woken = False
        self._waits: asyncio.Future[None] | None = None
        self._wakes: Handle | None = None
        self._closed = False

    async def start(self) -> None:
        """Choose where the first reading begins."""
        self._begins_after = self._last = await self._ask(lambda database: before_the_recent(database.rows))
        self._listen()

    async def read(self) -> Reading:
        """See `ChangeFeed.read`."""
        self._woken = False
        last = self._last
        changes = await self._ask(lambda database: [row.change for row in database.rows if row.seq > last])
        if changes:
            self._last = changes[-1].seq
        return Reading(changes=changes, begins_after=self._begins_after, complete_to=self._last)

    async def wait(self, seconds: float) -> None:
        """See `ChangeFeed.wait`."""
        if self._woken:
            return
        self._waits = self._loop.create_future()
        wakes = self._loop.call_later(max(0.0, min(seconds, self._longest())), self.wake)
        try:
            await self._waits
        finally:
            wakes.cancel()
            self._waits = None

    async def close(self) -> None:
        """See `ChangeFeed.close`."""
        self._closed = True
        self._database.listeners.pop(self, None)
        self.wake()

    def wake(self) -> None:
        """Say that something may have changed."""
        self._woken = True
        if self._waits is not None and not self._waits.done():
            self._waits.set_result(None)

    def _longest(self) -> float:
        return 1.0

    def _listen(self) -> None:
        if self._store.hears:
            self._database.listeners[self] = self._notify

    def _notify(self) -> None:
        self._loop.at(self._store.process, self._database.delay(), self.wake)

    async def _ask(self, work: Callable[[Database], Any]) -> Any:
        if self._closed:
            raise StorageUnavailable("the trail is closed")
        future = self._loop.create_future()
        store = self._store
        late, store.trail_late = store.trail_late, 0.0
        self._database.submit(store.process, store.trail_link, store.patience, work, partial(_answer, future), late)
        return await future


class SimulatedTrail(NumberedTrail):
    """The changes of PostgreSQL: `storage.postgres.change_feed`, with the real `ChangeReader`."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._reader = ChangeReader()
        self._term: int | None = None

    async def start(self) -> None:
        """Choose where the first reading begins."""
        await self._connect()

    async def read(self) -> Reading:
        """See `ChangeFeed.read`."""
        self._woken = False
        if self._term != self._database.term:
            await self._connect()
        reader, now, more = self._reader, self._loop.time(), True
        while more:
            highest, missing, since = reader.highest, reader.missing, reader.since
            changes, recent, at = await self._ask(partial(changes_of, highest=highest, missing=missing, since=since))
            more = reader.take(changes, recent, at, now)
        return reader.take_out()

    def break_off(self) -> None:
        """Lose the connection."""
        self._term = None
        self.wake()

    async def _connect(self) -> None:
        term = self._database.term
        oldest, at = await self._ask(begin_at)
        self._reader.begin(oldest, at)
        self._term = term
        self._listen()

    async def _ask(self, work: Callable[[Database], Any]) -> Any:
        term = self._term
        try:
            answer = await super()._ask(work)
        except BaseException:
            self._term = None
            raise
        if term is not None and term != self._term:
            raise StorageUnavailable("the connection is lost")
        return answer

    def _longest(self) -> float:
        return 0.2 if self._store.hears else POLL_WITHOUT_NOTIFICATIONS_SECONDS


# what the statements of `storage` do


def changes_of(
    database: Database, highest: int, missing: Sequence[int], since: datetime | None
) -> tuple[list[Change], list[int], datetime]:
    """Do what `postgres_checking_sql.CHANGES` does."""
    changes: list[Change] = []
    recent: list[int] = []
    for row in database.rows:
        if row.seq > highest:
            changes.append(row.change)
        else:
            if row.seq in missing:
                changes.append(row.change)
            if since is not None and row.change.written_at > since:
                recent.append(row.seq)
    return changes, recent, database.now()


def begin_at(database: Database) -> tuple[int, datetime]:
    """Do what `postgres_checking_sql.BEGIN_AT` does."""
    now = database.now()
    old = [row.seq for row in database.rows if row.change.written_at < now - RECENT]
    return max(old, default=0), now


def before_the_recent(rows: Sequence[Row]) -> int:
    """Do what `sqlite_checking_sql.BEGIN_AFTER` does."""
    return rows[-1 - MOST_RECENT].seq if len(rows) > MOST_RECENT else 0


def _find(database: Database, digests: Sequence[bytes]) -> Mapping[bytes, KeyFacts]:
    found = {key.digest: key.facts() for key in database.keys if key.digest in digests}
    return {digest: facts for digest, facts in found.items() if facts is not None}


def _create(database: Database, key: Key) -> None:
    key.created = True

    def undo() -> None:
        key.created, key.lost = False, True

    database.commit(undo)


def _end(database: Database, drawn: Drawn, key: Key, at: datetime, *, deleted: bool) -> bool:
    if not key.created or key.deleted:
        return False
    if key.revoked and not deleted:
        return True
    former = key.ended_at, key.revoked, key.deleted
    key.ended_at = key.ended_at or at
    if deleted:
        key.deleted = True
    else:
        key.revoked = True

    def undo() -> None:
        key.ended_at, key.revoked, key.deleted = former
        key.lost = True

    _tell(database, drawn, key, at, undo, ends=True)
    return True


def _disable(database: Database, drawn: Drawn, key: Key, at: datetime) -> bool:
    if not key.created or key.deleted:
        return False
    former, key.disabled = key.disabled, True

    def undo() -> None:
        key.disabled, key.lost = former, True

    _tell(database, drawn, key, at, undo)
    return True


def _touch(database: Database, drawn: Drawn, key: Key, at: datetime) -> bool:
    if not key.created or key.deleted:
        return False
    _tell(database, drawn, key, at, lambda: None)
    return True


def _tell(
    database: Database, drawn: Drawn, key: Key, at: datetime, undo: Callable[[], None], *, ends: bool = False
) -> None:
    """Commit a change and its row, and wake those who listen; *undo* is called where the commit is lost."""
    row = database.row(drawn.seq, key, at, drawn.written_at, ends=ends)

    def undo_all() -> None:
        undo()
        database.rows.remove(row)

    database.commit(undo_all)
    database.tell(row)


def _renew_session(database: Database, drawn: Drawn, session: Session) -> None:
    row = database.sessions.get(session.id)
    if row is None:
        database.sessions[session.id] = SessionRow(session, drawn.begun_at, drawn.begun_at)
        database.commit(lambda: database.sessions.pop(session.id, None))
    elif row.session.verifier_id == session.verifier_id:
        former = row.session, row.seen_at, row.closed_at
        row.session, row.seen_at, row.closed_at = session, drawn.begun_at, None

        def undo() -> None:
            row.session, row.seen_at, row.closed_at = former

        database.commit(undo)


def _close_session(database: Database, drawn: Drawn, session_id: UUID, verifier_id: UUID | None) -> None:
    row = database.sessions.get(session_id)
    if row is not None and row.session.verifier_id == verifier_id:
        former, row.closed_at = row.closed_at, drawn.begun_at
        database.commit(lambda: setattr(row, "closed_at", former))


def _confirm(database: Database, drawn: Drawn, session_id: UUID, seqs: Sequence[int]) -> None:
    visible = {row.seq for row in database.rows}
    for seq in seqs:
        place = (seq, session_id)
        if seq in visible and place not in database.confirmations:
            database.confirmations[place] = drawn.begun_at
            database.commit(lambda place=place: database.confirmations.pop(place, None))  # type: ignore[misc]


def _ending(database: Database, org_id: UUID, key_id: UUID) -> Receipt | None:
    key = next((key for key in database.keys if key.id == key_id and key.org_id == org_id), None)
    if key is None or key.ended_at is None:
        return None
    ends = {row.seq for row in database.rows if row.change.key_id == key_id and row.ends}
    confirmed: dict[UUID, datetime] = {}
    for (seq, session_id), at in database.confirmations.items():
        if seq in ends:
            confirmed[session_id] = min(at, confirmed.get(session_id, at))
    # The statement reads the clock some time after it chose what it sees.
    read_at = database.now() + timedelta(seconds=database.habits.clock_read_late * database.random.random())
    written = min(row.change.written_at for row in database.rows if row.seq in ends)
    longest = timedelta(seconds=LONGEST_TRANSACTION_SECONDS)
    committed_by = min(confirmed.values(), default=min(read_at, written + longest))
    least = min(key.ended_at, committed_by)
    told = [
        Confirmation(
            session=row.session, connected_at=row.connected_at, confirmed_at=confirmed.get(id_), closed_at=row.closed_at
        )
        for id_, row in database.sessions.items()
        if id_ in confirmed or _concerns(row, committed_by, least)
    ]
    told.sort(key=lambda each: each.connected_at)
    return Receipt(ended_at=key.ended_at, committed_by=committed_by, confirmations=told)


def _concerns(row: SessionRow, committed_by: datetime, least: datetime) -> bool:
    return (
        row.connected_at < committed_by
        and (row.closed_at is None or row.closed_at > least)
        and row.seen_at + timedelta(seconds=row.session.outage_seconds + SESSION_SECONDS) > least
    )


def _add_usage(database: Database, records: Sequence[HourlyUsage], batch: UsageBatch) -> None:
    if database.batches.get(batch.reporter, 0) >= batch.number:
        return
    former = database.batches.get(batch.reporter, 0)
    database.batches[batch.reporter] = batch.number
    database.commit(lambda: database.batches.__setitem__(batch.reporter, former))
    for seen in records:
        for key in database.keys:
            if key.digest == seen.digest and key.created and not key.deleted:
                # Refusals, too: both together are never more than the verifications.
                key.uses += seen.count
                database.commit(lambda key=key, count=seen.count: setattr(key, "uses", key.uses - count))  # type: ignore[misc]
