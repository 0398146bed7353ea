"""The limit of changes of an organization: a token bucket in the memory of each process."""

from collections import OrderedDict
from math import ceil
from uuid import UUID

from keywright.service.checking.ports import Seconds
from keywright.service.faults import TooManyChanges

_MOST_BUCKETS = 50_000


class ChangeLimit:
    """
    Limits the changes of each organization.

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
