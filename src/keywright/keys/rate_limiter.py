"""
The rate limiter: decides on all limits of a key at once, and keeps their state in the memory of one process.

A request takes its cost of every limit or of none. Pure: times are arguments, and the caller locks. State that
processes share in Redis has the same form, and `decide` decides on it, too.
"""

from collections import OrderedDict
from collections.abc import Sequence
from functools import lru_cache
from itertools import islice
from math import ceil, floor
from typing import NamedTuple

from keywright.keys.rate_limits import RateLimit, decide_one

_LOOKED_AT = 8
# Floats lose this much in a multiplication: 0.29 of 100 is 29, but a float gives 28.999999999999996.
_ROUNDING = 1e-9
# What the constructor of a named tuple calls, in a third of the time.
_new = tuple.__new__


class LimitState(NamedTuple):
    """
    The state of a rate limit after a request.

    `remaining` is the number of whole units available now, `reset_seconds` the time until the limit is full again.
    Where a process has a share of the limit, both are those of the share.
    """

    limit: RateLimit
    remaining: int
    reset_seconds: float


class RateLimitDecision(NamedTuple):
    """
    The decision on a request; `states` are in the order of the limits.

    `retry_after_seconds` is 0 for an allowed request, and None where the cost is above a limit.
    """

    allowed: bool
    states: tuple[LimitState, ...] = ()
    retry_after_seconds: float | None = 0.0

    @property
    def retry_after(self) -> int | None:
        """Whole seconds, at least 1, until a refused request can pass; None where it never can or was allowed."""
        seconds = self.retry_after_seconds
        return None if self.allowed or seconds is None else max(1, ceil(seconds))


UNLIMITED = RateLimitDecision(allowed=True)


def decide(
    limits: Sequence[RateLimit], full_at: Sequence[float], now: float, cost: int
) -> tuple[RateLimitDecision, tuple[float, ...]]:
    """
    Take *cost* of every limit, or of none.

    Args:
        limits: The limits of one key.
        full_at: The stored time of each limit, in the same order; any time in the past for a limit without state.
        now: Seconds on the clock of `full_at`.
        cost: Units, 0 or more; 0 is never refused.

    Returns:
        The decision, and the time to store for each limit.
    """
    if len(limits) == 1:
        # Most keys with limits have one limit, so this case is flat.
        (limit,) = limits
        allowed, moment, remaining, reset_seconds, retry_after = decide_one(limit, full_at[0], now, cost)
        state = _new(LimitState, (limit, remaining, reset_seconds))
        return _new(RateLimitDecision, (allowed, (state,), retry_after)), (moment,)
    states, moments, waits = [], [], []
    for limit, kept in zip(limits, full_at, strict=True):
        allowed, moment, remaining, reset_seconds, retry_after = decide_one(limit, kept, now, cost)
        if not allowed:
            waits.append(retry_after)
        states.append(LimitState(limit, remaining, reset_seconds))
        moments.append(moment)
    if not waits:
        return RateLimitDecision(True, tuple(states)), tuple(moments)
    # Nothing is taken, so a limit that would have allowed the request keeps its state.
    untouched, moments_before = decide(limits, full_at, now, 0)
    longest = None if None in waits else max(wait for wait in waits if wait is not None)
    return RateLimitDecision(False, untouched.states, longest), moments_before


def rate_limit_headers(states: Sequence[LimitState]) -> dict[str, str]:
    """
    Write the states of a key's limits as response headers; empty for a key without limits.

    `RateLimit-Policy` and `RateLimit` as in draft-ietf-httpapi-ratelimit-headers-10, one list item a limit.
    """
    if not states:
        return {}
    policies, left = [], []
    for (name, limit, window_seconds), remaining, reset_seconds in states:
        policies.append(f'"{name}";q={limit};w={window_seconds}')
        left.append(f'"{name}";r={remaining};t={ceil(reset_seconds)}')
    return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(left)}


