"""
The guards against the races of revocation, each shown to be needed: without it the simulation breaks a promise.

Where a second guard makes up for the first, both are taken out together, and `covered_by` says so of the one alone.
"""

from collections.abc import Callable

import pytest

from tests.simulation.guards import GUARDS
from tests.simulation.searching import search

MOST_SEEDS = 20_000


@pytest.mark.early
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", [name for name, guard in GUARDS.items() if guard.covered_by is None])
def test_without_a_guard_a_promise_is_broken(name: str, record_property: Callable[[str, object], None]) -> None:
    """Some schedule among those that are run always breaks a promise when the guard is out."""
    with GUARDS[name].out():
        found = search(range(MOST_SEEDS))
    assert found is not None, GUARDS[name].what
    record_property("seeds", found.seed + 1)
