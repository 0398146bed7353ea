"""
A database of the simulation that does all that a real one may do, at the moment that a seed chooses.

As PostgreSQL: a change draws its number before it commits, each connection out of a block of its own, and numbers
become visible in any order; some never do, because their transaction is rolled back. A transaction waits for a row that
another one holds. Its caller gives up, and it commits afterwards, or it commits and its answer is lost. A reading sees
what was visible a while before its answer. A connection breaks; the server restarts; another one takes over that never
got the end of what the first one had acknowledged. As SQLite: one writes at a time, and numbers are in the order of
commits.

Its own clock drifts, and never steps.

A change that was acknowledged and then lost by such a failover is not judged, nor is anything else about its key: no
follower can tell of what is not there. Receipts read within 15 s after it are not judged either.
"""

from bisect import insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import inf
from random import Random
from typing import Any, NamedTuple
from uuid import UUID

from keywright.keys.verdict import KeyFacts
from keywright.service.change_feed import Change
from tests.simulation.loop import Loop, Process

EPOCH = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
EPOCH_SECONDS = EPOCH.timestamp()
UNJUDGED_AFTER_LOSS_SECONDS = 15.0

_HOUR_AGO = 3600.0
_AT_ONCE_SHARE = 0.7


class Refusal(Exception):
    """The database answers, and the answer is that it cannot."""


@dataclass(slots=True)
class Key:
    """A key and the row it has; `free_at` is when nobody holds the row any more."""

    number: int
    id: UUID
    org_id: UUID
    text: str
    digest: bytes
    created: bool = False
    ended_at: datetime | None = None
    revoked: bool = False
    deleted: bool = False
    disabled: bool = False
    free_at: float = 0.0
    uses: int = 0
    lost: bool = False
    name: str = "k"
    org_external_id: str = "o"
    created_by: str = "s"

    def facts(self) -> KeyFacts | None:
        """Give what a look-up finds."""
        if not self.created or self.deleted:
            return None
        return KeyFacts(
            id=self.id.bytes,
            org_id=self.org_id.bytes,
            name=self.name,
            environment="live",
            revoked=self.revoked,
            disabled=self.disabled,
            org_external_id=self.org_external_id,
            created_by=self.created_by,
        )


class Row(NamedTuple):
    """A change that is visible; `ends` tells whether the key works no more after it."""

    seq: int
    change: Change
    ends: bool


@dataclass(slots=True)
class SessionRow:
    """A session that is stored, with the times of the database's clock."""

    session: Any
    connected_at: datetime
    seen_at: datetime
    closed_at: datetime | None = None


@dataclass(slots=True)
class Habits:
    """How long things take, in seconds; the slow ones with a probability."""

    quick: float = 0.004
    slow: float = 1.5
    slow_share: float = 0.0
    commit: float = 0.01
    commit_slow: float = 0.6
    commit_slow_share: float = 0.2
    block: int = 1
    clock_read_late: float = 0.02


@dataclass(slots=True)
class Link:
    """
    A way between two.

    It tells until when nothing passes, until when everything that is sent is lost, and until when answers are.
    """

    stalled_until: float = 0.0
    cut_until: float = 0.0
    mute_until: float = 0.0


