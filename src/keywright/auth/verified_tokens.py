"""
The cache of verified tokens, by their SHA-256, so that the next request with a token needs no RSA operation.

Refusals are not cached. A change of the key set empties the cache.
"""

from hashlib import sha256
from typing import NamedTuple

from keywright.service.principal import Principal

MAX_SECONDS = 60
DEFAULT_CAPACITY = 10_000


class _Entry(NamedTuple):
    principal: Principal
    since: float
    until: float


class VerifiedTokens:
    """
    A bounded cache of verified tokens; a full one drops its oldest entry.

    Args:
        capacity: The most entries, at least 1.
    """

    def __init__(self, capacity: int = DEFAULT_CAPACITY) -> None:
        if capacity < 1:
            raise ValueError("the capacity of verified tokens must be at least 1")
        self._capacity = capacity
        self._entries: dict[bytes, _Entry] = {}
        self._generation: int | None = None

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, token: bytes, *, generation: int, now: float) -> Principal | None:
        """
        Return the principal of *token*, if this generation of the key set verified it at most a minute ago.

        Args:
            token: The whole token.
            generation: The current generation of the key set; a new one empties the cache.
            now: Seconds since the epoch.
        """
        self._use_generation(generation)
        digest = sha256(token).digest()
        entry = self._entries.get(digest)
        if entry is None:
            return None
        # Without the lower bound, a clock that was set back would extend the minute.
        if entry.since <= now < entry.until:
            return entry.principal
        del self._entries[digest]
        return None

    def add(self, token: bytes, principal: Principal, *, generation: int, now: float, expires: float) -> None:
        """
        Cache *token* for at most a minute, and never past *expires*.

        Args:
            token: The whole token.
            principal: The principal of the token.
            generation: The generation of the key set that verified it.
            now: Seconds since the epoch.
            expires: Its `exp`, without leeway.
        """
        self._use_generation(generation)
        until = min(now + MAX_SECONDS, expires)
        if until <= now:
            return
        while len(self._entries) >= self._capacity:
            del self._entries[next(iter(self._entries))]
        self._entries[sha256(token).digest()] = _Entry(principal, now, until)

    def _use_generation(self, generation: int) -> None:
        if generation != self._generation:
            self._entries.clear()
            self._generation = generation
