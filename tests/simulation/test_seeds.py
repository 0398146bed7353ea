"""Plans that broke a promise once, kept as they were."""

import pytest

from tests.simulation.plans import Item, Plan
from tests.simulation.searching import told
from tests.simulation.world import run, simulating

PLANS: dict[str, Plan] = {}


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_a_plan_that_failed_once(plan: Plan) -> None:
    """Nothing is broken by it any more."""
    with simulating():
        assert run(plan) == [], "\n".join(told(plan))


def test_an_item_reads_as_it_is_written() -> None:
    """What a failing test prints of a plan can be pasted here."""
    item = Item(at=0.5, what="revoke", who=1, key=0, seconds=0.0, how="late")
    assert eval(repr(item)) == item  # noqa: S307 - our own text
