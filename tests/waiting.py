"""Waiting for something that happens soon, with the patience of a busy machine."""

import time
from collections.abc import Callable

from tests.live import PATIENCE_SECONDS


def eventually(happened: Callable[[], bool]) -> None:
    """Wait until *happened* is true; fail when the patience ends."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
