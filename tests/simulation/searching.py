"""Runs many seeds, and shows what a failing one did: its plan, as small as it gets, and its trace."""

import gc
from collections.abc import Iterable
from typing import NamedTuple

from tests.simulation.plans import Plan, plan_of
from tests.simulation.shrinking import shrunk
from tests.simulation.world import Broken, run, simulating

_COLLECT_EVERY = 50


class Found(NamedTuple):
    """A seed whose plan broke a promise."""

    seed: int
    broken: Broken


def search(seeds: Iterable[int]) -> Found | None:
    """Give the first of some seeds whose plan breaks a promise, None where none does."""
    with simulating():
        for number, seed in enumerate(seeds):
            broken = run(plan_of(seed))
            if broken:
                return Found(seed, broken[0])
            if number % _COLLECT_EVERY == 0:
                gc.collect()
    return None


def explanation(found: Found) -> str:
    """Explain what happened: the plan, made small, and the trace of it."""
    with simulating():
        plan = shrunk(plan_of(found.seed), found.broken.rule)
        return "\n".join([f"seed {found.seed}: {found.broken.rule}: {found.broken.detail}", *told(plan)])


def told(plan: Plan) -> list[str]:
    """Tell a plan, what happens in it, and the promises that it breaks; within `simulating`."""
    trace: list[str] = []
    broken = run(plan, trace)
    head = [f"  {name} = {value!r}" for name, value in plan._asdict().items() if name != "items"]
    items = [f"    {item!r}," for item in plan.items]
    ends = [f"  {rule}: {detail}" for rule, detail in broken]
    return ["", "made small:", *head, "  items:", *items, "", "what happened:", *trace, "", "broken:", *ends]
