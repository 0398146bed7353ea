"""Migrations on PostgreSQL. Callable from anywhere: each call works in a thread and an event loop of its own."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from keywright.service.faults import StorageUnavailable
from keywright.storage import postgres_sql as sql
from keywright.storage.pool import connect
from keywright.storage.postgres_faults import DRIVER_ERRORS, NotDurable, fault
from keywright.storage.revision import OnStep, missing, script
from keywright.storage.url import PostgresUrl

if TYPE_CHECKING:
    from keywright.storage.pool import Connection

T = TypeVar("T")

CONNECT_PATIENCE = 5.0
"""Seconds to wait for the server."""

# Any number will do that no other program locks in the same database.
_LOCK = 0x6B65797772696768


def pending(url: PostgresUrl) -> list[str]:
    """Name the migrations that the database lacks; see `migrate.pending`."""
    return _with_connection(url, _pending)


def migrate(url: PostgresUrl, on_step: OnStep) -> None:
    """Run the migrations that the database lacks; see `migrate.migrate`."""
    _with_connection(url, lambda connection: _migrate(connection, on_step))


async def _pending(connection: "Connection") -> list[str]:
    if await connection.fetchval(sql.HAS_VERSION) is None:
        return missing(())
    return missing([version for (version,) in await connection.fetch(sql.VERSION)])


async def _migrate(connection: "Connection", on_step: OnStep) -> None:
    async with connection.transaction():
        await connection.execute(sql.LOCK, _LOCK)
        for revision in await _pending(connection):
            on_step(revision)
            await connection.execute(script("postgresql", revision))


def _with_connection(url: PostgresUrl, work: "Callable[[Connection], Coroutine[Any, Any, T]]") -> T:
    async def run() -> T:
        # A migration takes as long as it takes, and so does waiting for another one.
        connection = await connect(url, patience=CONNECT_PATIENCE, statement_patience=None)
        try:
            return await work(connection)
        except DRIVER_ERRORS as error:
            raise _as_unavailable(fault(error)) from error
        finally:
            connection.terminate()

    with ThreadPoolExecutor(1) as thread:
        try:
            return thread.submit(asyncio.run, run()).result()
        except NotDurable as error:
            # Not a matter of waiting: whoever starts a service on it has to be told.
            raise ValueError(error.reason) from None


def _as_unavailable(meaning: Exception) -> StorageUnavailable:
    # A migration that the data refuses is not a malformed URL, which is what a ValueError says here.
    return meaning if isinstance(meaning, StorageUnavailable) else StorageUnavailable(str(meaning))
