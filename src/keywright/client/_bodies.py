"""
What is sent to a service to make or change a key. What cannot be sent as it is meant is refused here; the rules for
the values themselves are the service's.
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
"""A rate limit of one's own, or one out of an answer."""


class Unchanged(Enum):
    """The type of `UNCHANGED`."""

    UNCHANGED = "unchanged"

    def __repr__(self) -> str:
        return self.name


UNCHANGED: Final = Unchanged.UNCHANGED
"""In place of a value: leave this field as it is."""


def body_of(fields: Mapping[str, Any]) -> bytes:
    """
    Write the body of a request.

    Args:
        fields: By the names of the contract; times, tuples and rate limits included.

    Raises:
        KeywrightError: It holds what JSON or UTF-8 cannot carry; none of it is repeated.
    """
    try:
        return json.dumps(dict(fields), ensure_ascii=False, allow_nan=False, default=_plain).encode()
    except (TypeError, ValueError, RecursionError):
        raise KeywrightError("A field holds what JSON in UTF-8 cannot carry, or a time without a zone.") from None


def texts(name: str, values: Collection[str]) -> tuple[str, ...]:
    """
    Bring the values of a list of strings into the form that is sent.

    Raises:
        TypeError: They are one string, which would be taken for its letters.
    """
    if isinstance(values, str):
        raise TypeError(f"{name} must be a collection of strings, not one string")
    return tuple(values)


def plain_limits(limits: Iterable[AnyRateLimit]) -> list[dict[str, Any]]:
    """Write rate limits as the contract has them; JSON would make lists of tuples."""
    return [{"name": limit.name, "limit": limit.limit, "window_seconds": limit.window_seconds} for limit in limits]


def moment(time: datetime) -> str:
    """
    Write a moment as RFC 3339 has it.

    Raises:
        ValueError: It has no zone, so nobody knows which moment it is.
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
