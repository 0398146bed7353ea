"""
A pool of connections to PostgreSQL: few, prepared, and each used by one caller at a time.

The driver has a pool of its own. A list of connections answers a look-up by primary key twice as fast (43 000 a
second instead of 22 000 with 64 callers), because nothing is wrapped, reset or shielded for each use; and no session
state is ever set that would have to be undone.
"""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from keywright.service.fair_queue import Share
from keywright.service.faults import Overloaded, StorageUnavailable
from keywright.service.turns import Turns
from keywright.storage.postgres.connecting import CONNECT_PATIENCE, ServerConnection, Servers, close_connection
from keywright.storage.postgres.faults import DRIVER_ERRORS, ConnectionLost, fault
from keywright.storage.shared.group_commit import PATIENCE

if TYPE_CHECKING:
    import asyncpg

_SLOT_SHARE = 0.4
"""The share of a caller's patience that it may wait for a connection."""

LONGEST_QUEUE = 1024
"""Callers that may wait for a connection; one more is refused at once."""

# A firewall drops an idle connection without a sign: what is sent through it then has no answer.
_LONGEST_IDLE = 300.0
_RECOVER_PATIENCE = 2.0


class Pool:
    """
    Connections that are opened when they are needed.

    A connection that broke is replaced, and with it all that lie idle, since what broke one has mostly broken all. One
    whose statement was cut short, by a timeout or by its caller's end, serves again once it has answered another.
    One to a former primary serves nobody.

    Args:
        servers: Where the primary is among.
        size: How many connections.
        most_of_share: How many of them one share may use at once: its statements may wait for each other's locks.
        patience: Seconds that a statement may take, the waiting for a connection included.
    """

    def __init__(self, servers: Servers, size: int, *, most_of_share: int, patience: float = PATIENCE) -> None:
        self._servers = servers
        self._size = size
        self._patience = patience
        self._slots = Turns(
            time.monotonic,
            most=size,
            alone=most_of_share,
            together=most_of_share,
            longest=2 * LONGEST_QUEUE,
            longest_of_share=LONGEST_QUEUE,
        )
        self._idle: list[tuple[ServerConnection, float]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def deadline(self) -> float:
        """Give the time on the event loop's clock by which a call that begins now has to be answered."""
        return asyncio.get_running_loop().time() + self._patience

    async def fetch(
        self, statement: str, values: Sequence[Any], *, deadline: float, share: Share = None
    ) -> "list[asyncpg.Record]":
        """
        Execute a statement of *share*, in a transaction of its own, and give its rows.

        Raises:
            ValueError: The server refuses the data; nothing was done.
            RolledBack: It gave way to another transaction; nothing was done.
            ConnectionLost: The connection broke on the way, or was to a former primary; the statement may have been
                carried out.
            StorageUnavailable: There was no connection or no answer by *deadline*, or no standby has confirmed the
                transaction; as above.
        """
        connection = await self._take(share, deadline)
        try:
            rows = await connection.fetch(statement, *values, timeout=self._left(deadline))
        except DRIVER_ERRORS as error:
            meaning = fault(error)
            self._release_after_error(share, connection, error, meaning)
            raise meaning from error
        except BaseException:
            self._start(self._recover(share, connection))
            raise
        unreplicated, connection.unreplicated = connection.unreplicated, False
        self._release(share, connection)
        if unreplicated:
            raise StorageUnavailable("the server did not wait for the standby that has to confirm the transaction")
        if self._servers.is_former(connection):
            raise ConnectionLost("the answer came from a former primary")
        return rows

    async def close(self) -> None:
        """Let statements under way end, then close every connection."""
        if self._closed:
            return
        self._closed = True
        try:
            async with asyncio.timeout(self._patience):
                for number in range(self._size):
                    await self._slots.take(("closing", number))
        except TimeoutError:
            pass
        while self._idle:
            self._start(close_connection(self._idle.pop()[0]))
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _take(self, share: Share, deadline: float) -> ServerConnection:
        if self._closed:
            raise StorageUnavailable("the store is closed")
        if asyncio.get_running_loop().time() >= deadline:
            raise StorageUnavailable("PostgreSQL did not answer in time")
        await self._wait_for_slot(share)
        try:
            return self._idle_connection() or await self._servers.connect(
                patience=min(CONNECT_PATIENCE, self._left(deadline))
            )
        except BaseException:
            self._slots.give_back(share)
            raise

    async def _wait_for_slot(self, share: Share) -> None:
        if self._slots.take_now(share):
            return
        try:
            async with asyncio.timeout(self._patience * _SLOT_SHARE):
                await self._slots.take(share)
        except TimeoutError:
            raise StorageUnavailable(f"all {self._size} connections stayed in use") from None
        except Overloaded:
            raise StorageUnavailable(f"{LONGEST_QUEUE} requests wait for a connection already") from None

    def _idle_connection(self) -> ServerConnection | None:
        """Take the one that was used last, so that those not needed grow too old and are closed."""
        too_old = asyncio.get_running_loop().time() - _LONGEST_IDLE
        while self._idle:
            connection, since = self._idle.pop()
            if connection.is_closed():
                continue
            if self._servers.is_former(connection):
                connection.terminate()
                continue
            if since > too_old:
                return connection
            self._start(close_connection(connection))
        return None

    def _release(self, share: Share, connection: ServerConnection) -> None:
        self._idle.append((connection, asyncio.get_running_loop().time()))
        self._slots.give_back(share)

    def _release_after_error(
        self, share: Share, connection: ServerConnection, error: BaseException, meaning: Exception
    ) -> None:
        if isinstance(meaning, ConnectionLost):
            connection.terminate()
            while self._idle:
                self._idle.pop()[0].terminate()
            self._slots.give_back(share)
        elif isinstance(error, TimeoutError):
            self._start(self._recover(share, connection))
        else:
            # The server refused the statement, and is ready for the next one.
            self._release(share, connection)

    async def _recover(self, share: Share, connection: ServerConnection) -> None:
        """Wait until the server has ended a statement that was cut short; the caller does not wait for that."""
        try:
            await connection.fetch("SELECT 1", timeout=_RECOVER_PATIENCE)
        except BaseException as error:
            connection.terminate()
            self._slots.give_back(share)
            if not isinstance(error, DRIVER_ERRORS):
                raise
        else:
            self._release(share, connection)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _left(self, deadline: float) -> float:
        return max(deadline - asyncio.get_running_loop().time(), 0.001)
