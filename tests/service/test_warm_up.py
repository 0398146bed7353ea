"""The warm-up of the cache after a start: what is cached, its bounds, and the races with changes."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from uuid import UUID

import pytest

from keywright.keys.cache import KeyCache
from keywright.keys.verdict import KeyFacts
from keywright.service.checking.ports import Use
from keywright.service.checking.warm_up import USES_IN_A_STEP, WarmUp
from keywright.service.faults import StorageUnavailable
from tests.service.fake_checking_store import NOW, FakeCheckingStore

KEYS = 3 * USES_IN_A_STEP


class Used(FakeCheckingStore):
    """A store with used keys, the key of the highest number last; `fails` counts queries that are yet to fail."""

    def __init__(self) -> None:
        super().__init__()
        self.fails = 0
        self.asked = asyncio.Event()
        for number in reversed(range(KEYS)):
            self.facts[digest(number)] = facts(number)
            self.uses[Use(NOW + timedelta(hours=number), UUID(int=number))] = [digest(number)]

    async def find_keys(self, digests: Sequence[bytes]) -> Mapping[bytes, KeyFacts]:
        if self.fails:
            self.fails -= 1
            raise StorageUnavailable("away")
        self.asked.set()
        return await super().find_keys(digests)


def digest(number: int) -> bytes:
    return number.to_bytes(32, "big")


def facts(number: int, *, revoked: bool = False) -> KeyFacts:
    return KeyFacts(
        id=number.to_bytes(16, "big"), org_id=b"o" * 16, name="n", environment="live", revoked=revoked, weight=10
    )


@pytest.fixture
def store() -> Used:
    return Used()


@pytest.fixture
def cache() -> KeyCache:
    return KeyCache(100_000)


def warm_up(store: Used, cache: KeyCache, *, most: int = 1_000_000, room: int = 1_000_000) -> WarmUp:
    begun = partial(asyncio.sleep, 0)
    return WarmUp(store, cache, begun=begun, most=most, room=room, pause_seconds=0.0, after_failure=0.0)


def cached(cache: KeyCache) -> list[int]:
    return [number for number in range(KEYS) if cache.get(digest(number)) is not None]


async def test_used_keys_are_cached(store: Used, cache: KeyCache) -> None:
    """All used keys are cached, by queries of bounded size."""
    await warm_up(store, cache).run()
    assert cached(cache) == list(range(KEYS))
    assert max(len(query) for query in store.queries) <= USES_IN_A_STEP


async def test_cached_keys_are_not_read_again(store: Used, cache: KeyCache) -> None:
    """A key that a request has cached, or that was used in several hours, is read once."""
    cache.end(cache.begin(digest(1)), store.facts[digest(1)])
    earlier = Use(NOW - timedelta(hours=1), UUID(int=2))
    store.uses[earlier] = [digest(2), digest(2)]
    await warm_up(store, cache).run()
    read = [each for query in store.queries for each in query]
    assert sorted(read) == sorted(digest(number) for number in range(KEYS) if number != 1)


@pytest.mark.parametrize(
    ("bounds", "number"),
    [({"most": 7}, 7), ({"most": 0}, 0), ({"room": 10 * USES_IN_A_STEP}, USES_IN_A_STEP), ({"room": 0}, 0)],
)
async def test_bounds(store: Used, cache: KeyCache, bounds: dict[str, int], number: int) -> None:
    """The keys that were used last are cached, as many as the bounds allow."""
    await warm_up(store, cache, **bounds).run()
    assert cached(cache) == list(range(KEYS - number, KEYS))


async def test_a_change_that_overtakes_it(store: Used, cache: KeyCache) -> None:
    """A key that is revoked while it is read is not cached; the others are."""
    store.hold = asyncio.Event()
    running = asyncio.create_task(warm_up(store, cache, most=3).run())
    await store.asked.wait()
    store.facts[digest(KEYS - 1)] = facts(KEYS - 1, revoked=True)
    cache.drop([digest(KEYS - 1)])
    store.hold.set()
    await running
    assert cached(cache) == [KEYS - 3, KEYS - 2]


async def test_a_key_that_cannot_be_cached(store: Used) -> None:
    """A key whose answer cannot be prepared is left out; all others are cached."""

    def refuse_one(found: KeyFacts) -> None:
        if found.id == (KEYS - 2).to_bytes(16, "big"):
            raise OverflowError

    cache = KeyCache(100_000, prepare=refuse_one)
    await warm_up(store, cache).run()
    assert cached(cache) == [number for number in range(KEYS) if number != KEYS - 2]
    assert not cache._look_ups


async def test_an_unavailable_database(store: Used, cache: KeyCache) -> None:
    """A step that fails is repeated after a pause, and nothing is left out."""
    store.fails = 3
    await warm_up(store, cache).run()
    assert cached(cache) == list(range(KEYS))


async def test_it_waits_for_the_change_follower(store: Used, cache: KeyCache) -> None:
    """Nothing is read before the process follows the changes; closing ends it, begun or not."""
    begun = asyncio.Event()

    async def follower() -> None:
        await begun.wait()

    warming = WarmUp(store, cache, begun=follower, most=1000, room=1000, pause_seconds=0.0)
    await warming.close()
    warming.start()
    for _ in range(5):
        await asyncio.sleep(0)
    assert store.queries == []
    store.hold = asyncio.Event()
    begun.set()
    await store.asked.wait()
    await warming.close()
    assert cached(cache) == []
    # No look-up is left behind.
    assert not cache._look_ups
