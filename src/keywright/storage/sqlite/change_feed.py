"""
The change feed of a SQLite file.

One process writes at a time, and a number is drawn while it does, so that the numbers of changes are in the order in
which they become visible: a reader that has seen one has seen all before it.
"""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from keywright.service.change_feed import Change, Reading
from keywright.service.faults import StorageUnavailable
from keywright.storage.shared import checking_rows
from keywright.storage.shared.readers import SQLITE
from keywright.storage.sqlite import file as sqlite_file
from keywright.storage.sqlite import statements as sql

T = TypeVar("T")

POLL_SECONDS = 0.015
"""How often to look whether another process has committed something; a look costs some microseconds."""


class SqliteChangeFeed:
    """
    `service.change_feed.ChangeFeed` on a connection and a thread of its own, to be closed after use.

    Args:
        path: The file.
        forget: Called with this feed when it is closed.
    """

    def __init__(self, path: Path, *, forget: Callable[["SqliteChangeFeed"], object]) -> None:
        self._path = path
        self._forget = forget
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="keywright-changes")
        self._connection: sqlite3.Connection | None = None
        self._version: Any = None
        self._begins_after = 0
        self._last = 0
        # The thread waits for it, and the event loop sets it.
        self._woken = threading.Event()
        self._closed = False

    async def start(self) -> None:
        """
        Choose where the first reading begins.

        Raises:
            StorageUnavailable: The file cannot be read; the change feed is closed.
        """
        try:
            self._begins_after = self._last = await self._in_thread(self._before_the_recent)
        except BaseException:
            await self.close()
            raise

    async def read(self) -> Reading:
        """See `ChangeFeed.read`."""
        self._woken.clear()
        # Set here and not in the thread, so that changes which a cancelled caller did not receive are given again.
        changes = await self._in_thread(lambda: self._changes_after(self._last))
        if changes:
            self._last = changes[-1].seq
        more = len(changes) == sql.MOST_READ
        return Reading(changes=changes, begins_after=self._begins_after, complete_to=self._last, more=more)

    async def wait(self, seconds: float) -> None:
        """See `ChangeFeed.wait`."""
        if self._closed or self._woken.is_set():
            return
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._watch, time.monotonic() + seconds)
        except asyncio.CancelledError:
            # The thread is to be free for the next call.
            self.wake()
            raise

    async def close(self) -> None:
        """See `ChangeFeed.close`."""
        if not self._closed:
            self._closed = True
            self.wake()
            self._forget(self)
            await asyncio.to_thread(self._let_go)

    def wake(self) -> None:
        """Wake the reader: something may have changed."""
        self._woken.set()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._closed:
            raise StorageUnavailable("the change feed is closed")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._answer, work)

    def _answer(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except sqlite3.Error as error:
            self._disconnect()
            raise sqlite_file.fault(error) from error

    def _before_the_recent(self) -> int:
        found = self._fetch(sql.BEGIN_AFTER)
        return found[0][0] if found else 0

    def _changes_after(self, seq: int) -> list[Change]:
        # Before the changes: what is committed in between is seen now, and looked for once more.
        self._version = self._data_version()
        return [checking_rows.change(SQLITE, *row) for row in self._fetch(sql.CHANGES, seq)]

    def _watch(self, deadline: float) -> None:
        """Return when there is something to read, or at *deadline*."""
        while (left := deadline - time.monotonic()) > 0 and not self._woken.wait(min(left, POLL_SECONDS)):
            try:
                if self._data_version() != self._version:
                    return
            except (sqlite3.Error, StorageUnavailable):
                # The next reading raises it.
                self._disconnect()
                self._woken.wait(left)

    def _data_version(self) -> Any:
        return self._fetch(sql.DATA_VERSION)

    def _fetch(self, statement: str, *values: Any) -> list[Any]:
        if self._connection is None:
            self._connection = sqlite_file.open_to_read(self._path)
        # All rows: an unfinished statement keeps its snapshot open, and later ones would read the same snapshot.
        return self._connection.execute(statement, values).fetchall()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _let_go(self) -> None:
        self._thread.shutdown()
        self._disconnect()
