"""First sights that are answered without a task: which requests they are for, and what they count."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from keywright.keys.cache import BOUND_SECONDS, KeyCache
from keywright.keys.pair import mint
from keywright.keys.verdict import Code, KeyFacts
from keywright.service.checking.failure_limit import MOST_FAILURES
from keywright.service.checking.first_sight import FirstSight
from keywright.service.checking.look_ups import LONGEST_QUEUE_OF_SHARE
from keywright.service.checking.verdicts import Caller
from keywright.service.checking.verification import Verification
from tests.service.fake_checking_store import FakeCheckingStore, FakeTime
from tests.service.making_checkers import CALLER, Verdicts, a_checker

PAIR = mint(bytes(range(32)), brand="kw", environment="live")
TEXT, DIGEST = PAIR.private.reveal(), PAIR.private.digest
FACTS = KeyFacts(id=b"k" * 16, org_id=b"o" * 16, name="n", environment="live")
ADDRESS = "192.0.2.7"


def text_of(number: int) -> str:
    """Give the text of a key that nobody has."""
    return mint(number.to_bytes(32, "big"), brand="kw", environment="live").private.reveal()


class Plane:
    """First sights before a store, with a cache that is fresh."""

    def __init__(self) -> None:
        self.store, self.time, self.cache, self.verdicts = (
            FakeCheckingStore(),
            FakeTime(),
            KeyCache(100_000),
            Verdicts(),
        )
        self.refused: Counter[tuple[Any, ...]] = Counter()
        verification = Verification(
            self.store, self.cache, brand="kw", now=FakeTime(), monotonic=self.time, outage_seconds=60.0
        )
        self.first_sight = FirstSight(
            a_checker(
                verification, self.time, verdicts=self.verdicts, on_refused=lambda *case: self.refused.update([case])
            )
        )
        self.cache.synced(self.time())

    def note_refused(self, *case: Any) -> None:
        """Note what a refusal was told with."""
        self.refused[case] += 1


@pytest.fixture
async def plane() -> Plane:
    return Plane()


async def test_a_key_is_cached(plane: Plane) -> None:
    """After the look-up the key is in the cache, and the next request needs none."""
    plane.store.facts[DIGEST] = FACTS
    look_up = plane.first_sight.look_up(CALLER, TEXT, ADDRESS)
    assert look_up is not None
    assert await look_up == FACTS
    assert plane.cache.get(DIGEST) == FACTS
    assert plane.first_sight.look_up(CALLER, TEXT, ADDRESS) is None


@pytest.mark.parametrize("text", ["", "nothing", TEXT[:-1], TEXT + "x", "kw_sk_live_ü"])
async def test_what_is_no_key(plane: Plane, text: str) -> None:
    """A text that is no key is for `check`, and costs no look-up."""
    assert plane.first_sight.look_up(CALLER, text, ADDRESS) is None
    await asyncio.sleep(0)
    assert plane.store.queries == []


async def test_a_cache_that_is_not_fresh(plane: Plane) -> None:
    """Where the cache is not fresh, an answer from it would not be possible afterwards: `check` decides."""
    plane.time.seconds += BOUND_SECONDS + 1
    assert plane.first_sight.look_up(CALLER, TEXT, ADDRESS) is None


async def test_unknown_keys_are_counted(plane: Plane) -> None:
    """An unknown key counts as `check` counts it: a verdict, a refusal with its network, a failure of that network."""
    for number in range(MOST_FAILURES):
        look_up = plane.first_sight.look_up(CALLER, text_of(number), ADDRESS)
        assert look_up is not None
        assert await look_up is None
        plane.first_sight.refuse(CALLER, ADDRESS)
    assert plane.verdicts == {"not_found": MOST_FAILURES}
    assert plane.refused == {(CALLER, Code.NOT_FOUND, "192.0.2.0/24"): MOST_FAILURES}
    assert plane.first_sight.look_up(CALLER, text_of(MOST_FAILURES), ADDRESS) is None
    assert plane.first_sight.look_up(CALLER, text_of(MOST_FAILURES), "198.51.100.7") is not None


async def test_a_full_queue(plane: Plane) -> None:
    """A caller with a full queue is answered by `check`, which refuses; another caller still has a place."""
    for number in range(LONGEST_QUEUE_OF_SHARE * 3):
        plane.first_sight.look_up(CALLER, text_of(number), None)
    assert plane.first_sight.look_up(CALLER, TEXT, None) is None
    assert plane.first_sight.look_up(Caller("other", None, None), TEXT, None) is not None
