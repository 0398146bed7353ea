"""The arithmetic of rate limits."""

import random
from fractions import Fraction
from itertools import product

import pytest

from keywright.keys.rate_limits import LimitDecision, RateLimit, decide_one

HUNDRED = RateLimit("requests", 100, 60)


class Bucket:
    """A second reading of the rule: a bucket of units that fills evenly, in exact numbers."""

    def __init__(self, limit: RateLimit) -> None:
        self._most = Fraction(limit.limit)
        self._per_second = Fraction(limit.limit, limit.window_seconds)
        self._units = self._most
        self._at: Fraction | None = None

    def decide_one(self, now: Fraction, cost: int) -> tuple[bool, int, Fraction, Fraction | None]:
        if self._at is not None:
            self._units = min(self._most, self._units + (now - self._at) * self._per_second)
        self._at = now
        allowed = cost <= self._units
        if allowed:
            self._units -= cost
        until_enough = max(Fraction(0), cost - self._units) / self._per_second
        retry_after = Fraction(0) if allowed else until_enough if cost <= self._most else None
        return allowed, int(self._units), (self._most - self._units) / self._per_second, retry_after


def as_tuple(decision: LimitDecision) -> tuple[bool, int, float, float | None]:
    return decision.allowed, decision.remaining, decision.reset_seconds, decision.retry_after_seconds


@pytest.mark.parametrize("seed", range(20))
def test_like_a_bucket(seed: int) -> None:
    """With numbers that are exact as floats, the decision is that of a bucket of exact numbers."""
    chance = random.Random(seed)
    limit = RateLimit("r", chance.choice([1, 2, 8, 100]), 1)
    limit = limit._replace(window_seconds=limit.limit * chance.choice([1, 2, 4]))
    bucket, kept, now = Bucket(limit), 0.0, 1_000_000.0
    for _ in range(300):
        now += chance.choice([0, 0, 0.125, 0.5, 1, 3, limit.window_seconds])
        cost = chance.choice([0, 1, 1, 1, 2, limit.limit, limit.limit + 1])
        decision = decide_one(limit, kept, now, cost)
        assert as_tuple(decision) == bucket.decide_one(Fraction(now), cost)
        kept = decision.full_at


# Seconds since a machine was started, since 2025, and since 1970.
CLOCKS = (1e5, 5e7, 1.8e9)


@pytest.mark.parametrize(
    ("units", "clock"), [*product([1, 7, 60, 300, 1000], CLOCKS), *product([5000, 20_000], CLOCKS[:2])]
)
def test_any_numbers(units: int, clock: float) -> None:
    """With any numbers the first moment sees the limit, to the unit, and no window sees more than twice it."""
    chance = random.Random(units)
    limit = RateLimit("r", units, chance.choice([1, 10, 60, 3600, 86_400]))
    kept, now, let_through = 0.0, clock * chance.uniform(0.9, 1.1), list[float]()
    while (decision := decide_one(limit, kept, now, 1)).allowed:
        kept = decision.full_at
        let_through.append(now)
        assert decision.remaining == limit.limit - len(let_through)
    assert len(let_through) == limit.limit
    for _ in range(2000):
        now += chance.expovariate(2 * limit.limit / limit.window_seconds)
        decision = decide_one(limit, kept, now, 1)
        kept = decision.full_at
        let_through += [now] * decision.allowed
    since = 0
    for until, at in enumerate(let_through):
        while at - let_through[since] >= limit.window_seconds:
            since += 1
        assert until - since < 2 * limit.limit


def test_all_at_once_then_one_by_one() -> None:
    """A limit of 100 in 60 seconds lets 100 through at once, and after that one every 0.6 seconds."""
    kept = 0.0
    for left in reversed(range(100)):
        decision = decide_one(HUNDRED, kept, 1000.0, 1)
        assert (decision.allowed, decision.remaining, decision.retry_after_seconds) == (True, left, 0.0)
        kept = decision.full_at
    refused = decide_one(HUNDRED, kept, 1000.0, 1)
    assert (refused.allowed, refused.remaining, refused.reset_seconds) == (False, 0, pytest.approx(60))
    assert refused.retry_after_seconds == pytest.approx(0.6)
    assert decide_one(HUNDRED, refused.full_at, 1000.61, 1).allowed


def test_what_could_never_be() -> None:
    """A cost beyond the limit is refused for good, and spends nothing."""
    refused = decide_one(HUNDRED, 0.0, 1000.0, 101)
    assert (refused.allowed, refused.remaining, refused.retry_after_seconds) == (False, 100, None)
    assert decide_one(HUNDRED, refused.full_at, 1000.0, 100).allowed


def test_asking_costs_nothing() -> None:
    """A cost of 0 is allowed even where nothing is left, and gives the state of the limit."""
    decision = decide_one(HUNDRED, 0.0, 1000.0, 100)
    free = decide_one(HUNDRED, decision.full_at, 1000.0, 0)
    assert (free.allowed, free.remaining, free.full_at) == (True, 0, decision.full_at)
    # Kept by a clock that was ahead: still nothing is left, and nothing is refused.
    assert as_tuple(decide_one(HUNDRED, 2000.0, 1000.0, 0))[:2] == (True, 0)
