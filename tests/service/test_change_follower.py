"""Following the changes."""

import asyncio

import pytest

from keywright.keys.cache import KeyCache
from keywright.keys.verdict import KeyFacts
from keywright.service.change_follower import LONGEST_GAP_SECONDS, READ_EVERY_SECONDS, ChangeFollower
from tests.service.fake_checking_store import FakeCheckingStore, FakeTime
from tests.waiting import until

FACTS = KeyFacts(id=b"k" * 16, org_id=b"o" * 16, name="n", environment="live")
DIGEST = b"d" * 32


async def test_changes_are_dropped_and_logged() -> None:
    """A change empties every cache and moves trust forward before it is in the log; closing ends the reading."""
    store, time, cache, others = FakeCheckingStore(), FakeTime(), KeyCache(10), KeyCache(10)
    follower = ChangeFollower(store, [cache, others], monotonic=time)
    assert follower.since is None
    follower.start()
    await until(lambda: follower.since == time.seconds)
    for memory in (cache, others):
        memory.end(memory.begin(DIGEST), FACTS)
    store.tell(DIGEST)
    await follower.news(0)
    assert (cache.get(DIGEST), others.get(DIGEST)) == (None, None)
    assert cache.fresh_at(time.seconds)
    await follower.close()
    assert store.trail is not None
    assert store.trail.closed


async def test_changes_that_are_too_many_for_one_reading() -> None:
    """Each reading empties the caches and fills the log at once, but trust begins with the last of them."""
    store, time, cache = FakeCheckingStore(), FakeTime(), KeyCache(10)
    store.most_read = 2
    for _ in range(5):
        store.tell(DIGEST)
    trusted: list[bool] = []

    def note() -> float:
        trusted.append(follower.log.end > 0 and follower.since is not None)
        return time.seconds

    follower = ChangeFollower(store, [cache], monotonic=note)
    follower.start()
    await follower.begun()
    # The clock is read at the beginning of each reading: of three, none but a later one finds trust.
    assert trusted[:3] == [False, False, False]
    assert (follower.log.end, follower.since) == (5, time.seconds)
    await follower.close()


async def test_what_was_found_before_the_beginning() -> None:
    """What was looked up before the trail begins may have changed before it begins, so it is not believed after."""
    time, cache = FakeTime(), KeyCache(10)
    cache.end(cache.begin(DIGEST), FACTS)
    under_way = cache.begin(b"u" * 32)
    follower = ChangeFollower(FakeCheckingStore(), [cache], monotonic=time)
    follower.start()
    await until(lambda: follower.since == time.seconds)
    assert (len(cache), under_way.invalidated) == (0, True)
    await follower.close()


async def test_trust_dates_from_the_beginning_of_a_reading() -> None:
    """What is acknowledged while the trail is being read may not be in its answer, so trust dates from before."""
    store, time, cache = FakeCheckingStore(), FakeTime(100.0), KeyCache(10)
    follower = ChangeFollower(store, [cache], monotonic=time)
    follower.start()
    await until(lambda: follower.since == 100.0)
    time.seconds = 200.0
    await until(lambda: follower.since == 200.0)
    assert cache.fresh_at(201.0)
    assert not cache.fresh_at(201.1)
    await follower.close()


@pytest.mark.parametrize(("read_every", "pause"), [(None, READ_EVERY_SECONDS), (0.4, 0.4)])
async def test_the_pause_between_readings(read_every: float | None, pause: float) -> None:
    """Where nothing wakes the reader, it reads again after the pause that its settings say."""
    store = FakeCheckingStore()
    follower = ChangeFollower(store, [KeyCache(10)], monotonic=FakeTime(), read_every=read_every)
    follower.start()
    await until(lambda: store.readings > 1)
    assert store.pauses == {pause}
    await follower.close()


async def test_a_reading_that_proves_nothing() -> None:
    """Changes of a server that may no longer be the primary are dropped and logged, and make nothing fresh."""
    store, time, cache = FakeCheckingStore(), FakeTime(100.0), KeyCache(10)
    follower = ChangeFollower(store, [cache], monotonic=time)
    follower.start()
    await until(lambda: follower.since == 100.0)
    cache.end(cache.begin(DIGEST), FACTS)
    store.proves, time.seconds = False, 200.0
    before = store.readings
    await until(lambda: store.readings > before + 1)
    store.tell(DIGEST)
    await follower.news(0)
    assert (follower.since, cache.get(DIGEST)) == (100.0, None)
    assert not cache.fresh_at(200.0)
    store.proves = True
    await until(lambda: follower.since == 200.0)
    await follower.close()


async def test_a_gap_that_changes_may_have_been_removed_from() -> None:
    """After half a day without a reading, retention may have removed changes, so nothing cached or logged counts."""
    store, time, cache = FakeCheckingStore(), FakeTime(100.0), KeyCache(10)
    store.tell(DIGEST)
    follower = ChangeFollower(store, [cache], monotonic=time)
    follower.start()
    await until(lambda: follower.since == 100.0)
    position, cursor = follower.log.end, follower.log.cursor
    for gap, kept in ((LONGEST_GAP_SECONDS, True), (LONGEST_GAP_SECONDS + 1.0, False)):
        cache.end(cache.begin(DIGEST), FACTS)
        time.seconds += gap
        await until(lambda: follower.since == time.seconds)
        assert (cache.get(DIGEST) is not None) is kept
        assert (follower.log.after(position) is not None) is kept
        assert (follower.log.missed(cursor) is not None) is kept
    await follower.close()


async def test_an_absent_database_is_waited_for() -> None:
    """During an outage of the database freshness does not advance; afterwards every missed change is read."""
    store, time, cache = FakeCheckingStore(), FakeTime(100.0), KeyCache(10)
    store.away = True
    follower = ChangeFollower(store, [cache], monotonic=time)
    follower.start()
    await asyncio.sleep(0.01)
    assert follower.since is None
    store.away = False
    await until(lambda: follower.since == 100.0)
    store.away = True
    store.tell(DIGEST)
    time.seconds = 200.0
    await asyncio.sleep(0.01)
    assert follower.since == 100.0
    cache.end(cache.begin(DIGEST), FACTS)
    store.away = False
    await until(lambda: follower.since == 200.0)
    assert cache.get(DIGEST) is None
    await follower.close()


async def test_a_log_from_the_first_reading_on() -> None:
    """The first reading is logged, and a reader that waits at a position of the log resumes at the next change."""
    store = FakeCheckingStore()
    store.tell(b"o" * 32)
    follower = ChangeFollower(store, [], monotonic=FakeTime())
    begun = asyncio.create_task(follower.begun())
    await asyncio.sleep(0)
    assert not begun.done()
    follower.start()
    await begun
    assert [change.digests for change in follower.log.after(0) or ()] == [(b"o" * 32,)]
    position = follower.log.end
    waiting = asyncio.create_task(follower.news(position))
    await asyncio.sleep(0)
    assert not waiting.done()
    store.tell(DIGEST)
    await waiting
    await follower.news(position)
    assert [change.digests for change in follower.log.after(position) or ()] == [(DIGEST,)]
    await follower.close()


async def test_closing_what_never_began() -> None:
    """Closing is harmless before the beginning."""
    await ChangeFollower(FakeCheckingStore(), [], monotonic=FakeTime()).close()
