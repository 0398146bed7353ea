"""
Verification: from a presented text to a verdict, up to the rate limits, mostly from memory.

A text that is no key costs no look-up, and requests for the same key share one. `checker` is the rest of the flow.
"""

import asyncio
from dataclasses import replace
from typing import NamedTuple

from keywright.keys.cache import BOUND_SECONDS, KeyCache, LookUp
from keywright.keys.format import digest, is_private_key
from keywright.keys.verdict import Code, KeyFacts, Requirements, judge
from keywright.service.checking.ports import KeyStore, Seconds
from keywright.service.checking.verdicts import KeyVerdict
from keywright.service.fair_queue import Share
from keywright.service.faults import StorageUnavailable
from keywright.service.turns import Turns


class _SharedLookUp(NamedTuple):
    """A look-up under way that several requests wait for, and when it began."""

    since: float
    look_up: LookUp
    answer: "asyncio.Task[KeyFacts | None]"


_NOT_FOUND = KeyVerdict(Code.NOT_FOUND, None, None)


class Verification:
    """
    Checks keys of one brand.

    Args:
        store: Where keys are looked up.
        cache: The cached keys; the change follower invalidates them.
        brand: The first part of a key's text.
        now: Seconds since the epoch.
        monotonic: Seconds on the clock of *cache*.
        outage_seconds: How long cached keys are accepted while the database is unavailable.
        turns: Of the look-ups of each caller; None for any number at once.
    """

    def __init__(
        self,
        store: KeyStore,
        cache: KeyCache,
        *,
        brand: str,
        now: Seconds,
        monotonic: Seconds,
        outage_seconds: float,
        turns: Turns | None = None,
    ) -> None:
        self._store = store
        self._cache = cache
        self._brand = brand
        self._now = now
        self._monotonic = monotonic
        self._outage_seconds = outage_seconds
        self._turns = turns
        self._look_ups: dict[bytes, _SharedLookUp] = {}
        self.get_fresh = cache.get_fresh
        """Gives cached facts by digest and monotonic time; None while the cache is not fresh."""

    def verify_now(self, text: str, required: Requirements) -> KeyVerdict | None:
        """Decide from memory alone; None when it takes the database: see `verify_from_store`."""
        if not text.isascii():
            return _NOT_FOUND
        presented = digest(text)
        # A cached digest belongs to exactly one text, which was well-formed: it needs no parsing.
        facts = self.get_fresh(presented, self._monotonic())
        if facts is not None:
            return KeyVerdict(judge(facts, required, self._now()), facts, presented)
        if self._cache.get(presented) is None and not is_private_key(text, brand=self._brand):
            return _NOT_FOUND
        return None

    def is_cached(self, text: str) -> bool:
        """Tell whether a key is in the cache, fresh or not; *text* is ASCII."""
        return self._cache.get(digest(text)) is not None

    async def verify_from_store(
        self, text: str, required: Requirements, share: Share = None, *, from_memory: bool = True
    ) -> KeyVerdict:
        """
        Decide with facts from the database, where `verify_now` gave None or its verdict is not new enough.

        Args:
            text: The presented text.
            required: What the request requires of the key.
            share: Whose turn a look-up takes.
            from_memory: Whether the look-up of another request may be shared.

        Raises:
            Overloaded: Too many look-ups of the share wait.
            StorageUnavailable: The database is unavailable, and the key is not cached or the outage time is over.
        """
        presented, stale = digest(text), False
        try:
            facts = await self._look_up(presented, share, shared=from_memory)
        except StorageUnavailable:
            facts, stale = self._cache.get(presented), True
            if facts is None or not self._cache.fresh_at(self._monotonic(), grace=self._outage_seconds):
                raise
        return _NOT_FOUND if facts is None else KeyVerdict(judge(facts, required, self._now()), facts, presented, stale)

    async def with_metadata(self, verdict: KeyVerdict) -> KeyVerdict:
        """
        Add the metadata of the key to its facts where they do not contain it; `not_found` where the key is gone by now.

        Raises:
            StorageUnavailable: The database is unavailable; metadata that is not cached cannot be told.
        """
        facts, presented = verdict.facts, verdict.digest
        if facts is None or presented is None or facts.metadata is not None:
            return verdict
        metadata = await self._store.find_metadata(presented)
        return _NOT_FOUND if metadata is None else verdict._replace(facts=replace(facts, metadata=metadata))

    async def _look_up(self, presented: bytes, share: Share, *, shared: bool) -> KeyFacts | None:
        """Read the key from the database; requests for the same key share one look-up."""
        if not shared:
            return await self._read(self._cache.begin(presented), share)
        pending = self._look_ups.get(presented)
        now = self._monotonic()
        if pending is None or not self._may_join(pending, now):
            look_up = self._cache.begin(presented)
            pending = _SharedLookUp(now, look_up, asyncio.get_running_loop().create_task(self._read(look_up, share)))
            self._look_ups[presented] = pending
            pending.answer.add_done_callback(lambda done: self._answered(presented, done))
        # Shielded: a cancelled request must not cancel the look-up of the others.
        return await asyncio.shield(pending.answer)

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
        if (pending := self._look_ups.get(presented)) is not None and pending.answer is done:
            del self._look_ups[presented]
        if not done.cancelled():
            # Read here: asyncio logs an exception that no caller has retrieved.
            done.exception()

    async def _read(self, look_up: LookUp, share: Share) -> KeyFacts | None:
        facts = None
        try:
            facts = await self._find(look_up.digest, share)
        finally:
            self._cache.end(look_up, facts)
        return facts

    async def _find(self, presented: bytes, share: Share) -> KeyFacts | None:
        if self._turns is None:
            return await self._store.find_key(presented)
        if not self._turns.take_now(share):
            await self._turns.wait(share)
        try:
            return await self._store.find_key(presented)
        finally:
            self._turns.give_back(share)
