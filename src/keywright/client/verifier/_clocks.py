"""
The two clocks of a verifier.

`monotonic` goes on while the machine is suspended, where the system has such a clock: a cache that was synced before a
night in a closed laptop must not be fresh in the morning.
"""

import time
from collections.abc import Callable
from functools import partial

Clock = Callable[[], float]
"""Reads a clock, in seconds."""


def _going_on() -> Clock:
    # BOOTTIME on Linux; on macOS CLOCK_MONOTONIC counts sleep, and time.monotonic does not.
    for name in ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC"):
        clock = getattr(time, name, None)
        if clock is None:
            continue
        try:
            time.clock_gettime(clock)
        except OSError:
            continue
        return partial(time.clock_gettime, clock)
    return time.monotonic


def corrected(shown: float, time: float, slack: float) -> float:
    """
    Move the reading of a clock as far as another clock proves it wrong, and no further.

    Args:
        shown: The reading, in seconds of the epoch.
        time: What the other clock, which decides, showed at most *slack* seconds before that reading.
        slack: The longest time between the two readings, in seconds.
    """
    return min(max(shown, time), time + slack)


monotonic: Clock = _going_on()
epoch: Clock = time.time
