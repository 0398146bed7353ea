"""
Usage is written in numbered batches, and each batch is counted once.

A transaction may be committed although its answer is lost. The store knows from the number whether a batch was written,
so the same batch is written again until there is an answer.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from uuid import UUID

from keywright.keys.usage_records import HOUR_SECONDS, UsageRecord
from keywright.service.checking.ports import CheckingStore, HourlyUsage, UsageBatch

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class UsageBatches:
    """
    Numbers and writes the batches of one reporter.

    Args:
        store: Adds the uses up.
        reporter: The id of the reporter; only this object writes batches under it.
    """

    def __init__(self, store: CheckingStore, reporter: UUID) -> None:
        self._store = store
        self._batch = UsageBatch(reporter, 0)
        self._unanswered: Iterable[HourlyUsage] | None = None

    async def write(self, batches: Iterable[Iterable[UsageRecord]]) -> None:
        """
        Write the unanswered batch, if there is one, and then *batches*; each is read after the one before was written.

        Raises:
            StorageUnavailable: A batch had no answer. It keeps its number, and the next call begins with it.
            ValueError: The database refuses a batch and wrote nothing of it. It is dropped.
        """
        await self._write()
        for records in batches:
            self._batch = self._batch._replace(number=self._batch.number + 1)
            self._unanswered = _HourlyUsages(records)
            await self._write()

    async def _write(self) -> None:
        if self._unanswered is None:
            return
        try:
            await self._store.add_usage(self._unanswered, self._batch)
        except ValueError:
            self._unanswered = None
            raise
        self._unanswered = None


class _HourlyUsages:
    """Makes what is stored of records, whenever it is read: the store reads it in a thread."""

    def __init__(self, records: Iterable[UsageRecord]) -> None:
        self._records = records

    def __iter__(self) -> Iterator[HourlyUsage]:
        return map(_stored, self._records)


def _stored(record: UsageRecord) -> HourlyUsage:
    (digest, hour, network, agent, key_id, verifier, code), uses, first, last = record
    begin = _time(first)
    end = begin if last == first else _time(last)
    return HourlyUsage(key_id, digest, _hour(hour), network, agent, verifier, begin, end, uses, code)


def _time(seconds: float) -> datetime:
    # Added to the epoch: exact to the microsecond, where fromtimestamp would round a second time.
    return _EPOCH + timedelta(seconds=seconds)


@lru_cache(maxsize=4)
def _hour(number: int) -> datetime:
    return _time(number * HOUR_SECONDS)
