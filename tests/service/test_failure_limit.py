"""The limit on failures by address."""

from keywright.service.checking.failure_limit import FailureLimit


def test_who_fails_too_often_is_turned_away() -> None:
    """An address may fail so often; then it has to wait, and others are not touched."""
    limit = FailureLimit(allowed=3, seconds=60)
    for _ in range(3):
        assert not limit.exceeded("a", 0.0)
        limit.note("a", 0.0)
    assert limit.exceeded("a", 1.0)
    assert not limit.exceeded("b", 1.0)


def test_failures_are_forgotten() -> None:
    """Failures leak out of the bucket over time, at the rate of the limit."""
    limit = FailureLimit(allowed=3, seconds=60)
    for _ in range(3):
        limit.note("a", 0.0)
    assert limit.exceeded("a", 19.0)
    assert not limit.exceeded("a", 21.0)


def test_bounded() -> None:
    """However many addresses fail, a bounded number is watched, and the latest are."""
    limit = FailureLimit(allowed=2, seconds=60, most=10)
    for number in range(1000):
        limit.note(f"{number}", 0.0)
    limit.note("999", 0.0)
    assert limit.exceeded("999", 0.0)
    limit.note("990", 0.0)
    limit.note("990", 0.0)
    assert limit.exceeded("990", 0.0)
    assert not limit.exceeded("1", 0.0)
