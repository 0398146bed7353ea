"""
What a serving process does beside answering: it says that it is there, confirms what it dropped, writes down uses.

None of it may hold up an answer, and none of it stops when the database is away: what could not be written is kept and
written later, within bounds.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from keywright.keys.usage import UsageBook
from keywright.service.checking_ports import LONGEST_TRANSACTION_SECONDS, Change, CheckingStore, Session
from keywright.service.faults import StorageUnavailable
from keywright.service.following import Following
from keywright.service.limits import Seconds
from keywright.service.presence import RENEW_EVERY_SECONDS, Presence
from keywright.service.rounds import PAUSE_SECONDS, again_and_again
from keywright.service.usage_batches import UsageBatches

WRITE_USAGE_EVERY_SECONDS = 5.0
_MOST_UNCONFIRMED = 10_000


class Duties:
    """
    The background work of one process.

    Args:
        store: Where it is written.
        following: Tells what this process dropped.
        usage: What this process noted.
        session: This process.
        now: The time in seconds, for the usage book.
        monotonic: The clock that *following* is told in.
    """

    def __init__(
        self,
        *,
        store: CheckingStore,
        following: Following,
        usage: UsageBook,
        session: Session,
        now: Seconds,
        monotonic: Seconds,
    ) -> None:
        self._store = store
        self._presence = Presence(store=store)
        self._following = following
        self._usage = usage
        self._batches = UsageBatches(store, session.id)
        self._session = session
        self._now = now
        self._monotonic = monotonic
        self._dropped: list[int] = []
        self._has_dropped = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._stop_listening = following.listen(self._note_drops)

    def start(self) -> None:
        """Begin, and begin to follow as soon as the session is noted."""
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(
                again_and_again(RENEW_EVERY_SECONDS, self._renew, after_failure=PAUSE_SECONDS),
                name="renewing the session",
            ),
            loop.create_task(self._confirm_drops(), name="confirming drops"),
            loop.create_task(again_and_again(WRITE_USAGE_EVERY_SECONDS, self._write_usage), name="writing usage"),
        ]

    async def close(self) -> None:
        """Write what is left, as far as the database takes it, and end the session."""
        self._stop_listening()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        try:
            await self._presence.confirm(self._session.id, self._dropped)
            await self._batches.write(self._usage.take_all())
            await self._presence.close(self._session.id, self._session.verifier_id)
        except StorageUnavailable:
            # The counts of the last seconds are lost with the process; nothing of it was acknowledged to anybody.
            return

    def _note_drops(self, changes: Sequence[Change]) -> None:
        # A process begins with changes that may be long ago; receipts of those do not wait for it.
        since = max(change.noted_at for change in changes) - timedelta(seconds=LONGEST_TRANSACTION_SECONDS)
        dropped = [change.seq for change in changes if change.noted_at > since]
        self._dropped = [*self._dropped, *dropped][-_MOST_UNCONFIRMED:]
        self._has_dropped.set()

    async def _confirm_drops(self) -> None:
        while True:
            await self._has_dropped.wait()
            self._has_dropped.clear()
            seqs, self._dropped = self._dropped, []
            try:
                await self._presence.confirm(self._session.id, seqs)
            except StorageUnavailable:
                self._dropped = [*seqs, *self._dropped][-_MOST_UNCONFIRMED:]
                self._has_dropped.set()
                await asyncio.sleep(PAUSE_SECONDS)

    async def _renew(self) -> None:
        asked_at = self._monotonic()
        await self._presence.renew(self._session)
        # Not before: what a process believes that nobody knows of would be missing from a receipt.
        self._following.session_stored(asked_at)

    async def _write_usage(self) -> None:
        await self._batches.write(iter(lambda: self._usage.take_due(self._now()), []))
