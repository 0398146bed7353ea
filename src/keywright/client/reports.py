"""What a verifier tells its service: the changes that it dropped, at once; the uses that it saw, now and then."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable

from keywright.client.checking import Checking
from keywright.client.errors import KeywrightError, Refused
from keywright.client.service_calls import MOST_IN_A_REPORT, ServiceCalls, Timing
from keywright.client.tasks import end_tasks
from keywright.keys.usage import UsageRecord

MOST_UNCONFIRMED = 10_000
"""How many changes are kept to be confirmed while the service does not listen; beyond it the oldest stay open."""

_CONFIRMED_AT_ONCE = 500
_SETTLED_AT_ONCE = 64
_FINAL_STATUSES = frozenset({400, 404, 405, 409, 410, 413, 415, 422})

_logger = logging.getLogger("keywright.client")


class Reports:
    """
    Reports for one session, from its creation on.

    Args:
        checking: Knows the uses that were seen.
        calls: Reach the service.
        timing: How long to pause between two reports.
    """

    def __init__(self, checking: Checking, calls: ServiceCalls, timing: Timing) -> None:
        self._checking = checking
        self._calls = calls
        self._timing = timing
        self._unconfirmed: list[int] = []
        self._something_to_say = asyncio.Event()
        self._end = asyncio.Event()
        self._known_there = False
        # The last batch of uses, and what is in it until the service has answered.
        self._batch = 0
        self._unanswered: list[UsageRecord] = []
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._acknowledge(), name="keywright acknowledgements"),
            loop.create_task(self._report(), name="keywright uses"),
        ]

    def greeted(self) -> None:
        """Note that the service knows this session."""
        self._known_there = True

    def dropped(self, seqs: list[int]) -> None:
        """Have changes confirmed, as soon as possible."""
        if seqs:
            self._unconfirmed = [*self._unconfirmed, *seqs][-MOST_UNCONFIRMED:]
            self._something_to_say.set()

    async def finish(self) -> None:
        """
        Report what is left, and that this session is over; to be called once.

        Raises:
            KeywrightError: The service does not listen.
        """
        self._end.set()
        self._something_to_say.set()
        try:
            # A report that is on its way is not cut off: nobody would know whether it was heard.
            await asyncio.wait(self._tasks)
            await self._add_up()
            while await self._report_some():
                pass
            if self._known_there:
                while self._unconfirmed and await self._confirm():
                    pass
                await self._calls.acknowledge(self._checking.session, [], closed=True)
        finally:
            await end_tasks(self._tasks)

    async def _acknowledge(self) -> None:
        """Confirm what was dropped, and otherwise say from time to time that this session is alive."""
        while not self._end.is_set():
            await _passes(self._something_to_say, self._timing.report)
            if self._known_there and not self._end.is_set() and not await self._confirm():
                await _passes(self._end, self._timing.longest_pause)

    async def _report(self) -> None:
        """Report uses from time to time."""
        while not await _passes(self._end, self._timing.report):
            await self._add_up()
            while await self._report_some():
                pass

    async def _confirm(self) -> bool:
        seqs = self._unconfirmed[:_CONFIRMED_AT_ONCE]
        if not await _heard(self._calls.acknowledge(self._checking.session, seqs)):
            return False
        # The list may have lost its oldest meanwhile, and new ones have come.
        said = set(seqs)
        self._unconfirmed = [seq for seq in self._unconfirmed if seq not in said]
        if not self._unconfirmed:
            self._something_to_say.clear()
        return True

    async def _add_up(self) -> None:
        self._checking.set_uses_aside()
        # Others may have their turn in between: adding up thousands takes as long as many requests do.
        while self._checking.settle_uses(_SETTLED_AT_ONCE):  # noqa: ASYNC110  (waits for nobody)
            await asyncio.sleep(0)

    async def _report_some(self) -> bool:
        """Report one batch, first the one that has had no answer; tell whether it makes sense to go on at once."""
        repeated = bool(self._unanswered)
        if not repeated and not self._begin_batch():
            return False
        # As it was: the service may have counted it, and knows it by its number.
        if not await _heard(self._calls.report(self._checking.session, self._batch, self._unanswered)):
            return False
        full = len(self._unanswered) == MOST_IN_A_REPORT
        self._unanswered = []
        return repeated or full

    def _begin_batch(self) -> bool:
        """Take out the uses of the next batch; tell whether there are any."""
        self._unanswered = self._checking.take_uses(MOST_IN_A_REPORT)
        self._batch += 1 if self._unanswered else 0
        return bool(self._unanswered)


async def _passes(event: asyncio.Event, seconds: float) -> bool:
    """Wait for something to happen, or for some time to pass; tell whether it happened."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()


async def _heard(call: Awaitable[None]) -> bool:
    """Tell whether the service took it, or will never: in both cases it is done."""
    try:
        await call
    except Refused as error:
        if error.status in _FINAL_STATUSES:
            _logger.warning("the service refuses a report for good: %s", error)
            return True
        return False
    except KeywrightError:
        # The feed is followed by its own rules and tells of the trouble.
        return False
    return True
