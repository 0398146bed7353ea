"""The clocks of the system, and new ids."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import uuid_utils.compat

_FORWARD_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

utc_now: Callable[[], datetime] = partial(datetime.now, UTC)
"""Return the current time, aware, in UTC."""

new_id: Callable[[], UUID] = uuid_utils.compat.uuid7
"""Return a new UUIDv7 (RFC 9562)."""

boot_seconds = partial(time.clock_gettime, _FORWARD_CLOCK)
"""Return the seconds of a monotonic clock; where the system has CLOCK_BOOTTIME, it also counts while suspended."""
