"""The rate limiter of one process among several, each with a share of every limit, and what requests may cost."""

from typing import Any

import pytest

from keywright.keys.rate_limiter import UNLIMITED, InMemoryRateLimiter, LimitState, rate_limit_headers
from keywright.keys.rate_limits import MOST_COST, RateLimit, check_cost

KEY = b"k" * 16
MINUTE = RateLimit("minute", 10, 60)
DAY = RateLimit("day", 12, 86_400)


def rate_limiter(*, share: float = 1.0, capacity: int = 100) -> InMemoryRateLimiter:
    return InMemoryRateLimiter(capacity, share=share)


def let_through(found: InMemoryRateLimiter, *limits: RateLimit, tries: int, now: float = 0.0, key: bytes = KEY) -> int:
    return sum(found.acquire(key, limits, now, 1).allowed for _ in range(tries))


def test_a_limit_is_spent_and_earned_back() -> None:
    """As many units as the limit has pass at once, then one for each part of the window that has gone by."""
    found = rate_limiter()
    assert let_through(found, MINUTE, tries=30) == 10
    refused = found.acquire(KEY, (MINUTE,), 1.0, 1)
    assert (refused.allowed, refused.retry_after) == (False, 5)
    assert refused.states == (LimitState(MINUTE, 0, 59.0),)
    assert let_through(found, MINUTE, tries=30, now=12.0) == 2


def test_all_limits_or_none() -> None:
    """A request that one limit refuses takes nothing of any; the states are unchanged."""
    found = rate_limiter()
    assert let_through(found, MINUTE, DAY, tries=10) == 10
    for _ in range(5):
        refused = found.acquire(KEY, (MINUTE, DAY), 0.0, 1)
        assert [state.remaining for state in refused.states] == [0, 2]
    assert let_through(found, DAY, tries=10) == 2


def test_the_longest_wait_rate_limiter() -> None:
    """A request that two limits refuse may come again when both let it."""
    found, slow = rate_limiter(), RateLimit("slow", 10, 72_000)
    assert let_through(found, MINUTE, slow, tries=10) == 10
    assert found.acquire(KEY, (MINUTE, slow), 0.0, 1).retry_after == 7200


def test_costs() -> None:
    """A request takes its cost; a cost of 0 is always allowed, one above the limit never."""
    found = rate_limiter()
    assert found.acquire(KEY, (MINUTE,), 0.0, 7).states[0].remaining == 3
    assert not found.acquire(KEY, (MINUTE,), 0.0, 4).allowed
    assert found.acquire(KEY, (MINUTE,), 0.0, 3).allowed
    assert found.acquire(KEY, (MINUTE,), 0.0, 0).allowed
    never = found.acquire(KEY, (MINUTE,), 0.0, 11)
    assert (never.allowed, never.retry_after) == (False, None)


def test_keys_do_not_spend_for_each_other() -> None:
    """Each key has its own count."""
    found = rate_limiter()
    assert [let_through(found, MINUTE, tries=11, key=bytes([number]) * 16) for number in range(3)] == [10, 10, 10]


def test_a_changed_limit_begins_whole() -> None:
    """A changed limit begins full; the other limits of the key keep their state."""
    found = rate_limiter()
    assert let_through(found, MINUTE, DAY, tries=20) == 10
    changed = MINUTE._replace(limit=20)
    assert let_through(found, DAY, changed, tries=30) == 2
    assert let_through(found, changed, tries=30) == 18


@pytest.mark.parametrize(
    ("limit", "share", "at_once", "in_ten_windows"),
    [
        (RateLimit("x", 100, 60), 0.25, 25, 275),
        (RateLimit("x", 100, 60), 0.29, 29, 319),
        (RateLimit("x", 10, 60), 0.25, 2, 27),
        (RateLimit("x", 1, 60), 0.25, 1, 3),
        (RateLimit("x", 3, 3600), 1 / 3, 1, 11),
        (RateLimit("x", 3, 1), 0.5, 1, 11),
    ],
)
def test_shares(limit: RateLimit, share: float, at_once: int, in_ten_windows: int) -> None:
    """A share of a limit is that part of its units, one at least, and never faster than that part over time."""
    found = rate_limiter(share=share)
    assert let_through(found, limit, tries=200) == at_once
    total = at_once
    for step in range(1, 10 * limit.window_seconds + 1):
        total += let_through(found, limit, tries=limit.limit, now=float(step))
    assert total == in_ten_windows
    # A share over time, and what may be spent at once.
    assert total <= 10 * limit.limit * share + at_once + 1e-6


def test_states_name_the_whole_limit() -> None:
    """The states have the key's own limit, and what is left of this process's share."""
    (state,) = rate_limiter(share=0.5).acquire(KEY, (MINUTE,), 0.0, 1).states
    assert (state.limit, state.remaining) == (MINUTE, 4)


def test_memory_is_bounded() -> None:
    """A bounded number of keys is kept, and busy ones are not removed."""
    found = rate_limiter(capacity=10)
    let_through(found, MINUTE, tries=10)
    for number in range(1000):
        assert let_through(found, MINUTE, tries=1, key=number.to_bytes(16, "big")) == 1
        assert let_through(found, MINUTE, tries=1) == 0
        assert len(found) <= 10
    found.clear()
    assert len(found) == 0


@pytest.mark.parametrize(
    ("cost", "error"),
    [(-1, ValueError), (MOST_COST + 1, ValueError), (True, TypeError), (1.0, TypeError), ("1", TypeError)],
)
def test_what_is_no_cost(cost: Any, error: type[Exception]) -> None:
    """A cost that the service would not take is an error here, too."""
    with pytest.raises(error):
        check_cost(cost)


def test_costs_that_can_be() -> None:
    """Whole numbers from 0 to a million are costs."""
    for cost in (0, 1, MOST_COST):
        check_cost(cost)


def test_headers() -> None:
    """Each limit is one list item of both headers, in whole seconds; a key without limits has no such headers."""
    states = rate_limiter().acquire(KEY, (MINUTE, DAY), 0.0, 1).states
    assert rate_limit_headers(states) == {
        "RateLimit-Policy": '"minute";q=10;w=60, "day";q=12;w=86400',
        "RateLimit": '"minute";r=9;t=6, "day";r=11;t=7200',
    }
    assert rate_limit_headers(UNLIMITED.states) == {}


def test_an_allowed_request_has_nothing_to_wait_for() -> None:
    """Only a refusal names a time to come back, and one that is due within a second names a whole one."""
    found = rate_limiter()
    assert found.acquire(KEY, (MINUTE,), 0.0, 10).retry_after is None
    assert found.acquire(KEY, (MINUTE,), 5.9, 1).retry_after == 1
