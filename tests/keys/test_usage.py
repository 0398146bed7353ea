"""The usage book, and how a user agent is described."""

import gc
import weakref
from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keywright.keys.addresses import network_number, network_of, network_text, packed
from keywright.keys.usage import MOST_AT_ONCE, REFUSED_PART, UsageBook, agent_family, hour_end, hour_of
from keywright.keys.usage_records import UsageRecord, UsageSource
from keywright.keys.verdict import Code

HOUR = 3600.0
START = 1_000_000 * HOUR
# Of `addresses.network_number`: 192.0.2.0/24 and the networks after it.
NETWORK = network_number(packed("192.0.2.1"))


def key_id(number: int) -> bytes:
    return number.to_bytes(16, "big")


def digest(number: int) -> bytes:
    return number.to_bytes(32, "big")


def source(number: int, at: float, network: str | None = None, agent: str | None = None) -> UsageSource:
    return UsageSource(digest(number), hour_of(at), network, agent, key_id(number), "v")


def note(book: UsageBook, number: int, at: float, *, network: int = 0, agent: str | None = None) -> None:
    book.note(key_id(number), digest(number), network, book.caller_of("v", agent), at)


def refuse(
    book: UsageBook, number: int, at: float, code: Code = Code.REVOKED, *, network: int = 0, agent: str | None = None
) -> None:
    book.note_refusal(key_id(number), digest(number), network, ("v", agent), code, at)


def taken(book: UsageBook) -> list[UsageRecord]:
    return [seen for batch in book.take_all() for seen in batch]


def due(book: UsageBook, now: float) -> list[UsageRecord]:
    book.begin_round(now)
    while book.order_some():
        pass
    return left(book)


def keys_of(records: Iterable[UsageRecord]) -> list[int]:
    return [int.from_bytes(seen.source.key_id, "big") for seen in records]


def left(book: UsageBook) -> list[UsageRecord]:
    records: list[UsageRecord] = []
    while batch := book.take_due():
        records += batch
    return records


def test_uses_are_added_up() -> None:
    """Uses of one place and hour are one row with the first, the last and the number of them."""
    book = UsageBook()
    for second in (5, 1, 9):
        note(book, 1, START + second, network=NETWORK, agent="curl")
    book.begin_round(START + 10)
    (seen,) = book.take_due()
    assert seen == UsageRecord(source(1, START, "192.0.2.0/24", "curl"), 3, START + 5, START + 9)
    assert seen.source.hour == START / HOUR
    assert len(book) == 0


def test_places_and_hours_are_told_apart() -> None:
    """Another network, agent, verifier, secret or hour is another row."""
    book = UsageBook()
    note(book, 1, START, network=NETWORK)
    note(book, 1, START, network=NETWORK + 1)
    note(book, 1, START, network=NETWORK, agent="curl")
    book.note(key_id(1), digest(1), NETWORK, book.caller_of("w", None), START)
    book.note(key_id(1), b"e" * 32, NETWORK, book.caller_of("v", None), START)
    note(book, 1, START + HOUR, network=NETWORK)
    seen = taken(book)
    assert {(each.source, each.uses) for each in seen} == {
        (source(1, START, "192.0.2.0/24"), 1),
        (source(1, START, "192.0.3.0/24"), 1),
        (source(1, START, "192.0.2.0/24", "curl"), 1),
        (source(1, START, "192.0.2.0/24")._replace(verifier="w"), 1),
        (source(1, START, "192.0.2.0/24")._replace(digest=b"e" * 32), 1),
        (source(1, START + HOUR, "192.0.2.0/24"), 1),
    }
    assert len(seen) == 6


