"""Batches of uses, each counted once."""

from collections.abc import Sequence
from itertools import islice
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keywright.service.checking_ports import Sighting, UsageBatch
from keywright.service.faults import StorageUnavailable
from keywright.service.usage_batches import UsageBatches
from tests.service.fake_checking_store import NOW, FakeCheckingStore

REPORTER = UUID(int=7)


def uses(count: int) -> list[Sighting]:
    sighting = Sighting(
        key_id=UUID(int=1),
        digest=b"d" * 32,
        hour=NOW,
        network=None,
        agent=None,
        verifier="v",
        first_seen=NOW,
        last_seen=NOW,
        count=count,
    )
    return [sighting]


class Scripted(FakeCheckingStore):
    """Does with each batch what a script says: writes it, loses it, loses the answer, or refuses it; then writes."""

    def __init__(self, *script: str) -> None:
        super().__init__()
        self._script = list(script)
        self.asked: list[tuple[int, int]] = []

    @property
    def counts(self) -> list[int]:
        return [sighting.count for sighting in self.sightings]

    async def note_usage(self, sightings: Sequence[Sighting], batch: UsageBatch) -> None:
        assert batch.reporter == REPORTER
        self.asked.append((batch.number, sum(sighting.count for sighting in sightings)))
        fate = self._script.pop(0) if self._script else "written"
        if fate == "refused":
            raise ValueError(fate)
        if fate != "lost":
            await super().note_usage(sightings, batch)
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
    """A batch that the database refuses is told once and dropped, and the next one has the next number."""
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
