"""The limit of changes of an organization: a token bucket in the memory of each process."""

from math import ceil
from uuid import UUID

from keywright.service.checking.ports import Seconds
from keywright.service.faults import TooManyChanges

_MOST_ORGANIZATIONS = 50_000


class ChangeLimit:
    """
    Limits the changes of each organization.

    The changes that end a key have buckets of their own, so that no flood of creations holds a revocation up.

    Args:
        monotonic: Seconds on a clock that only goes forward.
        each_second: How many changes a second an organization may make for good.
        burst: How many it may make at once after a pause.
        most: How many organizations to count; beyond it those that asked for nothing for the longest are dropped.
    """

    def __init__(self, monotonic: Seconds, *, each_second: float, burst: int, most: int = _MOST_ORGANIZATIONS) -> None:
        self._monotonic = monotonic
        self._each_second = each_second
        self._burst = burst
        self._half = max(1, most // 2)
        # How many changes are left, and when that was so.
        self._recent: dict[tuple[UUID, bool], tuple[float, float]] = {}
        self._older: dict[tuple[UUID, bool], tuple[float, float]] = {}

    def take(self, org_id: UUID, *, ends_a_key: bool) -> None:
        """
        Count a change of an organization.

        Raises:
            TooManyChanges: It has none left.
        """
        bucket, now = (org_id, ends_a_key), self._monotonic()
        left, since = self._recent.get(bucket) or self._older.get(bucket) or (float(self._burst), now)
        left = min(left + (now - since) * self._each_second, self._burst)
        if len(self._recent) >= self._half and bucket not in self._recent:
            self._older, self._recent = self._recent, {}
        # Also of a refused one: what is forgotten is full again.
        self._recent[bucket] = (left - 1 if left >= 1 else left, now)
        if left < 1:
            raise TooManyChanges(ceil((1 - left) / self._each_second))
