"""
The cache of API keys by the digest of their secret, so that most verdicts take no look-up.

It has a bounded size, in entries or in bytes, and no entries for unknown keys. A change removes the keys that it names.
Cached keys count only while the cache is fresh: synced with the change feed within the bound. Pure: times are
arguments.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf
from sys import getsizeof
from typing import Generic, TypeVar

from keywright.keys.verdict import KeyFacts

Value = TypeVar("Value")

BOUND_SECONDS = 1.0
"""The longest time for which a key may still be accepted after its revocation was acknowledged."""

CLOCK_RATE = 200e-6
"""The largest difference between the rates of two machines' clocks: twice the error of a crystal."""


WEIGHT_BYTES = 16
"""The unit of `KeyFacts.weight`, in bytes: the allocator hands out multiples of it."""

# A slot of a dict in both of its arrays, at a usual filling.
_SLOT_BYTES = 64


def weight_of(parts: Iterable[object]) -> int:
    """
    Estimate the memory of a cached key, in units of `WEIGHT_BYTES`: the slot, the digest and the facts.

    Args:
        parts: The values of the facts that belong to this key alone, and the first uses of shared ones; None and empty
            ones take nothing.
    """
    weight = _FIXED_WEIGHT
    for part in parts:
        if part:
            weight -= -getsizeof(part) // WEIGHT_BYTES
    return weight


_FIXED_WEIGHT = (_SLOT_BYTES + getsizeof(bytes(32)) + KeyFacts.__basicsize__) // WEIGHT_BYTES + 2


def _one(_value: object) -> int:
    return 1


@dataclass(slots=True, eq=False)
class LookUp:
    """A look-up that runs; `invalidated` when the key changed in the meantime, so that its result may be old."""

    digest: bytes
    invalidated: bool = False


class DigestCache(Generic[Value]):
    """
    A cache by the digest of a secret, invalidated by the change feed.

    All times are readings of one monotonic clock, in seconds.

    Args:
        capacity: The size of all entries together, at least 2. Beyond it the least recently used ones are removed, in
            bulk.
        size_of: The size of an entry, which does not change; by default 1, so that *capacity* counts entries.
        prepare: Called with the result of a look-up before that is added: what many requests need of an entry is made
            here, once, and counts in its size.
        bound: How long the cache is fresh after a sync, in seconds.
    """

    def __init__(
        self,
        capacity: int,
        *,
        size_of: Callable[[Value], int] = _one,
        prepare: Callable[[Value], object] | None = None,
        bound: float = BOUND_SECONDS,
    ) -> None:
        if capacity < 2:
            raise ValueError("the capacity must be at least two keys")
        # Two generations instead of a list in order of use: a read changes nothing, an entry needs no memory beside
        # itself, and removing half of the entries costs nothing.
        self._half = capacity // 2
        self._size_of = size_of
        self._prepare = prepare
        self.removals = 0
        """Grows with every entry that is removed or replaced; what was made of an entry is good while it is equal."""
        self._recent_size = 0
        self._recent: dict[bytes, Value] = {}
        self._older: dict[bytes, Value] = {}
        self._look_ups: dict[bytes, set[LookUp]] = {}
        self._bound = bound
        self._synced_since = -inf
        self.fresh_until = -inf
        """Until when the cache is fresh; see `fresh_at`."""

    def __len__(self) -> int:
        return len(self._recent) + len(self._older)

    @property
    def ever_synced(self) -> bool:
        """Whether the cache was synced at any time."""
        return self._synced_since > -inf

    def fresh_at(self, now: float, *, grace: float = 0.0) -> bool:
        """
        Tell whether the cache is fresh at *now*: its last sync began within the bound.

        Args:
            now: Seconds.
            grace: Seconds added to the bound, for use in an outage.
        """
        return now <= self.fresh_until + grace

    def get(self, digest: bytes) -> Value | None:
        """Give the entry, fresh or not; see `fresh_at`."""
        facts = self._recent.get(digest)
        if facts is None:
            facts = self._older.pop(digest, None)
            if facts is not None:
                self._add(digest, facts)
        return facts

    def get_fresh(self, digest: bytes, now: float) -> Value | None:
        """Give the entry; None when the cache is not fresh at *now*."""
        if now > self.fresh_until:
            return None
        facts = self._recent.get(digest)
        return self.get(digest) if facts is None else facts

    def peek(self, digest: bytes) -> Value | None:
        """Give the entry if it was used lately, fresh or not. Changes nothing, so it needs no lock."""
        return self._recent.get(digest)

    def begin(self, digest: bytes) -> LookUp:
        """Begin a look-up: to be called before the database is read, and ended by `end`."""
        look_up = LookUp(digest)
        self._look_ups.setdefault(digest, set()).add(look_up)
        return look_up

    def end(self, look_up: LookUp, found: Value | None) -> None:
        """End a look-up and add its result, unless the key changed in the meantime."""
        running = self._look_ups[look_up.digest]
        running.discard(look_up)
        if not running:
            del self._look_ups[look_up.digest]
        if found is not None and not look_up.invalidated:
            if self._prepare is not None:
                self._prepare(found)
            self._add(look_up.digest, found)

    def drop(self, digests: Iterable[bytes]) -> None:
        """Remove keys that changed, and invalidate the look-ups of them."""
        for digest in digests:
            self._remove(digest)
            if self._older.pop(digest, None) is not None:
                self.removals += 1
            for look_up in self._look_ups.get(digest, ()):
                look_up.invalidated = True

    def drop_all(self) -> None:
        """Remove all keys and invalidate all look-ups: changes were missed, and it is unknown which."""
        self.removals += 1
        self._recent.clear()
        self._older.clear()
        self._recent_size = 0
        for look_ups in self._look_ups.values():
            for look_up in look_ups:
                look_up.invalidated = True

    def synced(self, since: float) -> None:
        """
        Note that all changes acknowledged before *since* have been applied.

        Args:
            since: The time before the change feed was read, not the time of its answer.
        """
        self._synced_since = max(self._synced_since, since)
        self.fresh_until = self._synced_since + self._bound

    def _add(self, digest: bytes, facts: Value) -> None:
        size = self._size_of(facts)
        self._remove(digest)
        if size > self._half:
            # It would take the place of all others.
            return
        if self._recent_size + size > self._half:
            self.removals += 1
            self._older, self._recent, self._recent_size = self._recent, {}, 0
        self._recent[digest] = facts
        self._recent_size += size

    def _remove(self, digest: bytes) -> None:
        removed = self._recent.pop(digest, None)
        if removed is not None:
            self.removals += 1
            self._recent_size -= self._size_of(removed)


KeyCache = DigestCache[KeyFacts]


def preparing(*writers: Callable[[KeyFacts], int]) -> Callable[[KeyFacts], None]:
    """
    Give a function that prepares facts for a `KeyCache`.

    Args:
        writers: Each sets a part of the answers on a key in its facts, and gives the memory of that part, in bytes.
    """

    def prepare(facts: KeyFacts) -> None:
        made = 0
        for writer in writers:
            made += writer(facts)
        facts.keep(weight=facts.weight - -made // WEIGHT_BYTES)

    return prepare
