"""The usage book, and how a user agent is described."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keywright.keys.usage import UsageBook, UsageRecord, UsageSource, agent_family, hour_end, hour_of

HOUR = 3600.0
START = 1_000_000 * HOUR


def key_id(number: int) -> bytes:
    return number.to_bytes(16, "big")


def source(number: int, at: float, network: str | None = None, agent: str | None = None) -> UsageSource:
    return UsageSource(b"d" * 32, hour_of(at), network, agent, key_id(number), "v")


def note(book: UsageBook, number: int, at: float, *, network: str | None = None, agent: str | None = None) -> None:
    book.note(source(number, at, network, agent), at)


def test_uses_are_added_up() -> None:
    """Uses of one place and hour are one row with the first, the last and the number of them."""
    book = UsageBook()
    for second in (5, 1, 9):
        note(book, 1, START + second, network="192.0.2.0/24", agent="curl")
    (seen,) = book.take_due(START + 10)
    assert seen == UsageRecord(source(1, START, "192.0.2.0/24", "curl"), 3, START + 5, START + 9)
    assert seen.source.hour == START / HOUR
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
    assert [seen.source.key_id for seen in book.take_due(START + 59)] == [key_id(2)]
    assert [seen.source.key_id for seen in book.take_due(START + 61)] == [key_id(1)]


def test_bounded() -> None:
    """Beyond the bound uses are still counted, but without network and agent."""
    book = UsageBook(most_sources=2)
    for number in range(100):
        note(book, 1, START, network=f"{number}")
    assert len(book) == 3
    assert sum(seen.uses for batch in book.take_all() for seen in batch) == 100


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 7200), st.sampled_from(["a", "b"])), max_size=50))
def test_no_use_is_lost_or_counted_twice(uses: list[tuple[int, float, str]]) -> None:
    """Whatever is noted and whenever it is taken, the counts add up."""
    book = UsageBook(most_sources=3)
    taken = 0
    for number, at, network in uses:
        note(book, number, START + at, network=network)
        taken += sum(seen.uses for seen in book.take_due(START + at))
    taken += sum(seen.uses for batch in book.take_all() for seen in batch)
    assert taken == len(uses)


def test_a_source_is_good_for_its_hour() -> None:
    """Uses at a source of the same hour are added to those before, and uses after its end to the next one."""
    book = UsageBook()
    place = source(1, START + 5, "a")
    note(book, 1, START + 5, network="a")
    book.note(place, START + 9)
    book.note(place, START + 7)
    assert hour_end(START) == hour_end(START + HOUR - 1) == START + HOUR
    note(book, 1, hour_end(START), network="a")
    first, second = book.take_due(START + 2 * HOUR)
    assert (first.uses, second.uses) == (3, 1)
    assert first.last - first.first == 4


def test_sums_are_added() -> None:
    """A sum of uses is added to the record of its source: the number, the earliest and the latest."""
    book = UsageBook()
    book.add(source(1, START), 2, START + 5, START + 6)
    book.add(source(1, START), 3, START + 1, START + 4)
    assert book.take() == [UsageRecord(source(1, START), 5, START + 1, START + 6)]
    assert book.take() == []


def test_no_more_records_than_the_bound() -> None:
    """Uses of sources beyond the bound of records are counted as lost, and nothing else of them is kept."""
    book = UsageBook(most_sources=1, most_records=2)
    for number in range(4):
        book.add(source(number, START, "192.0.2.0/24"), 10 + number, START, START)
    assert [(seen.source.network, seen.uses) for seen in book.take()] == [("192.0.2.0/24", 10), (None, 11)]
    assert book.lost == 12 + 13


def test_a_bounded_number_is_taken() -> None:
    """What is taken at once is bounded, and the rest stays."""
    book = UsageBook()
    for number in range(5):
        note(book, number, START)
    assert [len(book.take(3)), len(book.take(3)), len(book.take(3))] == [3, 2, 0]


@pytest.mark.parametrize(
    ("user_agent", "family"),
    [
        ("python-httpx/0.28.1", "python-httpx"),
        ("Mozilla/5.0 (X11; Linux x86_64)", "Mozilla"),
        (" curl/8.0", "curl"),
        ("a" * 100, "a" * 32),
        ("<script>", None),
        ("", None),
        (None, None),
    ],
)
def test_agent(user_agent: str | None, family: str | None) -> None:
    """A user agent is described by the name of its first product."""
    assert agent_family(user_agent) == family


@given(st.text(max_size=60))
def test_anything_may_be_described(text: str) -> None:
    """Whatever a stranger sends is described or left out, and never longer than it should be."""
    assert len(agent_family(text) or "") <= 32
