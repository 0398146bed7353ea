"""
Limits on how often keys may be used, as one process counts them: in memory, bounded, and forgotten with the process.

Several processes that check the same keys do not hear of each other's counts. So each may be told which share of every
limit is its own; what they let through together is then no more than the limit. Pure; the caller locks.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import ceil, floor, inf
from typing import NamedTuple

from keywright.keys.rate_limits import RateLimit
from keywright.keys.spending import LimitState, spend_all

MOST_COST = 1_000_000

# What is lost when a share is multiplied: 0.29 of 100 is 29, though a float says 28.999999999999996.
_ROUNDING = 1e-9


class Spending(NamedTuple):
    """
    What became of a request's cost: how each limit stands after it, and when the same would pass.

    `retry_after_seconds` is None for what was allowed, and for a cost that this process's share never allows.
    """

    allowed: bool
    states: tuple[LimitState, ...] = ()
    retry_after_seconds: int | None = None


UNLIMITED = Spending(allowed=True)


class _Account:
    """What one key has spent: its limits, what this process's share of each comes to, and when each is whole again."""

    __slots__ = ("limits", "shares", "whole_at")

    def __init__(self, limits: tuple[RateLimit, ...], share: float) -> None:
        self.limits = limits
        self.shares = [_share_of(limit, share) for limit in limits]
        self.whole_at: Sequence[float] = [-inf] * len(limits)

    def go_on_from(self, former: "_Account") -> None:
        """Take over what was spent of those limits that are the same."""
        spent = dict(zip(former.limits, former.whole_at, strict=True))
        self.whole_at = [spent.get(limit, -inf) for limit in self.limits]


class LimitCounts:
    """
    Counts what is spent of the limits of keys.

    Args:
        share: How much of every limit is this process's own, above 0 and at most 1.
        most: For how many keys to count, at least 2. Beyond it those not asked for the longest are forgotten, in bulk;
            a key that is forgotten begins with whole limits.
    """

    def __init__(self, *, share: float, most: int) -> None:
        self._share = share
        # Two generations, as `keys.known` has them: forgetting costs nothing.
        self._half = most // 2
        self._recent: dict[bytes, _Account] = {}
        self._older: dict[bytes, _Account] = {}

    def __len__(self) -> int:
        return len(self._recent) + len(self._older)

    def spend(self, key_id: bytes, limits: tuple[RateLimit, ...], now: float, cost: int) -> Spending:
        """
        Spend *cost* of every limit of a key, or of none.

        Args:
            key_id: Which key.
            limits: All limits of the key; one that was changed is another one, and begins whole.
            now: A monotonic clock, in seconds.
            cost: Units, 0 or more.
        """
        account = self._recent.get(key_id)
        if account is None or account.limits is not limits:
            account = self._account(key_id, limits)
        spending, account.whole_at = spend_all(account.shares, account.whole_at, now, cost)
        states = tuple(LimitState(limit, *stands[1:]) for limit, stands in zip(limits, spending.states, strict=True))
        seconds = spending.retry_after_seconds
        return Spending(
            spending.allowed, states, None if spending.allowed or seconds is None else max(1, ceil(seconds))
        )

    def clear(self) -> None:
        """Forget everything."""
        self._recent.clear()
        self._older.clear()

    def _account(self, key_id: bytes, limits: tuple[RateLimit, ...]) -> _Account:
        """Give the account of a key, opened where there is none, and renewed where its limits were changed."""
        former = self._recent.get(key_id) or self._older.pop(key_id, None)
        if former is not None and former.limits == limits:
            account = former
        else:
            account = _Account(limits, self._share)
            if former is not None:
                account.go_on_from(former)
        if key_id not in self._recent and len(self._recent) >= self._half:
            self._older, self._recent = self._recent, {}
        self._recent[key_id] = account
        return account


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


@lru_cache(maxsize=4096)
def _share_of(limit: RateLimit, share: float) -> RateLimit:
    """Give the limit that a share comes to: whole units, 1 at least, in whole seconds, and never faster than it."""
    exact = limit.limit * share
    units = max(1, floor(exact + _ROUNDING))
    return RateLimit(limit.name, units, ceil(limit.window_seconds * units / exact - _ROUNDING))
