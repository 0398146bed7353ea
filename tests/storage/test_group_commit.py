"""Group commit on its own, before a commit that tests hold in their hands."""

import asyncio
from collections.abc import Sequence

import pytest

from keywright.service.faults import StorageUnavailable
from keywright.storage.shared.group_commit import GroupCommit


class Ledger:
    """Commits numbers: all of a batch or none. Refuses those in `bad`, and waits at `gate` where that is closed."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.attempts: list[list[int]] = []
        self.bad: set[int] = set()
        self.failure: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.at_work = 0
        self.most_at_work = 0

    @property
    def kept(self) -> list[int]:
        """Give what was committed, in that order."""
        return [number for batch in self.batches for number in batch]

    async def commit(self, numbers: Sequence[int]) -> list[str]:
        """Commit *numbers* and give the text of each."""
        self.attempts.append(list(numbers))
        self.at_work += 1
        self.most_at_work = max(self.most_at_work, self.at_work)
        try:
            await self.gate.wait()
        finally:
            self.at_work -= 1
        if self.failure is not None:
            raise self.failure
        if self.bad.intersection(numbers):
            raise ValueError("a number is bad")
        self.batches.append(list(numbers))
        return [str(number) for number in numbers]


@pytest.fixture
async def ledger() -> Ledger:
    """Give an empty ledger with an open gate."""
    return Ledger()


async def _started(count: int) -> None:
    """Let tasks that were just made run until they wait."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_everyone_gets_their_own_answer(ledger: Ledger) -> None:
    """Items that share a commit each get the result that is theirs."""
    commits = GroupCommit(ledger.commit)
    assert await asyncio.gather(*map(commits.submit, range(50))) == [str(number) for number in range(50)]
    assert ledger.batches == [list(range(50))]


async def test_a_lone_item_leaves_at_once(ledger: Ledger) -> None:
    """An item that waits alone is committed alone; there is no waiting for company."""
    commits = GroupCommit(ledger.commit)
    assert [await commits.submit(number) for number in (1, 2, 3)] == ["1", "2", "3"]
    assert ledger.batches == [[1], [2], [3]]


async def test_what_arrives_meanwhile_leaves_together(ledger: Ledger) -> None:
    """While a batch is under way others commits, and make the next batches, none of them larger than it may be."""
    sizes: list[int] = []
    commits = GroupCommit(ledger.commit, most=16, on_batch=lambda size, _seconds: sizes.append(size))
    ledger.gate.clear()
    tasks = [asyncio.ensure_future(commits.submit(0))]
    await _started(3)
    tasks += [asyncio.ensure_future(commits.submit(number)) for number in range(1, 41)]
    await _started(3)
    ledger.gate.set()
    await asyncio.gather(*tasks)
    assert sizes == [1, 16, 16, 8]
    assert ledger.kept == list(range(41))


async def test_lanes(ledger: Ledger) -> None:
    """As many batches as there are lanes are under way at once, and no more."""
    commits = GroupCommit(ledger.commit, lanes=2, most=4)
    ledger.gate.clear()
    tasks = [asyncio.ensure_future(commits.submit(number)) for number in range(40)]
    await _started(5)
    assert ledger.at_work == 2
    ledger.gate.set()
    await asyncio.gather(*tasks)
    assert ledger.most_at_work == 2
    assert sorted(ledger.kept) == list(range(40))


@pytest.mark.parametrize(("items", "sizes"), [(1, [1]), (7, [4, 3]), (8, [4, 4]), (20, [6, 6, 6, 2])])
async def test_free_lanes_share(ledger: Ledger, items: int, sizes: list[int]) -> None:
    """What arrives at once leaves in equal parts by the lanes that are free, and in batches that are not too large."""
    commits = GroupCommit(ledger.commit, lanes=2, most=6)
    await asyncio.gather(*(commits.submit(number) for number in range(items)))
    assert [len(batch) for batch in ledger.batches] == sizes


async def test_the_last_free_lane_takes_everyone(ledger: Ledger) -> None:
    """While one lane is busy, the other takes all that wait."""
    commits = GroupCommit(ledger.commit, lanes=2)
    ledger.gate.clear()
    first = asyncio.ensure_future(commits.submit(0))
    await _started(3)
    others = [asyncio.ensure_future(commits.submit(number)) for number in range(1, 9)]
    await _started(3)
    assert ledger.attempts == [[0], list(range(1, 9))]
    ledger.gate.set()
    await asyncio.gather(first, *others)


async def test_bad_items_fail_alone(ledger: Ledger) -> None:
    """Items that are refused fail by themselves; the others of their batch are committed, in order and once."""
    sizes: list[int] = []
    commits = GroupCommit(ledger.commit, on_batch=lambda size, _seconds: sizes.append(size))
    ledger.bad = {7, 8, 63}
    outcomes = await asyncio.gather(*map(commits.submit, range(64)), return_exceptions=True)
    assert {number for number, outcome in enumerate(outcomes) if isinstance(outcome, ValueError)} == {7, 8, 63}
    assert ledger.kept == [number for number in range(64) if number not in ledger.bad]
    assert sum(sizes) == 61


async def test_one_bad_item_costs_little(ledger: Ledger) -> None:
    """A bad item is found by halving: it does not cost a commit for each other item."""
    commits = GroupCommit(ledger.commit)
    ledger.bad = {100}
    await asyncio.gather(*map(commits.submit, range(256)), return_exceptions=True)
    assert len(ledger.attempts) < 20


