"""The usage book."""

from datetime import UTC, datetime
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from keywright.keys.verdict import KeyFacts
from keywright.service.usage import UsageBook, hour_end, place_of

HOUR = 3600.0
START = 1_000_000 * HOUR


def key(number: int) -> KeyFacts:
    return KeyFacts(id=number.to_bytes(16, "big"), org_id=b"o" * 16, name="n", environment="live")


def note(book: UsageBook, number: int, at: float, **place: str) -> None:
    book.note(key(number), b"d" * 32, at, verifier="v", **place)  # type: ignore[arg-type]


def test_uses_are_added_up() -> None:
    """Uses of one place and hour are one row with the first, the last and the number of them."""
    book = UsageBook()
    for second in (5, 1, 9):
        note(book, 1, START + second, network="192.0.2.0/24", agent="curl")
    (seen,) = book.take_due(START + 10)
    assert (seen.count, seen.network, seen.agent, seen.verifier) == (3, "192.0.2.0/24", "curl", "v")
    assert seen.key_id == UUID(int=1)
    assert seen.hour == datetime.fromtimestamp(START, UTC)
    assert (seen.last_seen - seen.first_seen).total_seconds() == 4
    assert len(book) == 0


def test_places_and_hours_are_told_apart() -> None:
    """Another network, agent or hour is another row."""
    book = UsageBook()
    note(book, 1, START, network="a")
    note(book, 1, START, network="b")
    note(book, 1, START + HOUR, network="a")
    assert len(book.take_due(START + HOUR)) == 3


def test_a_key_is_written_once_a_minute() -> None:
    """What is noted within a minute of the last writing waits until it is over."""
    book = UsageBook()
    note(book, 1, START)
    assert len(book.take_due(START)) == 1
    note(book, 1, START + 1)
    note(book, 2, START + 1)
    assert [seen.key_id for seen in book.take_due(START + 59)] == [UUID(int=2)]
    assert [seen.key_id for seen in book.take_due(START + 61)] == [UUID(int=1)]


def test_bounded() -> None:
    """Beyond the bound uses are still counted, but no longer told apart by place."""
    book = UsageBook(most=2)
    for number in range(100):
        note(book, 1, START, network=f"{number}")
    assert len(book) == 3
    assert sum(seen.count for batch in book.take_all(START) for seen in batch) == 100


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 7200), st.sampled_from(["a", "b"])), max_size=50))
def test_no_use_is_lost_or_counted_twice(uses: list[tuple[int, float, str]]) -> None:
    """Whatever is noted and whenever it is taken, the counts add up."""
    book = UsageBook(most=3)
    taken = 0
    for number, at, network in uses:
        note(book, number, START + at, network=network)
        taken += sum(seen.count for seen in book.take_due(START + at))
    taken += sum(seen.count for batch in book.take_all(START) for seen in batch)
    assert taken == len(uses)


def test_a_place_is_good_for_its_hour() -> None:
    """Uses that are noted at a place of the same hour are added to those that name everything anew."""
    book = UsageBook()
    place = place_of(key(1), b"d" * 32, START + 5, verifier="v", network="a")
    note(book, 1, START + 5, network="a")
    book.note_at(place, START + 9)
    book.note_at(place, START + 7)
    assert hour_end(START) == hour_end(START + HOUR - 1) == START + HOUR
    note(book, 1, hour_end(START), network="a")
    first, second = book.take_due(START + 2 * HOUR)
    assert (first.count, second.count) == (3, 1)
    assert (first.last_seen - first.first_seen).total_seconds() == 4
