"""The clocks of the system, and new ids."""

import time
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import uuid_utils.compat

_FORWARD_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def utc_now() -> datetime:
    """Return the current time, aware, in UTC."""
    return datetime.now(UTC)


def new_id() -> UUID:
    """Return a new UUIDv7 (RFC 9562)."""
    return uuid_utils.compat.uuid7()


boot_seconds = partial(time.clock_gettime, _FORWARD_CLOCK)
"""Return the seconds of a monotonic clock; where the system has CLOCK_BOOTTIME, it also counts while suspended."""
