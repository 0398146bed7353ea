"""The keys known in a process, and the races they are guarded against."""

import random
from dataclasses import replace
from operator import attrgetter

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from keywright.keys.cache import WEIGHT_BYTES, KeyCache, preparing, weight_of
from keywright.keys.verdict import KeyFacts

KEY = KeyFacts(id=b"k" * 16, org_id=b"o" * 16, name="n", environment="live")
DIGEST = b"d" * 32


@pytest.fixture
def cache() -> KeyCache:
    return KeyCache(10)


def find(cache: KeyCache, digest: bytes, facts: KeyFacts | None = KEY) -> None:
    cache.end(cache.begin(digest), facts)


def test_finds_are_held(cache: KeyCache) -> None:
    """What was found is known from then on; what was not found is asked for again."""
    find(cache, DIGEST)
    find(cache, b"e" * 32, None)
    assert cache.get(DIGEST) is KEY
    assert cache.get(b"e" * 32) is None
    assert len(cache) == 1


def test_dropped(cache: KeyCache) -> None:
    """Changed keys are removed from both generations; unknown ones are ignored."""
    for number in range(8):
        find(cache, bytes([number]) * 32)
    cache.drop([bytes([0]) * 32, bytes([7]) * 32, DIGEST])
    assert cache.get(bytes([0]) * 32) is None
    assert cache.get(bytes([7]) * 32) is None
    assert cache.get(bytes([1]) * 32) is KEY
    cache.drop_all()
    assert len(cache) == 0


def test_a_look_up_that_a_change_overtook_is_not_held(cache: KeyCache) -> None:
    """A key that changes between its look-up and the end of that is not cached."""
    slow = cache.begin(DIGEST)
    cache.drop([DIGEST])
    quick = cache.begin(DIGEST)
    cache.end(slow, KEY)
    assert cache.get(DIGEST) is None
    cache.end(quick, KEY)
    assert cache.get(DIGEST) is KEY


def test_a_look_up_that_a_loss_of_the_feed_overtook_is_not_held(cache: KeyCache) -> None:
    """When the feed loses its place, look-ups under way are not trusted either."""
    slow = cache.begin(DIGEST)
    cache.drop_all()
    cache.end(slow, KEY)
    assert cache.get(DIGEST) is None


def test_trust(cache: KeyCache) -> None:
    """The cache is fresh for the bound after the last sync, and not before the first."""
    assert not cache.fresh_at(0.0)
    cache.synced(100.0)
    assert cache.fresh_at(101.0)
    assert not cache.fresh_at(101.001)
    cache.synced(99.0)
    assert cache.fresh_at(101.0)


def test_bounded() -> None:
    """No more keys than the capacity are cached, and those in use stay."""
    cache = KeyCache(100)
    find(cache, DIGEST)
    for number in range(10_000):
        find(cache, number.to_bytes(32, "big"))
        if number % 20 == 0:
            assert cache.get(DIGEST) is KEY
        assert len(cache) <= 100


def test_bounded_by_weight() -> None:
    """The weights of the cached keys stay within the capacity, also after removals and repeated look-ups."""
    cache = KeyCache(100, size_of=lambda facts: facts.weight)
    chance = random.Random(5)
    for number in range(10_000):
        digest = (number % 300).to_bytes(32, "big")
        find(cache, digest, replace(KEY, weight=chance.randrange(1, 60)))
        if number % 7 == 0:
            cache.drop([(chance.randrange(300)).to_bytes(32, "big")])
        known = [cache.get(each.to_bytes(32, "big")) for each in range(0, 300, 50)]
        assert all(facts is None or facts.weight <= 50 for facts in known)
        assert sum(facts.weight for facts in cached(cache)) <= 100
    cache.drop_all()
    assert not cached(cache)


def cached(cache: KeyCache) -> list[KeyFacts]:
    return [*cache._recent.values(), *cache._older.values()]


