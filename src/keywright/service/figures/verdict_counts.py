"""
The verdicts of one process, on their way to the database.

They are counted in memory, and written every few seconds in one numbered batch, which the store counts once: a
transaction may be committed although its answer is lost, so a batch is written again until there is an answer.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from keywright.keys.verdict import Code
from keywright.service.checking.ports import Seconds, UsageBatch
from keywright.service.figures.ports import VerdictCount, VerdictStore

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE: Final = 60


class VerdictTally:
    """The number of verdicts that were given since the last `take`, by code; used by one thread."""

    def __init__(self) -> None:
        self._numbers = dict.fromkeys(Code, 0)

    def counter(self, code: Code, count: Callable[[int], object]) -> Callable[[int], None]:
        """Give a function that adds to the verdicts with *code*, and calls *count* with the same number."""
        numbers = self._numbers

        def add(number: int) -> None:
            numbers[code] += number
            count(number)

        return add

    def take(self, now: float) -> list[VerdictCount]:
        """Remove and give all, in the minute of *now*, in seconds since the epoch; codes without verdicts are left."""
        minute = _EPOCH + timedelta(seconds=now // _MINUTE * _MINUTE)
        taken = [VerdictCount(minute, code.value, number) for code, number in self._numbers.items() if number]
        self._numbers.update(dict.fromkeys(Code, 0))
        return taken


class VerdictBatches:
    """
    Numbers and writes the batches of one tally.

    Args:
        store: Adds the verdicts up.
        reporter: Names the batches; no other object uses it.
        tally: Has the verdicts.
        epoch_seconds: Seconds since the epoch.
    """

    def __init__(self, store: VerdictStore, reporter: UUID, tally: VerdictTally, epoch_seconds: Seconds) -> None:
        self._store = store
        self._tally = tally
        self._epoch_seconds = epoch_seconds
        self._batch = UsageBatch(reporter, 0)
        self._unanswered: Sequence[VerdictCount] = ()

    async def write(self) -> None:
        """
        Write the unanswered batch, if there is one, and then what was counted since; nothing where there is nothing.

        Raises:
            StorageUnavailable: A batch had no answer. It keeps its number, and the next call begins with it.
            ValueError: The database refuses a batch and wrote nothing of it. It is dropped.
        """
        await self._write()
        self._unanswered = self._tally.take(self._epoch_seconds())
        if self._unanswered:
            self._batch = self._batch._replace(number=self._batch.number + 1)
            await self._write()

    async def _write(self) -> None:
        if self._unanswered:
            try:
                await self._store.add_verdicts(self._unanswered, self._batch)
            except ValueError:
                self._unanswered = ()
                raise
            self._unanswered = ()
