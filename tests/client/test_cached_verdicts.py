"""Uses, added up and bounded."""

from keywright.client.verifier._cached_verdicts import HOUR_SECONDS, NEVER_STANDS, Standing, Uses, Words
from keywright.client.verifier._verdicts import NOT_FOUND

NOW = 1_800_000_000.0


def words(number: int, address: str | None = None, agent: str | None = None) -> Words:
    return number.to_bytes(32, "big"), (), None, address, agent


def note(uses: Uses, said: Words, now: float = NOW, *, times: int = 1) -> None:
    standing = Standing(NOT_FOUND, now, until=0.0, changes=NEVER_STANDS)
    standing.count = times
    uses.note(said, standing)


def reported(uses: Uses, most: int = 1_000_000) -> list[tuple[int, str | None, int]]:
    uses.turn()
    while uses.settle(100):
        pass
    return sorted(((int.from_bytes(use.digest, "big"), use.network, use.times) for use in uses.take(most)), key=str)


def test_places_are_told_apart_up_to_a_number() -> None:
    """Beyond the bound uses of a key are counted without their place, and beyond twice that only as lost."""
    uses = Uses(most=2)
    for number, address in enumerate(["192.0.2.1", "198.51.100.1", "203.0.113.1", "203.0.113.2"]):
        note(uses, words(0, address), times=number + 1)
    found = reported(uses)
    assert sum(times for _, _, times in found) == 10
    assert len(found) == 3
    assert uses.lost == 0
    for number in range(9):
        note(uses, words(number))
    assert len(reported(uses)) == 4
    assert uses.lost == 5


def test_hours_are_told_apart() -> None:
    """The same place in two hours is two sightings."""
    uses = Uses()
    note(uses, words(0), NOW)
    uses.turn()
    note(uses, words(0), NOW + HOUR_SECONDS)
    assert reported(uses) == [(0, None, 1), (0, None, 1)]


def test_batches() -> None:
    """What is taken is bounded, and what is not taken stays."""
    uses = Uses()
    for number in range(5):
        note(uses, words(number))
    assert len(reported(uses, 3)) == 3
    assert len(reported(uses, 3)) == 2
    assert reported(uses) == []


def test_replaced_words_stay_counted() -> None:
    """When the same words get a new verdict, what was counted under the old one is kept."""
    uses = Uses()
    note(uses, words(0), times=3)
    note(uses, words(0), times=4)
    assert reported(uses) == [(0, None, 7)]


def test_recent_words_are_bounded() -> None:
    """No more words are kept as they were said than the bound."""
    uses = Uses(most_recent=10)
    for number in range(95):
        note(uses, words(number))
        assert len(uses.recent) <= 10
    assert len(reported(uses)) == 95
