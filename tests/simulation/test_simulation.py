"""
Service and verifiers under thousands of schedules, each decided by a seed: what is promised of revocations holds.

What is judged: nobody accepts a key beyond the bound after its end was acknowledged or observed; no key that was
created is lost; a stale verdict is given only where nobody could be asked; no receipt is more favourable than the
truth; no verdict is that of another key; no use is counted twice; and in some of the schedules, that everybody follows
again and knows the truth once all trouble is over.
"""

import pytest

from tests.simulation.searching import explanation, search

SCHEDULES = 20_000
PARTS = 4


@pytest.mark.early
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("part", range(PARTS))
def test_revocations_in_any_order_of_events(part: int) -> None:
    """No schedule breaks a promise; one that does is shown, made small, with the command that repeats it."""
    found = search(range(part * SCHEDULES // PARTS, (part + 1) * SCHEDULES // PARTS))
    if found is not None:
        pytest.fail(f"{explanation(found)}\n\nmake simulate SEEDS={found.seed}", pytrace=False)
