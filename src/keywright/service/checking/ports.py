"""The ports of checking beside its store. An adapter keeps every sentence written here."""

from collections.abc import Sequence
from typing import Protocol

from keywright.keys.rate_limiter import RateLimitDecision
from keywright.keys.rate_limits import RateLimit
from keywright.keys.verdict import KeyFacts


class Seconds(Protocol):
    """Reads a clock, in seconds."""

    def __call__(self) -> float: ...


class KeyStore(Protocol):
    """The part of `checking_ports.CheckingStore` that a verification needs."""

    async def find_key(self, digest: bytes) -> KeyFacts | None:
        """
        Read the facts of the key with this secret from the primary; None where there is none or it is deleted.

        Raises:
            StorageUnavailable: The store cannot be reached.
        """
        ...


class RateLimiter(Protocol):
    """
    Counts requests against the rate limits of keys.

    It is called only for a key that passed every other rule. A request takes its cost of all limits of a key, or of
    none.
    """

    def acquire_now(self, key_id: bytes, limits: Sequence[RateLimit], cost: int) -> RateLimitDecision | None:
        """Take *cost* of every limit or of none, without waiting; None when that takes a request: see `acquire`."""
        ...

    async def acquire(self, key_id: bytes, limits: Sequence[RateLimit], cost: int) -> RateLimitDecision:
        """
        Take *cost* of every limit or of none.

        Raises:
            LimitsUnavailable: Redis is unavailable, and by the settings no process counts alone.
        """
        ...
