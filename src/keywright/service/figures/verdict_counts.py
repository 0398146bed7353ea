"""
The verdicts of one process, on their way to the database.

They are counted in memory, and written every few seconds in one numbered batch; see `service.numbered_batches`.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from keywright.keys.verdict import Code
from keywright.service.checking.ports import Seconds
from keywright.service.figures.ports import VerdictCount, VerdictStore
from keywright.service.numbered_batches import NumberedBatches

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
    Writes the batches of one tally.

    Args:
        store: Adds the verdicts up.
        reporter: Names the batches; no other object uses it.
        tally: Has the verdicts.
        epoch_seconds: Seconds since the epoch.
    """

    def __init__(self, store: VerdictStore, reporter: UUID, tally: VerdictTally, epoch_seconds: Seconds) -> None:
        self._batches: NumberedBatches[Sequence[VerdictCount]] = NumberedBatches(store.add_verdicts, reporter)
        self._tally = tally
        self._epoch_seconds = epoch_seconds

    async def write(self) -> None:
        """
        Write what was counted, after the unanswered batch; nothing where there is nothing.

        See `NumberedBatches.write` for errors.
        """
        await self._batches.write(self._counted())

    def _counted(self) -> Iterator[Sequence[VerdictCount]]:
        # Not taken before the unanswered batch is written: until then it goes on growing.
        counted = self._tally.take(self._epoch_seconds())
        if counted:
            yield counted
