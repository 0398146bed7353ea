"""
The warm-up: after its start a process caches the keys that were used last, beside the requests that it serves.

It reads by small queries with pauses, so that it takes a small part of the process and of the database. A request for a
key that is not cached yet looks it up and waits for nothing here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from keywright.keys.cache import KeyCache
from keywright.keys.verdict import KeyFacts
from keywright.service.checking.ports import CheckingStore, Use
from keywright.service.faults import StorageUnavailable

USES_IN_A_STEP: Final = 50
PAUSE_SECONDS: Final = 0.01
AFTER_FAILURE_SECONDS: Final = 1.0


class WarmUp:
    """
    Fills a cache once.

    Args:
        store: Names the keys that were used last, and gives their facts.
        cache: Where they are cached, unless a change overtakes their look-up.
        begun: Waits until the change follower has read: what was cached before is dropped then.
        most: How many uses are read. A key that was used in several hours counts several times.
        room: How much of `KeyFacts.weight` may be cached.
        pause_seconds: The pause after each step.
        after_failure: The pause after a step that failed, in seconds.
    """

    def __init__(
        self,
        store: CheckingStore,
        cache: KeyCache,
        *,
        begun: Callable[[], Awaitable[None]],
        most: int,
        room: int,
        pause_seconds: float = PAUSE_SECONDS,
        after_failure: float = AFTER_FAILURE_SECONDS,
    ) -> None:
        self._store = store
        self._cache = cache
        self._begun = begun
        self._most = most
        self._room = room
        self._pause_seconds = pause_seconds
        self._after_failure = after_failure
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin in the background."""
        self._task = asyncio.get_running_loop().create_task(self.run(), name="warming up the cache")

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def run(self) -> None:
        """Cache keys until there are no more, or no room; an unavailable database is waited for."""
        await self._begun()
        below: Use | None = None
        while self._most > 0 and self._room > 0:
            pause = self._pause_seconds
            try:
                below = await self._step(below)
            except StorageUnavailable:
                pause = self._after_failure
            else:
                if below is None:
                    return
            await asyncio.sleep(pause)

    async def _step(self, below: Use | None) -> Use | None:
        """Cache the keys of the next uses, and give the last one of them; None where no more are left."""
        limit = min(USES_IN_A_STEP, self._most)
        page = await self._store.recently_used(below=below, limit=limit)
        await self._cache_keys([digest for digest in dict.fromkeys(page.digests) if self._cache.get(digest) is None])
        self._most -= limit
        return page.last

    async def _cache_keys(self, digests: Sequence[bytes]) -> None:
        look_ups = [self._cache.begin(digest) for digest in digests]
        found: Mapping[bytes, KeyFacts] = {}
        try:
            found = await self._store.find_keys(digests)
        finally:
            for look_up in look_ups:
                # A key that cannot be prepared is left out: its own requests report why, and all others are cached.
                with suppress(Exception):
                    self._cache.end(look_up, found.get(look_up.digest))
        self._room -= sum(facts.weight for facts in found.values())
