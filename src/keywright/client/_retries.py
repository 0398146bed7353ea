"""
Retries of requests whose answer was lost. Pure but for randomness.

A creation or rotation may have been made although its answer did not arrive. With the same idempotency key the service
gives the same answer again. So a lost answer neither loses a key nor creates a second one.
"""

import secrets
from collections.abc import Iterator, Sequence

from keywright.client.errors import KeywrightError, Refused, ServiceUnavailable

PAUSES: Sequence[float] = (0.2, 1.0, 3.0)
"""Seconds before each retry; their number is the number of retries."""

LONGEST_PAUSE = 10.0
"""The longest `Retry-After` that is followed, in seconds."""

_KEY_BYTES = 24
_random = secrets.SystemRandom()


def new_idempotency_key() -> str:
    """Generate an idempotency key: 32 URL-safe characters, 192 random bits."""
    return secrets.token_urlsafe(_KEY_BYTES)


def check_idempotency_key(key: str) -> None:
    """
    Refuse a malformed idempotency key, as the service does.

    Raises:
        KeywrightError: It is not 22 to 255 printable ASCII characters without spaces; the error does not quote it.
    """
    if not (22 <= len(key) <= 255 and key.isascii() and key.isprintable() and " " not in key):
        raise KeywrightError("An idempotency key is 22 to 255 printable ASCII characters without spaces.")


def is_lost(error: KeywrightError) -> bool:
    """Return whether the request may have been carried out, or is still running, without an answer."""
    return isinstance(error, ServiceUnavailable) or (
        isinstance(error, Refused) and error.code == "idempotency_key_in_use"
    )


class Retries:
    """
    Counts the retries of one request.

    Args:
        pauses: Seconds before each retry. Up to half is added at random, so that clients do not retry all at once.
    """

    def __init__(self, pauses: Sequence[float]) -> None:
        self._pauses: Iterator[float] = iter(pauses)

    def pause_after(self, error: KeywrightError) -> float | None:
        """Give the seconds to wait before the next retry; None when *error* is final."""
        if not is_lost(error):
            return None
        pause = next(self._pauses, None)
        if pause is None:
            return None
        requested = min(getattr(error, "retry_after", None) or 0.0, LONGEST_PAUSE)
        return max(pause * _random.uniform(1, 1.5), requested)
