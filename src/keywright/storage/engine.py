"""Opens the store that a database URL names, and asks its server for the time."""

from datetime import datetime
from typing import Protocol

from keywright.service.change_feed import ChangeStore
from keywright.service.checking.ports import CheckingStore
from keywright.service.console_sessions import ConsoleSessionStore
from keywright.service.figures.ports import FiguresStore
from keywright.service.management.task_ports import KeyTaskStore
from keywright.service.organization_data.ports import OrganizationDataStore
from keywright.service.organizations import OrganizationStore
from keywright.service.recovery.ports import RestoredStore
from keywright.service.verifier_sessions import SessionStore
from keywright.service.verifiers import VerifierStore
from keywright.storage import url as database_url
from keywright.storage.shared.group_commit import OnBatch
from keywright.storage.sqlite.store import SqliteStore
from keywright.storage.url import SqliteUrl


class RunningStore(
    KeyTaskStore,
    RestoredStore,
    OrganizationDataStore,
    ChangeStore,
    CheckingStore,
    ConsoleSessionStore,
    FiguresStore,
    OrganizationStore,
    SessionStore,
    VerifierStore,
    Protocol,
):
    """A store that is opened before and closed after use."""

    async def start(self) -> None:
        """Open it. A database that is unavailable now is found later; `check` raises until then."""
        ...

    async def close(self) -> None:
        """Finish what was accepted, then close every connection."""
        ...


def open_store(url: str, *, on_batch: OnBatch | None = None) -> RunningStore:
    """
    Give the store of a database. Nothing is opened yet.

    Args:
        url: See `url.read`.
        on_batch: Called with the number of changes that shared a commit, for each commit.

    Raises:
        ValueError: The URL is malformed; the message says how, and quotes nothing of it.
    """
    place = database_url.read(url)
    if isinstance(place, SqliteUrl):
        return SqliteStore(place.path, on_batch=on_batch)
    # Its driver takes a tenth of a second to import.
    from keywright.storage.postgres.store import PostgresStore

    return PostgresStore(place, on_batch=on_batch)


async def server_time(url: str) -> datetime | None:
    """
    Ask the server at *url* for its time, aware; None for a file, which has no clock but this machine's.

    Raises:
        ValueError: The URL is malformed.
        StorageUnavailable: The server cannot be reached, or does not keep what it acknowledges.
    """
    place = database_url.read(url)
    if isinstance(place, SqliteUrl):
        return None
    # Its driver takes a tenth of a second to import.
    from keywright.storage.postgres.connecting import connect
    from keywright.storage.postgres.faults import DRIVER_ERRORS, unavailable

    connection = await connect(place)
    try:
        shown: datetime = await connection.fetchval("SELECT clock_timestamp()")
    except DRIVER_ERRORS as error:
        raise unavailable(error) from error
    finally:
        connection.terminate()
    return shown
