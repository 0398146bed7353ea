"""
Tokens that were verified a moment ago, known by their SHA-256, so that a client's next request costs no RSA.

Only successes are kept, and never for longer than the key set that verified them stands.
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
    A bounded memory of verified tokens; the oldest is forgotten first.

    Args:
        capacity: How many to keep, at least 1.
    """

    def __init__(self, capacity: int = DEFAULT_CAPACITY) -> None:
        if capacity < 1:
            raise ValueError("a memory of verified tokens holds at least one")
        self._capacity = capacity
        self._entries: dict[bytes, _Entry] = {}
        self._generation: int | None = None

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, token: bytes, *, generation: int, now: float) -> Principal | None:
        """
        Give whom *token* speaks for, when it was verified by this generation of the key set and is still to be trusted.

        Args:
            token: The whole token.
            generation: Which key set is in force; with another one all that is known is forgotten.
            now: Seconds since the epoch.
        """
        self._use_generation(generation)
        digest = sha256(token).digest()
        entry = self._entries.get(digest)
        if entry is None:
            return None
        # A clock that was set back would otherwise stretch the time.
        if entry.since <= now < entry.until:
            return entry.principal
        del self._entries[digest]
        return None

    def add(self, token: bytes, principal: Principal, *, generation: int, now: float, expires: float) -> None:
        """
        Remember that *token* was verified, for at most a minute and never past *expires*.

        Args:
            token: The whole token.
            principal: Whom it speaks for.
            generation: The key set that verified it.
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
