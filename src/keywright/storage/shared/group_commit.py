"""
Commits the items that wait at the same time together; both engines write through it, and SQLite reads through it too.

What waits is served fairly: a batch takes one item of every share before a second one of any.

No item waits for others: one that finds a free lane starts a batch at once, and the next batch is what arrived
meanwhile. Items that arrive together are divided among the free lanes. With all of them in one batch the callers would
wait for the database, and then the database for the callers; with two, one is committed while the callers of the other
go on.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Generic, TypeVar

from keywright.service.fair_queue import FairQueue, Share
from keywright.service.faults import StorageUnavailable

Item = TypeVar("Item")
Result = TypeVar("Result")

OnBatch = Callable[[int, float], object]

MOST_IN_A_BATCH = 256
LONGEST_QUEUE = 4096
PATIENCE = 5.0
"""Seconds after which a caller has an answer or a fault."""


@dataclass(slots=True, eq=False)
class _Waiter(Generic[Item, Result]):
    """An item in the queue, its share, and the future on which its caller waits."""

    item: Item
    share: Share
    answer: asyncio.Future[Result]

    def succeed(self, result: Result) -> None:
        if not self.answer.done():
            self.answer.set_result(result)

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)
            # Seen here, so that it is not reported as lost should the caller be cancelled before it looks.
            self.answer.exception()


class GroupCommit(Generic[Item, Result]):
    """
    A queue of items before one or more lanes; each lane commits one batch at a time.

    Args:
        commit: Commits a batch, all of it or nothing, and gives a result for each item. It raises `ValueError` when
            an item of it cannot be carried out, and `StorageUnavailable` when nothing can.
        lanes: How many batches may be under way at once.
        most: How many items make a full batch.
        longest_queue: How many items of one share may wait, and twice as many in all; one more is refused at once.
        patience: Seconds a caller waits for its answer at most.
        on_batch: Called with the size of every batch that was carried out, and the seconds that it took.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        *,
        lanes: int = 1,
        most: int = MOST_IN_A_BATCH,
        longest_queue: int = LONGEST_QUEUE,
        patience: float = PATIENCE,
        on_batch: OnBatch | None = None,
    ) -> None:
        self._commit = commit
        self._lanes = lanes
        self._most = most
        self._longest_queue = longest_queue
        self._patience = patience
        self._on_batch = on_batch
        # One share may have many: how much of an organization's work is under way is bounded before it comes here.
        self._waiting: FairQueue[_Waiter[Item, Result]] = FairQueue(
            longest=2 * longest_queue, longest_of_share=longest_queue
        )
        # Every item without an answer, and until when its caller waits, in this order.
        self._unanswered: dict[_Waiter[Item, Result], float] = {}
        self._watch: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._busy_lanes = 0
        # How many of the busy lanes have no batch yet.
        self._starting_lanes = 0
        self._closed = False

    async def submit(self, item: Item, share: Share = None) -> Result:
        """
        Commit *item* of *share* together with the items that wait.

        A caller that is cancelled, or whose patience ends, takes its item out of the queue; an item that is part of
        a batch is committed all the same.

        Raises:
            ValueError: It cannot be carried out; the others of its batch were.
            StorageUnavailable: The queue is full, nothing can be carried out, or the answer took too long.
        """
        if self._closed:
            raise StorageUnavailable("the store is closed")
        loop = asyncio.get_running_loop()
        waiter: _Waiter[Item, Result] = _Waiter(item, share, loop.create_future())
        if not self._waiting.push(share, waiter):
            raise StorageUnavailable(f"{self._longest_queue} requests wait for the database already")
        self._unanswered[waiter] = loop.time() + self._patience
        if self._watch is None:
            self._watch = loop.call_later(self._patience, self._look_at_the_clock)
        self._start_lane()
        try:
            return await waiter.answer
        finally:
            del self._unanswered[waiter]
            if waiter.answer.cancelled():
                self._waiting.remove(share, waiter)

    async def close(self) -> None:
        """Refuse new items, and return when all that were accepted have been carried out or refused."""
        self._closed = True
        while self._tasks:
            await asyncio.wait(self._tasks)
        if self._watch is not None:
            self._watch.cancel()

    def _look_at_the_clock(self) -> None:
        """Fail the items that have waited for too long."""
        # One timer for all: a timer for each item costs more than all the rest of the waiting.
        self._watch = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        for waiter, until in self._unanswered.items():
            if until > now:
                self._watch = loop.call_at(until, self._look_at_the_clock)
                return
            if not waiter.answer.done():
                waiter.fail(StorageUnavailable(f"the database took longer than {self._patience:g} s"))
                self._waiting.remove(waiter.share, waiter)

    def _start_lane(self) -> None:
        if self._busy_lanes < self._lanes:
            # Counted by hand: a task is done a moment after its last look at the queue, and an item that arrives in
            # between must find the lane free.
            self._busy_lanes += 1
            self._starting_lanes += 1
            task = asyncio.get_running_loop().create_task(self._run_lane())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run_lane(self) -> None:
        most = min(ceil(len(self._waiting) / self._starting_lanes), self._most)
        self._starting_lanes -= 1
        try:
            while batch := self._next_batch(most):
                await self._settle(batch)
                most = self._most
        finally:
            self._busy_lanes -= 1

    def _next_batch(self, most: int) -> list[_Waiter[Item, Result]]:
        batch: list[_Waiter[Item, Result]] = []
        while self._waiting and len(batch) < most:
            waiter = self._waiting.pop()
            if not waiter.answer.done():
                batch.append(waiter)
        return batch

    async def _settle(self, batch: list[_Waiter[Item, Result]]) -> None:
        """Carry a batch out; where one item spoils it, its halves, and so on until that item stands alone."""
        parts = [batch]
        try:
            while parts:
                refusal = await self._carry_out(parts[-1])
                part = parts.pop()
                if refusal is not None and len(part) > 1:
                    middle = len(part) // 2
                    parts += [part[middle:], part[:middle]]
                elif refusal is not None:
                    part[0].fail(refusal)
        finally:
            # Only where the task itself was cancelled, with the loop that it runs in.
            for waiter in (waiter for part in parts for waiter in part):
                waiter.fail(StorageUnavailable("the service stopped while the database was at work"))

    async def _carry_out(self, part: list[_Waiter[Item, Result]]) -> ValueError | None:
        """Answer every item of *part*, unless one of them is refused; then return the refusal."""
        began = time.perf_counter()
        try:
            results = await self._commit([waiter.item for waiter in part])
        except ValueError as refusal:
            return refusal
        except Exception as error:  # noqa: BLE001 - not dropped: every waiting caller raises it
            for waiter in part:
                waiter.fail(_copy(error))
            return None
        if self._on_batch is not None:
            self._on_batch(len(part), time.perf_counter() - began)
        for waiter, result in zip(part, results, strict=True):
            waiter.succeed(result)
        return None


def _copy(error: Exception) -> Exception:
    """Give each caller a fault of its own: an exception that is raised twice collects the tracebacks of both."""
    if isinstance(error, StorageUnavailable):
        return StorageUnavailable(error.reason, retry_after=error.retry_after)
    return error
