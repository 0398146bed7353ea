"""
The background tasks of a process that serves requests.

For itself, a process renews its session, acknowledges the changes that its caches have dropped, and writes usage. For
the keys of all organizations, it retires idle replaced secrets, gives notice of expiries, and purges. Every process
does the latter; the store makes sure that each step is done once.

No task delays an answer, and none ends when the database is unavailable: the work is done later, within bounds.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple, Protocol
from uuid import UUID

from keywright.keys.usage import MOST_AT_ONCE as MOST_RECORDS_AT_ONCE
from keywright.keys.usage import UsageBook
from keywright.service.change_feed import LONGEST_TRANSACTION_SECONDS
from keywright.service.change_follower import ChangeFollower
from keywright.service.checking.ports import CheckingStore, Seconds
from keywright.service.checking.usage import UsageBatches
from keywright.service.faults import StorageUnavailable
from keywright.service.management.audit_log import Event, EventType, rfc3339, service_event
from keywright.service.management.ports import Outcome
from keywright.service.management.retention import ROWS_IN_A_STEP, Retention, prune
from keywright.service.management.task_ports import Due, KeyTaskStore, Removable
from keywright.service.ports import Clock, NewId
from keywright.service.verifier_sessions import RENEW_EVERY_SECONDS, Session, SessionStore

WRITE_USAGE_EVERY_SECONDS = 5.0
WRITE_ALL_WITHIN_SECONDS = 45.0
"""The time for all records of one round: the pauses between its batches become shorter where there are many."""

LONGEST_PAUSE_SECONDS = 0.1
"""The longest pause after a batch of usage, so at most 1,000 records a second where that ends a round in time."""
RETIRE_EVERY_SECONDS = 15.0
NOTICE_EVERY_SECONDS = 60.0
PURGE_EVERY_SECONDS = 60.0
PURGE_PAUSE_SECONDS = 0.1
"""The pause after a full step of a purge, in which requests have the database for themselves."""
PAUSE_SECONDS = 0.5

LAG_SECONDS = 120.0
"""The longest time from a use to its writing, with a margin: a minute until its round, and the time for a round."""

NOTICE_DAYS = (1, 3, 14)
"""Days before an expiry at which notice is given; ascending, so that a key gets the notice that applies."""

MOST_AT_ONCE = 500
"""The most keys in one batch."""


def usage_pause(due: int, seconds: float) -> float:
    """Give the pause after a batch of usage, in seconds: so long that *due* records take *seconds* at most."""
    batches = -(-due // MOST_RECORDS_AT_ONCE)
    return max(min(seconds / max(batches, 1), LONGEST_PAUSE_SECONDS), 0.0)


class Task(NamedTuple):
    """
    Work that is repeated until the process ends.

    Args:
        name: The name of the asyncio task.
        work: One round. StorageUnavailable and ValueError end the round and not the task.
        pause_seconds: The pause after a round.
        after_failure: The pause after a round that failed.
    """

    name: str
    work: Callable[[], Awaitable[object]]
    pause_seconds: float
    after_failure: float

    async def run(self) -> None:
        """Repeat the work until cancelled."""
        while True:
            pause = self.pause_seconds
            try:
                await self.work()
            except (StorageUnavailable, ValueError):
                # ValueError: the database refused the data; the next round may have other data.
                pause = self.after_failure
            await asyncio.sleep(pause)


@dataclass(kw_only=True)
class BackgroundTasks(ABC):
    """Tasks that run side by side."""

    _running: list[asyncio.Task[None]] = field(default_factory=list, init=False)

    @abstractmethod
    def tasks(self) -> Iterable[Task]:
        """Give the tasks."""

    def start(self) -> None:
        """Start all tasks on the running loop."""
        loop = asyncio.get_running_loop()
        self._running = [loop.create_task(task.run(), name=task.name) for task in self.tasks()]

    async def close(self) -> None:
        """Cancel all tasks and wait for their end."""
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)


class Work(Protocol):
    """What runs beside requests."""

    def start(self) -> None:
        """Start on the running loop."""

    async def close(self) -> None:
        """End, and wait for the end."""


class ProcessWork:
    """
    All that runs beside requests in one process.

    Args:
        follower: The change follower; the tasks of the process start it.
        tasks: In the order of their start.
    """

    def __init__(self, follower: ChangeFollower, *tasks: Work) -> None:
        self._follower = follower
        self._tasks = tasks

    def start(self) -> None:
        """Start all tasks on the running loop."""
        for tasks in self._tasks:
            tasks.start()

    async def close(self) -> None:
        """Close all in reverse order: they write what is left, and the follower needs the store until then."""
        for tasks in reversed(self._tasks):
            await tasks.close()
        await self._follower.close()


class ProcessStore(CheckingStore, SessionStore, Protocol):
    """Stores the session of a process, its acknowledgements and its usage."""


@dataclass(kw_only=True)
class ProcessTasks(BackgroundTasks):
    """
    The tasks of one process for itself.

    Args:
        store: Stores the session, acknowledgements and usage.
        follower: The change follower of this process. It begins once the session is stored.
        usage: The usage book of this process.
        session: The session of this process.
        epoch_seconds: Seconds since the epoch, for the usage book.
        monotonic: The clock of *follower*.
    """

    store: ProcessStore
    follower: ChangeFollower
    usage: UsageBook
    session: Session
    epoch_seconds: Seconds
    monotonic: Seconds
    _batches: UsageBatches = field(init=False)
    # The position in the follower's log up to which changes are acknowledged. Changes before `_since` are not.
    _acknowledged: int = field(default=0, init=False)
    _since: datetime | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._batches = UsageBatches(self.store, self.session.id)

    def tasks(self) -> Iterable[Task]:
        """Give the tasks."""
        yield Task("renewing the session", self._renew, RENEW_EVERY_SECONDS, PAUSE_SECONDS)
        yield Task("acknowledging changes", self._acknowledge_next, 0.0, PAUSE_SECONDS)
        yield Task("writing usage", self._write_usage, WRITE_USAGE_EVERY_SECONDS, WRITE_USAGE_EVERY_SECONDS)

    async def close(self) -> None:
        """Stop, write the rest if the database is available, and close the session."""
        await super().close()
        try:
            await self._acknowledge()
            await self._batches.write(self.usage.take_all())
            await self.store.close_session(self.session.id, self.session.verifier_id)
        except StorageUnavailable:
            # The usage of the last seconds is lost with the process. No caller was promised that it is stored.
            return

    async def _renew(self) -> None:
        sent_at = self.monotonic()
        await self.store.renew_session(self.session)
        # Only after the session is stored: a receipt would leave out a process that caches without a session.
        self.follower.session_stored(sent_at)

    async def _acknowledge_next(self) -> None:
        await self.follower.news(self._acknowledged)
        await self._acknowledge()

    async def _acknowledge(self) -> None:
        """Acknowledge the changes in the log; the caches dropped them before they were logged."""
        log = self.follower.log
        position = max(self._acknowledged, log.begin)
        changes = log.after(position) or []
        if changes and self._since is None:
            # The first reading also has changes from before this process; their receipts do not wait for it.
            newest = max(change.written_at for change in changes)
            self._since = newest - timedelta(seconds=LONGEST_TRANSACTION_SECONDS)
        seqs = [change.seq for change in changes if self._since is None or change.written_at > self._since]
        if seqs:
            await self.store.confirm(self.session.id, seqs)
        self._acknowledged = position + len(changes)

    async def _write_usage(self) -> None:
        # First what had no answer: nothing newer is taken before.
        await self._batches.write(())
        self.usage.begin_round(self.epoch_seconds())
        while self.usage.order_some():  # noqa: ASYNC110 - nothing is waited for: requests are answered in between
            await asyncio.sleep(0)
        end = self.monotonic() + WRITE_ALL_WITHIN_SECONDS
        while records := self.usage.take_due():
            await self._batches.write([records])
            await asyncio.sleep(usage_pause(self.usage.due, end - self.monotonic()))


@dataclass(kw_only=True)
class KeyTasks(BackgroundTasks):
    """
    The tasks of one process for the keys of all organizations.

    Args:
        store: Gives the keys that are due, and stores the changes.
        clock: The time.
        new_id: Makes the ids of events.
        retention: How long rows are kept.
        pause_seconds: The pause between two steps of a purge.
    """

    store: KeyTaskStore
    clock: Clock
    new_id: NewId
    retention: Retention = field(default_factory=Retention)
    pause_seconds: float = PURGE_PAUSE_SECONDS

    def tasks(self) -> Iterable[Task]:
        """Give the tasks."""
        yield Task("retiring idle secrets", self.retire_idle, RETIRE_EVERY_SECONDS, RETIRE_EVERY_SECONDS)
        yield Task("giving notice of expiry", self.give_notice, NOTICE_EVERY_SECONDS, NOTICE_EVERY_SECONDS)
        yield Task("purging", self.purge, PURGE_EVERY_SECONDS, PURGE_EVERY_SECONDS)

    async def retire_idle(self) -> None:
        """
        Retire the replaced secrets that are not used any more.

        Raises:
            StorageUnavailable: The database is unavailable; what was done stays done.
        """

        async def batch() -> int:
            due = await self.store.idle_secrets(self.clock(), lag_seconds=LAG_SECONDS, limit=MOST_AT_ONCE)
            return sum([await self._retire(key) for key in due])

        await _while_full(batch)

    async def give_notice(self) -> None:
        """
        Note keys that are about to expire: one event for each number of days, and never one that is outdated.

        Raises:
            StorageUnavailable: The database is unavailable; what was done stays done.
        """
        # One moment for all numbers of days: a key must not move from one to the next in between.
        at = self.clock()
        for days in NOTICE_DAYS:

            async def batch(days: int = days) -> int:
                due = await self.store.expiring(at, within_days=days, limit=MOST_AT_ONCE)
                return sum([await self._add_expiry_notice(key, days) for key in due])

            await _while_full(batch)

    async def purge(self) -> None:
        """
        Remove the rows that are not kept any longer, in small steps; several processes may do it at once.

        Raises:
            StorageUnavailable: The database is unavailable; what was done stays done.
            ValueError: The clock of the database is behind; as above.
        """
        at = self.clock()
        for kind, until in self.retention.due(at):
            await self._while_more(partial(self._purge_step, kind, until))
        if self.retention.events is not None:
            await self._prune(at - self.retention.events)

    async def _purge_step(self, kind: Removable, until: datetime) -> bool:
        return await self.store.purge(kind, until, limit=ROWS_IN_A_STEP) >= ROWS_IN_A_STEP

    async def _while_more(self, step: Callable[[], Awaitable[int]]) -> None:
        """Repeat a step until it says that no more is left."""
        while await step():  # noqa: ASYNC110 - nothing is waited for: the pause is for requests
            await asyncio.sleep(self.pause_seconds)

    async def _prune(self, before: datetime) -> None:
        """Remove old events of all organizations, in the order of their numbers."""
        after, done = 0, set[UUID]()
        while aged := await self.store.aged_events(before, after=after, limit=ROWS_IN_A_STEP):
            # Those that are left wait for an event before them that is younger, or does not verify.
            for org_id in {event.org_id: None for event in aged if event.org_id not in done}:
                await self._while_more(partial(prune, self.store, org_id, before))
                done.add(org_id)
            after = aged[-1].seq
            await asyncio.sleep(self.pause_seconds)

    async def _retire(self, due: Due) -> bool:
        event = self._event(EventType.SECRET_RETIRED, due, {"public_key": due.public_key})
        outcome = await self.store.set_retirement(event, version=due.version, retires_at=event.occurred_at)
        return outcome is Outcome.DONE

    async def _add_expiry_notice(self, due: Due, days: int) -> bool:
        # A key that is due for this reason has an expiry.
        expires_at = due.expires_at or self.clock()
        event = self._event(EventType.EXPIRING, due, {"days": days, "expires_at": rfc3339(expires_at)})
        return await self.store.add_expiry_notice(event, expires_at=expires_at, days=days)

    def _event(self, type_: EventType, due: Due, data: dict[str, object]) -> Event:
        return service_event(type_, due.org_id, due.key_id, self.clock(), self.new_id(), data)


async def _while_full(batch: Callable[[], Awaitable[int]]) -> None:
    """Run batches until one is not full: then nothing more is due, or another process works on the rest."""
    full = True
    while full:
        full = await batch() == MOST_AT_ONCE