@given(
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=32, max_size=32),
    st.one_of(st.none(), st.ip_addresses().map(str)),
    st.text(max_size=5),
    st.one_of(st.none(), st.text(max_size=5)),
    st.floats(0, 4e9),
    st.integers(1, 50),
)
def test_a_record_says_what_was_noted(
    id_: bytes, digest: bytes, address: str | None, verifier: str, agent: str | None, at: float, times: int
) -> None:
    """Whatever is noted, the record has it; its times are those of the uses or up to 2 ms before, never after."""
    book = UsageBook()
    for _ in range(times):
        network = network_number(packed(address))
        book.note(id_, digest, network, book.caller_of(verifier, agent), at)
    (seen,) = taken(book)
    assert seen.source == UsageSource(digest, hour_of(at), network_of(address), agent, id_, verifier)
    assert seen.uses == times
    assert at - 0.002 < seen.first <= seen.last <= at + 1e-6


def test_times_are_never_later_than_the_uses() -> None:
    """The last use is told to the millisecond below it, also at the end of an hour."""
    book = UsageBook()
    for at in (START + 0.0019, START + 59.9999, START + 3599.9999):
        note(book, 1, at)
    (seen,) = taken(book)
    assert (seen.first, seen.last) == (START + 0.001, START + 3599.999)


def test_a_clock_that_is_set_back() -> None:
    """Uses after the clock was set back are counted, in their hour, and the first is never after the last."""
    book = UsageBook()
    for at in (START + 5, START + 1, START - 1, START + 2):
        note(book, 1, at)
    assert [(seen.source.hour, seen.uses, seen.first, seen.last) for seen in taken(book)] == [
        (hour_of(START), 2, START + 1, START + 5),
        (hour_of(START - 1), 1, START - 1, START - 1),
        (hour_of(START), 1, START + 2, START + 2),
    ]


def test_a_few_keys_are_written_at_once() -> None:
    """A round has all that was noted before it, and the next one of few records is due five seconds later."""
    book = UsageBook()
    note(book, 1, START)
    assert len(due(book, START)) == 1
    note(book, 1, START + 1)
    note(book, 2, START + 1)
    assert due(book, START + 4.9) == []
    assert {seen.source.key_id for seen in due(book, START + 5)} == {key_id(1), key_id(2)}


def test_many_keys_are_written_once_a_minute() -> None:
    """After a round of many records, what is noted within a minute of its beginning waits until that is over."""
    book = UsageBook()
    for number in range(1200):
        note(book, number, START)
    batches = []
    book.begin_round(START)
    while batch := book.take_due():
        batches.append(len(batch))
        note(book, 1, START + 1)
        assert book.due == 1200 - sum(batches)
        if book.due:
            # A round that is not over goes on, however long it takes.
            book.begin_round(START + 1000)
    assert batches == [MOST_AT_ONCE] * 12
    assert due(book, START + 59.9) == []
    assert [seen.uses for seen in due(book, START + 60)] == [12]


def test_due_records_in_the_order_of_keys() -> None:
    """Records come in the order of their keys once they are ordered, and before in any order; none is left out."""
    book = UsageBook()
    numbers = [number * 7 % 1201 for number in range(1, 1201)]
    for number in numbers:
        note(book, number, START)
    book.begin_round(START)
    before = keys_of(book.take_due())
    assert book.order_some()
    before += keys_of(book.take_due())
    while book.order_some():
        assert book.due == 1200 - 2 * MOST_AT_ONCE
    after = keys_of(left(book))
    assert after == sorted(after)
    assert sorted(before + after) == sorted(numbers)


def test_a_clock_that_is_set_back_delays_no_round() -> None:
    """A round is due at once when the time is before the last one."""
    book = UsageBook()
    assert due(book, START) == []
    note(book, 1, START)
    assert len(due(book, START - HOUR)) == 1


def test_bounded() -> None:
    """Beyond the bound uses are still counted, but without network and agent."""
    book = UsageBook(most_sources=2)
    for number in range(100):
        note(book, 1, START, network=NETWORK + number)
    assert len(book) == 3
    assert sum(seen.uses for batch in book.take_all() for seen in batch) == 100


