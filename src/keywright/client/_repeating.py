"""
Requests that are sent again when their answer was lost: which, how often, and after how long. Pure, but for the dice.

A creation or rotation may have been made although nobody heard of it. With the same idempotency key the service gives
the same answer again, so that a lost answer neither loses a key nor makes a second one.
"""

import secrets
from collections.abc import Iterator, Sequence

from keywright.client.errors import KeywrightError, Refused, ServiceUnavailable

PAUSES: Sequence[float] = (0.2, 1.0, 3.0)
"""Seconds before each further try; as many are made as stand here."""

LONGEST_PAUSE = 10.0
"""What a service may ask for at most."""

_KEY_BYTES = 24
_random = secrets.SystemRandom()


def new_idempotency_key() -> str:
    """Make up a key for one request: 32 url-safe characters, 192 random bits."""
    return secrets.token_urlsafe(_KEY_BYTES)


def check_idempotency_key(key: str) -> None:
    """
    Refuse what the service would.

    Raises:
        KeywrightError: It is not 22 to 255 printable ASCII characters without spaces; none of it is repeated.
    """
    if not (22 <= len(key) <= 255 and key.isascii() and key.isprintable() and " " not in key):
        raise KeywrightError("An idempotency key is 22 to 255 printable ASCII characters without spaces.")


def is_lost(error: KeywrightError) -> bool:
    """Tell whether the request may have been carried out, or still is, without anybody having heard of it."""
    return isinstance(error, ServiceUnavailable) or (
        isinstance(error, Refused) and error.code == "idempotency_key_in_use"
    )


class Tries:
    """
    Counts the tries of one request.

    Args:
        pauses: Seconds before each further try; up to half of it is added at random, so that not all come at once.
    """

    def __init__(self, pauses: Sequence[float]) -> None:
        self._pauses: Iterator[float] = iter(pauses)

    def pause_after(self, error: KeywrightError) -> float | None:
        """Say how many seconds to wait before the next try, or None when *error* is the end of it."""
        if not is_lost(error):
            return None
        pause = next(self._pauses, None)
        if pause is None:
            return None
        asked_for = min(getattr(error, "retry_after", None) or 0.0, LONGEST_PAUSE)
        return max(pause * _random.uniform(1, 1.5), asked_for)
