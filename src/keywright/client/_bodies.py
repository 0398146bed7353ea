"""
The bodies of requests. A value that JSON cannot represent is refused here; the service checks all other rules.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from enum import Enum
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
        KeywrightError: A value cannot be written as JSON in UTF-8; the error does not quote it.
    """
    try:
        return json.dumps(dict(fields), ensure_ascii=False, allow_nan=False, default=_plain).encode()
    except (TypeError, ValueError, RecursionError):
        raise KeywrightError("A field holds what JSON in UTF-8 cannot carry, or a time without a zone.") from None


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
        raise ValueError("a time without a zone")
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError("not a value of JSON")
