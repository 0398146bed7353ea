"""
Limits on how often a key may be used, and the arithmetic of them: the generic cell rate algorithm.

A limit of 100 in 60 seconds lets 100 through at once, and after that one more every 0.6 seconds: never more than 100 in
the first instant, and never more than 200 in any 60 seconds. All that has to be kept of a limit is one moment, at which
everything that was spent is earned back; so one number decides, in memory and in a script of Redis alike.
"""

from typing import NamedTuple

MOST_RATE_LIMITS = 4
LIMIT_MAX = 1_000_000_000
WINDOW_SECONDS_MAX = 31 * 86_400
MOST_COST = 1_000_000
NAME_PATTERN = "^[a-z][a-z0-9_-]{0,31}$"


class RateLimit(NamedTuple):
    """At most `limit` units at once and, over time, in `window_seconds`; `name` tells the limits of one key apart."""

    name: str
    limit: int
    window_seconds: int


class LimitDecision(NamedTuple):
    """
    What became of a wish to spend.

    `earned_back_at` is what has to be kept: the moment at which the limit is whole again. `remaining` is how many units
    could be spent right after, `reset_seconds` when the limit is whole again, and `retry_after_seconds` when what was
    refused could be spent; 0 where it was not refused, None where it never could.
    """

    allowed: bool
    full_at: float
    remaining: int
    reset_seconds: float
    retry_after_seconds: float | None


def decide_one(limit: RateLimit, full_at: float, now: float, cost: int) -> LimitDecision:
    """
    Spend *cost* units of a limit, or nothing.

    Args:
        limit: Which.
        earned_back_at: What was kept; any moment in the past where nothing was.
        now: Seconds on the clock that `earned_back_at` is told in.
        cost: Units, 0 or more; 0 is never refused.
    """
    # Every request of a key with a limit comes by here: comparisons and not min() and max(), and tuples made at once.
    _, most, window = limit
    interval = window / most
    since = full_at if full_at > now else now  # noqa: FURB136
    after = since + cost * interval
    # The last unit of a limit is a unit of it, whatever the additions before it have lost; half a unit is none.
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
    Refuse what no request can cost.

    Raises:
        TypeError, ValueError: It is no whole number from 0 to `MOST_COST`.
    """
    if isinstance(cost, bool) or not isinstance(cost, int):
        raise TypeError("cost must be a whole number")
    if not 0 <= cost <= MOST_COST:
        raise ValueError(f"cost must be 0 to {MOST_COST}")


# What the constructor of a named tuple calls, in a third of the time.
_new = tuple.__new__
# In seconds, on any clock that is below 2^31: half the distance of two neighbouring numbers there is 2^-23.
_LOST_BY_AN_ADDITION = 2.0**-22
