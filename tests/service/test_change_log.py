"""The log of recent changes, and the cursors that name a place in it."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from keywright.service.change_feed import LATE, Change, Reading
from keywright.service.change_log import ORIGIN, ChangeLog, cursor_of
from tests.service.fake_checking_store import NOW


def change(seq: int, *, after: float = 0.0, key: int | None = None) -> Change:
    """Give a change that was written so many seconds after noon; by default long after all lower ones."""
    at = NOW + timedelta(seconds=after or 100 * seq)
    return Change(seq=seq, key_id=UUID(int=key or seq), digests=(bytes([seq]) * 32,), occurred_at=NOW, written_at=at)


def read(log: ChangeLog, *changes: Change, begins_after: int = 0, complete_to: int | None = None) -> None:
    """Add a reading that is complete to its last change, unless `complete_to` is given."""
    newest = max((each.seq for each in changes), default=begins_after)
    complete_to = newest if complete_to is None else complete_to
    log.add(Reading(changes=changes, begins_after=begins_after, complete_to=complete_to))


def seqs(changes: list[Change] | None) -> list[int] | None:
    """Give the numbers of changes."""
    return None if changes is None else [each.seq for each in changes]


def test_changes_stand_in_the_order_of_arrival() -> None:
    """A reader at a position gets the later changes in the order of arrival, and none twice."""
    log = ChangeLog()
    read(log, change(2), change(1))
    position = log.end
    read(log, change(1), change(4), change(3))
    assert (seqs(log.after(0)), seqs(log.after(position)), log.after(log.end)) == ([2, 1, 4, 3], [4, 3], [])


def test_a_reader_goes_on_at_its_cursor() -> None:
    """A cursor gives all that came after the change that it names, by number, in whatever order it was read."""
    log = ChangeLog()
    read(log, change(1), change(3), change(2))
    assert [seqs(log.missed(cursor_of(change(n)))) for n in (1, 2, 3)] == [[2, 3], [3], []]
    assert log.cursor == cursor_of(change(3))


def test_what_a_position_stands_for() -> None:
    """Between two cursors are the changes above the first, up to the second one, whatever the order of arrival."""
    log = ChangeLog()
    read(log, change(2), change(1), change(4), change(3))
    one, two, four = (cursor_of(change(n)) for n in (1, 2, 4))
    assert [log.between(*ends) for ends in ((one, four), (two, four), (None, two), (four, two), (ORIGIN, one))] == [
        [2, 3, 4],
        [3, 4],
        [1, 2],
        [],
        [1],
    ]
    assert [log.between(one, four) for _ in range(2)] == [[2, 3, 4]] * 2
    read(log, change(9), change(5))
    assert log.between(two, cursor_of(change(9))) == [3, 4, 5, 9]


def test_a_position_that_this_log_does_not_know() -> None:
    """A cursor above all that was read may come; one below, or of another change, stands for nothing."""
    log = ChangeLog()
    assert (log.between(None, "3-00000000"), log.between(None, ORIGIN)) == (None, [])
    read(log, change(1), change(4))
    assert log.between(None, cursor_of(change(5))) is None
    assert log.between(None, cursor_of(change(4, key=44))) == []
    assert log.between(None, cursor_of(change(3))) == []
    log.cut()
    assert (log.between(None, cursor_of(change(4))), log.between(None, cursor_of(change(5)))) == ([], None)


def test_many_different_positions() -> None:
    """However many pairs of cursors are asked for, each has its own changes."""
    log = ChangeLog()
    read(log, *(change(n) for n in range(1, 31)))
    for first in range(1, 31):
        for last in range(first, 31):
            assert log.between(cursor_of(change(first)), cursor_of(change(last))) == list(range(first + 1, last + 1))


def test_every_process_gives_a_change_the_same_cursor() -> None:
    """A reader goes on at another process, though that one has read the changes in another order."""
    one, other = ChangeLog(), ChangeLog()
    read(one, change(1), change(2))
    read(other, change(3), change(2), change(1))
    assert seqs(other.missed(one.cursor)) == [3]


def test_a_cursor_does_not_pass_what_is_missing() -> None:
    """While a lower number may still show, the cursor stays below it, and moves on once it came or was given up."""
    log = ChangeLog()
    read(log, change(1), change(3), complete_to=1)
    assert log.cursor == cursor_of(change(1))
    read(log, change(2), complete_to=3)
    assert log.cursor == cursor_of(change(3))
    read(log, change(6), complete_to=3)
    assert log.cursor == cursor_of(change(3))
    read(log, complete_to=6)
    assert log.cursor == cursor_of(change(6))


def test_what_was_written_shortly_before_is_given_again() -> None:
    """A lower number that another process had not read yet is given, where it was written shortly before the cursor."""
    log = ChangeLog()
    late, early = LATE.total_seconds() / 2, LATE.total_seconds() * 2
    read(log, change(1, after=100 - early), change(2, after=100 - late), change(3, after=100))
    assert seqs(log.missed(cursor_of(change(3, after=100)))) == [2]
    assert seqs(log.recent()) == [2, 3]


def test_the_beginning_of_everything() -> None:
    """Only from a log with every change a reader may begin with the empty cursor."""
    empty, whole, part = ChangeLog(), ChangeLog(), ChangeLog()
    assert (empty.missed(ORIGIN), empty.recent()) == (None, [])
    read(empty)
    read(whole, change(1), change(2))
    read(part, change(5), begins_after=4)
    assert (empty.cursor, empty.missed(ORIGIN)) == (ORIGIN, [])
    assert (seqs(whole.missed(ORIGIN)), part.missed(ORIGIN)) == ([1, 2], None)


@pytest.mark.parametrize("cursor", ["7-00000000", "1", "x", "", "1-", "٣-00000000", "99999"])
def test_a_cursor_of_nothing(cursor: str) -> None:
    """A text that names no change of the log is of no use."""
    log = ChangeLog()
    read(log, change(1), change(2))
    assert log.missed(cursor) is None


def test_what_is_forgotten_cannot_be_gone_on_from() -> None:
    """A full log removes the oldest changes; a position or cursor before a removed change is refused."""
    log = ChangeLog(2)
    read(log, change(1), change(2))
    assert seqs(log.missed(cursor_of(change(1)))) == [2]
    read(log, change(3))
    assert (log.after(0), seqs(log.after(1)), log.missed(ORIGIN)) == (None, [2, 3], None)
    assert [seqs(log.missed(cursor_of(change(n)))) for n in (1, 2, 3)] == [None, [3], []]


def test_what_is_forgotten_may_be_late() -> None:
    """What was written shortly before a cursor's change and is forgotten, a reader may not have."""
    log = ChangeLog(2)
    read(log, *(change(n, after=float(n)) for n in (1, 2, 3)))
    assert log.missed(cursor_of(change(3, after=3.0))) is None


