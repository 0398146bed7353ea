"""Usage is written in numbered batches: see `service.numbered_batches`."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from uuid import UUID

from keywright.keys.usage_records import HOUR_SECONDS, UsageRecord
from keywright.service.checking.ports import CheckingStore, HourlyUsage
from keywright.service.numbered_batches import NumberedBatches

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class UsageBatches:
    """
    Writes the batches of one reporter.

    Args:
        store: Adds the uses up.
        reporter: The id of the reporter; only this object writes batches under it.
    """

    def __init__(self, store: CheckingStore, reporter: UUID) -> None:
        self._batches: NumberedBatches[Iterable[HourlyUsage]] = NumberedBatches(store.add_usage, reporter)

    async def write(self, batches: Iterable[Iterable[UsageRecord]]) -> None:
        """Write *batches* after the unanswered one; see `NumberedBatches.write`, also for errors."""
        await self._batches.write(map(_HourlyUsages, batches))


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
