"""Batches of uses, each counted once."""

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import islice
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keywright.keys.usage_records import HOUR_SECONDS, UsageRecord, UsageSource
from keywright.service.checking.ports import HourlyUsage, UsageBatch
from keywright.service.checking.usage import UsageBatches
from keywright.service.faults import StorageUnavailable
from tests.service.fake_checking_store import FakeCheckingStore

REPORTER = UUID(int=7)
SOURCE = UsageSource(b"d" * 32, 7, "192.0.2.0/24", "curl", UUID(int=1).bytes, "v")


def uses(count: int) -> list[UsageRecord]:
    return [UsageRecord(SOURCE, count, 7 * HOUR_SECONDS + 1.000001, 7 * HOUR_SECONDS + 2.5)]


class Scripted(FakeCheckingStore):
    """Does with each batch what a script says: writes it, loses it, loses the answer, or refuses it; then writes."""

    def __init__(self, *script: str) -> None:
        super().__init__()
        self._script = list(script)
        self.asked: list[tuple[int, int]] = []

    @property
    def counts(self) -> list[int]:
        return [record.count for record in self.hourly_usage]

    async def add_usage(self, records: Iterable[HourlyUsage], batch: UsageBatch) -> None:
        assert batch.reporter == REPORTER
        self.asked.append((batch.number, sum(record.count for record in records)))
        fate = self._script.pop(0) if self._script else "written"
        if fate == "refused":
            raise ValueError(fate)
        if fate != "lost":
            await super().add_usage(records, batch)
        if fate != "written":
            raise StorageUnavailable(fate)


async def test_batches_are_numbered() -> None:
    """The batches of a reporter are numbered from 1, upwards, over all calls."""
    store = Scripted()
    batches = UsageBatches(store, REPORTER)
    await batches.write([])
    await batches.write([uses(5), uses(6)])
    await batches.write([uses(7)])
    assert store.asked == [(1, 5), (2, 6), (3, 7)]


async def test_what_is_written() -> None:
    """A record is written with its hour and its times in UTC, exact to the microsecond."""
    store = Scripted()
    await UsageBatches(store, REPORTER).write([uses(5)])
    assert store.hourly_usage == [
        HourlyUsage(
            key_id=UUID(int=1).bytes,
            digest=b"d" * 32,
            hour=datetime(1970, 1, 1, 7, tzinfo=UTC),
            network="192.0.2.0/24",
            agent="curl",
            verifier="v",
            first_seen=datetime(1970, 1, 1, 7, 0, 1, 1, tzinfo=UTC),
            last_seen=datetime(1970, 1, 1, 7, 0, 2, 500_000, tzinfo=UTC),
            count=5,
        )
    ]


async def test_nothing_newer_is_taken_before_an_answer() -> None:
    """While a batch has no answer, it alone is written, with its number, and newer uses are not taken."""
    store = Scripted("lost", "answer lost", "lost")
    batches = UsageBatches(store, REPORTER)
    newer = iter([uses(5), uses(6), uses(7)])
    for _ in range(3):
        with pytest.raises(StorageUnavailable):
            await batches.write(newer)
    assert store.asked == [(1, 5)] * 3
    await batches.write(islice(newer, 1))
    assert store.asked == [(1, 5)] * 4 + [(2, 6)]
    assert store.counts == [5, 6]
    assert next(newer) == uses(7)


async def test_a_batch_that_is_refused() -> None:
    """A batch that the database refuses is one error and is dropped; the next one has the next number."""
    store = Scripted("refused")
    batches = UsageBatches(store, REPORTER)
    with pytest.raises(ValueError, match="refused"):
        await batches.write([uses(5)])
    await batches.write([uses(6)])
    assert store.asked == [(1, 5), (2, 6)]
    assert store.counts == [6]


@given(st.lists(st.sampled_from(["written", "lost", "answer lost"]), max_size=30))
async def test_every_use_is_counted_exactly_once(script: list[str]) -> None:
    """Whatever is lost on the way, in whatever order, in the end every use is counted once."""
    store = Scripted(*script)
    batches = UsageBatches(store, REPORTER)
    waiting = iter([uses(1 << number) for number in range(10)])
    while len(store.counts) < 10:
        try:
            await batches.write(waiting)
        except StorageUnavailable:
            continue
    assert store.counts == [1 << number for number in range(10)]