@dataclass(slots=True)
class Database:
    """The server. `away_until` is when it answers again, `term` counts its starts."""

    loop: Loop
    random: Random
    postgres: bool
    keys: Sequence[Key]
    habits: Habits
    rate: float = 1.0
    offset: float = 0.0
    away_until: float = 0.0
    term: int = 0
    keep_undo: bool = False
    rows: list[Row] = field(default_factory=list)
    sessions: dict[UUID, SessionRow] = field(default_factory=dict)
    confirmations: dict[tuple[int, UUID], datetime] = field(default_factory=dict)
    batches: dict[UUID, int] = field(default_factory=dict)
    next_number: int = 1
    writer_free_at: float = 0.0
    lost_at: float = -inf
    listeners: dict[object, Callable[[], None]] = field(default_factory=dict)
    note: Callable[..., None] | None = None
    _blocks: dict[int, list[int]] = field(default_factory=dict)
    _undo: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    # its clock

    def now(self) -> datetime:
        """Read its clock."""
        return EPOCH + timedelta(seconds=self.offset + self.loop._time * self.rate)

    def true(self, at: datetime) -> float:
        """Tell when its clock shows that, in the time of the simulation."""
        return ((at - EPOCH).total_seconds() - self.offset) / self.rate

    # numbers

    def draw(self, connection: int) -> int:
        """Draw the number of a change."""
        if not self.postgres or self.habits.block == 1:
            number = self.next_number
            self.next_number += 1
            return number
        block = self._blocks.get(connection)
        if not block:
            first = self.next_number
            self.next_number += self.habits.block
            block = self._blocks[connection] = list(range(first + self.habits.block - 1, first - 1, -1))
        return block.pop()

    # what is committed

    def commit(self, undo: Callable[[], None]) -> None:
        """Note that something was committed just now, and how it is lost."""
        if self.keep_undo:
            self._undo.append((self.loop._time, undo))

    def tell(self, row: Row) -> None:
        """Make a change visible, and wake those who listen."""
        insort(self.rows, row)
        if self.note is not None:
            self.note("database", f"commits change {row.seq} of key {row.change.key_id.int & 0xFF}")
        for wake in list(self.listeners.values()):
            wake()

    def old_change(self, key: Key, *, ago: float = _HOUR_AGO) -> None:
        """Store a change that was committed long ago."""
        at = self.now() - timedelta(seconds=ago)
        self.rows.append(self.row(self.draw(-1), key, at, at, ends=False))

    @staticmethod
    def row(seq: int, key: Key, occurred_at: datetime, noted_at: datetime, *, ends: bool) -> Row:
        """Make the row of a change."""
        change = Change(seq=seq, key_id=key.id, digests=(key.digest,), occurred_at=occurred_at, written_at=noted_at)
        return Row(seq, change, ends)

    # trouble

    def restart(self, seconds: float) -> None:
        """Be away for a while: what was not committed is undone, and all connections are lost."""
        self.term += 1
        self.away_until = max(self.away_until, self.loop._time + seconds)
        self.listeners.clear()
        self._blocks.clear()
        for key in self.keys:
            key.free_at = 0.0
        self.writer_free_at = 0.0

    def fail_over(self, seconds: float, lost: float) -> None:
        """Have another server take over, which lacks what was committed in the last moments."""
        self.restart(seconds)
        before = self.loop._time - lost
        while self._undo and self._undo[-1][0] > before:
            self._undo.pop()[1]()
            self.lost_at = self.loop._time
        highest = max((row.seq for row in self.rows), default=0)
        # It has seen some of the numbers that were drawn, or has skipped the rest of those that were logged.
        self.next_number = self.random.choice((highest + 1, highest + 1, self.next_number, highest + 33))

    # how things take time

    def delay(self) -> float:
        """Tell how long a message takes."""
        habits, random = self.habits, self.random.random
        seconds = 0.0003 + habits.quick * random()
        if habits.slow_share and random() < habits.slow_share:
            seconds += habits.slow * random()
        return seconds

    def submit(
        self,
        process: Process,
        link: Link,
        patience: float,
        work: Callable[["Database"], Any],
        done: "Done",
        late: float = 0.0,
    ) -> None:
        """
        Have something read: on its way at once, seen by *work* when it arrives, answered later.

        Args:
            process: Who asks.
            link: By which way.
            patience: After how many seconds it has an answer, whatever it is.
            work: Looks into the database.
            done: Called in the process with the result, or an error.
            late: How much longer than usual the answer takes.
        """
        loop, now = self.loop, self.loop._time
        if not late and self._calm(link, now) and self.random.random() < _AT_ONCE_SHARE:
            # Seen at once, to spare a step.
            loop.at(process, 0.0005 + 2 * self.habits.quick * self.random.random(), done, work(self), None)
            return
        delay = self._there(link)
        if delay is None or delay > patience:
            loop.at(process, patience, done, None, Refusal("no answer"))
            return
        loop.at(loop.world, delay, self._read, process, link, patience - delay, work, done, late)

    def _calm(self, link: Link, now: float) -> bool:
        return (
            now >= link.stalled_until
            and now >= link.cut_until
            and now >= link.mute_until
            and now >= self.away_until
            and not self.habits.slow_share
        )

    def _there(self, link: Link) -> float | None:
        now = self.loop._time
        if now < link.cut_until:
            return None
        delay = self.delay()
        if now < link.stalled_until:
            delay += link.stalled_until - now
        return delay

    def _read(
        self,
        process: Process,
        link: Link,
        patience: float,
        work: Callable[["Database"], Any],
        done: "Done",
        late: float,
    ) -> None:
        if self.loop._time < self.away_until:
            self.loop.at(process, self.delay(), done, None, Refusal("the database is away"))
            return
        self.answer(process, link, patience, done, work(self), None, late)

    def answer(
        self,
        process: Process,
        link: Link,
        patience: float,
        done: "Done",
        result: Any,
        error: Exception | None,
        late: float = 0.0,
    ) -> None:
        """Send an answer back; where it does not come in time, the process is told that there is none."""
        back = None if self.loop._time < link.mute_until else self._there(link)
        if back is None or back + late > patience:
            self.loop.at(process, max(0.0, patience), done, None, Refusal("no answer in time"))
        else:
            self.loop.at(process, back + late, done, result, error)

    def write(self, process: Process, link: Link, patience: float, writing: "Writing", done: "Done") -> None:
        """Have something written; see `submit`."""
        loop = self.loop
        delay = self._there(link)
        given_up = delay is None or delay > patience
        if given_up:
            loop.at(process, patience, done, None, Refusal("no answer"))
        if delay is not None:
            loop.at(loop.world, delay, self._begin, process, link, patience - delay, writing, done)

    def _begin(self, process: Process, link: Link, patience: float, writing: "Writing", done: "Done") -> None:
        loop, random, habits = self.loop, self.random.random, self.habits
        now = loop._time
        if now < self.away_until:
            loop.at(process, self.delay(), done, None, Refusal("the database is away"))
            return
        key = writing.key
        starts = max(now, self.writer_free_at if not self.postgres else now, 0.0 if key is None else key.free_at)
        takes = habits.commit * random()
        if writing.slow or random() < habits.commit_slow_share:
            takes += habits.commit_slow * random()
        commits = starts + takes + writing.extra
        if key is not None:
            key.free_at = commits
        if not self.postgres:
            self.writer_free_at = commits
        drawn = Drawn(begun_at=self.now())
        if writing.numbered and self.postgres:
            loop.at(loop.world, starts - now + takes * random(), self._draw, drawn, writing)
        loop.at(loop.world, commits - now, self._commit, process, link, now + patience, writing, done, drawn, self.term)

    def _draw(self, drawn: "Drawn", writing: "Writing") -> None:
        drawn.seq = self.draw(writing.connection)
        drawn.written_at = self.now()

    def _commit(
        self,
        process: Process,
        link: Link,
        deadline: float,
        writing: "Writing",
        done: "Done",
        drawn: "Drawn",
        term: int,
    ) -> None:
        patience = max(0.0, deadline - self.loop._time)
        if term != self.term or writing.rolled_back:
            self.loop.at(process, self.delay(), done, None, Refusal("rolled back"))
            return
        if drawn.seq == 0 and writing.numbered:
            self._draw(drawn, writing)
        result = writing.work(self, drawn)
        if writing.answer_lost:
            self.loop.at(process, min(patience, 0.05), done, None, Refusal("connection lost"))
            return
        self.answer(process, link, patience, done, result, None)


Done = Callable[[Any, Exception | None], None]


@dataclass(slots=True)
class Drawn:
    """When a transaction began, the number that it drew, and when it did."""

    begun_at: datetime
    seq: int = 0
    written_at: datetime = EPOCH


@dataclass(slots=True)
class Writing:
    """A transaction: what it does when it commits, and what becomes of it."""

    work: Callable[[Database, Drawn], Any]
    key: Key | None = None
    numbered: bool = False
    connection: int = 0
    slow: bool = False
    extra: float = 0.0
    rolled_back: bool = False
    answer_lost: bool = False