def test_weight() -> None:
    """Longer parts weigh more; absent and empty ones weigh nothing."""
    assert weight_of(["n" * 1000]) - weight_of(["n"]) == pytest.approx(999 / WEIGHT_BYTES, abs=1)
    assert weight_of([None, "", ()]) == weight_of([])


def test_capacity() -> None:
    """A capacity that could hold nothing is refused."""
    with pytest.raises(ValueError, match="at least two"):
        KeyCache(1)


class AgainstTheTruth(RuleBasedStateMachine):
    """Look-ups and revocations in any order: after a sync no revoked key is cached as active."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = KeyCache(4)
        self.revoked: set[int] = set()
        self.announced: set[int] = set()
        self.under_way: list[tuple[object, KeyFacts]] = []

    @rule(key=st.integers(0, 5))
    def read(self, key: int) -> None:
        look_up = self.cache.begin(bytes([key]) * 32)
        facts = KeyFacts(id=bytes(16), org_id=bytes(16), name="n", environment="live", revoked=key in self.revoked)
        self.under_way.append((look_up, facts))

    @rule(data=st.data())
    def hand_in(self, data: st.DataObject) -> None:
        if self.under_way:
            look_up, facts = self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
            self.cache.end(look_up, facts)  # type: ignore[arg-type]

    @rule(key=st.integers(0, 5))
    def revoke(self, key: int) -> None:
        self.revoked.add(key)

    @rule()
    def follow(self) -> None:
        self.cache.drop(bytes([key]) * 32 for key in self.revoked - self.announced)
        self.announced |= self.revoked

    @invariant()
    def nothing_announced_is_held_as_active(self) -> None:
        for key in self.announced:
            facts = self.cache.get(bytes([key]) * 32)
            assert facts is None or facts.revoked


TestAgainstTheTruth = AgainstTheTruth.TestCase


def test_what_is_held_and_counts(cache: KeyCache) -> None:
    """An entry of either generation is given while the cache is fresh, and not after."""
    for number in range(6):
        find(cache, bytes([number]) * 32)
    older, newest = bytes([0]) * 32, bytes([5]) * 32
    assert cache.get_fresh(newest, 0.0) is None
    cache.synced(100.0)
    assert cache.get_fresh(older, 101.0) is KEY
    assert cache.get_fresh(newest, 101.0) is KEY
    assert cache.get_fresh(DIGEST, 101.0) is None
    assert cache.get_fresh(newest, 101.001) is None


def test_what_is_prepared_counts_in_the_size() -> None:
    """Facts are prepared once, when a look-up adds them, and what was made then is in their weight."""
    prepared = []

    def write(facts: KeyFacts) -> int:
        prepared.append(facts.name)
        facts.keep(body=b"written")
        return WEIGHT_BYTES + 1

    cache = KeyCache(100, size_of=attrgetter("weight"), prepare=preparing(write, lambda _facts: 0))
    facts = KeyFacts(id=b"k" * 16, org_id=b"o" * 16, name="n", environment="live", weight=7)
    find(cache, DIGEST, facts)
    for _ in range(3):
        assert cache.get(DIGEST) is facts
    assert (facts.body, facts.weight, prepared) == (b"written", 9, ["n"])
    assert facts == KeyFacts(id=b"k" * 16, org_id=b"o" * 16, name="n", environment="live")


def test_a_removal_is_told() -> None:
    """Whoever made something of entries can tell that one of them was removed, replaced or pushed out."""
    cache = KeyCache(4)
    seen = [cache.removals]

    def grown() -> bool:
        seen.append(cache.removals)
        return seen[-1] > seen[-2]

    first, second, third = (bytes([number]) * 32 for number in range(3))
    find(cache, first)
    find(cache, second)
    assert not grown()
    cache.drop([third])
    assert not grown()
    find(cache, second)
    assert grown()
    find(cache, third)
    assert grown(), "an entry may be pushed out from now on"
    assert not grown()
    cache.drop([first])
    assert grown()
    cache.drop([third])
    assert grown()
    cache.drop_all()
    assert grown()
