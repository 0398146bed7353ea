"""Cached verdicts, and the uses that are counted on them, added up and bounded."""

from keywright.client.verifier._cached_verdicts import NEVER_REPEATED, CachedVerdict, CachedVerdicts, RequestKey
from keywright.client.verifier._verdicts import NOT_FOUND
from keywright.keys.usage import HOUR_SECONDS

NOW = 1_800_000_000.0


def request(number: int, address: str | None = None, agent: str | None = None) -> RequestKey:
    return number.to_bytes(32, "big"), (), None, address, agent


def note(verdicts: CachedVerdicts, key: RequestKey, now: float = NOW, *, times: int = 1) -> None:
    cached = CachedVerdict(NOT_FOUND, now, until=0.0, changes=NEVER_REPEATED)
    cached.count = times
    verdicts.add(key, cached)


def reported(verdicts: CachedVerdicts, most: int = 1_000_000) -> list[tuple[int, str | None, int]]:
    verdicts.set_aside()
    while verdicts.add_up(100):
        pass
    records = [record for batch in verdicts.take_usage(most) for record in batch]
    return sorted(
        ((int.from_bytes(each.source.digest, "big"), each.source.network, each.uses) for each in records), key=str
    )


def test_sources_are_told_apart_up_to_a_number() -> None:
    """Beyond the bound uses of a key are counted without network and agent, and beyond twice that only as lost."""
    verdicts = CachedVerdicts(most_sources=2)
    for number, address in enumerate(["192.0.2.1", "198.51.100.1", "203.0.113.1", "203.0.113.2"]):
        note(verdicts, request(0, address), times=number + 1)
    found = reported(verdicts)
    assert sum(times for _, _, times in found) == 10
    assert len(found) == 3
    assert verdicts.usage.lost == 0
    for number in range(9):
        note(verdicts, request(number))
    assert len(reported(verdicts)) == 4
    assert verdicts.usage.lost == 5


def test_hours_are_told_apart() -> None:
    """The same source in two hours is two records."""
    verdicts = CachedVerdicts()
    note(verdicts, request(0), NOW)
    verdicts.set_aside()
    note(verdicts, request(0), NOW + HOUR_SECONDS)
    assert reported(verdicts) == [(0, None, 1), (0, None, 1)]


def test_batches() -> None:
    """What is taken is bounded, and what is not taken stays."""
    verdicts = CachedVerdicts()
    for number in range(5):
        note(verdicts, request(number))
    assert len(reported(verdicts, 3)) == 3
    assert len(reported(verdicts, 3)) == 2
    assert reported(verdicts) == []


def test_a_replaced_verdict_stays_counted() -> None:
    """When the same request gets a new verdict, what was counted under the old one is kept."""
    verdicts = CachedVerdicts()
    note(verdicts, request(0), times=3)
    note(verdicts, request(0), times=4)
    assert reported(verdicts) == [(0, None, 7)]


def test_cached_verdicts_are_bounded() -> None:
    """No more verdicts are cached than the bound."""
    verdicts = CachedVerdicts(most=10)
    for number in range(95):
        note(verdicts, request(number))
        assert len(verdicts.recent) <= 10
    assert len(reported(verdicts)) == 95
