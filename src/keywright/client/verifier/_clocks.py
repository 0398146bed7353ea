"""
The two clocks of a verifier.

`seconds` goes on while the machine is suspended, wherever a clock does: what was followed before a night in a closed
laptop must not count as followed a moment ago.
"""

import time
from collections.abc import Callable
from functools import partial

Clock = Callable[[], float]
"""Reads a clock, in seconds."""


def _going_on() -> Clock:
    # Linux calls it BOOTTIME; the MONOTONIC of macOS counts sleep where time.monotonic there does not.
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
