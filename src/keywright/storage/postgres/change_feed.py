"""
The change feed of PostgreSQL: one reader on a connection of its own. `change_reader` decides what to query.

A notification wakes the reader, and nothing more depends on it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

import asyncpg

from keywright.service.change_feed import LATE, LONGEST_TRANSACTION_SECONDS, Reading
from keywright.service.faults import StorageUnavailable
from keywright.storage.postgres import checking_statements as sql
from keywright.storage.postgres.change_reader import MOST_MISSING, ChangeReader
from keywright.storage.postgres.connecting import Server, Servers, close_connection
from keywright.storage.postgres.faults import DRIVER_ERRORS, ConnectionLost, RolledBack, fault, unavailable
from keywright.storage.shared import checking_rows
from keywright.storage.shared.readers import POSTGRES
from keywright.storage.url import PostgresUrl

if TYPE_CHECKING:
    from keywright.storage.postgres.connecting import ServerConnection

T = TypeVar("T")

PATIENCE = 2.0
"""Seconds that one statement may take."""

POLL_SECONDS = 0.4
"""The longest wait for a notification, which may have been lost; whoever hears none waits half of what is asked."""

PROVE_EVERY_SECONDS: Final = 0.3
"""
The pause between two readings that prove that the server is the primary, where it needs a standby to confirm writes.

Far below the bound of revocation, because caches are fresh by these readings alone; each costs a small commit.
"""

_ATTEMPTS = 3


class PostgresChangeFeed:
    """
    `service.change_feed.ChangeFeed` on a connection of its own, to be closed after use.

    Args:
        url: The server, or several.
        servers: What the store knows of them; by default this feed knows its own.
        forget: Called with this feed when it is closed.
        most_missing: How many missing numbers to look for.
        overlap: How far back to look through again.
    """

    def __init__(
        self,
        url: PostgresUrl,
        *,
        servers: Servers | None = None,
        forget: Callable[["PostgresChangeFeed"], object] = lambda feed: None,
        most_missing: int = MOST_MISSING,
        overlap: timedelta = LATE,
    ) -> None:
        self._url = url
        self._servers = servers or Servers(url)
        self._forget = forget
        self._reader = ChangeReader(most_missing=most_missing, overlap=overlap)
        self._connection: ServerConnection | None = None
        self._listens = False
        self._proven = False
        self._woken = asyncio.Event()
        self._closed = False

    async def start(self) -> None:
        """
        Choose where the first reading begins.

        Raises:
            StorageUnavailable: The server cannot be reached; the change feed is closed.
        """
        try:
            await self._connect_and(self._do_nothing)
        except BaseException:
            await self.close()
            raise

    async def read(self) -> Reading:
        """See `ChangeFeed.read`."""
        if self._closed:
            raise StorageUnavailable("the change feed is closed")
        self._woken.clear()
        self._proven = False
        more = await self._connect_and(self._catch_up)
        return self._reader.take_out(more=more, proven=self._proven)

    async def _connect_and(self, work: Callable[["ServerConnection"], Awaitable[T]]) -> T:
        try:
            return await work(await self._connected())
        except DRIVER_ERRORS as error:
            self._disconnect()
            raise unavailable(error) from error
        except BaseException:
            # Cancelled, perhaps in the middle of a statement.
            self._disconnect()
            raise

    async def _do_nothing(self, _: "ServerConnection") -> None:
        """Do no more than connect."""

    async def wait(self, seconds: float) -> None:
        """See `ChangeFeed.wait`."""
        longest = min(seconds, POLL_SECONDS)
        try:
            async with asyncio.timeout(longest if self._listens else longest / 2):
                await self._woken.wait()
        except TimeoutError:
            return

    async def close(self) -> None:
        """See `ChangeFeed.close`."""
        self._closed = True
        self.wake()
        self._forget(self)
        connection, self._connection = self._connection, None
        if connection is not None:
            await close_connection(connection)

    def wake(self, *_: object) -> None:
        """Wake the reader: something may have changed."""
        self._woken.set()

    async def _connected(self) -> "ServerConnection":
        if self._connection is not None and not self._connection.is_closed():
            return self._connection
        connection = await self._servers.connect(patience=PATIENCE, statement_patience=PATIENCE)
        if self._closed:
            connection.terminate()
            raise StorageUnavailable("the change feed is closed")
        self._connection = connection
        connection.add_termination_listener(self.wake)
        self._listens = await self._listen(connection)
        await self._begin(connection)
        return connection

    async def _listen(self, connection: "ServerConnection") -> bool:
        # Without prepared statements there is a pooler in between, and LISTEN would stay with a connection of its own.
        if self._url.statement_cache_size == 0:
            return False
        try:
            await connection.add_listener(sql.CHANNEL, self.wake)
        except asyncpg.FeatureNotSupportedError:
            return False
        return True

    async def _begin(self, connection: "ServerConnection") -> None:
        ((oldest, at),) = await self._fetch(connection, sql.BEGIN_AT, LONGEST_TRANSACTION_SECONDS)
        self._reader.begin(oldest, at)

    async def _catch_up(self, connection: "ServerConnection") -> bool:
        """Take what was written since the last reading; give whether there is more."""
        now, reader = asyncio.get_running_loop().time(), self._reader
        while True:
            missing = [str(seq) for seq in reader.missing]
            *found, last = await self._ask(connection, reader.highest, missing, reader.since)
            changes = [checking_rows.change(POSTGRES, *row) for *row, _, _, _ in found]
            recent = [int(seq) for seq in (last["recent"] or "").split()]
            late = reader.take(changes, recent, last["noted_at"], now)
            more = len(found) >= sql.MOST_READ
            if more or not late:
                return more

    async def _ask(self, connection: "ServerConnection", *values: Any) -> "list[asyncpg.Record]":
        """Ask for changes, and now and then for a proof that the server is the primary."""
        if connection.server is None:
            self._proven = True
            return await self._fetch(connection, sql.CHANGES, *values)
        primacy = self._servers.primacy
        began, prove = primacy.now(), primacy.proof_is_due(PROVE_EVERY_SECONDS)
        found = await self._fetch(connection, sql.CHANGES_AND_SERVER, *values, prove)
        # A pooler may have gone over to another server under this connection, which then begins anew.
        if Server.read(found[-1]["server"]) != connection.server or self._servers.is_former(connection):
            raise ConnectionLost("another server has taken over")
        unreplicated, connection.unreplicated = connection.unreplicated, False
        primacy.needs_proof = found[-1]["needs_proof"] == "yes"
        if not primacy.needs_proof:
            self._proven = True
        elif prove and not unreplicated:
            self._proven = True
            primacy.proven(began)
        return found

    async def _fetch(self, connection: "ServerConnection", statement: str, *values: Any) -> "list[asyncpg.Record]":
        for _ in range(_ATTEMPTS - 1):
            try:
                return await connection.fetch(statement, *values)
            except DRIVER_ERRORS as error:
                if not isinstance(fault(error), RolledBack):
                    raise
        return await connection.fetch(statement, *values)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._servers.doubt(self._connection)
            self._connection.terminate()
            self._connection = None
