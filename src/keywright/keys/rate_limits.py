"""
Rate limits and their arithmetic: the generic cell rate algorithm (GCRA).

A limit of 100 in 60 seconds allows 100 units at once, and then one more every 0.6 seconds: never more than 100 at one
instant, and never more than 200 in any 60 seconds. The state of a limit is one number, the time at which the limit is
full again, in memory and in Redis alike.
"""

from typing import NamedTuple

MOST_RATE_LIMITS = 4
LIMIT_MAX = 1_000_000_000
WINDOW_SECONDS_MAX = 31 * 86_400
MOST_COST = 1_000_000
NAME_PATTERN = "^[a-z][a-z0-9_-]{0,31}$"


class RateLimit(NamedTuple):
    """At most `limit` units at once and, over time, in `window_seconds`; `name` is unique among the limits of a key."""

    name: str
    limit: int
    window_seconds: int


class LimitDecision(NamedTuple):
    """
    The decision of one limit on a request.

    `full_at` is the state to store: the time at which the limit is full again. `remaining` is the number of units
    available after the request, `reset_seconds` the time until the limit is full, and `retry_after_seconds` the time
    until a refused request can pass: 0 where it was allowed, None where it never can.
    """

    allowed: bool
    full_at: float
    remaining: int
    reset_seconds: float
    retry_after_seconds: float | None


def decide_one(limit: RateLimit, full_at: float, now: float, cost: int) -> LimitDecision:
    """
    Take *cost* units of a limit, or none.

    Args:
        limit: The limit.
        full_at: Its stored state; any time in the past for a limit without state.
        now: Seconds on the clock of `full_at`.
        cost: Units, 0 or more; 0 is never refused.
    """
    # Every request of a key with a limit passes here: comparisons are faster than min() and max().
    _, most, window = limit
    interval = window / most
    since = full_at if full_at > now else now  # noqa: FURB136
    after = since + cost * interval
    # The rounding of earlier additions must not refuse the last unit; the tolerance is below half a unit.
    lost, half = most * _LOST_BY_AN_ADDITION, interval / 2
    whole = window + (lost if lost < half else half)  # noqa: FURB136
    allowed = cost == 0 or after - now <= whole
    kept = after if allowed else since
    taken = kept - now
    units = int((whole - taken) / interval)
    remaining = 0 if units < 0 else units if units < most else most  # noqa: FURB136
    retry_after = 0.0 if allowed else None if cost > most else after - now - window
    return _new(LimitDecision, (allowed, kept, remaining, taken, retry_after))


def check_cost(cost: int) -> None:
    """
    Check the cost of a request.

    Raises:
        TypeError, ValueError: It is no whole number from 0 to `MOST_COST`.
    """
    if isinstance(cost, bool) or not isinstance(cost, int):
        raise TypeError("cost must be a whole number")
    if not 0 <= cost <= MOST_COST:
        raise ValueError(f"cost must be 0 to {MOST_COST}")


# What the constructor of a named tuple calls, in a third of the time.
_new = tuple.__new__
# In seconds, on a clock below 2^31: half the distance of two neighbouring floats is 2^-23 there.
_LOST_BY_AN_ADDITION = 2.0**-22
