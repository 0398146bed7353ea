"""The limit of changes of an organization."""

from uuid import UUID

import pytest

from keywright.service.faults import TooManyChanges
from keywright.service.turns import ChangeLimit
from tests.service.fake_checking_store import FakeTime

ACME, GLOBEX, INITECH = (UUID(int=number) for number in range(3))


@pytest.fixture
def clock() -> FakeTime:
    """Give a clock."""
    return FakeTime()


def test_a_burst_and_no_more(clock: FakeTime) -> None:
    """An organization has its burst at once; the next change is refused, with the seconds until there is one."""
    limit = ChangeLimit(clock, each_second=0.5, burst=3)
    for _ in range(3):
        limit.take(ACME, ends_a_key=False)
    with pytest.raises(TooManyChanges) as refused:
        limit.take(ACME, ends_a_key=False)
    assert refused.value.retry_after == 2
    clock.seconds += 1
    with pytest.raises(TooManyChanges) as refused:
        limit.take(ACME, ends_a_key=False)
    assert refused.value.retry_after == 1


def test_changes_come_back(clock: FakeTime) -> None:
    """Changes come back by the second, up to the burst; what was refused took none."""
    limit = ChangeLimit(clock, each_second=2, burst=3)
    clock.seconds += 1000
    for seconds, changes in ((0, 3), (1, 2), (1000, 3)):
        clock.seconds += seconds
        for _ in range(changes):
            limit.take(ACME, ends_a_key=False)
        for _ in range(5):
            with pytest.raises(TooManyChanges):
                limit.take(ACME, ends_a_key=False)


def test_each_organization_has_its_own(clock: FakeTime) -> None:
    """An organization that has used up its changes takes none of another's."""
    limit = ChangeLimit(clock, each_second=1, burst=1)
    limit.take(ACME, ends_a_key=False)
    limit.take(GLOBEX, ends_a_key=False)
    with pytest.raises(TooManyChanges):
        limit.take(ACME, ends_a_key=False)


def test_a_revocation_is_not_held_up(clock: FakeTime) -> None:
    """Revocations and deletions have changes of their own: a flood of creations takes none of them."""
    limit = ChangeLimit(clock, each_second=1, burst=1)
    limit.take(ACME, ends_a_key=False)
    limit.take(ACME, ends_a_key=True)
    with pytest.raises(TooManyChanges):
        limit.take(ACME, ends_a_key=True)


def test_memory_is_bounded(clock: FakeTime) -> None:
    """Beyond the bound those that asked for nothing for the longest are forgotten; one that goes on asking is not."""
    limit = ChangeLimit(clock, each_second=1, burst=1, most=4)
    limit.take(ACME, ends_a_key=False)
    limit.take(INITECH, ends_a_key=False)
    for number in range(100, 110):
        with pytest.raises(TooManyChanges):
            limit.take(ACME, ends_a_key=False)
        limit.take(UUID(int=number), ends_a_key=False)
        assert len(limit._buckets) <= 4
    limit.take(INITECH, ends_a_key=False)
