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
"""How long a transaction may last that has written an event, at most; readers look for its number so long."""


LATE = timedelta(seconds=10)
"""
How much earlier than a change another one may be written that becomes visible after it, where numbers do not tell.

Twice the time in which the caller of a change is answered.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """
    A change to a key after which what is cached of it no longer counts.

    `seq` numbers its event: unique, though not in the order of commits. `digests` are those of all
    the key's secrets. `written_at` is when the database wrote the event, by its own clock.
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

    The reader gives every change with a number above `begins_after`, which is the same in all its readings. Of those
    numbered up to `complete_to`, all that are visible or may still become visible have been given by now.
    """

    changes: Sequence[Change]
    begins_after: int
    complete_to: int


class ChangeFeed(Protocol):
    """The changes, read by one reader from the position on that its first reading names."""

    async def read(self) -> Reading:
        """
        Give every change not given before that was acknowledged to anybody before this call began.

        The first reading begins with the recent changes: those of the last 15 minutes or the last 1 000, and at least
        the newest one. A change may be given twice, but none is left out, in whatever order transactions become
        visible.

        Raises:
            StorageUnavailable: The database is unavailable; a later call gives what is missed now.
        """
        ...

    async def wait(self, seconds: float) -> None:
        """Return when something may have changed, and after *seconds* at the latest; never raises."""
        ...

    async def close(self) -> None:
        """Release its connection."""
        ...


class ChangeStore(Protocol):
    """The store of `management`, which has the changes. The same rules hold."""

    async def follow(self) -> ChangeFeed:
        """Choose the position from which a reader follows the changes; its first reading begins there."""
        ...
