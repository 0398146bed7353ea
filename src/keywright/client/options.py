"""What a verifier is told when it is made, checked once, and made into its parts at each start."""

import re
from dataclasses import dataclass
from typing import Any

import httpx

from keywright.client import clocks
from keywright.client.checking import Checking
from keywright.client.clocks import Clock
from keywright.client.errors import KeywrightError
from keywright.client.service_calls import USUAL_TIMING, Service, ServiceCalls, Timing, process_name
from keywright.client.session import Session

CAPACITY = 1_000_000
OUTAGE_SECONDS = 300
LIMIT_SHARE = 1.0
_LONGEST_OUTAGE = 86_400
_NAME = re.compile("[!-~]{1,100}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """
    The options of a verifier; see `AsyncVerifier`.

    Raises:
        KeywrightError: One of them cannot be; said without the credential.
    """

    service: Service
    name: str | None = None
    capacity: int = CAPACITY
    outage_seconds: int = OUTAGE_SECONDS
    limit_share: float = LIMIT_SHARE
    transport: httpx.AsyncBaseTransport | None = None
    timing: Timing = USUAL_TIMING
    clock: Clock = clocks.monotonic
    wall: Clock = clocks.epoch

    def __post_init__(self) -> None:
        if not _is_whole(self.capacity) or self.capacity < 2:
            raise KeywrightError("capacity must be a whole number of keys, 2 or more.")
        if not _is_whole(self.outage_seconds) or not 0 <= self.outage_seconds <= _LONGEST_OUTAGE:
            raise KeywrightError("outage_seconds must be a whole number of seconds, 0 to 86400 (a day).")
        if not _is_number(self.limit_share) or not 0 < self.limit_share <= 1:
            raise KeywrightError("limit_share must be a number above 0 and at most 1.")
        if self.name is not None and not _NAME.fullmatch(self.name):
            raise KeywrightError("name must be 1 to 100 ASCII characters that can be seen, without spaces.")

    def checking(self) -> Checking:
        """Make a memory, empty."""
        return Checking(
            brand=self.service.brand,
            capacity=self.capacity,
            outage_seconds=self.outage_seconds,
            limit_share=self.limit_share,
            clock=self.clock,
            wall=self.wall,
        )

    def session(self, checking: Checking) -> Session:
        """Start on the running event loop, with *checking* for a memory."""
        # The name is made at each start: after a fork it is another process.
        parameters = {"name": self.name or process_name(), "outage_seconds": str(self.outage_seconds)}
        calls = ServiceCalls(self.service, self.timing, self.transport)
        return Session(checking, calls, self.timing, parameters=parameters, clock=self.clock)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
