"""The rate limiter of a process that counts alone."""

from collections.abc import Sequence

from keywright.keys.rate_limiter import InMemoryRateLimiter, RateLimitDecision
from keywright.keys.rate_limits import RateLimit
from keywright.service.checking.ports import Seconds


class LocalRateLimiter:
    """
    Counts in the memory of this process. `acquire_now` always decides, and is never unavailable.

    Args:
        monotonic: Seconds on a monotonic clock.
        capacity: The number of keys; see `InMemoryRateLimiter`.
    """

    def __init__(self, *, monotonic: Seconds, capacity: int) -> None:
        self._monotonic = monotonic
        self._limiter = InMemoryRateLimiter(capacity)

    def acquire_now(self, key_id: bytes, limits: Sequence[RateLimit], cost: int) -> RateLimitDecision:
        """Take *cost* of every limit or of none."""
        return self._limiter.acquire(key_id, limits, self._monotonic(), cost)

    async def acquire(self, key_id: bytes, limits: Sequence[RateLimit], cost: int) -> RateLimitDecision:
        """Take *cost* of every limit or of none; nothing is awaited."""
        return self.acquire_now(key_id, limits, cost)

    def learn(self, key_id: bytes, limits: Sequence[RateLimit], seconds_left: Sequence[float], since: float) -> None:
        """
        Replace the state of a key's limits by the state that Redis has.

        Args:
            key_id: The key.
            limits: Its limits.
            seconds_left: For each limit, how long after *since* it is full again.
            since: A reading of this limiter's clock.
        """
        self._limiter.learn(key_id, limits, [since + left for left in seconds_left], since)

    async def start(self) -> None:
        """Do nothing: memory needs no start."""

    async def close(self) -> None:
        """Do nothing: memory needs no end."""
