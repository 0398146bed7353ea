"""The limits of keys, counted in the memory of one process."""

from collections.abc import Sequence

from keywright.keys.rate_limits import RateLimit
from keywright.keys.spending import SpendingBook
from keywright.service.limits import Spending
from keywright.service.verification import Seconds


class LocalLimiter:
    """
    Counts alone. `spend_now` always answers, and nothing is unavailable.

    Args:
        monotonic: Seconds on a clock that only goes forward.
        capacity: How many keys to hold; see `SpendingBook`.
    """

    def __init__(self, *, monotonic: Seconds, capacity: int) -> None:
        self._monotonic = monotonic
        self._book = SpendingBook(capacity)

    def spend_now(self, key_id: bytes, limits: Sequence[RateLimit], cost: int) -> Spending:
        """Spend *cost* of every limit or of none."""
        return self._book.spend(key_id, limits, self._monotonic(), cost)

    async def spend(self, key_id: bytes, limits: Sequence[RateLimit], cost: int) -> Spending:
        """Spend *cost* of every limit or of none; nothing is waited for."""
        return self.spend_now(key_id, limits, cost)

    def learn(self, key_id: bytes, limits: Sequence[RateLimit], seconds_left: Sequence[float], since: float) -> None:
        """
        Take over how the limits of a key stand elsewhere.

        Args:
            key_id: Whose.
            limits: Its limits.
            seconds_left: Of each, how long after *since* it is whole again.
            since: A reading of this limiter's clock.
        """
        self._book.learn(key_id, limits, [since + left for left in seconds_left], since)

    async def start(self) -> None:
        """Do nothing: there is nothing to open."""

    async def close(self) -> None:
        """Do nothing: there is nothing to let go of."""
