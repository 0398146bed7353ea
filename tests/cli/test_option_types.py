"""How the values of options are read."""

from datetime import UTC, datetime, timedelta

import click
import pytest

from keywright.cli import option_types
from keywright.keys.rate_limits import RateLimit


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0s", 0), ("90s", 90), ("15m", 900), ("12h", 43_200), ("7d", 604_800), ("2w", 1_209_600)],
)
def test_durations(text: str, seconds: int) -> None:
    """A duration is a whole number and a unit."""
    assert option_types.duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "90", "s", "1.5h", "-1s", "1h30m", "7 d", "7D", "1y", "٣d", "9999999999s", "999999999w"]
)
def test_what_is_no_duration(text: str) -> None:
    """Anything else is refused, whatever a lenient reader would make of it."""
    with pytest.raises(click.BadParameter):
        option_types.duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (1, "1s"), (90, "90s"), (900, "15m"), (5400, "90m"), (7200, "2h"), (604_800, "7d")]
)
def test_shown_durations(seconds: int, text: str) -> None:
    """A duration is shown in its largest whole unit, as it can be typed again."""
    assert option_types.shown_duration(seconds) == text
    assert option_types.duration(text) == seconds


def test_moments() -> None:
    """A moment is a time with an offset, or so long before or after now."""
    assert option_types.moment_ahead("2027-01-31T13:00:00+01:00") == datetime(2027, 1, 31, 12, tzinfo=UTC)
    before = datetime.now(UTC)
    ahead, past = option_types.moment_ahead("1h"), option_types.moment_past("1h")
    after = datetime.now(UTC)
    assert before <= ahead - timedelta(hours=1) <= after
    assert before <= past + timedelta(hours=1) <= after


@pytest.mark.parametrize("text", ["", "tomorrow", "2027-01-31", "2027-01-31T12:00:00", "300000w", "12:00Z"])
def test_what_is_no_moment(text: str) -> None:
    """A time without an offset, or beyond the calendar, is refused."""
    with pytest.raises(click.BadParameter):
        option_types.moment_past(text)


def test_rate_limits() -> None:
    """A rate limit is a name, a number and a duration."""
    assert option_types.rate_limit("minute=100/60s") == RateLimit("minute", 100, 60)
    assert option_types.rate_limit("per-day=5000/1d") == RateLimit("per-day", 5000, 86_400)
    for text in ("", "minute", "minute=/60s", "=1/60s", "minute=1/", "minute=1/60", "minute=-1/60s"):
        with pytest.raises(click.BadParameter):
            option_types.rate_limit(text)


def test_json_objects() -> None:
    """Only a JSON object is one."""
    assert option_types.json_object('{"plan": "team"}') == {"plan": "team"}
    for text in ("", "[]", "1", "{", "[" * 100_000):
        with pytest.raises(click.BadParameter):
            option_types.json_object(text)
