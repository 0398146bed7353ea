"""The database of a command: check its migrations, run work on its store."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from keywright import telemetry
from keywright.cli import exits
from keywright.service.faults import StorageUnavailable
from keywright.storage import migrate as storage
from keywright.storage.migrations import TooOld

if TYPE_CHECKING:
    from keywright.storage.engine import RunningStore

COMMAND = "keywright migrate"

Result = TypeVar("Result")


def is_embedded(url: str) -> bool:
    """Return whether *url* is a SQLite file, which the service itself migrates: no other host uses it."""
    return url.startswith("sqlite:")


def prepare(url: str, *, on_step: Callable[[str], object] = lambda step: None) -> None:
    """
    Migrate or check the database at *url*; end the command if the service cannot use it.

    An embedded database is migrated. Another one must be migrated already: several services may share it, so its
    operator decides when it changes. An unavailable one is accepted: the service answers 503 until it is available.

    Args:
        on_step: Called with the name of each migration as it begins.
    """
    log = telemetry.Log("keywright.database")

    def begin(step: str) -> None:
        on_step(step)
        log.info("migrated", step=step)

    try:
        pending = storage.pending(url)
        if pending and is_embedded(url):
            storage.migrate(url, begin)
            return
    except ValueError as error:
        exits.stop(f"KEYWRIGHT_DATABASE_URL: {error}.", exits.MISUSED)
    except TooOld as fault:
        exits.stop(f"The database cannot be used: {fault.reason}.", exits.NOT_MIGRATED)
    except StorageUnavailable as fault:
        if is_embedded(url):
            exits.stop(f"The database cannot be used: {fault.reason}.", exits.FAILED)
        log.warning("the database cannot be reached; requests are answered 503 until it can", reason=fault.reason)
        return
    _require_nothing(pending)


def require_migrated(url: str) -> None:
    """End the command unless the database at *url* is available and up to date; change nothing."""
    with ending_where_unusable():
        pending = storage.pending(url)
    _require_nothing(pending)


def run(url: str, work: "Callable[[RunningStore], Awaitable[Result]]") -> Result:
    """Open the database at *url*, await *work* on its store, and close it; an unavailable one ends the command."""
    # Not at the top: the supervisor of workers opens no store, and the import takes memory.
    from keywright.storage.engine import open_store

    async def open_and_work() -> Result:
        store = open_store(url)
        try:
            return await work(store)
        finally:
            await store.close()

    try:
        return asyncio.run(open_and_work())
    except StorageUnavailable as fault:
        exits.stop(f"The database cannot be used: {fault.reason}.", exits.UNAVAILABLE)


@contextmanager
def ending_where_unusable() -> Iterator[None]:
    """End the command if the URL is wrong or the database is unavailable."""
    try:
        yield
    except ValueError as error:
        exits.stop(f"KEYWRIGHT_DATABASE_URL: {error}.", exits.MISUSED)
    except StorageUnavailable as fault:
        exits.stop(f"The database cannot be used: {fault.reason}.", exits.UNAVAILABLE)


def _require_nothing(pending: list[str]) -> None:
    if pending:
        exits.stop(f"The database is not migrated ({len(pending)} pending): run `{COMMAND}`.", exits.NOT_MIGRATED)
