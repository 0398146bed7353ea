"""
What becomes of keys by itself when its time has come: replaced secrets end, notice of an expiry is given, the answers
to repeated requests are forgotten.

Every process does it. The store sees to it that each thing is done once, whoever comes first.
"""

import asyncio
from collections.abc import Awaitable, Callable

from keywright.service.events import Event, EventType, rfc3339
from keywright.service.ports import Clock, Due, DutyStore, NewId, Outcome, Store
from keywright.service.rounds import again_and_again

RETIRE_EVERY_SECONDS = 15.0
NOTICE_EVERY_SECONDS = 60.0
PURGE_EVERY_SECONDS = 60.0

LAG_SECONDS = 120.0
"""How late a use may be written that is made now, with room to spare: `usage` writes a key once a minute."""

NOTICE_DAYS = (1, 3, 14)
"""How many days ahead notice of an expiry is given; the fewest first, so that a key gets the one that applies."""

MOST_AT_ONCE = 500


class Lifecycle:
    """
    The background work of one process for the keys of all organisations.

    Args:
        duties: Tells what is due.
        store: Where secrets are retired; the same database.
        clock: The time.
        new_id: For events.
    """

    def __init__(self, *, duties: DutyStore, store: Store, clock: Clock, new_id: NewId) -> None:
        self._duties = duties
        self._store = store
        self._clock = clock
        self._new_id = new_id
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin."""
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(again_and_again(RETIRE_EVERY_SECONDS, self.retire_quiet), name="retiring quiet secrets"),
            loop.create_task(again_and_again(NOTICE_EVERY_SECONDS, self.give_notice), name="giving notice of expiry"),
            loop.create_task(again_and_again(PURGE_EVERY_SECONDS, self.purge), name="forgetting answers"),
        ]

    async def close(self) -> None:
        """Stop; what is left to do is done by another process, or by this one when it is back."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def retire_quiet(self) -> None:
        """
        End the replaced secrets that nobody uses any more.

        Raises:
            StorageUnavailable: The database is away; what was done stays done.
        """

        async def batch() -> int:
            due = await self._duties.quiet(self._clock(), lag_seconds=LAG_SECONDS, limit=MOST_AT_ONCE)
            return sum([await self._retire(key) for key in due])

        await _while_full(batch)

    async def give_notice(self) -> None:
        """
        Tell of keys that are about to expire: one event for each number of days, and never one that is outdated.

        Raises:
            StorageUnavailable: The database is away; what was done stays done.
        """
        # One moment for all: a key must not move from one number of days to the next in between.
        at = self._clock()
        for days in NOTICE_DAYS:

            async def batch(days: int = days) -> int:
                due = await self._duties.expiring(at, within_days=days, limit=MOST_AT_ONCE)
                return sum([await self._note_expiring(key, days) for key in due])

            await _while_full(batch)

    async def purge(self) -> None:
        """
        Forget answers that cannot be had again, and the batch numbers of reporters that are gone.

        Raises:
            StorageUnavailable: The database is away; what was done stays done.
        """
        await _while_full(lambda: self._duties.purge(self._clock(), limit=MOST_AT_ONCE))

    async def _retire(self, due: Due) -> bool:
        event = self._event(EventType.SECRET_RETIRED, due, {"public_key": due.public_key})
        outcome = await self._store.set_retirement(event, version=due.version, retires_at=event.occurred_at)
        return outcome is Outcome.DONE

    async def _note_expiring(self, due: Due, days: int) -> bool:
        # Whatever is due for this reason has an expiry.
        expires_at = due.expires_at or self._clock()
        event = self._event(EventType.EXPIRING, due, {"days": days, "expires_at": rfc3339(expires_at)})
        return await self._duties.note_expiring(event, expires_at=expires_at, days=days)

    def _event(self, type_: EventType, due: Due, data: dict[str, object]) -> Event:
        return Event.by_the_service(
            type_, id=self._new_id(), org_id=due.org_id, key_id=due.key_id, occurred_at=self._clock(), data=data
        )


async def _while_full(batch: Callable[[], Awaitable[int]]) -> None:
    """Do one batch after another, until one is not full: the rest is not due, or another process is at it."""
    while await batch() == MOST_AT_ONCE:
        pass
