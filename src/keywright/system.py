"""What is taken from the operating system: clocks, and new ids."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import uuid_utils.compat

_FORWARD_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

utc_now: Callable[[], datetime] = partial(datetime.now, UTC)
"""Gives the current time, aware, in UTC."""

new_id: Callable[[], UUID] = uuid_utils.compat.uuid7
"""Gives a new UUIDv7."""

boot_seconds = partial(time.clock_gettime, _FORWARD_CLOCK)
"""Reads a clock that only goes forward, and goes on while the machine is suspended where there is such a clock."""
