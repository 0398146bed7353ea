"""
Service and verifiers under thousands of schedules, each decided by a seed: what is promised of revocations holds.

What is judged: nobody accepts a key beyond the bound after its end was acknowledged or observed; no key that was
created is lost; a stale verdict is given only where nobody could be asked; no receipt is more favourable than the
truth; no verdict is that of another key; no use is counted twice; and in some of the schedules, that everybody follows
again and knows the truth once all trouble is over.
"""

import pytest

from tests.simulation.guards import GUARDS
from tests.simulation.plans import Plan, plan_of
from tests.simulation.searching import explanation, search
from tests.simulation.world import Broken, run, simulating

# `make simulate` runs 100,000.
SCHEDULES = 10_000
DISABLING = 2_000
PARTS = 4


@pytest.mark.early
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("part", range(PARTS))
def test_revocations_in_any_order_of_events(part: int) -> None:
    """No schedule breaks a promise; one that does is shown, made small, with the command that repeats it."""
    found = search(range(part * SCHEDULES // PARTS, (part + 1) * SCHEDULES // PARTS))
    if found is not None:
        pytest.fail(f"{explanation(found)}\n\nmake simulate SEEDS={found.seed}", pytrace=False)


@pytest.mark.early
@pytest.mark.timeout(1200)
def test_keys_that_are_disabled_in_any_order_of_events() -> None:
    """No schedule in which keys are disabled in place of being revoked breaks a promise; without a guard, one does."""
    with simulating():
        for seed in range(DISABLING):
            assert run(disabling(seed)) == [], seed
        with GUARDS["held unless overtaken"].out():
            assert first_broken(range(DISABLING)) is not None


def first_broken(seeds: range) -> Broken | None:
    """Give the first broken promise of these schedules; within `simulating`."""
    return next((broken[0] for seed in seeds if (broken := run(disabling(seed)))), None)


def disabling(seed: int) -> Plan:
    """Give the plan of a seed with each revocation replaced."""
    plan = plan_of(seed)
    items = [item._replace(what="disable") if item.what == "revoke" else item for item in plan.items]
    return plan._replace(items=type(plan.items)(items))
