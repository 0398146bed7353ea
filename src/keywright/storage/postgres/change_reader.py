"""
Which changes a reader has to ask PostgreSQL for, and which it has: numbers in, changes out. No SQL and no I/O.

A transaction draws the number of its change before it is visible, so a higher number may be seen before a lower one. A
number that is missing belongs to a transaction that is not done, or was rolled back: it is asked for until it shows.
Beside that, what was written a short while ago is looked through again, for engines that hand out numbers in blocks.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from keywright.service.change_feed import LATE, LONGEST_TRANSACTION_SECONDS, Change, Reading

MOST_MISSING = 10_000


class Numbers:
    """
    Which numbers of changes were seen, and which below the highest are missing.

    Args:
        most_missing: How many missing ones to remember; beyond it those missing for the longest are given up.
    """

    def __init__(self, most_missing: int = MOST_MISSING) -> None:
        self.highest = 0
        self._most_missing = most_missing
        # In the order in which they were missed.
        self._missing: dict[int, float] = {}

    @property
    def missing(self) -> list[int]:
        """Those not seen yet."""
        return list(self._missing)

    @property
    def complete_to(self) -> int:
        """The highest number below which none is missing."""
        return min(self._missing) - 1 if self._missing else self.highest

    def saw(self, seq: int, now: float) -> None:
        """Note that a number was seen at *now*, by any clock; what is between it and the highest is missing."""
        self._missing.pop(seq, None)
        if seq > self.highest:
            for absent in range(max(self.highest + 1, seq - self._most_missing), seq):
                self.miss(absent, now)
            self.highest = seq

    def miss(self, seq: int, now: float) -> None:
        """Note that a number is to be looked for."""
        self._missing.setdefault(seq, now)

    def give_up(self, before: float) -> None:
        """Forget the numbers that were missed before a moment, and those that are too many."""
        missed = list(self._missing.items())
        too_many = len(missed) - self._most_missing
        for place, (seq, since) in enumerate(missed):
            if since >= before and place >= too_many:
                return
            del self._missing[seq]


class ChangeReader:
    """
    Follows the numbers of one reader of the changes, from connection to connection.

    `highest`, `missing` and `since` say what to ask for: every change above the first, those with the second, and the
    bare numbers of all that were written after the third up to the first.

    Args:
        most_missing: How many missing numbers to ask for.
        overlap: How far back to look through again.
    """

    def __init__(self, *, most_missing: int = MOST_MISSING, overlap: timedelta = LATE) -> None:
        self._overlap = overlap
        self._numbers = Numbers(most_missing)
        self._begins_after = 0
        # When the server was last asked, by its own clock, and what it gave that was written not long before.
        self._asked_at: datetime | None = None
        self._lately: dict[int, datetime] = {}
        # Kept until a call has returned with them, so that one that fails half way loses nothing.
        self._not_given: list[Change] = []

    @property
    def highest(self) -> int:
        """The highest number seen."""
        return self._numbers.highest

    @property
    def missing(self) -> list[int]:
        """The numbers below it that were not seen."""
        return self._numbers.missing

    @property
    def since(self) -> datetime | None:
        """From when on to look through again, by the server's clock."""
        return None if self._asked_at is None else self._asked_at - self._overlap

    def begin(self, oldest: int, at: datetime) -> None:
        """
        Go on over a new connection, or begin.

        The server may be another one by now, that took over and lost the end of what the first one knew. So the last
        minutes are read again.

        Args:
            oldest: The newest number that was written longer ago than any transaction lasts; 0 where there is none.
            at: The time, by the server's clock.
        """
        self._lately.clear()
        if self._asked_at is None:
            self._asked_at = at
            # That one is given, too: a reader may have it as its last one.
            self._begins_after = self._numbers.highest = max(oldest - 1, 0)
        self._numbers.highest = min(self._numbers.highest, oldest)

    def take(self, changes: Sequence[Change], recent: Collection[int], at: datetime, now: float) -> bool:
        """
        Take the answer to what was asked.

        Args:
            changes: What was found, in any order.
            recent: The bare numbers of what was written lately, up to the highest one asked for.
            at: The time of the answer, by the server's clock.
            now: The same by a monotonic clock of this process.

        Returns:
            Whether *recent* names a change that was not given yet, so that the server is to be asked again at once.
        """
        for change in sorted(changes, key=lambda each: each.seq):
            self._numbers.saw(change.seq, now)
            self._lately[change.seq] = change.written_at
            self._not_given.append(change)
        late = set(recent) - self._lately.keys()
        for seq in late:
            self._numbers.miss(seq, now)
        self._asked_at = at
        since = at - self._overlap
        self._lately = {seq: written_at for seq, written_at in self._lately.items() if written_at > since}
        if not late:
            # Only now: those that are late are asked for once, however many numbers are missing.
            self._numbers.give_up(now - LONGEST_TRANSACTION_SECONDS)
        return bool(late)

    def take_out(self, *, more: bool = False, proven: bool = True) -> Reading:
        """Give what was taken since the last call; for *more* and *proven* see `Reading`."""
        given, self._not_given = self._not_given, []
        return Reading(
            changes=given,
            begins_after=self._begins_after,
            complete_to=self._numbers.complete_to,
            more=more,
            proven=proven,
        )
