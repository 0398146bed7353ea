"""
The reports of a verifier to its service: its position among the changes, soon after it moved; usage, from time to time.

One acknowledgement stands for all changes that were applied since the one before. It waits for a moment that the
service chooses by the number of its verifiers, so that thousands of them do not answer a change at once.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Awaitable
from typing import Protocol
from uuid import UUID

from keywright.client.errors import KeywrightError, Refused
from keywright.client.verifier._calls import MOST_IN_A_REPORT, ServiceCalls, Timing
from keywright.client.verifier._feed import Applied
from keywright.client.verifier._tasks import end_tasks
from keywright.keys.usage_records import UsageRecord

MOST_UNACKNOWLEDGED = 10_000
"""
The number of changes beside the position that wait while the service is unavailable; beyond it the oldest are dropped.
"""

_ACKNOWLEDGED_AT_ONCE = 500
_FINAL_STATUSES = frozenset({400, 404, 405, 409, 410, 413, 415, 422})

_logger = logging.getLogger("keywright.client")
_random = secrets.SystemRandom()


class Reporter(Protocol):
    """The session that reports, and its usage."""

    @property
    def session(self) -> UUID:
        """The id of the session."""
        ...

    def take_usage(self, most: int) -> list[UsageRecord]:
        """Remove and give at most *most* usage records, to be reported."""
        ...


class Reports:
    """
    Reports for one session, from its creation on.

    Args:
        reporter: Counts usage.
        calls: Reach the service.
        timing: Pauses between two reports, and the longest time of the last ones.
    """

    def __init__(self, reporter: Reporter, calls: ServiceCalls, timing: Timing) -> None:
        self._reporter = reporter
        self._calls = calls
        self._timing = timing
        # Changes that the position does not pass.
        self._unacknowledged: list[int] = []
        self._position: str | None = None
        self._acknowledged: str | None = None
        self._within = 0.0
        self._to_acknowledge = asyncio.Event()
        self._end = asyncio.Event()
        self._service_knows = False
        # The last batch of usage; it is empty once the service has answered.
        self._batch = 0
        self._unanswered: list[UsageRecord] = []
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._send_acknowledgements(), name="keywright acknowledgements"),
            loop.create_task(self._send_usage(), name="keywright uses"),
        ]

    def acknowledge(self, applied: Applied) -> None:
        """Acknowledge what has been applied, soon; to be called after each event, also without changes."""
        self._service_knows = True
        self._within = applied.within
        if applied.anew:
            # The new position will stand for all of it.
            self._unacknowledged = []
        if self._acknowledged is None:
            # Changes before the first stream are nobody's: this session was not stored then.
            self._position = self._acknowledged = applied.position
        moved = applied.position is not None and applied.position != self._position
        if moved:
            self._position = applied.position
        if applied.seqs:
            self._unacknowledged = [*self._unacknowledged, *applied.seqs][-MOST_UNACKNOWLEDGED:]
        if moved or applied.seqs:
            self._to_acknowledge.set()

    async def finish(self) -> None:
        """
        Send the remaining reports, and the end of this session; to be called once, before the feed is closed.

        Otherwise the service notes a broken connection and not an orderly end. It takes a bounded time; where that is
        not enough, or the service is unavailable, the log says that the last report is lost.
        """
        try:
            async with asyncio.timeout(self._timing.end):
                await self._finish()
        except (TimeoutError, KeywrightError) as error:
            _logger.info("the last report did not reach the service: %s", str(error) or "no answer in time")

    async def _finish(self) -> None:
        self._end.set()
        self._to_acknowledge.set()
        try:
            # A report in progress is not cancelled: the service may have counted it or not.
            await asyncio.wait(self._tasks)
            await self._report_usage()
            if self._service_knows:
                while self._is_behind and await self._acknowledge_some():
                    pass
                await self._calls.acknowledge(self._reporter.session, [], after=None, to=None, closed=True)
        finally:
            await end_tasks(self._tasks)

    async def _send_acknowledgements(self) -> None:
        while not self._end.is_set():
            await self._to_acknowledge.wait()
            await _passes(self._end, _random.uniform(0.0, self._within))
            if self._service_knows and not self._end.is_set() and not await self._acknowledge_some():
                await _passes(self._end, self._timing.longest_pause)

    async def _send_usage(self) -> None:
        """Report usage from time to time."""
        while not await _passes(self._end, self._timing.report):
            await self._report_usage()

    async def _acknowledge_some(self) -> bool:
        seqs, position = self._unacknowledged[:_ACKNOWLEDGED_AT_ONCE], self._position
        call = self._calls.acknowledge(self._reporter.session, seqs, after=self._acknowledged, to=position)
        if not await _is_done(call):
            return False
        self._acknowledged = position
        # The list may have lost its oldest meanwhile, and new ones have come.
        sent = set(seqs)
        self._unacknowledged = [seq for seq in self._unacknowledged if seq not in sent]
        if not self._is_behind:
            self._to_acknowledge.clear()
        return True

    @property
    def _is_behind(self) -> bool:
        return bool(self._unacknowledged) or self._position != self._acknowledged

    async def _report_usage(self) -> None:
        while await self._report_batch():
            pass

    async def _report_batch(self) -> bool:
        """Report one batch, first the unanswered one; tell whether the next one should follow at once."""
        repeated = bool(self._unanswered)
        if not repeated:
            self._unanswered = self._reporter.take_usage(MOST_IN_A_REPORT)
            if not self._unanswered:
                return False
            self._batch += 1
        # A repeated batch is unchanged: the service may have counted it, and recognizes its number.
        report = self._calls.report(self._reporter.session, self._batch, self._unanswered)
        if not await _is_done(report):
            return False
        full = len(self._unanswered) == MOST_IN_A_REPORT
        self._unanswered = []
        return repeated or full


async def _passes(event: asyncio.Event, seconds: float) -> bool:
    """Wait until *event* is set, or for some seconds; tell whether it is set."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()


async def _is_done(call: Awaitable[None]) -> bool:
    """Tell whether the service accepted a report, or will never accept it."""
    try:
        await call
    except Refused as error:
        if error.status in _FINAL_STATUSES:
            _logger.warning("the service refuses a report for good: %s", error)
            return True
        return False
    except KeywrightError:
        # The feed logs that the service is unavailable.
        return False
    return True
