"""Plans that once broke a promise, or something that came close to one, kept as they were."""

import pytest

from tests.simulation.plans import Item, Plan
from tests.simulation.searching import told
from tests.simulation.world import run, simulating

PLANS: dict[str, Plan] = {
    "a verifier leaves after the time that the end of a key bears, and before its commit": Plan(
        seed=0,
        postgres=True,
        nodes=2,
        verifiers=1,
        keys=1,
        items=(
            Item(at=0.2, what="verify", who=1),
            Item(at=0.3, what="revoke", seconds=0.4, how="late"),
            Item(at=0.4, what="leave", who=2),
            Item(at=0.7, what="stall the trail", who=1, seconds=0.5),
            Item(at=1.0, what="verify", who=1),
            Item(at=1.5, what="receipt"),
        ),
        until=2.0,
    ),
    "the only session that a receipt names ended before the commit": Plan(
        seed=197508,
        postgres=False,
        nodes=2,
        verifiers=1,
        keys=3,
        items=(
            Item(at=0.1596, what="verify", who=1, key=2),
            Item(at=0.2188, what="leave", who=1, seconds=0.3),
            Item(at=0.2753, what="revoke", key=2),
            Item(at=0.2762, what="late verify", key=2, seconds=0.3274),
            Item(at=0.5013, what="receipt", key=2),
        ),
        until=1.831401886899877,
        slow_share=0.1,
    ),
    "a feed takes nearly the bound to open, and stays that late": Plan(
        seed=3125002002,
        postgres=False,
        nodes=2,
        verifiers=1,
        keys=2,
        items=(
            Item(at=0.3745, what="break the feed", who=2, how="noticed"),
            Item(at=0.3745, what="stall", who=2, seconds=0.7819),
        ),
        until=2.1902765629508945,
        settle=True,
    ),
}


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_a_plan_that_failed_once(plan: Plan) -> None:
    """Nothing is broken by it any more."""
    with simulating():
        assert run(plan) == [], "\n".join(told(plan))


def test_an_item_reads_as_it_is_written() -> None:
    """What a failing test prints of a plan can be pasted here."""
    item = Item(at=0.5, what="revoke", who=1, key=0, seconds=0.0, how="late")
    assert eval(repr(item)) == item  # noqa: S307 - our own text
