"""
Connections to a SQLite file, and what its errors mean. `writer` opens those that write.
"""

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from keywright.service.faults import StorageUnavailable
from keywright.storage.migrations import MIGRATE

OLDEST = (3, 37)
"""The first version with STRICT tables."""

NOW = "now_microseconds()"
"""The time in SQL, on every connection: microseconds since 1970. SQLite's own functions round down to milliseconds."""

_READ_PATIENCE_MS = 2000


def open_to_read(path: Path) -> sqlite3.Connection:
    """
    Open an existing file for a thread that only reads.

    Raises:
        StorageUnavailable: It cannot be opened.
    """
    return open_file(path, "rw", _set_up_to_read)


def version(connection: sqlite3.Connection) -> list[str]:
    """Name the migration that the database stands at; nothing where it was never migrated."""
    table = connection.execute("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'alembic_version'")
    if table.fetchone() is None:
        return []
    return [name for (name,) in connection.execute("SELECT version_num FROM alembic_version")]


def fault(error: Exception) -> Exception:
    """
    Say what an error of SQLite means to a caller.

    Returns:
        `ValueError` where the data is at fault, `StorageUnavailable` where the database is. Neither holds a value.
    """
    if isinstance(error, sqlite3.IntegrityError | sqlite3.DataError):
        return ValueError(f"SQLite refuses it: {error}")
    if isinstance(error, OverflowError):
        return ValueError("a number is beyond what a column holds")
    if isinstance(error, sqlite3.OperationalError) and str(error).startswith(("no such table", "no such column")):
        return StorageUnavailable(f"the database is not migrated, {MIGRATE} ({error})")
    return StorageUnavailable(f"SQLite: {error}")


def open_file(path: Path, mode: str, set_up: Callable[[sqlite3.Connection], None]) -> sqlite3.Connection:
    """
    Open a connection that has `NOW`.

    Args:
        path: The file.
        mode: `rw` for an existing file, `rwc` to create one that is missing.
        set_up: Executes the pragmas of the connection.

    Raises:
        StorageUnavailable: The file cannot be opened or set up.
    """
    if sqlite3.sqlite_version_info < OLDEST:
        raise StorageUnavailable(f"SQLite 3.37 or newer is needed, and this Python has {sqlite3.sqlite_version}")
    if mode == "rw" and not path.exists():
        raise StorageUnavailable(f"the database {path} does not exist, {MIGRATE}")
    try:
        if mode == "rwc":
            _create_for_owner(path)
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            isolation_level=None,
            timeout=0,
            # A connection is used by one thread; another one closes it when that thread is gone.
            check_same_thread=False,
        )
    except (sqlite3.Error, OSError) as error:
        raise StorageUnavailable(f"the database {path} cannot be opened: {error}") from error
    try:
        connection.create_function(NOW.removesuffix("()"), 0, _now)
        set_up(connection)
    except sqlite3.Error as error:
        connection.close()
        raise StorageUnavailable(f"the database {path} cannot be used: {error}") from error
    return connection


def _create_for_owner(path: Path) -> None:
    """Create a missing file with mode 0600; SQLite gives the files beside it the same mode."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _now() -> int:
    return time.time_ns() // 1000


def _set_up_to_read(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA query_only = ON")
    # A reader waits only while another process repairs the log after a crash.
    connection.execute(f"PRAGMA busy_timeout = {_READ_PATIENCE_MS}")