async def test_no_storage_fails_everyone(ledger: Ledger) -> None:
    """When nothing can be committed, every caller of the batch gets its own fault, and nothing is retried."""
    commits = GroupCommit(ledger.commit)
    ledger.failure = StorageUnavailable("the disk is gone", retry_after=7)
    outcomes = await asyncio.gather(*map(commits.submit, range(10)), return_exceptions=True)
    assert [(type(o), getattr(o, "reason", ""), getattr(o, "retry_after", 0)) for o in outcomes] == [
        (StorageUnavailable, "the disk is gone", 7)
    ] * 10
    assert len(set(map(id, outcomes))) == 10
    assert len(ledger.attempts) == 1
    ledger.failure = None
    assert await commits.submit(11) == "11"


async def test_a_mistake_of_ours_reaches_the_caller(ledger: Ledger) -> None:
    """An unexpected error is raised to the waiting callers, and the lane goes on."""
    commits = GroupCommit(ledger.commit)
    ledger.failure = KeyError("oops")
    with pytest.raises(KeyError, match="oops"):
        await commits.submit(1)
    ledger.failure = None
    assert await commits.submit(2) == "2"


async def test_a_full_line(ledger: Ledger) -> None:
    """One item more than may wait is refused at once, and the others are committed."""
    commits = GroupCommit(ledger.commit, most=1, longest_queue=10)
    ledger.gate.clear()
    tasks = [asyncio.ensure_future(commits.submit(0))]
    await _started(3)
    tasks += [asyncio.ensure_future(commits.submit(number)) for number in range(1, 11)]
    await _started(3)
    with pytest.raises(StorageUnavailable, match="wait for the database already"):
        await commits.submit(11)
    ledger.gate.set()
    await asyncio.gather(*tasks)
    assert ledger.kept == list(range(11))


async def test_patience_ends(ledger: Ledger) -> None:
    """A caller gets a fault in time; its item is dropped, or committed where a batch has it already."""
    commits = GroupCommit(ledger.commit, patience=0.02)
    ledger.gate.clear()
    taken = asyncio.ensure_future(commits.submit(1))
    await _started(3)
    waiting = asyncio.ensure_future(commits.submit(2))
    for task in (taken, waiting):
        with pytest.raises(StorageUnavailable, match="took longer"):
            await task
    ledger.gate.set()
    await commits.close()
    assert ledger.kept == [1]


async def test_everyone_has_their_own_patience(ledger: Ledger) -> None:
    """Later callers get the fault after earlier ones; so does a caller that comes when the queue was empty."""
    commits = GroupCommit(ledger.commit, patience=0.1)
    ledger.gate.clear()
    for _ in range(2):
        heard: list[asyncio.Future[str]] = []
        tasks = []
        for number in range(3):
            tasks.append(asyncio.ensure_future(commits.submit(number)))
            tasks[-1].add_done_callback(heard.append)
            await asyncio.sleep(0.03)
        for task in tasks:
            with pytest.raises(StorageUnavailable, match="took longer"):
                await task
        assert heard == tasks
    ledger.gate.set()
    await commits.close()
    assert ledger.kept == [0]


async def test_a_cancelled_item(ledger: Ledger) -> None:
    """A caller that is cancelled takes its item along unless that has left, and its neighbours are committed."""
    commits = GroupCommit(ledger.commit, longest_queue=3)
    ledger.gate.clear()
    first = asyncio.ensure_future(commits.submit(1))
    await _started(3)
    second, third = (asyncio.ensure_future(commits.submit(number)) for number in (2, 3))
    await _started(3)
    first.cancel()
    second.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    # The cancelled one has left the line and makes room in it.
    others = [asyncio.ensure_future(commits.submit(number)) for number in (4, 5)]
    await _started(3)
    ledger.gate.set()
    assert await asyncio.gather(third, *others) == ["3", "4", "5"]
    assert ledger.kept == [1, 3, 4, 5]


async def test_cancelled_just_before_it_leaves(ledger: Ledger) -> None:
    """An item whose caller is cancelled in the moment before a batch is taken is not in the batch."""
    commits = GroupCommit(ledger.commit)
    tasks = [asyncio.ensure_future(commits.submit(number)) for number in range(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert ledger.kept == [0, 2]


async def test_close(ledger: Ledger) -> None:
    """Closing waits for all that was accepted, and refuses what comes later."""
    commits = GroupCommit(ledger.commit, most=2)
    ledger.gate.clear()
    tasks = [asyncio.ensure_future(commits.submit(number)) for number in range(9)]
    await _started(3)
    closing = asyncio.ensure_future(commits.close())
    await _started(3)
    assert not closing.done()
    with pytest.raises(StorageUnavailable, match="closed"):
        await commits.submit(10)
    ledger.gate.set()
    await closing
    assert all(task.done() for task in tasks)
    assert ledger.kept == list(range(9))
    await commits.close()


async def test_the_end_of_the_loop(ledger: Ledger) -> None:
    """When a lane is cancelled, the callers of its batch get a fault and do not wait for ever."""
    commits = GroupCommit(ledger.commit)
    ledger.gate.clear()
    tasks = [asyncio.ensure_future(commits.submit(number)) for number in range(3)]
    await _started(3)
    for task in commits._tasks:
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {StorageUnavailable}
    ledger.gate.set()
    assert await commits.submit(4) == "4"
