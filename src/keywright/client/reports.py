"""What a verifier tells its service: the changes that it dropped, at once; the uses that it saw, now and then."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable

from keywright.client.checking import Checking
from keywright.client.errors import KeywrightError, Refused
from keywright.client.service_calls import MOST_IN_A_REPORT, ServiceCalls, Timing

MOST_UNCONFIRMED = 10_000
"""How many changes are kept to be confirmed while the service does not listen; beyond it the oldest stay open."""

_SETTLED_AT_ONCE = 64
_FINAL_STATUSES = frozenset({400, 404, 405, 409, 410, 413, 415, 422})

_log = logging.getLogger("keywright.client")


class Reports:
    """Reports for one session."""

    def __init__(self, checking: Checking, calls: ServiceCalls, timing: Timing) -> None:
        self._checking = checking
        self._calls = calls
        self._timing = timing
        self._unconfirmed: list[int] = []
        self._dropped = asyncio.Event()
        self._known_there = False

    def greeted(self) -> None:
        """Note that the service knows this session."""
        self._known_there = True

    def dropped(self, seqs: list[int]) -> None:
        """Have changes confirmed, as soon as possible."""
        if seqs:
            self._unconfirmed = [*self._unconfirmed, *seqs][-MOST_UNCONFIRMED:]
            self._dropped.set()

    async def acknowledge(self) -> None:
        """Confirm what was dropped, and otherwise say from time to time that this session is alive; does not end."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._timing.report):
                    await self._dropped.wait()
            if self._known_there and not await self._confirm():
                await asyncio.sleep(self._timing.longest_pause)

    async def report(self) -> None:
        """Report uses from time to time; does not end."""
        while True:
            await asyncio.sleep(self._timing.report)
            await self._add_up()
            while await self._report_some():
                pass

    async def finish(self) -> None:
        """
        Report what is left, and that this session is over.

        Raises:
            KeywrightError: The service does not listen.
        """
        await self._add_up()
        while await self._report_some():
            pass
        if self._known_there:
            await self._calls.acknowledge(self._checking.session, self._unconfirmed, closed=True)

    async def _confirm(self) -> bool:
        seqs, self._unconfirmed = self._unconfirmed, []
        self._dropped.clear()
        if await _heard(self._calls.acknowledge(self._checking.session, seqs)):
            return True
        self.dropped(seqs)
        return False

    async def _add_up(self) -> None:
        self._checking.set_uses_aside()
        while self._checking.settle_uses(_SETTLED_AT_ONCE):
            # Others may have their turn: adding up thousands takes as long as many requests do.
            await asyncio.sleep(0)

    async def _report_some(self) -> bool:
        """Report one batch; tell whether it makes sense to go on at once."""
        sightings = self._checking.take_uses(MOST_IN_A_REPORT)
        reported = False
        try:
            reported = not sightings or await _heard(self._calls.report(self._checking.session, sightings))
        finally:
            if not reported:
                self._checking.give_uses_back(sightings)
        return reported and len(sightings) == MOST_IN_A_REPORT


async def _heard(call: Awaitable[None]) -> bool:
    """Tell whether the service took it, or will never: in both cases it is done."""
    try:
        await call
    except Refused as error:
        if error.status in _FINAL_STATUSES:
            _log.warning("the service refuses a report for good: %s", error)
            return True
        return False
    except KeywrightError:
        # The feed is followed by its own rules and tells of the trouble.
        return False
    return True
