"""How the fields of the feed's events are read. Whatever is not as it should be is a TypeError or ValueError."""

from math import isfinite
from typing import Any


def read_text(value: Any) -> str:
    """Read a string."""
    if not isinstance(value, str):
        raise TypeError("not a string")
    return value


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
