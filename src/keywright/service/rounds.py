"""Rounds: what a process does in the background again and again, whether or not the database is there."""

import asyncio
from collections.abc import Awaitable, Callable

from keywright.service.faults import StorageUnavailable

PAUSE_SECONDS = 0.5


async def again_and_again(seconds: float, duty: Callable[[], Awaitable[object]]) -> None:
    """Do a duty, wait so many seconds, and so on until it is cancelled; what could not be stored has another round."""
    while True:
        try:
            await duty()
        except (StorageUnavailable, ValueError):
            # The latter is what a database says of data that it refuses; the next round may have other data.
            await asyncio.sleep(PAUSE_SECONDS)
        await asyncio.sleep(seconds)