def test_a_flood_of_sources_on_one_key() -> None:
    """Fifty sources of a key are counted apart, the rest together for each verifier; another key is not concerned."""
    book = UsageBook()
    for number in range(1000):
        note(book, 1, START, network=NETWORK + number, agent=f"agent{number}")
        book.note(key_id(1), digest(1), NETWORK + number, book.verifier_number("w"), START)
    note(book, 2, START, network=NETWORK + 5000, agent="curl")
    note(book, 1, START, network=NETWORK, agent="agent0")
    seen = {each.source: each.uses for each in taken(book)}
    assert len(seen) == 50 + 2 + 1
    assert sum(seen.values()) == 2002
    assert seen[source(1, START, None)] == seen[source(1, START, None)._replace(verifier="w")] == 975
    assert seen[source(1, START, "192.0.2.0/24", "agent0")] == 2
    assert seen[source(2, START, network_text(NETWORK + 5000), "curl")] == 1


def test_a_flood_of_keys_leaves_places_to_others() -> None:
    """Once half of the places are used, another key has five, and the keys of the flood get no more."""
    book = UsageBook(most_sources=1000)
    for number in range(10):
        for network in range(60):
            note(book, number, START, network=NETWORK + network)
    for network in range(10):
        note(book, 11, START, network=NETWORK + network)
    seen = [each.source for each in taken(book) if each.source.key_id == key_id(11)]
    assert len([each for each in seen if each.network is not None]) == 5


@pytest.mark.parametrize("code", [code for code in Code if code not in (Code.VALID, Code.NOT_FOUND)])
def test_refusals_are_added_up(code: Code) -> None:
    """Refusals of one place, hour and code are one row beside that of the uses, whether the caller has a number."""
    book = UsageBook()
    edge = book.verifier_number("edge")
    for at in (START + 5, START + 1):
        note(book, 1, at, network=NETWORK, agent="curl")
        refuse(book, 1, at, code, network=NETWORK, agent="curl")
        book.note_refusal(key_id(1), digest(1), NETWORK, ("edge", None), code, at)
        book.note(key_id(1), digest(1), NETWORK, edge, at)
    refuse(book, 1, START + HOUR, code)
    curl = source(1, START, "192.0.2.0/24", "curl")
    of_edge = source(1, START, "192.0.2.0/24")._replace(verifier="edge")
    assert set(taken(book)) == {
        UsageRecord(curl, 2, START + 1, START + 5),
        UsageRecord(curl._replace(code=code), 2, START + 1, START + 5),
        UsageRecord(of_edge, 2, START + 1, START + 5),
        UsageRecord(of_edge._replace(code=code), 2, START + 1, START + 5),
        UsageRecord(source(1, START + HOUR)._replace(code=code), 1, START + HOUR, START + HOUR),
    }


def test_codes_are_told_apart() -> None:
    """Refusals of one source with different codes are different rows."""
    book = UsageBook()
    for code in (Code.REVOKED, Code.EXPIRED, Code.REVOKED):
        refuse(book, 1, START, code)
    assert {each.source.code: each.uses for each in taken(book)} == {Code.REVOKED: 2, Code.EXPIRED: 1}


def test_a_flood_of_refusals_of_one_key() -> None:
    """Fifty sources of its refusals are counted apart, the rest by code; its uses and other keys are not concerned."""
    book = UsageBook()
    for number in range(1000):
        refuse(book, 1, START, network=NETWORK + number, agent=f"agent{number}")
        refuse(book, 1, START, Code.EXPIRED, network=NETWORK + number)
    for key in (1, 2):
        for number in range(50):
            note(book, key, START, network=NETWORK + number, agent="curl")
    refuse(book, 2, START, network=NETWORK + 5000, agent="curl")
    seen = {each.source: each.uses for each in taken(book)}
    assert len(seen) == 50 + 2 + 2 * 50 + 1
    assert sum(seen.values()) == 2000 + 101
    rest = source(1, START)
    assert seen[rest._replace(code=Code.REVOKED)] == seen[rest._replace(code=Code.EXPIRED)] == 975
    assert seen[source(2, START, network_text(NETWORK + 5000), "curl")._replace(code=Code.REVOKED)] == 1


