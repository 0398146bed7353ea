"""
Migrations on PostgreSQL, while others read and write. Callable from anywhere: each call works in a thread and an event
loop of its own.

A change to a table waits until no transaction uses the table, and later transactions wait behind the change. So it
waits for a moment only, gives way, and tries again. Indexes of tables that may be large are made concurrently, outside
of a transaction: those steps can be run again from wherever they stopped.
"""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final, TypeVar

import asyncpg

from keywright.storage.migrations import POSTGRESQL, Migrations, OnStep
from keywright.storage.postgres import statements as sql
from keywright.storage.postgres.connecting import connect
from keywright.storage.postgres.faults import DRIVER_ERRORS, NotDurable, unavailable
from keywright.storage.url import PostgresUrl

if TYPE_CHECKING:
    from keywright.storage.postgres.connecting import ServerConnection

T = TypeVar("T")

CONNECT_PATIENCE = 5.0
"""Seconds to wait for the server, and for what it says of its version."""

LOCK_PATIENCE = 60.0
"""Seconds in which the tables have to be free for a moment."""

PAUSE: Final = 0.1
"""Seconds without a lock, for the transactions that waited behind a change."""

CONCURRENTLY: Final = " CONCURRENTLY "
"""The word in a script that no transaction can hold together."""

# Any number will do that no other program locks in the same database.
_LOCK = 0x6B65797772696768


class _Progress(Enum):
    """The result of an attempt: some steps done, none because of a lock, or nothing left to do."""

    SOME = auto()
    BLOCKED = auto()
    DONE = auto()


def pending(url: PostgresUrl) -> list[str]:
    """Name the migrations that the database lacks; see `migrate.pending`."""
    # A locked table or a stopped server would block the caller for ever.
    return with_connection(
        url, lambda connection: _pending(connection, POSTGRESQL), statement_patience=CONNECT_PATIENCE
    )


def migrate(url: PostgresUrl, on_step: OnStep, steps: Migrations = POSTGRESQL) -> None:
    """Run those of *steps* that the database lacks; see `migrate.migrate`."""
    # A migration takes as long as it takes, and so does waiting for another one.
    with_connection(url, lambda connection: _migrate(url, connection, on_step, steps), statement_patience=None)


async def _pending(connection: "ServerConnection", steps: Migrations) -> list[str]:
    if await connection.fetchval(sql.HAS_VERSION) is None:
        return steps.missing(())
    return steps.missing([version for (version,) in await connection.fetch(sql.VERSION)])


async def _migrate(url: PostgresUrl, connection: "ServerConnection", on_step: OnStep, steps: Migrations) -> None:
    started: set[str] = set()

    def start(step: str) -> None:
        if step not in started:
            started.add(step)
            on_step(step)

    give_up_at = asyncio.get_running_loop().time() + LOCK_PATIENCE
    while True:
        try:
            progress = await _advance(url, connection, start, steps)
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            # Nothing was done, and the transactions that waited behind go first.
            if asyncio.get_running_loop().time() >= give_up_at:
                raise
            progress = _Progress.BLOCKED
        if progress is _Progress.DONE:
            return
        if progress is _Progress.BLOCKED:
            await asyncio.sleep(PAUSE)


async def _advance(url: PostgresUrl, connection: "ServerConnection", on_step: OnStep, steps: Migrations) -> _Progress:
    """
    Run one step, in a transaction of its own.

    Together they would lock several tables that writers use, and wait in a ring with them.
    """
    async with connection.transaction():
        # Not waited for in the transaction, which looks at the database as of then: an index that is made concurrently
        # waits for every transaction that does.
        if not await connection.fetchval(sql.TRY_LOCK, _LOCK):
            return _Progress.BLOCKED
        scripts = [(revision, steps.script(revision)) for revision in await _pending(connection, steps)]
        # By a call without parameters, after which the driver leaves nothing open that still looks at it.
        await connection.execute(sql.GIVE_WAY)
        for revision, text in scripts[:1]:
            on_step(revision)
            if CONCURRENTLY in text:
                await _run_beside(url, connection, text)
            else:
                await connection.execute(text)
        return _Progress.SOME if scripts else _Progress.DONE


async def _run_beside(url: PostgresUrl, connection: "ServerConnection", text: str) -> None:
    """Run the statements of a script one by one on another connection, and the last, which records it, on this one."""
    *making, recording = [statement for statement in text.split(";\n") if statement.strip()]
    maker = await connect(url, patience=CONNECT_PATIENCE, statement_patience=None)
    try:
        for statement in making:
            await maker.execute(statement)
    finally:
        maker.terminate()
    await connection.execute(recording)


def with_connection(
    url: PostgresUrl, work: "Callable[[ServerConnection], Coroutine[Any, Any, T]]", *, statement_patience: float | None
) -> T:
    """
    Await *work* on a connection, in a thread and an event loop of its own.

    Args:
        statement_patience: Seconds that a statement may take; None for as long as it takes.

    Raises:
        ValueError: The server does not keep what it acknowledges.
        StorageUnavailable: It cannot be reached, or refuses the work.
    """

    async def run() -> T:
        connection = await connect(url, patience=CONNECT_PATIENCE, statement_patience=statement_patience)
        try:
            return await work(connection)
        except DRIVER_ERRORS as error:
            # A migration that the data refuses is not a malformed URL, which is what a ValueError says here.
            raise unavailable(error) from error
        finally:
            connection.terminate()

    with ThreadPoolExecutor(1) as thread:
        try:
            return thread.submit(asyncio.run, run()).result()
        except NotDurable as error:
            # Waiting does not help: the start of the service has to fail with this.
            raise ValueError(error.reason) from None