class _State:
    """The state of a key: for each limit the time at which this process's share of it is full again."""

    __slots__ = ("full_at", "limits", "shares")

    def __init__(
        self, limits: tuple[RateLimit, ...], shares: tuple[RateLimit, ...], full_at: tuple[float, ...]
    ) -> None:
        self.limits = limits
        self.shares = shares
        self.full_at = full_at


class InMemoryRateLimiter:
    """
    The rate limiter of one process.

    A limit with another name, size or window is another limit and begins full.

    Args:
        capacity: The number of keys, at least 1. Beyond it some of the longest unused keys with full limits are
            removed, which loses nothing; where there are none, the longest unused key is removed, and its limits are
            full when it is used again.
        share: The part of every limit that this process may use, above 0 and at most 1. Processes whose shares add up
            to 1 allow no more than the limit together.
    """

    def __init__(self, capacity: int, *, share: float = 1.0) -> None:
        if capacity < 1:
            raise ValueError("the capacity must be at least one key")
        self._capacity = capacity
        self._share = share
        self._is_whole = share == 1
        self._states: OrderedDict[bytes, _State] = OrderedDict()

    def __len__(self) -> int:
        return len(self._states)

    def acquire(self, key_id: bytes, limits: Sequence[RateLimit], now: float, cost: int) -> RateLimitDecision:
        """
        Take *cost* of every limit of a key, or of none.

        Args:
            key_id: The key.
            limits: All limits of the key.
            now: Seconds on a monotonic clock.
            cost: Units, 0 or more.

        Returns:
            The decision; its states name the undivided limits, and what is left of this process's share.
        """
        state = self._find(key_id, limits, now)
        decision, state.full_at = decide(state.shares, state.full_at, now, cost)
        if self._is_whole:
            return decision
        states = (LimitState(limit, *left[1:]) for limit, left in zip(limits, decision.states, strict=True))
        return decision._replace(states=tuple(states))

    def learn(self, key_id: bytes, limits: Sequence[RateLimit], full_at: Sequence[float], now: float) -> None:
        """Replace the state of a key at *now* by the state that Redis has."""
        self._find(key_id, limits, now).full_at = tuple(full_at)

    def clear(self) -> None:
        """Remove the state of every key."""
        self._states.clear()

    def _find(self, key_id: bytes, limits: Sequence[RateLimit], now: float) -> _State:
        """Give the state of a key, which becomes the latest used; a limit that is new begins full."""
        state = self._states.get(key_id)
        if state is None or state.limits != limits:
            return self._add(key_id, limits, self._full_at(state, limits, now), now)
        self._states.move_to_end(key_id)
        return state

    @staticmethod
    def _full_at(state: _State | None, limits: Sequence[RateLimit], now: float) -> tuple[float, ...]:
        kept = {} if state is None else dict(zip(state.limits, state.full_at, strict=True))
        return tuple(kept.get(limit, now) for limit in limits)

    def _add(self, key_id: bytes, limits: Sequence[RateLimit], moments: tuple[float, ...], now: float) -> _State:
        if key_id in self._states:
            self._states.move_to_end(key_id)
        elif len(self._states) >= self._capacity:
            self._evict(now)
        shares = tuple(share_of(limit, self._share) for limit in limits)
        state = self._states[key_id] = _State(tuple(limits), shares, moments)
        return state

    def _evict(self, now: float) -> None:
        # Only a few keys are looked at, so that no request waits for a search through all.
        oldest = list(islice(self._states.items(), _LOOKED_AT))
        whole = [key_id for key_id, state in oldest if max(state.full_at, default=now) <= now]
        for key_id in whole or [oldest[0][0]]:
            del self._states[key_id]


@lru_cache(maxsize=4096)
def share_of(limit: RateLimit, share: float) -> RateLimit:
    """Give a share of a limit: at least 1 whole unit, in whole seconds, at no higher rate than the exact share."""
    if share == 1:
        return limit
    exact = limit.limit * share
    units = max(1, floor(exact + _ROUNDING))
    return RateLimit(limit.name, units, ceil(limit.window_seconds * units / exact - _ROUNDING))
