"""How the feeds of a process wait for changes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack

import pytest

from keywright.service.change_follower import ChangeFollower
from keywright.service.feeds import (
    ACKNOWLEDGEMENTS_A_SECOND,
    LONGEST_SPREAD_SECONDS,
    SHORTEST_SPREAD_SECONDS,
    TRANSACTIONS,
    WOKEN_AT_ONCE,
    Fanout,
)
from tests.service.fake_checking_store import FakeCheckingStore, FakeTime

LONG = 60.0


class Feeds:
    """A process that follows the changes, and its fanout."""

    def __init__(self) -> None:
        self.store = FakeCheckingStore()
        self.follower = ChangeFollower(self.store, [], monotonic=FakeTime())
        self.fanout = Fanout(self.follower)


@pytest.fixture
async def feeds() -> AsyncIterator[Feeds]:
    """Give a process that has begun to follow."""
    feeds = Feeds()
    feeds.follower.start()
    await feeds.follower.begun()
    yield feeds
    await feeds.follower.close()


async def test_a_change_wakes_every_feed(feeds: Feeds) -> None:
    """However many feeds wait, a change wakes all of them, and they do not wait for one that is there already."""
    many = [asyncio.create_task(feeds.fanout.news(0, LONG)) for _ in range(3 * WOKEN_AT_ONCE + 1)]
    await asyncio.sleep(0)
    feeds.store.tell(b"a" * 32)
    async with asyncio.timeout(LONG / 2):
        await asyncio.gather(*many)
        await feeds.fanout.news(0, LONG)


async def test_other_work_has_its_turn(feeds: Feeds) -> None:
    """A change that wakes many feeds lets other work of the process run in between."""
    woken: list[int] = []

    async def wait() -> None:
        await feeds.fanout.news(0, LONG)
        woken.append(1)

    seen: list[int] = []

    def look() -> None:
        seen.append(len(woken))
        if len(woken) < 4 * WOKEN_AT_ONCE:
            asyncio.get_running_loop().call_soon(look)

    many = [asyncio.create_task(wait()) for _ in range(4 * WOKEN_AT_ONCE)]
    await asyncio.sleep(0)
    feeds.store.tell(b"a" * 32)
    look()
    await asyncio.gather(*many)
    assert any(0 < number < 4 * WOKEN_AT_ONCE for number in seen)


async def test_a_beat_without_a_change(feeds: Feeds) -> None:
    """A feed returns after its time when nothing changes, and one that is cancelled leaves nothing behind."""
    await feeds.fanout.news(0, 0.001)
    cancelled = asyncio.create_task(feeds.fanout.news(0, LONG))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.wait([cancelled])
    assert feeds.fanout._waiting == {}


async def test_a_feed_that_ends_just_as_it_is_woken(feeds: Feeds) -> None:
    """A feed that ends between a change and its turn is passed over, and the others are woken."""
    many = [asyncio.create_task(feeds.fanout.news(0, LONG)) for _ in range(3)]
    await asyncio.sleep(0)
    many[1].cancel()
    feeds.fanout._wake()
    await asyncio.wait(many)
    assert [each.cancelled() for each in many] == [False, True, False]


@pytest.mark.parametrize(
    ("feeds_open", "seconds"),
    [
        (0, SHORTEST_SPREAD_SECONDS),
        (1, SHORTEST_SPREAD_SECONDS),
        (2 * ACKNOWLEDGEMENTS_A_SECOND, 2.0),
        (100 * ACKNOWLEDGEMENTS_A_SECOND, LONGEST_SPREAD_SECONDS),
    ],
)
def test_the_spread_of_acknowledgements(feeds_open: int, seconds: float) -> None:
    """All feeds together acknowledge at a rate that a process can take, within a time that a receipt can wait."""
    fanout = Feeds().fanout
    with ExitStack() as held:
        for _ in range(feeds_open):
            held.enter_context(fanout.counted())
        assert (fanout.spread, fanout.collect) == (seconds, seconds / TRANSACTIONS)


def test_feeds_that_are_over_do_not_count() -> None:
    """A feed counts while it is open, however it ends."""
    fanout = Feeds().fanout
    for _ in range(ACKNOWLEDGEMENTS_A_SECOND):
        with pytest.raises(RuntimeError), fanout.counted():
            raise RuntimeError
    assert fanout.spread == SHORTEST_SPREAD_SECONDS
