"""
The changes to keys as a process reads them, and the port that gives them.

An adapter promises every sentence written here.

tests/storage/checking_contract.py holds the promises as tests; they run on every store.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

LONGEST_TRANSACTION_SECONDS = 15 * 60.0
"""The longest transaction that writes an event; a reader waits this long for a missing number."""


LATE = timedelta(seconds=10)
"""
How much earlier a change may be written that becomes visible after a given one, where numbers do not show the order.

Twice the time within which the caller of a change gets its answer.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """
    A change to a key, which invalidates the cached key.

    `seq` is the number of its event: unique, though not in the order of commits. `digests` are those of the secrets of
    the key that have not ended, whatever the state of the key, and of those that ended shortly before; a secret that
    ended earlier can only be cached as ended. `written_at` is when the database wrote the event, by its own clock.
    """

    seq: int
    key_id: UUID
    digests: tuple[bytes, ...]
    occurred_at: datetime
    written_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """
    One reading of the changes.

    A reader gives every change with a number above `begins_after`, which is the same in all its readings. Up to
    `complete_to` it has given all changes: none with such a number can become visible later. With `more` there were too
    many changes for one reading: the next one goes on at once. Without `proven` another server may have acknowledged
    changes since the last reading that was, so nothing is fresh by this one.
    """

    changes: Sequence[Change]
    begins_after: int
    complete_to: int
    more: bool = False
    proven: bool = True


class ChangeFeed(Protocol):
    """The changes for one reader, from `begins_after` of its first reading on."""

    async def read(self) -> Reading:
        """
        Give every new change that was acknowledged to its caller before this call began, or with `more` some of them,
        or without `proven` those that this server knows.

        A reading has some 1,000 changes at most.

        The first reading begins with the recent changes: those of the last 15 minutes or the last 1,000, and at least
        the newest one. A change may be given twice, but none is left out, whatever the order in which transactions
        become visible.

        Raises:
            StorageUnavailable: The database is unavailable; a later call gives the changes that this one missed.
        """
        ...

    async def wait(self, seconds: float) -> None:
        """Return when there may be a change, and after *seconds* at the latest; never raise."""
        ...

    async def close(self) -> None:
        """Release the connection."""
        ...


class ChangeStore(Protocol):
    """The part of the store with the changes. The rules of `management.ports.Store` hold."""

    async def follow(self) -> ChangeFeed:
        """Choose the position from which a reader follows the changes; its first reading begins there."""
        ...
