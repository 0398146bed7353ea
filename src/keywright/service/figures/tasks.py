"""
The background tasks for the figures.

Every process writes its own verdicts. Minutes that are over are moved to their hours by any process. The keys of all
organizations are counted by one process, once an hour, few keys every minute, in slices along their ids; another one
goes on after a crash.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final
from uuid import UUID

from keywright.service.background_tasks import BackgroundTasks, Task
from keywright.service.checking.ports import Seconds
from keywright.service.faults import StorageUnavailable
from keywright.service.figures.ports import FiguresStore, UnfinishedCount
from keywright.service.figures.verdict_counts import VerdictBatches, VerdictTally
from keywright.service.ports import Clock

WRITE_EVERY_SECONDS: Final = 5.0
ROLL_UP_EVERY_SECONDS: Final = 600.0
COUNT_EVERY_SECONDS: Final = 60.0
"""How often a process asks whether a count of keys is due; see `FiguresStore.key_count_is_due`."""

MINUTES_KEPT: Final = timedelta(hours=2)
ROWS_IN_A_STEP: Final = 500
KEYS_IN_A_SLICE: Final = 2000
PAUSE_SECONDS: Final = 0.05
"""The pause between two steps, in which requests have the database for themselves."""


@dataclass(kw_only=True)
class FiguresTasks(BackgroundTasks):
    """
    The tasks of one process.

    Args:
        store: Keeps the figures.
        tally: The verdicts of this process.
        worker: Names this process to the store; no other process uses it.
        clock: The time.
        epoch_seconds: The same in seconds since the epoch.
        keys_in_a_slice: How many keys one step counts.
        pause_seconds: The pause between two steps.
    """

    store: FiguresStore
    tally: VerdictTally
    worker: UUID
    clock: Clock
    epoch_seconds: Seconds
    keys_in_a_slice: int = KEYS_IN_A_SLICE
    pause_seconds: float = PAUSE_SECONDS
    _batches: VerdictBatches = field(init=False)

    def __post_init__(self) -> None:
        self._batches = VerdictBatches(self.store, self.worker, self.tally, self.epoch_seconds)

    def tasks(self) -> Iterable[Task]:
        """Give the tasks."""
        yield Task("writing verdicts", self._batches.write, WRITE_EVERY_SECONDS, WRITE_EVERY_SECONDS)
        yield Task("rolling verdicts up", self.roll_up, ROLL_UP_EVERY_SECONDS, COUNT_EVERY_SECONDS)
        yield Task("counting keys", self.count_keys, COUNT_EVERY_SECONDS, COUNT_EVERY_SECONDS)

    async def close(self) -> None:
        """Stop, and write the rest if the database is available."""
        await super().close()
        try:
            await self._batches.write()
        except StorageUnavailable:
            # The verdicts of the last seconds are lost with the process.
            return

    async def roll_up(self) -> None:
        """
        Move the minutes that are over to their hours.

        Raises:
            StorageUnavailable: The database is unavailable; what was done stays done.
        """
        before = self.clock() - MINUTES_KEPT
        while await self.store.roll_up_verdicts(before, limit=ROWS_IN_A_STEP) >= ROWS_IN_A_STEP:  # noqa: ASYNC110 - a pause
            await asyncio.sleep(self.pause_seconds)

    async def count_keys(self) -> None:
        """
        Count the keys of all organizations, if that is due and no other process does it.

        Raises:
            StorageUnavailable: The database is unavailable; what was counted stays, and any process goes on with it.
        """
        if not await self.store.key_count_is_due():
            return
        count = await self.store.claim_key_count(self.worker)
        while count is not None:
            count = await self._next(count)
            await asyncio.sleep(self.pause_seconds)

    async def _next(self, count: UnfinishedCount) -> UnfinishedCount | None:
        """Count a slice; give the count as it is then, None where it is over, or another process has taken it."""
        counted = await self.store.count_keys(count, limit=self.keys_in_a_slice)
        numbers = dict(Counter(count.numbers) + Counter(counted.numbers))
        kept = await self.store.keep_key_count(self.worker, count, numbers, counted.last)
        if not kept or counted.last is None:
            return None
        return count._replace(position=counted.last, numbers=numbers)
