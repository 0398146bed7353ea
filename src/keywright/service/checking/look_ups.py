"""
The look-ups of keys that are not cached, and of long metadata; callers take turns.

Requests for the same key share one look-up of it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

from keywright.keys.cache import BOUND_SECONDS, KeyCache, LookUp
from keywright.keys.verdict import KeyFacts
from keywright.service.checking.ports import KeyStore, Seconds
from keywright.service.fair_queue import Share
from keywright.service.turns import Turns

Found = TypeVar("Found")


class _SharedLookUp(NamedTuple):
    """A look-up under way that several requests wait for, and when it began."""

    since: float
    look_up: LookUp
    answer: "asyncio.Task[KeyFacts | None]"


class LookUps:
    """
    Looks up keys in the database.

    Args:
        store: Where keys are looked up.
        cache: Where they are cached, unless a change overtakes the look-up.
        monotonic: Seconds on the clock of *cache*.
        turns: Of the look-ups of each caller; None for any number at once.
    """

    def __init__(self, store: KeyStore, cache: KeyCache, *, monotonic: Seconds, turns: Turns | None) -> None:
        self._store = store
        self._cache = cache
        self._monotonic = monotonic
        self._turns = turns
        self._pending: dict[bytes, _SharedLookUp] = {}

    async def find(self, presented: bytes, share: Share, *, shared: bool) -> KeyFacts | None:
        """
        Read the key from the database, and cache it; None where there is none.

        Args:
            presented: The digest of the presented text.
            share: Whose turn a look-up takes.
            shared: Whether requests for the same key share one look-up.

        Raises:
            Overloaded: Too many look-ups of the share wait.
            StorageUnavailable: The database is unavailable.
        """
        if not shared:
            return await self._read(self._cache.begin(presented), share)
        pending = self._pending.get(presented)
        now = self._monotonic()
        if pending is None or not self._may_join(pending, now):
            look_up = self._cache.begin(presented)
            pending = _SharedLookUp(now, look_up, asyncio.get_running_loop().create_task(self._read(look_up, share)))
            self._pending[presented] = pending
            pending.answer.add_done_callback(lambda done: self._answered(presented, done))
        # Shielded: a cancelled request must not cancel the look-up of the others.
        return await asyncio.shield(pending.answer)

    async def find_metadata(self, presented: bytes, share: Share) -> str | None:
        """
        Read the metadata of the key from the database, as `KeyStore.find_metadata` does; it takes a turn as `find`.

        Raises:
            Overloaded: Too many look-ups of the share wait.
            StorageUnavailable: The database is unavailable.
        """
        return await self._in_turn(self._store.find_metadata, presented, share)

    def _may_join(self, pending: _SharedLookUp, now: float) -> bool:
        """
        Tell whether a request may share a look-up that began before it.

        A look-up older than the bound, or invalidated by a change, may have read the key before it was revoked. In the
        second case this process has acknowledged the change already. Before its first sync the process may be missing
        in receipts, so no look-up is shared.
        """
        if pending.look_up.invalidated or not self._cache.ever_synced:
            return False
        return now - pending.since <= BOUND_SECONDS

    def _answered(self, presented: bytes, done: "asyncio.Task[KeyFacts | None]") -> None:
        if (pending := self._pending.get(presented)) is not None and pending.answer is done:
            del self._pending[presented]
        if not done.cancelled():
            # Read here: asyncio logs an exception that no caller has retrieved.
            done.exception()

    async def _read(self, look_up: LookUp, share: Share) -> KeyFacts | None:
        facts = None
        try:
            found = await self._in_turn(lambda digest: self._store.find_keys([digest]), look_up.digest, share)
            facts = found.get(look_up.digest)
        finally:
            self._cache.end(look_up, facts)
        return facts

    async def _in_turn(self, read: Callable[[bytes], Awaitable[Found]], presented: bytes, share: Share) -> Found:
        if self._turns is None:
            return await read(presented)
        if not self._turns.take_now(share):
            await self._turns.wait(share)
        try:
            return await read(presented)
        finally:
            self._turns.give_back(share)