def test_a_flood_of_refusals_of_many_keys() -> None:
    """Refusals have an eighth of the places, beside those of uses: however many there are, uses have all of theirs."""
    book = UsageBook(most_sources=160)
    for number in range(20):
        for network in range(60):
            refuse(book, number, START, network=NETWORK + network)
    refused = [each for each in taken(book) if each.source.network is not None]
    assert 0 < len(refused) <= 20
    for number in range(20):
        for network in range(60):
            refuse(book, number, START, network=NETWORK + network)
    for network in range(50):
        note(book, 99, START, network=NETWORK + network)
    uses = [each for each in taken(book) if each.source.code is Code.VALID]
    assert [each.source.network is not None for each in uses] == [True] * 50


def test_agents_of_refusals_take_no_place_of_a_use() -> None:
    """Refusals name an eighth as many agents as uses, beside the 16,384 of uses; an agent that has a name keeps it."""
    book = UsageBook()
    anonymous = book.verifier_number("v")
    for number in range(3000):
        refuse(book, number, START, agent=f"refused{number}")
    for number in range(1 << 14):
        assert book.caller_of("v", str(number)) != anonymous
    assert book.caller_of("v", "one more") == anonymous
    for agent in ("16383", "refused1", "one more"):
        refuse(book, 1, START + 1, agent=agent)
    seen = [each.source for each in taken(book)]
    assert len({each.agent for each in seen if each.agent is not None}) == (1 << 14) // REFUSED_PART + 1
    assert {each.agent for each in seen if each.digest == digest(1)} == {"refused1", "16383", None}


def test_no_more_refusals_than_the_bound() -> None:
    """Refusals beyond an eighth of the records are counted as lost; uses have all of theirs."""
    book = UsageBook(most_records=16)
    for number in range(4):
        refuse(book, number, START)
    assert (len(book), book.lost) == (2, 2)
    for number in range(16):
        note(book, number, START)
    assert (len(book), book.lost) == (18, 2)
    note(book, 16, START)
    assert (len(taken(book)), book.lost) == (18, 3)
    refuse(book, 1, START)
    assert len(taken(book)) == 1


def test_new_hours_and_rounds_have_places_again() -> None:
    """The sums of an hour that is over count until they are exchanged; then all places are free."""
    book = UsageBook(most_sources=4)
    for number in range(4):
        note(book, number, START, network=NETWORK)
    note(book, 5, START + HOUR, network=NETWORK)
    assert [each.source.network for each in taken(book)] == ["192.0.2.0/24"] * 4 + [None]
    note(book, 5, START + HOUR, network=NETWORK)
    assert [each.source.network for each in taken(book)] == ["192.0.2.0/24"]


def test_callers_are_bounded() -> None:
    """Beyond 16,384 pairs of a round, agents are left out; all names of callers are kept."""
    book = UsageBook()
    edge = book.verifier_number("edge")
    assert book.verifier_number("edge") == book.caller_of("edge", None) == edge
    for number in range(1 << 14):
        assert book.caller_of("edge", str(number)) == book.caller_of("edge", str(number))
    assert book.caller_of("edge", "one more") == edge
    for number, (name, agent) in enumerate([("edge", "one more"), ("stranger", None), ("other", "curl")]):
        book.note(key_id(number), digest(2), 0, book.caller_of(name, agent), START)
    named = [(each.source.verifier, each.source.agent) for each in taken(book)]
    assert named == [("edge", None), ("stranger", None), ("other", None)]
    book.note(key_id(2), digest(2), 0, book.caller_of("stranger", "curl"), START)
    assert [(each.source.verifier, each.source.agent) for each in taken(book)] == [("stranger", "curl")]


