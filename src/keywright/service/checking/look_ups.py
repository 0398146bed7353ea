"""
The look-ups of keys that are not cached, and of long metadata.

Keys that wait at the same time are looked up by one query, and few queries are under way. Each takes one key of every
caller before a second one of any: the keys of one caller delay those of another by the queries under way at most.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Final

from keywright.keys.cache import BOUND_SECONDS, KeyCache, LookUp
from keywright.keys.verdict import KeyFacts
from keywright.service.checking.ports import KeyStore, PartlyFound, Seconds
from keywright.service.fair_queue import FairQueue, Share
from keywright.service.faults import Overloaded, Unavailable
from keywright.service.turns import OnWait, Turns

MOST_QUERIES: Final = 2
"""Queries under way at once. With one, a connection that died without a sign would stop all look-ups for seconds."""

MOST_TOGETHER: Final = 128
"""Keys that one query looks up."""

LONGEST_QUEUE: Final = 8192
LONGEST_QUEUE_OF_SHARE: Final = 1024
"""Keys that may wait for a query, in all and of one share; one more is refused."""

Waiter = asyncio.Future[KeyFacts | None]


@dataclass(slots=True, eq=False)
class _Wanted:
    """A key that is looked up, and the requests that wait for it. `since` is the beginning of its query."""

    digest: bytes
    share: Share
    asked: float
    waiters: list[Waiter] = field(default_factory=list)
    since: float = inf
    look_up: LookUp = field(init=False)

    @property
    def given_up(self) -> bool:
        """Whether every request was cancelled."""
        return all(map(asyncio.Future.cancelled, self.waiters))

    def succeed(self, facts: KeyFacts | None) -> None:
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(facts)

    def fail(self, error: Exception) -> None:
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_exception(_copy(error))
                # Seen here, so that it is not reported as lost should the request be cancelled before it looks.
                waiter.exception()

    def cancel(self) -> None:
        for waiter in self.waiters:
            waiter.cancel()


class LookUps:
    """
    Looks up keys in the database.

    Args:
        store: Where keys are looked up.
        cache: Where they are cached, unless a change overtakes the look-up.
        monotonic: Seconds on the clock of *cache*.
        turns: Of the look-ups of metadata of each caller; None for any number at once.
        on_wait: Called for each query whose keys had to wait for another one, with the longest wait in seconds.
    """

    def __init__(
        self,
        store: KeyStore,
        cache: KeyCache,
        *,
        monotonic: Seconds,
        turns: Turns | None,
        on_wait: OnWait = lambda seconds: None,
    ) -> None:
        self._store = store
        self._cache = cache
        self._monotonic = monotonic
        self._turns = turns
        self._on_wait = on_wait
        self._waiting: FairQueue[_Wanted] = FairQueue(longest=LONGEST_QUEUE, longest_of_share=LONGEST_QUEUE_OF_SHARE)
        # The latest look-up of each digest that waits for a query, and of each that is under way.
        self._queued: dict[bytes, _Wanted] = {}
        self._reading: dict[bytes, _Wanted] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._queries = 0
        # Whether a task is about to take what waits.
        self._starting = False

    def find(self, presented: bytes, share: Share, *, shared: bool) -> Waiter:
        """
        Read the key from the database, and cache it; the future gives None where there is none.

        The future raises `StorageUnavailable` where the database is unavailable. When it is cancelled, other requests
        for the same key still get their answer.

        Args:
            presented: The digest of the presented text.
            share: Whose turn a look-up takes.
            shared: Whether the answer may come from a query that is under way.

        Raises:
            Overloaded: Too many look-ups of the share wait.
        """
        wanted = self._reading.get(presented) if shared else None
        if wanted is None or not self._may_join(wanted, self._monotonic()):
            # One that waits may be joined by all requests of its share: its query begins after each of them.
            wanted = self._queued.get(presented)
            if wanted is None or wanted.share != share:
                wanted = self._enqueue(presented, share)
        waiter: Waiter = asyncio.get_running_loop().create_future()
        wanted.waiters.append(waiter)
        return waiter

    async def find_metadata(self, presented: bytes, share: Share) -> str | None:
        """
        Read the metadata of the key from the database, as `KeyStore.find_metadata` does; it takes a turn of *share*.

        Raises:
            Overloaded: Too many look-ups of the share wait.
            StorageUnavailable: The database is unavailable.
        """
        if self._turns is None:
            return await self._store.find_metadata(presented)
        async with self._turns.one(share):
            return await self._store.find_metadata(presented)

    def _may_join(self, wanted: _Wanted, now: float) -> bool:
        """
        Tell whether a request may share a look-up whose query began before it.

        A query older than the bound, or invalidated by a change, may have read the key before it was revoked. In the
        second case this process has acknowledged the change already. Before its first sync the process may be missing
        in receipts, so no look-up is shared.
        """
        if wanted.look_up.invalidated or not self._cache.ever_synced:
            return False
        return now - wanted.since <= BOUND_SECONDS

    def _enqueue(self, presented: bytes, share: Share) -> _Wanted:
        wanted = _Wanted(presented, share, self._monotonic())
        if not self._waiting.push(share, wanted):
            raise Overloaded("the queue of a caller is full")
        self._queued[presented] = wanted
        if not self._starting and self._queries < MOST_QUERIES:
            # The task begins when the event loop goes on: all requests of this turn of the loop share its query.
            self._starting = True
            task = asyncio.get_running_loop().create_task(self._run())
            self._tasks.add(task)
            task.add_done_callback(self._ended)
        return wanted

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            # With the loop that it runs in. It may not have begun, so nothing would look up what waits.
            self._starting = False
            self._queued.clear()
            while self._waiting:
                self._waiting.pop().cancel()

    async def _run(self) -> None:
        """Look up what waits, one query after another, until nothing waits."""
        self._starting = False
        self._queries += 1
        try:
            batch = self._take()
            while batch:
                await self._look_up(batch)
                if batch := self._take():
                    self._on_wait(batch[0].since - min(wanted.asked for wanted in batch))
        finally:
            self._queries -= 1

    def _take(self) -> Sequence[_Wanted]:
        """Take the keys of the next query out of the queue, and begin their look-ups."""
        batch: list[_Wanted] = []
        since = self._monotonic()
        while self._waiting and len(batch) < MOST_TOGETHER:
            wanted = self._waiting.pop()
            digest = wanted.digest
            if self._queued.get(digest) is wanted:
                del self._queued[digest]
            if not wanted.given_up:
                wanted.since, wanted.look_up = since, self._cache.begin(digest)
                self._reading[digest] = wanted
                batch.append(wanted)
        return batch

    async def _look_up(self, batch: Sequence[_Wanted]) -> None:
        faults: Mapping[bytes, Unavailable] = {}
        try:
            found = await self._store.find_keys([wanted.digest for wanted in batch])
        except PartlyFound as partly:
            found, faults = partly.found, partly.faults
        except Exception as error:  # noqa: BLE001 - not dropped: every waiting request raises it
            self._end(batch, {})
            for wanted in batch:
                wanted.fail(error)
            return
        except asyncio.CancelledError:
            self._end(batch, {})
            for wanted in batch:
                wanted.cancel()
            raise
        self._end(batch, found)
        for wanted in batch:
            fault = faults.get(wanted.digest)
            if fault is None:
                wanted.succeed(found.get(wanted.digest))
            else:
                wanted.fail(fault)

    def _end(self, batch: Sequence[_Wanted], found: Mapping[bytes, KeyFacts]) -> None:
        # Two shares may wait for one key, which is prepared and cached once: its size would change in the cache.
        left = dict(found)
        for wanted in batch:
            digest = wanted.digest
            if self._reading.get(digest) is wanted:
                del self._reading[digest]
            try:
                self._cache.end(wanted.look_up, left.pop(digest, None))
            except Exception as error:  # noqa: BLE001 - not dropped: the requests for this key raise it, and no others
                wanted.fail(error)


def _copy(error: Exception) -> Exception:
    """Give each request a fault of its own: an exception that is raised twice collects the tracebacks of both."""
    if isinstance(error, Unavailable):
        return type(error)(error.reason, retry_after=error.retry_after)
    return error
