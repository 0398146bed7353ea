"""The first sight of a key, for requests that wait without a task."""

import asyncio

import pytest

from keywright.keys.cache import BOUND_SECONDS, KeyCache
from keywright.keys.format import digest_of
from keywright.keys.pair import PrivateKey, mint
from keywright.keys.verdict import KeyFacts
from keywright.service.checking.failure_limit import FAILURE_SECONDS, MOST_FAILURES, FailureLimit
from keywright.service.checking.look_ups import LONGEST_QUEUE_OF_SHARE
from keywright.service.checking.verification import Verification
from tests.service.fake_checking_store import FakeCheckingStore, FakeTime
from tests.service.making_checkers import CALLER, Verdicts, a_checker

FACTS = KeyFacts(id=b"k" * 16, org_id=b"o" * 16, name="n", environment="live")
ADDRESS = "192.0.2.7"


def a_key(number: int) -> PrivateKey:
    return mint(number.to_bytes(32, "big"), brand="kw", environment="live").private


KEY = a_key(1)
TEXT = KEY.reveal()


class Plane:
    """First sights over a store with one key, and a cache that is fresh."""

    def __init__(self) -> None:
        self.time, self.store, self.cache = FakeTime(), FakeCheckingStore(), KeyCache(100)
        self.failures, self.verdicts = FailureLimit(), Verdicts()
        self.store.facts[KEY.digest] = FACTS
        verification = Verification(
            self.store, self.cache, brand="kw", now=self.time, monotonic=self.time, outage_seconds=60.0
        )
        self.checker = a_checker(verification, self.time, failures=self.failures, verdicts=self.verdicts)
        self.cache.synced(self.time())

    def waits(self, text: str) -> bool:
        """Tell whether a request for a key waits for a look-up; its look-up is given up."""
        waiter = self.checker.look_up(CALLER, text, digest_of(text.encode()), ADDRESS)
        return waiter is not None and waiter.cancel()


@pytest.fixture
async def plane() -> Plane:
    return Plane()


async def test_a_key_is_looked_up_and_cached(plane: Plane) -> None:
    """A key that is not cached is looked up, and afterwards in the cache: its next sight is no first one."""
    waiter = plane.checker.look_up(CALLER, TEXT, digest_of(TEXT.encode()), ADDRESS)
    assert waiter is not None
    assert await waiter == FACTS == plane.cache.get(KEY.digest)
    assert not plane.waits(TEXT)


async def test_an_unknown_key(plane: Plane) -> None:
    """A key that the store does not know counts as refused and as a failure; above the failure limit none waits."""
    unknown = a_key(2).reveal()
    for _ in range(MOST_FAILURES):
        waiter = plane.checker.look_up(CALLER, unknown, digest_of(unknown.encode()), ADDRESS)
        assert waiter is not None
        assert await waiter is None
        plane.checker.refuse_unknown(CALLER, ADDRESS)
    assert plane.verdicts == {"not_found": MOST_FAILURES}
    assert not plane.waits(unknown)
    plane.time.seconds += FAILURE_SECONDS / MOST_FAILURES
    assert plane.waits(unknown)


@pytest.mark.parametrize("text", ["", "junk", TEXT[:-1] + "!", "ä"])
async def test_what_is_no_key(plane: Plane, text: str) -> None:
    """A text that is no key takes no look-up."""
    assert not plane.waits(text)


async def test_a_cache_that_is_not_fresh(plane: Plane) -> None:
    """Without a fresh cache the key would not be found in it afterwards, so the request does not wait here."""
    plane.time.seconds += BOUND_SECONDS + 0.001
    assert not plane.waits(TEXT)


async def test_a_full_queue(plane: Plane) -> None:
    """A caller whose queue is full does not wait here: the application refuses its request."""
    waiters = [
        plane.checker.look_up(CALLER, a_key(number).reveal(), digest_of(a_key(number).reveal().encode()), ADDRESS)
        for number in range(2, LONGEST_QUEUE_OF_SHARE + 2)
    ]
    assert all(waiter is not None for waiter in waiters)
    assert not plane.waits(TEXT)
    await asyncio.gather(*(waiter for waiter in waiters if waiter is not None))
    assert plane.waits(TEXT)