def test_names_of_callers_are_bounded() -> None:
    """Beyond 32,768 names of a round, a caller that is no verifier with a number has none; a verifier keeps its own."""
    book = UsageBook()
    edge = book.verifier_number("edge")
    numbers = {book.caller_of(str(number), None) for number in range(1 << 15)}
    assert len(numbers) == 1 << 15
    assert (book.caller_of("one more", None), book.caller_of("one more", "curl")) == (0, 0)
    assert (book.caller_of("edge", None), book.caller_of("edge", "curl")) == (edge, edge)


def test_verifiers_are_bounded() -> None:
    """A verifier beyond 32,767 has no name where its number is for good."""
    book = UsageBook()
    numbers = [book.verifier_number(str(number)) for number in range(1 << 15)]
    assert numbers == [*range(1, 1 << 15), 0]


NOTED = st.tuples(
    st.integers(0, 3),
    st.floats(0, 7200),
    st.sampled_from([NETWORK, NETWORK + 1]),
    st.sampled_from([Code.VALID, Code.REVOKED, Code.RATE_LIMITED]),
)


@given(st.lists(NOTED, max_size=50))
def test_no_use_is_lost_or_counted_twice(noted: list[tuple[int, float, int, Code]]) -> None:
    """Whatever is noted and whenever it is taken, the counts of uses and of each refusal add up."""
    book, seen = UsageBook(most_sources=24), []
    for number, at, network, code in noted:
        if code is Code.VALID:
            note(book, number, START + at, network=network)
        else:
            refuse(book, number, START + at, code, network=network)
        seen += due(book, START + at)
    found: Counter[Code] = Counter()
    for record in [*seen, *taken(book)]:
        found[record.source.code] += record.uses
    assert found == Counter(code for *_, code in noted)


def test_a_source_is_good_for_its_hour() -> None:
    """Uses at a source of the same hour are added to those before, and uses after its end to the next one."""
    book = UsageBook()
    note(book, 1, START + 5, network=NETWORK)
    note(book, 1, START + 7, network=NETWORK)
    note(book, 1, START + 9, network=NETWORK)
    assert hour_end(START) == hour_end(START + HOUR - 1) == START + HOUR
    note(book, 1, hour_end(START), network=NETWORK)
    first, second = taken(book)
    assert (first.uses, second.uses) == (3, 1)
    assert first.last - first.first == 4


def test_no_more_records_than_the_bound() -> None:
    """Uses of sources beyond the bound of records are counted as lost, and nothing else of them is kept."""
    book = UsageBook(most_sources=1, most_records=2)
    for number in range(4):
        for _ in range(number + 1):
            note(book, number, START, network=NETWORK)
    assert [(seen.source.network, seen.uses) for seen in book.take()] == [("192.0.2.0/24", 1), (None, 2)]
    assert book.lost == 3 + 4


def test_a_bounded_number_is_taken() -> None:
    """What is taken at once is bounded, and the rest stays."""
    book = UsageBook()
    for number in range(5):
        note(book, number, START)
    assert [len(book.take(3)), len(book.take(3)), len(book.take(3))] == [3, 2, 0]


def test_the_collector_has_nothing_to_visit() -> None:
    """Nothing that a book has for a use is tracked by the garbage collector, but for the book and its dicts."""
    book = UsageBook()
    caller = book.verifier_number("v")
    book.note(key_id(1), digest(1), NETWORK, caller, START)
    before = len(gc.get_objects())
    for network in range(40):
        book.note(key_id(1), digest(1), NETWORK + network, caller, START + network)
        book.note_refusal(key_id(1), digest(1), NETWORK + network, ("v", None), Code.REVOKED, START + network)
    assert len(gc.get_objects()) <= before


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


def test_a_long_agent_is_not_kept() -> None:
    """The rest of a user agent, which a stranger may make as long as a head, is in no memory of descriptions."""

    class Sent(str):
        __slots__ = ("__weakref__",)

    sent = Sent("curl/" + "8" * 30_000)
    left = weakref.ref(sent)
    assert agent_family(sent) == "curl"
    del sent
    assert left() is None
