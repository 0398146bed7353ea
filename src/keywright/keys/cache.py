"""
The keys that are known in this process, so that most verdicts need nobody else.

Holds finds only, by the digest of their secret, and a bounded number of them. They are dropped when the feed of changes
names them, and never trusted to age: what is held counts only while the feed is followed closely enough. Pure: the
caller tells the time.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from typing import Generic, TypeVar

from keywright.keys.verdict import KeyFacts

Value = TypeVar("Value")

BOUND_SECONDS = 1.0
"""How long after an acknowledged revocation a key may still pass, at most."""

CLOCK_RATE = 200e-6
"""By how much, at most, the rates of two machines' clocks differ: twice what a crystal is off by."""


@dataclass(slots=True, eq=False)
class LookUp:
    """A look-up under way; `overtaken` when the key changed in the meantime, so that what it finds may be old."""

    digest: bytes
    invalidated: bool = False


class DigestCache(Generic[Value]):
    """
    What is known by the digest of a secret, emptied by a feed.

    All times are readings of one monotonic clock, in seconds.

    Args:
        capacity: How many keys to hold, at least 2. Beyond it those not asked for the longest are forgotten, in bulk.
        bound: How old the feed's last word may be for what is held to count, in seconds.
    """

    def __init__(self, capacity: int, *, bound: float = BOUND_SECONDS) -> None:
        if capacity < 2:
            raise ValueError("at least two keys must be held")
        # Two generations instead of a list in order of use: no bookkeeping when a key is asked for, nothing held per
        # key beside the key, and forgetting costs nothing.
        self._half = capacity // 2
        self._recent: dict[bytes, Value] = {}
        self._older: dict[bytes, Value] = {}
        self._look_ups: dict[bytes, set[LookUp]] = {}
        self._bound = bound
        self._synced_since = -inf

    def __len__(self) -> int:
        return len(self._recent) + len(self._older)

    @property
    def ever_synced(self) -> bool:
        """Whether the feed was followed at any time."""
        return self._synced_since > -inf

    def fresh_at(self, now: float, *, grace: float = 0.0) -> bool:
        """
        Tell whether what is held counts at *now*: the feed's last complete word was asked for within the bound.

        Args:
            grace: Seconds to stretch the bound by, when the choice is between what is held and no answer at all.
        """
        return now - self._synced_since <= self._bound + grace

    def get(self, digest: bytes) -> Value | None:
        """Give what is held; whether it counts, `trusted_at` tells."""
        facts = self._recent.get(digest)
        if facts is None:
            facts = self._older.pop(digest, None)
            if facts is not None:
                self._add(digest, facts)
        return facts

    def get_fresh(self, digest: bytes, now: float) -> Value | None:
        """Give what is held, where it counts at *now*."""
        if now - self._synced_since > self._bound:
            return None
        facts = self._recent.get(digest)
        return self.get(digest) if facts is None else facts

    def begin(self, digest: bytes) -> LookUp:
        """Note that a key is being looked up elsewhere; to be called before anything is read, and ended by `end`."""
        look_up = LookUp(digest)
        self._look_ups.setdefault(digest, set()).add(look_up)
        return look_up

    def end(self, look_up: LookUp, found: Value | None) -> None:
        """Hold what a look-up found, unless the key changed while it was under way."""
        under_way = self._look_ups[look_up.digest]
        under_way.discard(look_up)
        if not under_way:
            del self._look_ups[look_up.digest]
        if found is not None and not look_up.invalidated:
            self._add(look_up.digest, found)

    def drop(self, digests: Iterable[bytes]) -> None:
        """Forget keys that changed, and overtake the look-ups of them."""
        for digest in digests:
            self._recent.pop(digest, None)
            self._older.pop(digest, None)
            for look_up in self._look_ups.get(digest, ()):
                look_up.invalidated = True

    def drop_all(self) -> None:
        """Forget everything: the feed lost its place, and nobody knows what it would have said."""
        self._recent.clear()
        self._older.clear()
        for look_ups in self._look_ups.values():
            for look_up in look_ups:
                look_up.invalidated = True

    def synced(self, since: float) -> None:
        """
        Note that all changes acknowledged before *since* have been dropped.

        Args:
            since: When the feed was asked for the word that is now complete, not when it came.
        """
        self._synced_since = max(self._synced_since, since)

    def _add(self, digest: bytes, facts: Value) -> None:
        if len(self._recent) >= self._half:
            self._older = self._recent
            self._recent = {}
        self._recent[digest] = facts


KeyCache = DigestCache[KeyFacts]
