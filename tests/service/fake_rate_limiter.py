"""Limits that are counted in memory and under a test's control."""

from collections.abc import Sequence

from keywright.keys.rate_limiter import LimitState, RateLimitDecision
from keywright.keys.rate_limits import RateLimit, decide_one
from keywright.service.faults import LimitsUnavailable
from tests.service.fake_checking_store import FakeTime


class FakeRateLimiter:
    """
    Counts one limit after the other; `asked` is what it was asked for, `taken` what it allowed.

    `far` makes it a count that has to be waited for, `away` one that cannot be reached.
    """

    def __init__(self, time: FakeTime) -> None:
        self._time = time
        self._kept: dict[tuple[bytes, RateLimit], float] = {}
        self.asked: list[tuple[bytes, int]] = []
        self.taken: list[tuple[bytes, int]] = []
        self.far = self.away = False

    def acquire_now(self, key_id: bytes, limits: Sequence[RateLimit], cost: int) -> RateLimitDecision | None:
        return None if self.far or self.away else self._acquire(key_id, limits, cost)

    async def acquire(self, key_id: bytes, limits: Sequence[RateLimit], cost: int) -> RateLimitDecision:
        if self.away:
            raise LimitsUnavailable("away")
        return self._acquire(key_id, limits, cost)

    def _acquire(self, key_id: bytes, limits: Sequence[RateLimit], cost: int) -> RateLimitDecision:
        self.asked.append((key_id, cost))
        now = self._time()
        kept = [self._kept.get((key_id, limit), now) for limit in limits]
        spent = [decide_one(limit, since, now, cost) for limit, since in zip(limits, kept, strict=True)]
        allowed = all(one.allowed for one in spent)
        waits = [one.retry_after_seconds for one in spent]
        if allowed:
            self.taken.append((key_id, cost))
        else:
            spent = [decide_one(limit, since, now, 0) for limit, since in zip(limits, kept, strict=True)]
        self._kept |= {(key_id, limit): one.full_at for limit, one in zip(limits, spent, strict=True)}
        states = tuple(
            LimitState(limit, one.remaining, one.reset_seconds) for limit, one in zip(limits, spent, strict=True)
        )
        return RateLimitDecision(allowed, states, None if None in waits else max(wait or 0.0 for wait in waits))
