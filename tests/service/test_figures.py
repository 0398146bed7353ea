"""The figures: what is counted and written, how keys are counted in slices, and what the reports make of it."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

from keywright.keys.verdict import Code
from keywright.service.checking.ports import UsageBatch
from keywright.service.faults import StorageUnavailable
from keywright.service.figures.ports import (
    FEW_KEYS,
    MOST_SESSIONS,
    Connected,
    ConnectedSession,
    CountedSlice,
    Delays,
    KeyCount,
    KeyHour,
    Numbers,
    UnfinishedCount,
    VerdictCount,
)
from keywright.service.figures.reports import EXPIRY_DAYS, Figures, Per, delay_report
from keywright.service.figures.tasks import MINUTES_KEPT, ROWS_IN_A_STEP, FiguresTasks
from keywright.service.figures.top import LONGEST_LIST, MOST_COUNTS_READ, REUSED_FOR, TopReports
from keywright.service.figures.verdict_counts import VerdictBatches, VerdictTally
from keywright.service.turns import Turns
from keywright.service.verifier_sessions import Session
from tests.service.managing import ALICE

NOW = datetime(2026, 11, 23, 12, 34, 56, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
BEGIN = UUID(int=0)
WORKER = UUID(int=9)


class FakeFiguresStore:
    """
    Keeps figures in memory. `script` says of each batch of verdicts: written, lost, lost answer, or refused; then all
    are written. `keys` are the numbers of the slices that are left to count.
    """

    def __init__(self, *script: str) -> None:
        self.script = list(script)
        self.batches: dict[int, Sequence[VerdictCount]] = {}
        self.asked: list[int] = []
        self.found: list[VerdictCount] = []
        self.asked_since: datetime | None = None
        self.minutes_left = 0
        self.rolled_up_before: list[datetime] = []
        self.is_due = True
        self.claimed: UnfinishedCount | None = UnfinishedCount(NOW, BEGIN, {})
        self.slices: list[Numbers] = []
        self.finished: Numbers | None = None
        self.steps: list[Numbers] = []
        self.overtaken_after = 1000
        self.count: KeyCount | None = None
        self.sessions: Sequence[ConnectedSession] = []
        self.hours: list[KeyHour] = []
        self.slices_read = 0

    async def add_verdicts(self, counts: Sequence[VerdictCount], batch: UsageBatch) -> None:
        assert batch.reporter == WORKER
        self.asked.append(batch.number)
        fate = self.script.pop(0) if self.script else "written"
        if fate == "refused":
            raise ValueError(fate)
        if fate != "lost":
            self.batches.setdefault(batch.number, counts)
        if fate != "written":
            raise StorageUnavailable(fate)

    async def roll_up_verdicts(self, before: datetime, *, limit: int) -> int:
        self.rolled_up_before.append(before)
        moved = min(self.minutes_left, limit)
        self.minutes_left -= moved
        return moved

    async def verdict_minutes(self, reader: UUID, *, since: datetime) -> Sequence[VerdictCount]:
        self.asked_since = since
        return self.found

    async def verdict_hours(self, reader: UUID, *, since: datetime) -> Sequence[VerdictCount]:
        self.asked_since = since
        return self.found

    async def key_hours(self, reader: UUID, *, since: datetime, below: KeyHour | None, limit: int) -> Sequence[KeyHour]:
        self.slices_read += 1
        newest = sorted((each for each in self.hours if each.hour >= since), reverse=True)
        return [each for each in newest if below is None or each < below][:limit]

    async def key_names(self, reader: UUID, ids: Collection[UUID]) -> Mapping[UUID, str]:
        return {id_: f"key {id_.int}" for id_ in ids}

    async def organization_names(self, reader: UUID, ids: Collection[UUID]) -> Mapping[UUID, str]:
        return {id_: f"org_{id_.int}" for id_ in ids}

    async def revocation_delays(self, reader: UUID, *, hours: int, changes: int, acknowledgements: int) -> Delays:
        return Delays(NOW - hours * HOUR, NOW, 1, {7: 1})

    async def connected_sessions(self, reader: UUID) -> Connected:
        return Connected(NOW, self.sessions)

    async def key_count(self, reader: UUID) -> KeyCount | None:
        return self.count

    async def key_count_is_due(self, *, few: int = FEW_KEYS) -> bool:
        return self.is_due

    async def claim_key_count(self, worker: UUID, *, few: int = FEW_KEYS) -> UnfinishedCount | None:
        return self.claimed

    async def count_keys(self, count: UnfinishedCount, *, limit: int) -> CountedSlice:
        number = self.slices.pop(0)
        return CountedSlice(number, UUID(int=count.position.int + limit) if self.slices else None)

    async def keep_key_count(self, worker: UUID, count: UnfinishedCount, numbers: Numbers, last: UUID | None) -> bool:
        if len(self.steps) >= self.overtaken_after:
            return False
        self.steps.append(numbers)
        if last is None:
            self.finished = numbers
        return True


def tally(**codes: int) -> VerdictTally:
    made = VerdictTally()
    for code, number in codes.items():
        made.counter(Code(code), lambda _: None)(number)
    return made


def batches(store: FakeFiguresStore, counted: VerdictTally) -> VerdictBatches:
    return VerdictBatches(store, WORKER, counted, NOW.timestamp)


def figures(store: FakeFiguresStore) -> Figures:
    turns = Turns(lambda: 0.0, most=1, alone=1, together=1, longest=1, longest_of_share=1)
    return Figures(store=store, clock=lambda: NOW, turns=turns)


def tasks(store: FakeFiguresStore, counted: VerdictTally | None = None) -> FiguresTasks:
    return FiguresTasks(
        store=store,
        tally=counted or VerdictTally(),
        worker=WORKER,
        clock=lambda: NOW,
        epoch_seconds=NOW.timestamp,
        pause_seconds=0,
    )


# counting


def test_a_tally() -> None:
    """Verdicts add up by code, the metric gets the same numbers, and what was taken is not given again."""
    counted, seen = VerdictTally(), []
    valid = counted.counter(Code.VALID, seen.append)
    valid(2)
    valid(3)
    counted.counter(Code.REVOKED, seen.append)(1)
    minute = NOW.replace(second=0)
    assert counted.take(NOW.timestamp()) == [VerdictCount(minute, "valid", 5), VerdictCount(minute, "revoked", 1)]
    assert seen == [2, 3, 1]
    assert counted.take(NOW.timestamp()) == []


async def test_nothing_is_written_where_nothing_was_counted() -> None:
    """Without verdicts no batch is written, and no number is used."""
    store, counted = FakeFiguresStore(), VerdictTally()
    writing = batches(store, counted)
    await writing.write()
    counted.counter(Code.VALID, lambda _: None)(1)
    await writing.write()
    await writing.write()
    assert store.asked == [1]


@pytest.mark.parametrize("fate", ["lost", "lost answer"])
async def test_a_lost_answer(fate: str) -> None:
    """A batch without an answer is written again under its number, before what was counted since."""
    store, counted = FakeFiguresStore(fate), tally(valid=1)
    writing = batches(store, counted)
    with pytest.raises(StorageUnavailable):
        await writing.write()
    counted.counter(Code.REVOKED, lambda _: None)(2)
    await writing.write()
    assert store.asked == [1, 1, 2]
    assert [[(each.code, each.number) for each in batch] for batch in store.batches.values()] == [
        [("valid", 1)],
        [("revoked", 2)],
    ]


async def test_a_refused_batch() -> None:
    """A batch that the database refuses is dropped, and the next one has a number of its own."""
    store, counted = FakeFiguresStore("refused"), tally(valid=1)
    writing = batches(store, counted)
    with pytest.raises(ValueError, match="refused"):
        await writing.write()
    counted.counter(Code.VALID, lambda _: None)(2)
    await writing.write()
    assert store.asked == [1, 2]


# tasks


async def test_the_rest_is_written_at_the_end() -> None:
    """A process that ends writes what it has counted."""
    store = FakeFiguresStore()
    await tasks(store, tally(valid=4)).close()
    assert [each.number for each in store.batches[1]] == [4]


async def test_the_end_without_a_database() -> None:
    """A process ends while the database is unavailable."""
    await tasks(FakeFiguresStore("lost"), tally(valid=4)).close()


async def test_the_tasks_run() -> None:
    """Once started, a process writes its verdicts, rolls minutes up and counts keys."""
    store = FakeFiguresStore()
    store.slices = [{"state.active": 1}]
    running = tasks(store, tally(valid=1))
    running.start()
    async with asyncio.timeout(5):
        while not (store.batches and store.rolled_up_before and store.finished):  # noqa: ASYNC110 - a fake
            await asyncio.sleep(0)
    await running.close()


async def test_minutes_are_rolled_up_in_steps() -> None:
    """Minutes that are over are moved until a step is not full."""
    store = FakeFiguresStore()
    store.minutes_left = 2 * ROWS_IN_A_STEP + 1
    await tasks(store).roll_up()
    assert store.minutes_left == 0
    assert store.rolled_up_before == [NOW - MINUTES_KEPT] * 3


async def test_keys_are_counted_in_slices() -> None:
    """The numbers of all slices add up, and are stored after each of them."""
    store = FakeFiguresStore()
    store.slices = [{"state.active": 2}, {"state.active": 1, "age.day": 1}, {"state.revoked": 5}]
    await tasks(store).count_keys()
    assert store.steps == [
        {"state.active": 2},
        {"state.active": 3, "age.day": 1},
        {"state.active": 3, "age.day": 1, "state.revoked": 5},
    ]
    assert store.finished == store.steps[-1]


async def test_a_count_is_resumed() -> None:
    """A process that claims a count under way goes on from its position, with its numbers."""
    store = FakeFiguresStore()
    store.claimed = UnfinishedCount(NOW, UUID(int=5), {"state.active": 10})
    store.slices = [{"state.active": 1}]
    await tasks(store).count_keys()
    assert store.finished == {"state.active": 11}


async def test_a_count_that_was_taken_over() -> None:
    """A process that lost its claim stops counting."""
    store = FakeFiguresStore()
    store.slices, store.overtaken_after = [{"state.active": 1}] * 5, 2
    await tasks(store).count_keys()
    assert (len(store.steps), store.finished) == (2, None)


@pytest.mark.parametrize("is_due", [True, False])
async def test_a_count_of_another_process(is_due: bool) -> None:
    """Where no count is due, or another process has claimed it, nothing is counted."""
    store = FakeFiguresStore()
    store.is_due, store.claimed = is_due, None
    await tasks(store).count_keys()
    assert store.steps == []


# reports


async def test_verdicts_by_minute() -> None:
    """The last 60 minutes are there, the current one last; what is of another time is left out."""
    store = FakeFiguresStore()
    now = NOW.replace(second=0)
    store.found = [
        VerdictCount(now, "valid", 3),
        VerdictCount(now - 59 * MINUTE, "revoked", 2),
        VerdictCount(now + MINUTE, "valid", 9),
    ]
    report = await figures(store).verdicts(ALICE, Per.MINUTE)
    assert (report.since, report.until) == (now - 59 * MINUTE, NOW)
    assert len(report.periods) == 60
    assert {start: codes for start, codes in report.periods.items() if codes} == {
        now - 59 * MINUTE: {"revoked": 2},
        now: {"valid": 3},
    }


@pytest.mark.parametrize(("per", "length", "number"), [(Per.HOUR, HOUR, 48), (Per.DAY, DAY, 30)])
async def test_verdicts_by_longer_periods(per: Per, length: timedelta, number: int) -> None:
    """Hours, and minutes that were not rolled up, are added up into hours or days in UTC."""
    store = FakeFiguresStore()
    hour = NOW.replace(minute=0, second=0)
    store.found = [VerdictCount(hour, "valid", 3), VerdictCount(NOW.replace(second=0), "valid", 4)]
    report = await figures(store).verdicts(ALICE, per)
    assert len(report.periods) == number
    assert store.asked_since == report.since
    *_, (start, codes) = report.periods.items()
    assert codes == {"valid": 7}
    assert start == (hour if per is Per.HOUR else hour.replace(hour=0))
    assert start - report.since == (number - 1) * length


LAST_HOUR = NOW.replace(minute=0, second=0)


def counted(key: int, uses: int, refusals: int = 0, *, hours_ago: int = 0, org: int | None = None) -> KeyHour:
    org_id = UUID(int=1000 + key if org is None else org)
    return KeyHour(LAST_HOUR - hours_ago * HOUR, UUID(int=key), org_id, uses, refusals)


async def test_top() -> None:
    """Counts of all hours, of which the current one is the last, add up by key and by organization."""
    store = FakeFiguresStore()
    store.hours = [
        counted(1, 5, org=7),
        counted(1, 5, hours_ago=1, org=7),
        counted(2, 8, 1, org=7),
        counted(3, 9, org=8),
        counted(4, 0, 3, org=9),
        counted(5, 100, hours_ago=2, org=9),
    ]
    report = await figures(store).top(ALICE, hours=2, limit=2)
    assert (report.since, report.until) == (LAST_HOUR - HOUR, NOW)
    assert [(key.name, key.uses) for key in report.keys] == [("key 1", 10), ("key 3", 9)]
    assert [(each.org_external_id, each.uses, each.refusals) for each in report.organizations] == [
        ("org_7", 18, 1),
        ("org_8", 9, 0),
    ]
    assert [(key.name, key.org_external_id, key.refusals) for key in report.refused_keys] == [
        ("key 4", "org_9", 3),
        ("key 2", "org_7", 1),
    ]


async def test_top_of_nothing() -> None:
    """Without counts the lists are empty."""
    report = await figures(FakeFiguresStore()).top(ALICE, hours=1, limit=5)
    assert (report.since, report.keys, report.organizations, report.refused_keys) == (LAST_HOUR, [], [], [])


@pytest.mark.parametrize("slice_", [1, 2, 5, 6, 7, 1000])
async def test_top_in_slices(slice_: int) -> None:
    """Whatever fits in a slice, all is read once, up to the end of the hour in which the bound is reached."""
    store = FakeFiguresStore()
    store.hours = [counted(key, 1, hours_ago=hours) for hours in range(4) for key in (1, 2, 3)]
    reports = TopReports(store, lambda: NOW, most=4, slice_=slice_)
    report = await reports.of_last(4, ALICE.organization.id)
    assert report.since == LAST_HOUR - HOUR
    assert [key.uses for key in report.keys] == [2, 2, 2]
    whole = await TopReports(store, lambda: NOW, most=10, slice_=slice_).of_last(4, ALICE.organization.id)
    assert whole.since == LAST_HOUR - 3 * HOUR
    assert [key.uses for key in whole.keys] == [4, 4, 4]


async def test_the_longest_lists() -> None:
    """Of thousands of keys the highest are given, in their order, as many as an answer may have."""
    store = FakeFiguresStore()
    store.hours = [counted(number, number) for number in range(1, 5001)]
    report = await TopReports(store, lambda: NOW, most=MOST_COUNTS_READ).of_last(1, ALICE.organization.id)
    assert [key.uses for key in report.keys] == [*range(5000, 5000 - LONGEST_LIST, -1)]


async def test_a_report_is_given_again() -> None:
    """A report that took long is given again for a time; one of another length is made; and all at once make one."""
    store = FakeFiguresStore()
    store.hours = [counted(1, 1)]
    now = NOW
    times = iter([now, now + MINUTE])
    reports = TopReports(store, lambda: next(times, now))
    first, *others = await asyncio.gather(*(reports.of_last(2, ALICE.organization.id) for _ in range(3)))
    assert others == [first, first]
    assert store.slices_read == 1
    await reports.of_last(3, ALICE.organization.id)
    assert store.slices_read == 2
    now += (REUSED_FOR + 1) * MINUTE
    await reports.of_last(2, ALICE.organization.id)
    assert store.slices_read == 3


async def test_keys_before_the_first_count() -> None:
    """Before the first count all numbers are 0, and no day is there."""
    report = await figures(FakeFiguresStore()).keys(ALICE)
    assert report.counted_at is None
    assert set(report.states.values()) == set(report.ages.values()) == {0}
    assert report.expiries == {}


async def test_keys() -> None:
    """Each status, age and day of the next 30 has its number, 0 where none was counted."""
    store = FakeFiguresStore()
    store.count = KeyCount(NOW, {"state.active": 7, "age.never": 2, "day.2026-11-25": 3, "day.2026-12-24": 1})
    report = await figures(store).keys(ALICE)
    assert report.counted_at == NOW
    assert report.states == {"active": 7, "revoked": 0, "disabled": 0, "expired": 0}
    assert report.ages["never"] == 2
    assert len(report.expiries) == EXPIRY_DAYS
    assert next(iter(report.expiries)) == date(2026, 11, 23)
    assert report.expiries[date(2026, 11, 25)] == 3


async def test_revocations() -> None:
    """A report on revocations has the delays of the store."""
    report = await figures(FakeFiguresStore()).revocations(ALICE, hours=3)
    assert (report.delays.since, report.acknowledgements, report.p50_ms) == (NOW - 3 * HOUR, 1, 7)


def test_delays() -> None:
    """Each delay counts in the first bound that it does not exceed; percentiles are delays that occurred."""
    report = delay_report(Delays(NOW, NOW, 1, {10: 97, 11: 1, 2000: 1, 2001: 1}))
    assert report.histogram == {
        10: 97,
        25: 1,
        50: 0,
        100: 0,
        250: 0,
        500: 0,
        1000: 0,
        2000: 1,
        None: 1,
    }
    assert (report.p50_ms, report.p99_ms) == (10, 2000)


def test_no_delays() -> None:
    """Without acknowledgements there are no percentiles."""
    report = delay_report(Delays(NOW, NOW, 0, {}))
    assert (report.p50_ms, report.p99_ms, report.acknowledgements) == (None, None, 0)


@pytest.mark.parametrize(("number", "more"), [(0, False), (MOST_SESSIONS, False), (MOST_SESSIONS + 1, True)])
async def test_sessions(number: int, more: bool) -> None:
    """At most 1000 sessions are given, and whether there are more."""
    session = Session(id=BEGIN, verifier_id=None, name="node:1", outage_seconds=300)
    store = FakeFiguresStore()
    store.sessions = [ConnectedSession(session, None, NOW, NOW, 0, None)] * number
    report = await figures(store).sessions(ALICE)
    assert (len(report.sessions), report.more, report.at) == (min(number, MOST_SESSIONS), more, NOW)