def test_a_high_number_that_is_forgotten_first() -> None:
    """A low number that came last does not make up for a higher one that is forgotten."""
    log = ChangeLog(2)
    read(log, change(9), complete_to=0)
    read(log, change(1), change(2), complete_to=2)
    assert log.missed(cursor_of(change(2))) is None


def test_a_database_that_lost_its_end() -> None:
    """After a failover that lost changes, other changes get their numbers: those are given, old cursors refused."""
    log = ChangeLog()
    read(log, change(1), change(2), change(3))
    lost = log.cursor
    read(log, complete_to=1)
    assert log.cursor == cursor_of(change(1))
    position = log.end
    read(log, change(2, key=22), change(3, key=33))
    assert seqs(log.after(position)) == [2, 3]
    assert (log.missed(lost), log.cursor) == (None, cursor_of(change(3, key=33)))
    assert seqs(log.missed(cursor_of(change(1)))) == [2, 3]


def test_another_change_with_the_number_of_the_cursor() -> None:
    """Where the very change that the cursor names is another one by now, the cursor names that."""
    log = ChangeLog()
    read(log, change(1), change(2))
    read(log, change(2, key=22))
    assert log.cursor == cursor_of(change(2, key=22))


def test_a_forgotten_change_does_not_take_its_successor_along() -> None:
    """A number that two changes bore is forgotten with the second of them."""
    log = ChangeLog(3)
    read(log, change(1), change(2), change(2, key=22, after=250))
    read(log, change(3))
    read(log, change(4))
    assert seqs(log.missed(cursor_of(change(2, key=22, after=250)))) == [3, 4]


def test_a_log_without_its_beginning() -> None:
    """Where no change is old enough for a cursor, the log gives one that no log accepts."""
    log = ChangeLog()
    read(log, change(7), begins_after=4, complete_to=5)
    assert log.missed(log.cursor) is None


def test_the_content_of_a_change_is_compared() -> None:
    """A change that is read again with more digests is passed on again."""
    log = ChangeLog()
    read(log, change(1))
    position = log.end
    read(log, replace(change(1), digests=(b"a" * 32, b"b" * 32)))
    assert seqs(log.after(position)) == [1]


def test_a_log_that_was_cut() -> None:
    """After a gap no reader goes on, at whatever position or cursor; readers of what comes next do."""
    log, empty = ChangeLog(), ChangeLog()
    read(log, change(1), change(2))
    read(empty)
    position, cursor = log.end, log.cursor
    for each in (log, empty):
        each.cut()
        assert (each.after(each.begin), each.missed(ORIGIN)) == ([], None)
    assert (log.after(position), log.missed(cursor), log.recent()) == (None, None, [])
    read(log, change(2), change(3), change(4))
    assert (log.missed(cursor), log.missed(ORIGIN)) == (None, None)
    assert seqs(log.missed(cursor_of(change(3)))) == [4]
    assert log.cursor == cursor_of(change(4))
