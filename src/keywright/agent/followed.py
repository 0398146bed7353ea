"""The memory of an agent, as the session with the service changes and reads it."""

from math import inf
from uuid import uuid4

from keywright.client.verifier import _clocks as clocks
from keywright.keys.cache import BOUND_SECONDS, KeyCache
from keywright.keys.usage import UsageBook
from keywright.keys.usage_records import UsageRecord
from keywright.service.checking.ports import Seconds


class Followed:
    """
    The cache of keys, which the feed empties; the usage, which reports take; and the service's clock.

    Args:
        cache: The cached keys.
        usage: The usage book of accepted uses.
        monotonic: A monotonic clock, in seconds: that of *cache*.
        wall: This machine's clock, in seconds of the epoch; the service's clock decides.
    """

    def __init__(self, cache: KeyCache, usage: UsageBook, *, monotonic: Seconds, wall: Seconds) -> None:
        self.session = uuid4()
        """The id of the session: receipts of revocations name it."""
        self.clock = monotonic
        self.drop, self.drop_all = cache.drop, cache.drop_all
        self._ended = False
        self._cache = cache
        self._usage = usage
        self._wall = wall
        # The difference between seconds of the epoch and the monotonic clock.
        self._epoch = wall() - monotonic()

    def now(self) -> float:
        """Give the service's time, in seconds of the epoch."""
        return self.clock() + self._epoch

    @property
    def since(self) -> float | None:
        """The time, on the monotonic clock, before which all changes have been applied; None before the first sync."""
        return self._cache.fresh_until - BOUND_SECONDS if self._cache.ever_synced else None

    def synced(self, since: float) -> None:
        """Note that all changes before *since*, on the monotonic clock, have been applied."""
        if not self._ended:
            self._cache.synced(since)

    def end(self) -> None:
        """Forget all keys, for good: the service is told that this session ends, and then no receipt waits for it."""
        self._ended = True
        self._cache.drop_all()
        self._cache.fresh_until = -inf

    def set_time(self, time: float, slack: float, received: float) -> float:
        """Set the clock by the service's; see `FollowingCache`."""
        self._epoch = clocks.corrected(received + self._epoch, time, slack) - received
        shown = self._wall()
        return shown - clocks.corrected(shown, time, slack)

    def take_usage(self, most: int) -> list[UsageRecord]:
        """Remove and give at most *most* usage records, to be reported."""
        return list(self._usage.take(most))
