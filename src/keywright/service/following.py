"""
Following the changes: each process drops what it holds of a key as soon as the trail names it.

What is held counts only from the moment at which the last complete reading of the trail began, so a process that was
stopped, a slow database and a cut connection need no special case: trust lapses by itself.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from keywright.keys.known import Known
from keywright.service.checking_ports import Change, CheckingStore, Trail
from keywright.service.faults import StorageUnavailable
from keywright.service.verification import Seconds

READ_EVERY_SECONDS = 0.1
"""How often the trail is read when nothing calls; a tenth of the bound."""

_PAUSE_SECONDS = 0.25

Listener = Callable[[Sequence[Change]], None]


class Following:
    """
    Reads the trail for one process.

    Args:
        store: Whose changes.
        known: What is to be emptied: memories by the digests that changes name.
        monotonic: The clock that they are told in.
    """

    def __init__(self, store: CheckingStore, known: Sequence[Known[Any]], *, monotonic: Seconds) -> None:
        self._store = store
        self._known = known
        self._monotonic = monotonic
        self._listeners: set[Listener] = set()
        self._task: asyncio.Task[None] | None = None
        self._since: float | None = None

    @property
    def since(self) -> float | None:
        """When the last complete reading began; None before the first."""
        return self._since

    def start(self) -> None:
        """Begin to follow, in the background, unless that was done."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._follow(), name="following the changes")

    async def close(self) -> None:
        """Stop following; what is held lapses within the bound."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Have *listener* called with every batch of changes, after they were dropped here; gives the way to end it."""
        self._listeners.add(listener)
        return lambda: self._listeners.discard(listener)

    async def _follow(self) -> None:
        trail = await self._begin()
        for known in self._known:
            # What was looked up before the trail begins may have changed before it begins.
            known.drop_all()
        try:
            while True:
                await self._read(trail)
                await trail.wait(READ_EVERY_SECONDS)
        finally:
            await trail.close()

    async def _begin(self) -> Trail:
        while True:
            try:
                return await self._store.follow()
            except StorageUnavailable:
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _read(self, trail: Trail) -> None:
        # Before the trail is asked: what is acknowledged while it is being read may not be in its answer.
        since = self._monotonic()
        try:
            changes = await trail.read()
        except StorageUnavailable:
            # A later reading gives what this one could not.
            await asyncio.sleep(_PAUSE_SECONDS)
            return
        digests = [digest for change in changes for digest in change.digests]
        for known in self._known:
            known.drop(digests)
            known.followed(since)
        self._since = since
        if changes:
            for listener in list(self._listeners):
                listener(changes)
