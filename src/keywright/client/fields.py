"""How the single fields of an answer are read. Whatever is not as it should be is a TypeError or ValueError."""

from collections.abc import Callable, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Any, TypeVar

import httpx

from keywright.keys.rate_limits import RateLimit

_Read = TypeVar("_Read")


def read_json(response: httpx.Response) -> Any:
    """Read the body as JSON."""
    try:
        return response.json()
    except RecursionError:
        raise ValueError("nested too deep") from None


def read_optional(read: Callable[[Any], _Read], value: Any) -> _Read | None:
    """Read what may be null."""
    return None if value is None else read(value)


def read_list(read: Callable[[Any], _Read], value: Any) -> tuple[_Read, ...]:
    """Read a list."""
    if not isinstance(value, list):
        raise TypeError("not a list")
    return tuple(map(read, value))


def read_object(value: Any) -> Mapping[str, Any]:
    """Read an object whatever it holds."""
    if not isinstance(value, dict):
        raise TypeError("not an object")
    return value


def read_text(value: Any) -> str:
    """Read a string."""
    if not isinstance(value, str):
        raise TypeError("not a string")
    return value


def read_truth(value: Any) -> bool:
    """Read a boolean."""
    if not isinstance(value, bool):
        raise TypeError("not a boolean")
    return value


def read_time(value: Any) -> datetime:
    """Read an aware time."""
    time = datetime.fromisoformat(read_text(value))
    if time.tzinfo is None:
        raise ValueError("a time without an offset")
    return time


def read_seconds(value: Any) -> float:
    """Read a finite number that is no boolean."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("not a number")
    seconds = float(value)
    if not isfinite(seconds):
        raise ValueError("not a finite number")
    return seconds


def read_whole(value: Any) -> int:
    """Read a whole number that is not negative."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError("not a whole number")
    if value < 0:
        raise ValueError("negative")
    return value


def read_rate_limit(fields: Any) -> RateLimit:
    """Read a rate limit out of an object with its three members."""
    limit = read_whole(fields["limit"]), read_whole(fields["window_seconds"])
    if 0 in limit:
        raise ValueError("a limit of nothing")
    return RateLimit(read_text(fields["name"]), *limit)


def read_date(response: httpx.Response) -> datetime | None:
    """Read when an answer was sent, by the clock of whoever sent it; None where the header is absent or unreadable."""
    try:
        return parsedate_to_datetime(response.headers["Date"])
    except (KeyError, TypeError, ValueError):
        return None


def read_retry_after(response: httpx.Response) -> int | None:
    """Read how many seconds to wait; None where the header is absent or of its other form, a date."""
    value = response.headers.get("Retry-After", "")
    return int(value) if value.isdecimal() and len(value) < 10 else None
