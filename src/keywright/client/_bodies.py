"""
The bodies of requests. A value that JSON cannot represent is refused here; the service checks all other rules.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from enum import Enum
from itertools import starmap
from typing import Any, Final, TypeAlias

from keywright.client.errors import KeywrightError
from keywright.contract import RateLimitResponse
from keywright.keys.rate_limits import RateLimit

AnyRateLimit: TypeAlias = RateLimit | RateLimitResponse
"""A new rate limit, or one from an answer."""


class Unchanged(Enum):
    """The type of `UNCHANGED`."""

    UNCHANGED = "unchanged"

    def __repr__(self) -> str:
        return self.name


UNCHANGED: Final = Unchanged.UNCHANGED
"""In place of a value: do not change this field."""


def body_of(fields: Mapping[str, Any]) -> bytes:
    """
    Write the body of a request.

    Args:
        fields: Values by the names of the contract; aware times and tuples are allowed.

    Raises:
        KeywrightError: A value cannot be written as JSON in UTF-8; the error names the field and the type, and does
            not quote the value.
    """
    try:
        return _written(dict(fields))
    except (TypeError, ValueError, RecursionError):
        # Raised outside of the handler: a traceback would show the value.
        flaw = next(filter(None, starmap(flaw_in, fields.items())), "The fields cannot be written as JSON in UTF-8.")
    raise KeywrightError(flaw)


def flaw_in(name: str, value: Any) -> str | None:
    """Say what is wrong with a field or filter that cannot be written, without its value; None for one that can."""
    try:
        _written(value)
    except RecursionError:
        return f"{name}: the {type(value).__name__} is nested too deep."
    except UnicodeEncodeError:
        return f"{name}: the {type(value).__name__} has half of a surrogate pair, which UTF-8 cannot carry."
    except (TypeError, ValueError) as error:
        return f"{name}: {_reason(value, error)}"
    return None


def _written(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain).encode()


def _reason(value: Any, error: Exception) -> str:
    if isinstance(error, _NotJson):
        return str(error)
    return f"the {type(value).__name__} has a value that JSON cannot carry, such as infinity or a name that is no text."


def texts(name: str, values: Collection[str]) -> tuple[str, ...]:
    """
    Give the values of a list of strings as a tuple.

    Raises:
        TypeError: *values* is one string, which would be read as its letters.
    """
    if isinstance(values, str):
        raise TypeError(f"{name} must be a collection of strings, not one string")
    return tuple(values)


def plain_limits(limits: Iterable[AnyRateLimit]) -> list[dict[str, Any]]:
    """Write rate limits as JSON objects; `json` would write a named tuple as a list."""
    return [{"name": limit.name, "limit": limit.limit, "window_seconds": limit.window_seconds} for limit in limits]


def moment(time: datetime) -> str:
    """
    Write a time as RFC 3339 in UTC.

    Raises:
        ValueError: The time has no zone, so it names no moment.
    """
    if time.tzinfo is None:
        raise _NotJson("the datetime has no zone, so it names no moment.")
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise _NotJson(f"JSON has no {type(value).__name__}.")


class _NotJson(ValueError):
    """A value that JSON cannot carry; the text is a sentence without the value."""
