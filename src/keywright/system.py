"""What is taken from the machine: the time, and numbers that nobody had before."""

import time
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import uuid_utils.compat

_FORWARD_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def utc_now() -> datetime:
    """Tell the time."""
    return datetime.now(UTC)


def new_id() -> UUID:
    """Give a fresh UUIDv7."""
    return uuid_utils.compat.uuid7()


boot_seconds = partial(time.clock_gettime, _FORWARD_CLOCK)
"""Reads a clock that only goes forward, and goes on while the machine is suspended where there is such a clock."""
