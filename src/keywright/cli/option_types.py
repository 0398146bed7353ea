"""Options and arguments that several commands share, and readers of values: durations, moments, rate limits, JSON."""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click

from keywright.keys.rate_limits import RateLimit

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_DURATION = re.compile(r"([0-9]{1,9})([smhdw])")
_RATE_LIMIT = re.compile(r"([^=]+)=([0-9]{1,10})/(.+)")
# Longer than any duration that the service accepts; larger ones overflow datetime.
_LONGEST_SECONDS = 1000 * 366 * 86_400

Function = TypeVar("Function", bound=Callable[..., Any])


def duration(text: str) -> int:
    """Read a duration such as `90s`, `15m`, `12h`, `7d` or `2w`, into seconds."""
    match = _DURATION.fullmatch(text)
    seconds = int(match[1]) * _UNITS[match[2]] if match else _LONGEST_SECONDS + 1
    if seconds > _LONGEST_SECONDS:
        raise click.BadParameter("it must be a whole number and a unit, such as 90s, 15m, 12h, 7d or 2w")
    return seconds


def moment_ahead(text: str) -> datetime:
    """Read a moment in the future: a duration from now, or a time with an offset."""
    return _moment(text, +1)


def moment_past(text: str) -> datetime:
    """Read a moment in the past: a duration before now, or a time with an offset."""
    return _moment(text, -1)


def rate_limit(text: str) -> RateLimit:
    """Read a rate limit such as `minute=100/60s`."""
    match = _RATE_LIMIT.fullmatch(text)
    if match is None:
        raise click.BadParameter("it must be a name, a number and a duration, such as minute=100/60s")
    return RateLimit(match[1], int(match[2]), duration(match[3]))


def json_object(text: str) -> Mapping[str, Any]:
    """Read a JSON object."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise click.BadParameter('it must be a JSON object, such as {"plan": "team"}')
    return found


def shown_duration(seconds: float) -> str:
    """Write a duration for people, in its largest whole unit: `90s`, `15m`, `7d`."""
    whole = round(seconds)
    for unit in ("d", "h", "m"):
        if whole and whole % _UNITS[unit] == 0:
            return f"{whole // _UNITS[unit]}{unit}"
    return f"{whole}s"


def duration_option(name: str, help: str, **settings: Any) -> Callable[[Function], Function]:  # noqa: A002 - click's
    """Declare an option that takes a duration; its value is in seconds."""
    return click.option(name, type=duration, metavar="DURATION", help=help, **settings)


def past_option(name: str, help: str) -> Callable[[Function], Function]:  # noqa: A002
    """Declare an option that takes a moment in the past."""
    return click.option(name, type=moment_past, metavar="DURATION|TIME", help=help)


# No option takes the access token: shells store command lines, and `ps` shows them to every user.
key = click.argument(
    "key", metavar="KEY", help="The key: its id or the id's beginning, its name, its display, or its public key."
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, and nothing else, on standard output.")
yes = click.option("--yes", "-y", is_flag=True, help="Do not ask.")
if_match = click.option(
    "--if-match", metavar="ETAG", help="Refuse if the key has changed since `get --json` printed this `etag`."
)
all_pages = click.option("--all", "everything", is_flag=True, help="Read all pages, not only the first.")
since = past_option("--since", "The start: a time, or a duration before now, such as 7d.")


def page_size(what: str, *, default: int = 100, most: int = 1000) -> Callable[[Function], Function]:
    """Declare `--limit`, the number of *what* on a page, up to *most*."""
    return click.option(
        "--limit",
        type=click.IntRange(1, most),
        default=default,
        show_default=True,
        metavar="NUMBER",
        help=f"The most {what} on a page.",
    )


def _moment(text: str, direction: int) -> datetime:
    if _DURATION.fullmatch(text):
        try:
            return datetime.now(UTC) + direction * timedelta(seconds=duration(text))
        except OverflowError:
            raise click.BadParameter("it is too long: the moment is out of the calendar's range") from None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise click.BadParameter("it must be a duration such as 90d, or a time such as 2027-01-31T12:00:00Z")
    return found
