"""
Turns: how much of the work of this process is under way at once, for all organizations and for each of them.

Whatever one organization or caller sends, only a few of its requests are under way. The others wait in its own queue,
so the next request of any other organization passes them. `ChangeLimit` bounds how fast an organization goes on.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from math import ceil
from uuid import UUID

from keywright.service.checking.ports import Seconds
from keywright.service.fair_queue import FairQueue, Share
from keywright.service.faults import Overloaded, TooManyChanges

ALONE_AFTER_SECONDS = 1.0
"""A share counts as alone when no other one has taken a turn for so long."""

_MOST_BUCKETS = 50_000

Waiter = asyncio.Future[None]
OnWait = Callable[[float], object]


class Turns:
    """
    Grants turns; those that have to wait are granted in the order of a `FairQueue`.

    Args:
        monotonic: Seconds on a clock that only goes forward.
        most: How many turns may be taken at once.
        alone: How many of them by one share, while no other share takes turns.
        together: The same, while others do.
        longest: How many may wait for a turn.
        longest_of_share: How many of them may be of one share.
        on_wait: Called with the seconds that a turn was waited for; not for a turn that was free at once.
    """

    def __init__(
        self,
        monotonic: Seconds,
        *,
        most: int,
        alone: int,
        together: int,
        longest: int,
        longest_of_share: int,
        on_wait: OnWait = lambda seconds: None,
    ) -> None:
        self._monotonic = monotonic
        self._most, self._alone, self._together = most, alone, together
        self._queue: FairQueue[Waiter] = FairQueue(longest=longest, longest_of_share=longest_of_share)
        self._on_wait = on_wait
        self._taken: dict[Share, int] = {}
        self._total = 0
        self._latest: Share = None
        self._together_until = monotonic()

    @property
    def taken(self) -> int:
        """How many turns are taken."""
        return self._total

    @property
    def waiting(self) -> int:
        """How many wait for a turn."""
        return len(self._queue)

    async def take(self, share: Share) -> None:
        """
        Take a turn, and wait for it if need be. `give_back` has to follow, whatever happens.

        Raises:
            Overloaded: The queue of the share is full.
        """
        if not self.take_now(share):
            await self.wait(share)

    def take_now(self, share: Share) -> bool:
        """Take a turn if one is free, and tell whether it was."""
        if share is not self._latest and share != self._latest:
            if self._latest is not None:
                self._together_until = self._monotonic() + ALONE_AFTER_SECONDS
            self._latest = share
        taken = self._taken.get(share, 0)
        if self._total >= self._most or taken >= self._most_of_a_share():
            return False
        self._taken[share] = taken + 1
        self._total += 1
        return True

    def give_back(self, share: Share) -> None:
        """Give a turn back; the next one in the queue takes it."""
        left = self._taken[share] - 1
        self._total -= 1
        if left:
            self._taken[share] = left
        else:
            del self._taken[share]
        if self._queue:
            if left < self._most_of_a_share():
                self._queue.resume(share)
            self._grant()

    @asynccontextmanager
    async def one(self, share: Share) -> AsyncIterator[None]:
        """Have a turn while the block runs; see `take`."""
        await self.take(share)
        try:
            yield
        finally:
            self.give_back(share)

    def _most_of_a_share(self) -> int:
        return self._together if self._monotonic() < self._together_until else self._alone

    async def wait(self, share: Share) -> None:
        """Wait for a turn and take it, after `take_now` has found none; see `take`."""
        since = self._monotonic()
        waiter: Waiter = asyncio.get_running_loop().create_future()
        if not self._queue.push(share, waiter):
            raise Overloaded("the queue of an organization or caller is full")
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                self._queue.remove(share, waiter)
            else:
                # Granted, but not seen: the turn goes to the next one.
                self.give_back(share)
            raise
        self._on_wait(self._monotonic() - since)

    def _grant(self) -> None:
        most = self._most_of_a_share()
        while self._total < self._most and self._queue.ready:
            share = self._queue.turn
            taken = self._taken.get(share, 0)
            if taken >= most:
                self._queue.hold(share)
            elif not (waiter := self._queue.pop()).cancelled():
                self._taken[share] = taken + 1
                self._total += 1
                waiter.set_result(None)


class ChangeLimit:
    """
    Limits the changes of each organization, by a token bucket in the memory of each process.

    The changes that end a key have buckets of their own, so that no flood of creations holds a revocation up.

    Args:
        monotonic: Seconds on a clock that only goes forward.
        each_second: How many changes a second an organization may make for good.
        burst: How many it may make at once after a pause.
        most: How many buckets to keep; beyond it the one with the oldest last request is dropped, to be full again.
    """

    def __init__(self, monotonic: Seconds, *, each_second: float, burst: int, most: int = _MOST_BUCKETS) -> None:
        self._monotonic = monotonic
        self._each_second = each_second
        self._burst = burst
        self._most = most
        # How many changes are left, and when that was so; in the order of the last requests.
        self._buckets: OrderedDict[tuple[int, bool], tuple[float, float]] = OrderedDict()

    def take(self, org_id: UUID, *, ends_a_key: bool) -> None:
        """
        Count a change of an organization.

        Raises:
            TooManyChanges: It has none left.
        """
        # The number: a UUID is hashed by Python code.
        bucket, now = (org_id.int, ends_a_key), self._monotonic()
        left, since = self._buckets.pop(bucket, (float(self._burst), now))
        left = min(left + (now - since) * self._each_second, self._burst)
        # Also of a refused one: what is forgotten is full again.
        self._buckets[bucket] = (left - 1 if left >= 1 else left, now)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
        if left < 1:
            raise TooManyChanges(ceil((1 - left) / self._each_second))
