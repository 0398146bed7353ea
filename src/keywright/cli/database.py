"""The database before the service starts: migrated by itself, refused, or waited for; and `keywright migrate`."""

from collections.abc import Callable

import structlog

from keywright.cli import exits
from keywright.service.faults import StorageUnavailable
from keywright.storage import migrate
from keywright.storage.migrations import TooOld

COMMAND = "keywright migrate"


def is_embedded(url: str) -> bool:
    """Tell whether *url* is a SQLite file, which belongs to this machine and nobody else migrates."""
    return url.startswith("sqlite:")


def prepare(url: str, *, on_step: Callable[[str], object] = lambda step: None) -> None:
    """
    See that the service can work with the database at *url*, or end the command.

    An embedded one is migrated. Another one that was not is refused, because several services may share it and when it
    changes is its operator's to say. One that is away is not: the service answers 503 until it is back.

    Args:
        on_step: Called with the name of each migration as it begins.
    """
    log = structlog.stdlib.get_logger("keywright.database")

    def migrates(step: str) -> None:
        on_step(step)
        log.info("migrated", step=step)

    try:
        pending = migrate.pending(url)
        if pending and is_embedded(url):
            migrate.migrate(url, migrates)
            return
    except ValueError as error:
        exits.stop(_malformed(error), exits.MISUSED)
    except TooOld as fault:
        exits.stop(f"The database cannot be used: {fault.reason}.", exits.NOT_MIGRATED)
    except StorageUnavailable as fault:
        if is_embedded(url):
            exits.stop(f"The database cannot be used: {fault.reason}.", exits.FAILED)
        log.warning("the database cannot be reached; requests are answered 503 until it can", reason=fault.reason)
        return
    if pending:
        exits.stop(f"The database is not migrated ({len(pending)} pending): run `{COMMAND}`.", exits.NOT_MIGRATED)


def migrate_aloud(url: str) -> None:
    """Bring the database at *url* up to date, a line a step."""
    try:
        steps = migrate.pending(url)
        migrate.migrate(url, lambda step: print(f"migrated: {step}"))
    except ValueError as error:
        exits.stop(_malformed(error), exits.MISUSED)
    except StorageUnavailable as fault:
        exits.stop(f"The database cannot be used: {fault.reason}.", exits.UNAVAILABLE)
    print("The database is up to date." if steps else "The database was up to date.")


def check_pending(url: str) -> None:
    """Name the pending migrations of the database at *url*; exit code 1 where there are any."""
    steps = _pending(url)
    for step in steps:
        print(f"pending: {step}")
    if steps:
        exits.stop(f"The database is not migrated: run `{COMMAND}`.", exits.FAILED)
    print("The database is up to date.")


def require_migrated(url: str) -> None:
    """End the command unless the database at *url* is there and up to date; nothing is changed."""
    if pending := _pending(url):
        exits.stop(f"The database is not migrated ({len(pending)} pending): run `{COMMAND}`.", exits.NOT_MIGRATED)


def _pending(url: str) -> list[str]:
    try:
        return migrate.pending(url)
    except ValueError as error:
        exits.stop(_malformed(error), exits.MISUSED)
    except StorageUnavailable as fault:
        exits.stop(f"The database cannot be used: {fault.reason}.", exits.UNAVAILABLE)


def _malformed(error: ValueError) -> str:
    return f"KEYWRIGHT_DATABASE_URL: {error}."
