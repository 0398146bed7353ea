"""
The recent changes in the order in which this process read them. Its feeds begin at a position of this log.

A cursor names the last change up to which a reader has all changes. Every process gives the same cursor to the same
change, so a reader may continue at another process. An unknown cursor is useless: its change is too old, or the
database was restored or failed over since, and now gives its number to another change.
"""

from bisect import bisect_right, insort
from collections import deque
from datetime import datetime
from zlib import crc32

from keywright.service.change_feed import LATE, Change, Reading

CAPACITY = 10_000
"""The most changes in a log, some 400 bytes each."""

_MOST_RANGES = 100

ORIGIN = "0"
"""The cursor of a reader without any change, in a database of which this log has every change."""


def cursor_of(change: Change) -> str:
    """Give the cursor of a change: its number and a checksum in eight digits of its key and time."""
    checksum = crc32(change.key_id.bytes + change.occurred_at.isoformat().encode())
    return f"{change.seq}-{checksum:08x}"


def seq_of(cursor: str) -> int:
    """Read the number of the change that a cursor names; 0 for `ORIGIN`, and -1 for a text that is no cursor."""
    seq, _, _ = cursor.partition("-")
    return int(seq) if seq.isascii() and seq.isdigit() else -1


class ChangeLog:
    """
    Keeps the recent changes of one process.

    Args:
        capacity: The most changes; beyond it the oldest are removed.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        # In the order of arrival. `_first` is the position of the first one, counted from the start of the process.
        self._arrived: deque[Change] = deque()
        self._first = 0
        self._by_seq: dict[int, Change] = {}
        # Numbers above the cursor's, ascending.
        self._above: list[int] = []
        self._cursor: Change | None = None
        # What `between` has given since the last reading with changes: thousands of readers ask the same.
        self._between: dict[tuple[str | None, str], list[int]] = {}
        # Of all changes that were removed or never read: the highest number, and the latest time of writing.
        self._forgotten_to: int | None = None
        self._forgotten_until: datetime | None = None

    @property
    def begin(self) -> int:
        """The position of the oldest change in the log."""
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
        """Add the changes of a reading; a change that the log has already keeps its position."""
        if self._forgotten_to is None:
            self._forgotten_to = reading.begins_after
        for change in reading.changes:
            if self._by_seq.get(change.seq) != change:
                self._append(change)
                self._between.clear()
        self._move_cursor(reading.complete_to)

    def cut(self) -> None:
        """Remove all changes, because others may be missing after them: no reader can go on from here."""
        while self._arrived:
            self._forget(self._arrived.popleft())
        # A reader behind the last change, or with `ORIGIN`, lacks something, too.
        self._first += 1
        self._forgotten_to = max(self._forgotten_to or 0, 1)
        self._by_seq, self._above, self._cursor = {}, [], None
        self._between.clear()

    def after(self, position: int) -> list[Change] | None:
        """Give the changes from a position on, in the order of arrival; None where some of them were removed."""
        if position < self._first:
            return None
        return [self._arrived[index] for index in range(position - self._first, len(self._arrived))]

    def missed(self, cursor: str) -> list[Change] | None:
        """
        Give the changes, by number, that a reader with *cursor* may lack.

        They include changes that were written shortly before the change of the cursor, because they may have become
        visible after it.

        Returns:
            None where the log does not know the cursor, or some of these changes were removed.
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

    def between(self, after: str | None, to: str) -> list[int] | None:
        """
        Give the numbers of the changes above that of the cursor *after*, and up to that of the cursor *to*.

        Args:
            after: Where it is None, or no cursor of this log, all changes of the log are above it.
            to: A reader's cursor: it has all changes up to it.

        Returns:
            None where the log may not have read so far. Nothing where the number of *to* belongs to another change: the
            database was restored or failed over since.
        """
        last = self._named(to)
        if last is None:
            seq = seq_of(to)
            return None if seq > max(self._by_seq, default=self._forgotten_to or 0) else []
        between = self._between.get((after, to))
        if between is None:
            if len(self._between) >= _MOST_RANGES:
                self._between.clear()
            first = -1 if after is None else seq_of(after)
            between = self._between[after, to] = sorted(seq for seq in self._by_seq if first < seq <= last.seq)
        return between

    def recent(self) -> list[Change]:
        """Give the newest change and those written shortly before it, by number."""
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
        # A restored database may have given its number to another change.
        if self._by_seq.get(change.seq) is change:
            del self._by_seq[change.seq]

    def _move_cursor(self, complete_to: int) -> None:
        if self._cursor is not None and complete_to < self._cursor.seq:
            # The database lost its latest changes.
            self._cursor, self._above = None, sorted(self._by_seq)
        index = bisect_right(self._above, complete_to)
        passed, self._above = self._above[:index], self._above[index:]
        named = [self._by_seq[seq] for seq in passed if seq in self._by_seq]
        if named:
            self._cursor = named[-1]
        elif self._cursor is not None:
            # A restored database may have given its number to another change.
            self._cursor = self._by_seq.get(self._cursor.seq, self._cursor)

    def _named(self, cursor: str) -> Change | None:
        change = self._by_seq.get(seq_of(cursor))
        return change if change is not None and cursor_of(change) == cursor else None

    def _written_after(self, seq: int, since: datetime | None) -> list[Change]:
        """Give the changes with a number above *seq*, or written after *since*, by number."""
        after = [
            change
            for change in self._by_seq.values()
            if change.seq > seq or (since is not None and change.written_at > since)
        ]
        return sorted(after, key=lambda change: change.seq)
