"""First sights without a task, held to what `Checker.check` does."""

import pytest

from keywright.keys.cache import BOUND_SECONDS
from keywright.service.checking.failure_limit import MOST_FAILURES
from keywright.service.checking.first_sight import FirstSight
from keywright.service.checking.look_ups import LONGEST_QUEUE_OF_SHARE
from keywright.service.checking.verdicts import Caller
from tests.service.test_accept import DIGEST, TEXT, Plane

EDGE = Caller("edge", None, None)
ADDRESS = "192.0.2.7"


@pytest.fixture
async def plane() -> Plane:
    return Plane()


async def test_who_waits_for_a_look_up(plane: Plane) -> None:
    """Only a text that may be a key, and is not cached, is looked up, while the cache is fresh."""
    sight = FirstSight(plane.checker)
    assert sight.look_up(EDGE, "junk", ADDRESS) is None
    waiter = sight.look_up(EDGE, TEXT, ADDRESS)
    assert waiter is not None
    assert await waiter is None
    plane.cached()
    assert sight.look_up(EDGE, TEXT, ADDRESS) is None
    plane.cache.drop([DIGEST])
    plane.time.seconds += BOUND_SECONDS + 0.001
    assert sight.look_up(EDGE, TEXT, ADDRESS) is None


async def test_failures_end_it(plane: Plane) -> None:
    """Unknown keys are counted, and a caller above its failure limit looks nothing up."""
    sight = FirstSight(plane.checker)
    for _ in range(MOST_FAILURES):
        sight.refuse(EDGE, ADDRESS)
    assert plane.verdicts == {"not_found": MOST_FAILURES}
    assert sight.look_up(EDGE, TEXT, ADDRESS) is None
    assert sight.look_up(EDGE, TEXT, "198.51.100.1") is not None


async def test_a_full_queue(plane: Plane) -> None:
    """A caller with too many waiting keys waits for no other one."""
    look_ups = plane.checker.verification._look_ups
    for number in range(LONGEST_QUEUE_OF_SHARE):
        look_ups.find(number.to_bytes(32, "big"), EDGE.share, shared=True)
    assert FirstSight(plane.checker).look_up(EDGE, TEXT, ADDRESS) is None
    assert plane.cache.get(DIGEST) is None
