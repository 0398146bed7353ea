"""
Limits on how often a key may be used: who counts, and what is told of it.

Counted only for a key that passed every other rule, after its verdict. All limits of a key are spent together or none.
"""

from collections.abc import Sequence
from typing import Protocol

from keywright.keys.rate_limits import RateLimit
from keywright.keys.spending import LimitState, Spending

__all__ = ["LimitState", "Limiter", "Spending"]


class Limiter(Protocol):
    """Counts what is spent of the limits of keys."""

    def spend_now(self, key_id: bytes, limits: Sequence[RateLimit], cost: int) -> Spending | None:
        """Spend *cost* of every limit or of none, without waiting; None when it has to be waited for: see `spend`."""
        ...

    async def spend(self, key_id: bytes, limits: Sequence[RateLimit], cost: int) -> Spending:
        """
        Spend *cost* of every limit or of none.

        Raises:
            LimitsUnavailable: The shared count cannot be reached, and the settings want no other.
        """
        ...
