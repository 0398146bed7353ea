"""Rounds: what a process does in the background again and again, whether or not the database is there."""

import asyncio
from collections.abc import Awaitable, Callable

from keywright.service.faults import StorageUnavailable

PAUSE_SECONDS = 0.5


async def again_and_again(
    seconds: float, duty: Callable[[], Awaitable[object]], *, after_failure: float | None = None
) -> None:
    """
    Do a duty, wait, and so on until it is cancelled; what could not be stored has another round.

    Args:
        seconds: How long to wait after a round.
        duty: What is done in each.
        after_failure: How long to wait after a round that failed, where that is not as long.
    """
    while True:
        pause = seconds
        try:
            await duty()
        except (StorageUnavailable, ValueError):
            # The latter is what a database says of data that it refuses; the next round may have other data.
            pause = seconds if after_failure is None else after_failure
        await asyncio.sleep(pause)
