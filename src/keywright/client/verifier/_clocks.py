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


monotonic: Clock = _going_on()
epoch: Clock = time.time
