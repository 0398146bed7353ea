"""Waiting for something that happens soon, with the patience of a busy machine."""

import asyncio
import time
from collections.abc import Callable
from inspect import isawaitable
from typing import Any

from tests.live import PATIENCE_SECONDS

_PAUSE_SECONDS = 0.02


def eventually(happened: Callable[[], Any]) -> None:
    """Wait until *happened* is true; fail when the patience ends."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(_PAUSE_SECONDS)


async def until(happened: Callable[[], Any]) -> None:
    """Wait on an event loop until *happened* is true, or what it returns to be awaited; fail when the patience ends."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (await outcome if isawaitable(outcome := happened()) else outcome):  # noqa: ASYNC110
            await asyncio.sleep(_PAUSE_SECONDS)
