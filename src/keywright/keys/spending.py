"""
All limits of a key at once: what a request costs is spent of every one of them or of none. And a memory of it.

Pure: the caller tells the time. The memory is for a process that counts alone; a count that processes share keeps the
same moments, and its answers are worked out by `spend_all`, too.
"""

from collections import OrderedDict
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from keywright.keys.rate_limits import RateLimit, spend

_LOOKED_AT = 8


class LimitState(NamedTuple):
    """
    How a rate limit stands after a request.

    `remaining` is how many whole units could be spent right now, `reset_seconds` when the limit is whole again. Where a
    process has a share of the limit, both are those of the share.
    """

    limit: RateLimit
    remaining: int
    reset_seconds: float


class Spending(NamedTuple):
    """
    What became of a request's cost; `states` are in the order of the limits.

    `retry_after_seconds` is 0 for what was allowed, and None for what could never be: a cost beyond a limit.
    """

    allowed: bool
    states: tuple[LimitState, ...]
    retry_after_seconds: float | None = 0.0


def spend_all(
    limits: Sequence[RateLimit], earned_back_at: Sequence[float], now: float, cost: int
) -> tuple[Spending, tuple[float, ...]]:
    """
    Spend *cost* of every limit, or nothing.

    Args:
        limits: Those of one key.
        earned_back_at: What was kept of each, in the same order; any moment in the past where nothing was.
        now: Seconds on the clock that `earned_back_at` is told in.
        cost: Units, 0 or more; 0 is never refused.

    Returns:
        What became of it, and what has to be kept of each limit.
    """
    if len(limits) == 1:
        # Most keys with limits have one, and each of their requests comes by here.
        (limit,) = limits
        allowed, moment, remaining, reset_seconds, retry_after = spend(limit, earned_back_at[0], now, cost)
        state = _new(LimitState, (limit, remaining, reset_seconds))
        return _new(Spending, (allowed, (state,), retry_after)), (moment,)
    states, moments, waits = [], [], []
    for limit, kept in zip(limits, earned_back_at, strict=True):
        allowed, moment, remaining, reset_seconds, retry_after = spend(limit, kept, now, cost)
        if not allowed:
            waits.append(retry_after)
        states.append(LimitState(limit, remaining, reset_seconds))
        moments.append(moment)
    if not waits:
        return Spending(True, tuple(states)), tuple(moments)
    # Told as they stand: a limit that would have allowed it has not been touched.
    untouched, moments_before = spend_all(limits, earned_back_at, now, 0)
    longest = None if None in waits else max(wait for wait in waits if wait is not None)
    return Spending(False, untouched.states, longest), moments_before


# What the constructor of a named tuple calls, in a third of the time.
_new = tuple.__new__


class _Kept:
    """What is kept of a key: for each of its limits the moment at which it is whole again."""

    __slots__ = ("earned_back_at", "limits")

    def __init__(self, limits: tuple[RateLimit, ...], earned_back_at: tuple[float, ...]) -> None:
        self.limits = limits
        self.earned_back_at = earned_back_at


class SpendingBook:
    """
    What was spent of the limits of keys, as far as one process knows.

    A limit of which anything changed, its name, its size or its window, is another limit and begins whole.

    Args:
        capacity: How many keys to hold, at least 1. For one more, those among the longest unused whose limits are whole
            again are forgotten, which loses nothing; where none of these are, the longest unused key is.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError("at least one key must be held")
        self._capacity = capacity
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def spend(self, key_id: bytes, limits: Sequence[RateLimit], now: float, cost: int) -> Spending:
        """Spend *cost* of every limit of a key or of none, at *now* in seconds of a clock that only goes forward."""
        kept = self._kept.get(key_id)
        if kept is not None and kept.limits == limits:
            spending, kept.earned_back_at = spend_all(limits, kept.earned_back_at, now, cost)
            self._kept.move_to_end(key_id)
            return spending
        spending, moments = spend_all(limits, self._moments(kept, limits, now), now, cost)
        self._hold(key_id, limits, moments, now)
        return spending

    def learn(self, key_id: bytes, limits: Sequence[RateLimit], earned_back_at: Sequence[float], now: float) -> None:
        """Hold what somebody else kept of a key, in place of what is held, at *now*."""
        self._hold(key_id, limits, tuple(earned_back_at), now)

    @staticmethod
    def _moments(kept: _Kept | None, limits: Sequence[RateLimit], now: float) -> Sequence[float]:
        if kept is None:
            return (now,) * len(limits)
        held = dict(zip(kept.limits, kept.earned_back_at, strict=True))
        return [held.get(limit, now) for limit in limits]

    def _hold(self, key_id: bytes, limits: Sequence[RateLimit], moments: tuple[float, ...], now: float) -> None:
        if key_id in self._kept:
            self._kept.move_to_end(key_id)
        elif len(self._kept) >= self._capacity:
            self._make_room(now)
        self._kept[key_id] = _Kept(tuple(limits), moments)

    def _make_room(self, now: float) -> None:
        # A few and not all, so that no request waits for a long look through the book.
        oldest = list(islice(self._kept.items(), _LOOKED_AT))
        whole = [key_id for key_id, kept in oldest if max(kept.earned_back_at, default=now) <= now]
        for key_id in whole or [oldest[0][0]]:
            del self._kept[key_id]
