"""What checking needs beside its store, as contracts. An adapter promises every sentence written here."""

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
    Counts what requests take of the rate limits of keys.

    Asked only for a key that passed every other rule, after its verdict. All limits of a key are taken, or none.
    """

    def acquire_now(self, key_id: bytes, limits: Sequence[RateLimit], cost: int) -> RateLimitDecision | None:
        """Take *cost* of every limit or of none, without waiting; None when that has to be awaited: see `acquire`."""
        ...

    async def acquire(self, key_id: bytes, limits: Sequence[RateLimit], cost: int) -> RateLimitDecision:
        """
        Take *cost* of every limit or of none.

        Raises:
            LimitsUnavailable: The shared state cannot be reached, and the settings want no other.
        """
        ...
