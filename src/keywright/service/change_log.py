"""
The recent changes in the order in which this process read them: what its feeds send, and where a feed may begin.

A cursor names the last change up to which a reader has everything. Every process gives the same text to the same
change, so that a reader may go on at another one. A cursor that the log does not know is of no use: the change is too
old, or it is of a database that was restored or failed over since and gives its number to another change now.
"""

from bisect import bisect_right, insort
from collections import deque
from datetime import datetime
from zlib import crc32

from keywright.service.change_feed import LATE, Change, Reading

CAPACITY = 10_000
"""How many changes are kept, some 400 bytes each."""

ORIGIN = "0"
"""The cursor of a reader that has nothing, in a database of which this log has every change."""


def cursor_of(change: Change) -> str:
    """Give the cursor that names a change: its number, and eight digits of what it is."""
    print_ = crc32(change.key_id.bytes + change.occurred_at.isoformat().encode())
    return f"{change.seq}-{print_:08x}"


class ChangeLog:
    """
    Keeps the recent changes of one process.

    Args:
        capacity: How many; beyond it the oldest are forgotten.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        # In the order of arrival. `_first` is the position of the first of them, counted from the beginning.
        self._arrived: deque[Change] = deque()
        self._first = 0
        self._by_seq: dict[int, Change] = {}
        # Numbers above the cursor's, in order.
        self._above: list[int] = []
        self._cursor: Change | None = None
        # Of what was forgotten, or never read: the highest number, and the latest time at which any was written.
        self._forgotten_to: int | None = None
        self._forgotten_until: datetime | None = None

    @property
    def begin(self) -> int:
        """The position of the oldest change that is not forgotten."""
        return self._first

    @property
    def end(self) -> int:
        """The position behind the newest change."""
        return self._first + len(self._arrived)

    @property
    def cursor(self) -> str:
        """The cursor of a reader that has every change up to `end`."""
        return ORIGIN if self._cursor is None else cursor_of(self._cursor)

    def add(self, reading: Reading) -> None:
        """Add what a reading gave; what is there already stays where it is."""
        if self._forgotten_to is None:
            self._forgotten_to = reading.begins_after
        for change in reading.changes:
            if self._by_seq.get(change.seq) != change:
                self._append(change)
        self._move_cursor(reading.complete_to)

    def after(self, position: int) -> list[Change] | None:
        """Give the changes from a position on, in the order of arrival; None where some of them are forgotten."""
        if position < self._first:
            return None
        return [self._arrived[place] for place in range(position - self._first, len(self._arrived))]

    def missed(self, cursor: str) -> list[Change] | None:
        """
        Give the changes that a reader may not have that came to *cursor*, by their numbers.

        Those that were written shortly before the change that it names are among them: they may have become visible
        after it.

        Returns:
            None where the log does not know the cursor, or has forgotten some of these changes.
        """
        if cursor == ORIGIN:
            return self._written_after(0, None) if self._forgotten_to == 0 else None
        last = self._named(cursor)
        if last is None or last.seq < (self._forgotten_to or 0):
            return None
        since = last.written_at - LATE
        if self._forgotten_until is not None and since < self._forgotten_until:
            return None
        return [change for change in self._written_after(last.seq, since) if change is not last]

    def recent(self) -> list[Change]:
        """Give the changes that were written shortly before the newest one, by their numbers."""
        newest = max((change.written_at for change in self._arrived), default=None)
        return [] if newest is None else self._written_after(max(self._by_seq), newest - LATE)

    def _append(self, change: Change) -> None:
        self._arrived.append(change)
        if change.seq not in self._by_seq and (self._cursor is None or change.seq > self._cursor.seq):
            insort(self._above, change.seq)
        self._by_seq[change.seq] = change
        if len(self._arrived) > self._capacity:
            self._forget(self._arrived.popleft())

    def _forget(self, change: Change) -> None:
        self._first += 1
        self._forgotten_to = max(self._forgotten_to or 0, change.seq)
        self._forgotten_until = max(self._forgotten_until or change.written_at, change.written_at)
        # Another change may bear its number by now.
        if self._by_seq.get(change.seq) is change:
            del self._by_seq[change.seq]

    def _move_cursor(self, complete_to: int) -> None:
        if self._cursor is not None and complete_to < self._cursor.seq:
            # The database lost the end of what it had.
            self._cursor, self._above = None, sorted(self._by_seq)
        place = bisect_right(self._above, complete_to)
        passed, self._above = self._above[:place], self._above[place:]
        known = [self._by_seq[seq] for seq in passed if seq in self._by_seq]
        if known:
            self._cursor = known[-1]
        elif self._cursor is not None:
            # Another change may bear its number by now.
            self._cursor = self._by_seq.get(self._cursor.seq, self._cursor)

    def _named(self, cursor: str) -> Change | None:
        seq, _, _ = cursor.partition("-")
        change = self._by_seq.get(int(seq)) if seq.isascii() and seq.isdigit() else None
        return change if change is not None and cursor_of(change) == cursor else None

    def _written_after(self, seq: int, since: datetime | None) -> list[Change]:
        """Give the changes with a number above *seq*, or written after *since*, by their numbers."""
        after = [
            change
            for change in self._by_seq.values()
            if change.seq > seq or (since is not None and change.written_at > since)
        ]
        return sorted(after, key=lambda change: change.seq)
