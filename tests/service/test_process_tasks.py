"""The background tasks of a process for itself."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import timedelta
from uuid import UUID

import pytest

from keywright.keys.cache import BOUND_SECONDS, KeyCache
from keywright.keys.usage import MOST_AT_ONCE, UsageBook
from keywright.service.background_tasks import ProcessTasks, ProcessWork, usage_pause
from keywright.service.change_feed import LONGEST_TRANSACTION_SECONDS
from keywright.service.change_follower import STORED_SECONDS, ChangeFollower
from keywright.service.change_log import ChangeLog
from keywright.service.checking.ports import HourlyUsage, UsageBatch
from keywright.service.faults import StorageUnavailable
from keywright.service.verifier_sessions import Session
from tests.service.fake_checking_store import NOW, FakeCheckingStore, FakeTime
from tests.service.test_change_follower import until

SESSION = Session(id=UUID(int=9), verifier_id=None, name="host:1", outage_seconds=300)


class Process:
    """A process with its tasks, on a store in memory."""

    def __init__(self, store: FakeCheckingStore | None = None) -> None:
        self.store, self.usage = store or FakeCheckingStore(), UsageBook()
        self.time, self.cache = FakeTime(), KeyCache(10)
        self.follower = ChangeFollower(self.store, [self.cache], monotonic=self.time)
        self.tasks = ProcessTasks(
            store=self.store,
            follower=self.follower,
            usage=self.usage,
            session=SESSION,
            epoch_seconds=lambda: 1_000_000.0,
            monotonic=self.time,
        )

    def use_at(self, now: float) -> None:
        """Note one use of a key."""
        self.usage.note(b"k" * 16, b"d" * 32, 0, self.usage.verifier_number("v"), now)

    async def close(self) -> None:
        await self.tasks.close()
        await self.follower.close()


@pytest.fixture
def process() -> Process:
    return Process()


async def test_a_process_is_there_and_confirms(process: Process) -> None:
    """A process stores its session, acknowledges the changes that it dropped, and closes the session."""
    process.follower.start()
    process.tasks.start()
    await until(lambda: SESSION.id in process.store.sessions)
    await until(lambda: process.follower.since is not None)
    process.store.tell(b"d" * 32)
    await until(lambda: bool(process.store.confirmed))
    assert process.store.confirmed == [(SESSION.id, (1,))]
    await process.close()
    assert process.store.closed == [SESSION.id]


async def test_nobody_believes_before_it_is_noted(process: Process) -> None:
    """A process begins to follow, and so to believe what it holds, once its session is noted, and then at once."""
    process.store.away = True
    process.tasks.start()
    await asyncio.sleep(0.02)
    process.store.away = False
    readings = process.store.readings
    while SESSION.id not in process.store.sessions:
        assert process.store.readings == readings
        await asyncio.sleep(0.001)
    await until(lambda: process.follower.since is not None)
    await process.close()


async def test_a_process_that_begins_confirms_what_was_changed_lately(process: Process) -> None:
    """The changes of the last minutes before a start are confirmed, and those from long before are not."""
    old, lately, newest = [b"o" * 32, b"l" * 32, b"n" * 32]
    process.store.tell(old, at=NOW - timedelta(seconds=LONGEST_TRANSACTION_SECONDS))
    process.store.tell(lately, at=NOW - timedelta(seconds=LONGEST_TRANSACTION_SECONDS - 1))
    process.store.tell(newest, at=NOW)
    process.tasks.start()
    await until(lambda: bool(process.store.confirmed))
    assert process.store.confirmed == [(SESSION.id, (2, 3))]
    await process.close()


class LosesConfirmations(FakeCheckingStore):
    """Stores confirmations, and gives no answer to the first."""

    async def confirm(self, session_id: UUID, seqs: Sequence[int]) -> None:
        await super().confirm(session_id, seqs)
        if len(self.confirmed) == 1:
            await asyncio.Event().wait()


async def test_a_confirmation_without_an_answer_is_repeated() -> None:
    """A process that ends before it has an answer confirms the same changes again, and the newer ones."""
    process = Process(LosesConfirmations())
    process.tasks.start()
    await until(lambda: process.follower.since is not None)
    process.store.tell(b"d" * 32)
    await until(lambda: len(process.store.confirmed) == 1)
    process.store.tell(b"e" * 32)
    await until(lambda: process.follower.log.end == 2)
    await process.close()
    assert process.store.confirmed == [(SESSION.id, (1,)), (SESSION.id, (1, 2))]


async def test_changes_that_the_log_has_forgotten(process: Process) -> None:
    """A process that could not confirm for very long confirms what its log still has, and goes on."""
    process.follower.log = ChangeLog(2)
    for number in range(5):
        process.store.tell(bytes([number]) * 32)
    process.tasks.start()
    await until(lambda: bool(process.store.confirmed))
    process.store.tell(b"n" * 32)
    await until(lambda: len(process.store.confirmed) == 2)
    await process.close()
    assert process.store.confirmed == [(SESSION.id, (4, 5)), (SESSION.id, (6,))]


async def test_trust_ends_for_a_session_that_cannot_be_renewed(process: Process) -> None:
    """A process that receipts would leave out, because it cannot renew its session, trusts nothing that it caches."""
    process.tasks.start()
    await until(lambda: process.follower.since == process.time())
    stored_at = process.time()
    process.time.seconds += STORED_SECONDS + BOUND_SECONDS + 1.0
    readings = process.store.readings
    await until(lambda: process.store.readings > readings + 2)
    assert process.follower.since == stored_at + STORED_SECONDS
    assert not process.cache.fresh_at(process.time())
    await process.close()


class RefusesOnce(FakeCheckingStore):
    """Refuses the data of the first session that it is given."""

    refused = False

    async def renew_session(self, session: Session) -> None:
        if not self.refused:
            self.refused = True
            raise ValueError("refused")
        await super().renew_session(session)


async def test_a_session_that_is_refused() -> None:
    """A database that refuses a session ends nothing: it is offered again, and then the process follows."""
    process = Process(RefusesOnce())
    process.tasks.start()
    await until(lambda: process.follower.since is not None)
    assert SESSION.id in process.store.sessions
    await process.close()


async def test_usage_is_written_and_flushed(process: Process) -> None:
    """What was noted is written while the process runs, and the rest when it ends."""
    process.use_at(1_000_000.0)
    process.tasks.start()
    await until(lambda: len(process.store.hourly_usage) == 1)
    process.use_at(1_000_001.0)
    await process.close()
    assert [record.count for record in process.store.hourly_usage] == [1, 1]


async def test_an_absent_database_delays_and_loses_nothing(process: Process) -> None:
    """An outage of the database loses nothing: changes are acknowledged and usage is written after it."""
    process.use_at(1_000_000.0)
    process.follower.start()
    await until(lambda: process.follower.since is not None)
    process.store.tell(b"d" * 32)
    readings = process.store.readings
    await until(lambda: process.store.readings > readings + 1)
    process.store.away = True
    process.tasks.start()
    await asyncio.sleep(0.02)
    assert process.store.hourly_usage == []
    process.store.away = False
    await until(lambda: bool(process.store.confirmed))
    await process.close()
    assert sum(record.count for record in process.store.hourly_usage) == 1


class LosesAnswers(FakeCheckingStore):
    """Writes uses, and loses the answer: `lost` says how, None for not at all."""

    def __init__(self, lost: str | None) -> None:
        super().__init__()
        self.lost = lost
        self.asked: list[tuple[UsageBatch, list[int]]] = []

    async def add_usage(self, records: Iterable[HourlyUsage], batch: UsageBatch) -> None:
        self.asked.append((batch, [record.count for record in records]))
        await super().add_usage(records, batch)
        if self.lost == "late":
            await asyncio.Event().wait()
        if self.lost == "broken":
            raise StorageUnavailable("the connection broke")


async def test_usage_is_written_in_small_batches() -> None:
    """A round is written in small batches, in the order of keys, with time for others in between."""
    store = LosesAnswers(None)
    process = Process(store)
    turns = 0
    for number in range(2 * MOST_AT_ONCE + 50):
        key = (number * 7 % 251).to_bytes(16, "big")
        process.usage.note(key, key * 2, 0, 0, 1_000_000.0)
    process.tasks.start()
    while len(store.asked) < 3:
        await asyncio.sleep(0)
        turns += 1
    await process.close()
    assert [len(counts) for _, counts in store.asked] == [MOST_AT_ONCE, MOST_AT_ONCE, 50]
    keys = [record.key_id for record in store.hourly_usage]
    assert keys == sorted(keys)
    assert turns > 3


async def test_the_rest_of_a_round_is_written_at_the_end() -> None:
    """A process that ends in the middle of a round writes the rest of it, and what was noted since."""
    store = LosesAnswers(None)
    process = Process(store)
    for number in range(2 * MOST_AT_ONCE):
        process.usage.note(number.to_bytes(16, "big"), number.to_bytes(32, "big"), 0, 0, 1_000_000.0)
    process.tasks.start()
    await until(lambda: bool(store.hourly_usage))
    assert len(store.hourly_usage) == MOST_AT_ONCE
    process.use_at(1_000_000.0)
    await process.close()
    assert sum(record.count for record in store.hourly_usage) == 2 * MOST_AT_ONCE + 1


@pytest.mark.parametrize(
    ("due", "seconds", "pause"),
    [
        (0, 45.0, 0.1),
        (45_000, 45.0, 0.1),
        (45_001, 45.0, 45 / 451),
        (450_000, 45.0, 0.01),
        (1, 0.0, 0.0),
        (1, -1.0, 0.0),
    ],
)
def test_the_pause_between_batches(due: int, seconds: float, pause: float) -> None:
    """Up to 1,000 records a second are written; more only where the round would not end in time."""
    assert usage_pause(due, seconds) == pause


@pytest.mark.parametrize("lost", ["broken", "late"])
async def test_uses_whose_answer_is_lost_are_counted_once(lost: str) -> None:
    """A batch that was committed without an answer is written again as it was, before newer uses, and counted once."""
    store = LosesAnswers(lost)
    process = Process(store)
    for _ in range(3):
        process.use_at(1_000_000.0)
    process.tasks.start()
    await until(lambda: bool(store.asked))
    for _ in range(4):
        process.use_at(1_000_001.0)
    store.lost = None
    await process.close()
    first = UsageBatch(SESSION.id, 1)
    *repeated, last = store.asked
    assert len(repeated) > 1
    assert repeated == [(first, [3])] * len(repeated)
    assert last == (UsageBatch(SESSION.id, 2), [4])
    assert [record.count for record in store.hourly_usage] == [3, 4]


async def test_ending_while_the_database_is_away(process: Process) -> None:
    """A process can end although the database takes neither its usage nor its acknowledgements."""
    process.tasks.start()
    await until(lambda: SESSION.id in process.store.sessions)
    process.store.away = True
    await process.close()


async def test_ending_before_the_beginning(process: Process) -> None:
    """A process whose tasks never began can end them."""
    await process.close()
    assert process.store.closed == [SESSION.id]


async def test_all_of_a_process(process: Process) -> None:
    """The tasks of a process start and end together; the follower ends last, after what it acknowledged is stored."""
    background = ProcessWork(process.follower, process.tasks)
    background.start()
    await until(lambda: process.follower.since is not None)
    await background.close()
    assert SESSION.id in process.store.closed
