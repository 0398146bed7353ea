"""
The trail of changes in PostgreSQL.

A transaction draws the number of its change before it is visible, so a higher number may be seen before a lower one. A
number that is missing belongs to a transaction that is not done, or was undone: it is looked for until it shows. Beside
that, what was noted a short while ago is looked through once more, for engines that hand out numbers in blocks.

A notification wakes the reader, and nothing more depends on it.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import asyncpg

from keywright.service.checking_ports import Change
from keywright.service.faults import StorageUnavailable
from keywright.storage import checking_rows
from keywright.storage import postgres_checking_sql as sql
from keywright.storage.checking_rows import POSTGRES
from keywright.storage.pool import connect
from keywright.storage.postgres_faults import DRIVER_ERRORS, RolledBack, fault
from keywright.storage.url import PostgresUrl

if TYPE_CHECKING:
    from keywright.storage.pool import Connection

PATIENCE = 2.0
"""Seconds that one statement may take."""

POLL_SECONDS = 0.2
"""How long nobody waits for a notification: it may have been lost."""

POLL_WITHOUT_NOTIFICATIONS_SECONDS = 0.05

LONGEST_TRANSACTION_SECONDS = 15 * 60.0
"""How long a missing number is looked for."""

MOST_MISSING = 10_000
OVERLAP_SECONDS = 10.0
"""How far back is looked through again; twice the time in which whoever makes a change is answered."""

_ATTEMPTS = 3
_CLOSE_PATIENCE = 2.0


class Numbers:
    """
    Which numbers of changes were seen, and which below the highest are missing.

    Args:
        most_missing: How many missing ones to remember; beyond it those missing for the longest are given up.
    """

    def __init__(self, most_missing: int = MOST_MISSING) -> None:
        self.highest = 0
        self._most_missing = most_missing
        # In the order in which they were missed.
        self._missing: dict[int, float] = {}

    @property
    def missing(self) -> list[int]:
        """Those not seen yet."""
        return list(self._missing)

    def saw(self, seq: int, now: float) -> None:
        """Note that a number was seen at *now*, by any clock; what is between it and the highest is missing."""
        self._missing.pop(seq, None)
        if seq > self.highest:
            for absent in range(max(self.highest + 1, seq - self._most_missing), seq):
                self.miss(absent, now)
            self.highest = seq

    def miss(self, seq: int, now: float) -> None:
        """Note that a number is to be looked for."""
        self._missing.setdefault(seq, now)

    def give_up(self, before: float) -> None:
        """Forget the numbers that were missed before a moment, and those that are too many."""
        missed = list(self._missing.items())
        too_many = len(missed) - self._most_missing
        for place, (seq, since) in enumerate(missed):
            if since >= before and place >= too_many:
                return
            del self._missing[seq]


class PostgresTrail:
    """
    `service.checking_ports.Trail` on a connection of its own, to be closed after use.

    Whenever it has to connect again it gives the last minutes again: the server may be another one by then, that took
    over and lost the end of what the first one knew.

    Args:
        url: The server.
        forget: Called with this trail when it is closed.
        most_missing: How many missing numbers to look for.
        overlap: How far back to look through again, in seconds.
    """

    def __init__(
        self,
        url: PostgresUrl,
        *,
        forget: Callable[["PostgresTrail"], object] = lambda trail: None,
        most_missing: int = MOST_MISSING,
        overlap: float = OVERLAP_SECONDS,
    ) -> None:
        self._url = url
        self._forget = forget
        self._overlap = timedelta(seconds=overlap)
        self._numbers = Numbers(most_missing)
        # When the server was last asked, by its own clock, and what it gave that was noted not long before.
        self._asked_at: datetime | None = None
        self._lately: dict[str, datetime] = {}
        # Kept here until a call has returned with them, so that one that fails half way loses nothing.
        self._not_given: list[Change] = []
        self._connection: Connection | None = None
        self._hears = False
        self._stirred = asyncio.Event()
        self._closed = False

    async def start(self) -> None:
        """
        Begin to follow.

        Raises:
            StorageUnavailable: The server cannot be reached; the trail is closed.
        """
        try:
            await self.read()
        except BaseException:
            await self.close()
            raise

    async def read(self) -> Sequence[Change]:
        """See `Trail.read`."""
        if self._closed:
            raise StorageUnavailable("the trail is closed")
        self._stirred.clear()
        try:
            await self._catch_up(await self._connected())
        except DRIVER_ERRORS as error:
            self._disconnect()
            meaning = fault(error)
            raise (meaning if isinstance(meaning, StorageUnavailable) else StorageUnavailable(str(meaning))) from error
        except BaseException:
            # Cancelled, perhaps in the middle of a statement.
            self._disconnect()
            raise
        given, self._not_given = self._not_given, []
        return given

    async def wait(self, seconds: float) -> None:
        """See `Trail.wait`."""
        longest = POLL_SECONDS if self._hears else POLL_WITHOUT_NOTIFICATIONS_SECONDS
        try:
            async with asyncio.timeout(min(seconds, longest)):
                await self._stirred.wait()
        except TimeoutError:
            return

    async def close(self) -> None:
        """See `Trail.close`."""
        self._closed = True
        self.stir()
        self._forget(self)
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await connection.close(timeout=_CLOSE_PATIENCE)
            except DRIVER_ERRORS:
                connection.terminate()

    def stir(self, *_: object) -> None:
        """Say that something may have changed."""
        self._stirred.set()

    async def _connected(self) -> "Connection":
        if self._connection is not None and not self._connection.is_closed():
            return self._connection
        connection = await connect(self._url, patience=PATIENCE, statement_patience=PATIENCE)
        if self._closed:
            connection.terminate()
            raise StorageUnavailable("the trail is closed")
        self._connection = connection
        connection.add_termination_listener(self.stir)
        self._hears = await self._listen(connection)
        await self._begin(connection)
        return connection

    async def _listen(self, connection: "Connection") -> bool:
        # Who does without prepared statements is behind a pooler, which would leave the listening to somebody else.
        if self._url.statement_cache_size == 0:
            return False
        try:
            await connection.add_listener(sql.CHANNEL, self.stir)
        except asyncpg.FeatureNotSupportedError:
            return False
        return True

    async def _begin(self, connection: "Connection") -> None:
        ((old, at),) = await self._ask(connection, sql.BEGIN_AT, LONGEST_TRANSACTION_SECONDS)
        self._lately.clear()
        if self._asked_at is None:
            self._asked_at = at
            self._numbers.highest = old
        self._numbers.highest = min(self._numbers.highest, old)

    async def _catch_up(self, connection: "Connection") -> None:
        now = asyncio.get_running_loop().time()
        more = True
        while more:
            missing = [str(seq) for seq in self._numbers.missing]
            since = None if self._asked_at is None else self._asked_at - self._overlap
            *told, last = await self._ask(connection, sql.CHANGES, self._numbers.highest, missing, since)
            self._take(told, now)
            late = self._not_known(last["recent"] or "")
            for seq in late:
                self._numbers.miss(seq, now)
            self._come_to(last["noted_at"])
            more = bool(late) or len(told) >= sql.MOST_READ
        self._numbers.give_up(now - LONGEST_TRANSACTION_SECONDS)

    def _take(self, told: "Sequence[asyncpg.Record]", now: float) -> None:
        for *row, noted_at, _ in sorted(told, key=lambda each: int(each["seq"])):
            change = checking_rows.change(POSTGRES, row)
            self._numbers.saw(change.seq, now)
            self._lately[str(change.seq)] = noted_at
            self._not_given.append(change)

    def _not_known(self, recent: str) -> list[int]:
        """Say which of the numbers noted lately were not given yet."""
        return [int(seq) for seq in set(recent.split()) - self._lately.keys()]

    def _come_to(self, at: datetime) -> None:
        self._asked_at = at
        since = at - self._overlap
        self._lately = {seq: noted_at for seq, noted_at in self._lately.items() if noted_at > since}

    async def _ask(self, connection: "Connection", statement: str, *values: Any) -> "list[asyncpg.Record]":
        for _ in range(_ATTEMPTS - 1):
            try:
                return await connection.fetch(statement, *values)
            except DRIVER_ERRORS as error:
                if not isinstance(fault(error), RolledBack):
                    raise
        return await connection.fetch(statement, *values)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
