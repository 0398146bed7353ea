"""
Makes a plan that breaks a promise smaller, by leaving out what does not matter (delta debugging).

A plan with fewer items draws other random numbers, so what is left is tried with some seeds before it is given up.
"""

from collections.abc import Callable, Iterator

from tests.simulation.plans import Plan
from tests.simulation.world import run

_SEEDS_TRIED = 25


def shrunk(plan: Plan, rule: str) -> Plan:
    """Give a smaller plan in which the same rule is broken; within `simulating`."""
    while True:
        smaller = next((found for candidate in _smaller(plan) if (found := _still(candidate, rule))), None)
        if smaller is None:
            return plan
        plan = smaller


def breaks(plan: Plan, rule: str) -> bool:
    """Tell whether a plan breaks a rule."""
    return any(broken.rule == rule for broken in run(plan))


def _still(plan: Plan, rule: str) -> Plan | None:
    """Give the plan with a seed with which it breaks the rule."""
    for number in range(_SEEDS_TRIED):
        candidate = plan if number == 0 else plan._replace(seed=plan.seed * 1000 + number)
        if breaks(candidate, rule):
            return candidate
    return None


def _smaller(plan: Plan) -> Iterator[Plan]:
    items = plan.items
    size = len(items) // 2
    while size >= 1:
        for start in range(0, len(items), size):
            yield plan._replace(items=items[:start] + items[start + size :])
        size //= 2
    for simpler in _SIMPLER:
        candidate = simpler(plan)
        if candidate != plan:
            yield candidate


def _without_the_last_verifier(plan: Plan) -> Plan:
    last = plan.nodes + plan.verifiers - 1
    if not plan.verifiers or any(item.who == last for item in plan.items):
        return plan
    return plan._replace(verifiers=plan.verifiers - 1, absent=plan.absent - {last})


_SIMPLER: tuple[Callable[[Plan], Plan], ...] = (
    lambda plan: plan._replace(old_changes=0),
    lambda plan: plan._replace(slow_share=0.0),
    lambda plan: plan._replace(block=1),
    lambda plan: plan._replace(outage_seconds=0),
    lambda plan: plan._replace(postgres=False),
    lambda plan: plan._replace(settle=False),
    _without_the_last_verifier,
)
