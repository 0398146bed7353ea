"""
Connections to a SQLite file, and what its errors mean.

Durability: WAL with `synchronous=FULL` syncs the log at every commit, so that what was acknowledged survives a power
cut; `fullfsync` asks the same of macOS, whose plain fsync stops at the drive's cache.
"""

import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from keywright.service.faults import StorageUnavailable
from keywright.storage.migrations import MIGRATE

OLDEST = (3, 37)
"""The first version with STRICT tables."""

NOW = "now_microseconds()"
"""The time in SQL, on every connection: microseconds since 1970. SQLite's own functions round down to milliseconds."""

_POLL = 0.001
_WAL_PATIENCE = 2.0
_READ_PATIENCE_MS = 2000
_CHECKPOINT_PATIENCE_MS = 1000


def create(path: Path) -> sqlite3.Connection:
    """
    Open a file to migrate it, creating it where it is missing.

    Raises:
        StorageUnavailable: It cannot be opened.
    """
    return _open(path, "rwc", _set_up_to_write)


def open_to_write(path: Path) -> sqlite3.Connection:
    """
    Open an existing file for the one thread of this process that writes to it.

    Raises:
        StorageUnavailable: It cannot be opened.
    """
    return _open(path, "rw", _set_up_to_write)


def open_to_read(path: Path) -> sqlite3.Connection:
    """
    Open an existing file for a thread that only reads.

    Raises:
        StorageUnavailable: It cannot be opened.
    """
    return _open(path, "rw", _set_up_to_read)


def begin(connection: sqlite3.Connection, patience: float) -> None:
    """
    Begin a transaction that may write, once no other process is in one.

    Args:
        patience: Seconds to wait for that.

    Raises:
        sqlite3.OperationalError: Another process was in one all the time.
    """
    _once_free(connection, "BEGIN IMMEDIATE", patience)


def version(connection: sqlite3.Connection) -> list[str]:
    """Name the migration that the database stands at; nothing where it was never migrated."""
    table = connection.execute("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'alembic_version'")
    if table.fetchone() is None:
        return []
    return [name for (name,) in connection.execute("SELECT version_num FROM alembic_version")]


def checkpoint(connection: sqlite3.Connection) -> None:
    """
    Move what was committed from the log into the file, so that the log can start over.

    In mode FULL, which holds the write lock: up to SQLite 3.51.2 a checkpoint that runs while another process starts
    the log over can lose what was committed (https://sqlite.org/wal.html#walresetbug). That is why SQLite's own
    checkpoints, which hold no such lock, are switched off.
    """
    connection.execute(f"PRAGMA busy_timeout = {_CHECKPOINT_PATIENCE_MS}")
    connection.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
    connection.execute("PRAGMA busy_timeout = 0")


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


Look = Callable[[sqlite3.Connection], list[Any]]
"""A question to the database."""


class Reader:
    """The one connection of this process that reads. Used by one thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def look(self, looks: Sequence[Look]) -> list[list[Any]]:
        """
        Answer all of *looks*.

        Raises:
            StorageUnavailable: One of them could not be answered.
        """
        if self._connection is None:
            self._connection = open_to_read(self._path)
        try:
            return [look(self._connection) for look in looks]
        except sqlite3.Error as error:
            self.close()
            raise fault(error) from error

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _open(path: Path, mode: str, set_up: Callable[[sqlite3.Connection], None]) -> sqlite3.Connection:
    if sqlite3.sqlite_version_info < OLDEST:
        raise StorageUnavailable(f"SQLite 3.37 or newer is needed, and this Python has {sqlite3.sqlite_version}")
    if mode == "rw" and not path.exists():
        raise StorageUnavailable(f"the database {path} does not exist, {MIGRATE}")
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            isolation_level=None,
            timeout=0,
            # A connection is used by one thread; another one closes it when that thread is gone.
            check_same_thread=False,
        )
    except sqlite3.Error as error:
        raise StorageUnavailable(f"the database {path} cannot be opened: {error}") from error
    try:
        connection.create_function(NOW.removesuffix("()"), 0, _now)
        set_up(connection)
    except sqlite3.Error as error:
        connection.close()
        raise StorageUnavailable(f"the database {path} cannot be used: {error}") from error
    return connection


def _now() -> int:
    return time.time_ns() // 1000


def _set_up_to_write(connection: sqlite3.Connection) -> None:
    mode = _once_free(connection, "PRAGMA journal_mode = WAL", _WAL_PATIENCE)
    if mode != ("wal",):
        raise sqlite3.OperationalError("no write-ahead log can be kept beside it")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA fullfsync = ON")
    connection.execute("PRAGMA foreign_keys = ON")
    # `checkpoint` does it.
    connection.execute("PRAGMA wal_autocheckpoint = 0")


def _set_up_to_read(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA query_only = ON")
    # Readers wait for nobody but a process that mends the log after a crash.
    connection.execute(f"PRAGMA busy_timeout = {_READ_PATIENCE_MS}")


def _once_free(connection: sqlite3.Connection, statement: str, patience: float) -> object:
    """
    Execute a statement that needs a lock, and give its first row.

    The lock is asked for every millisecond. SQLite's own waiting pauses for up to 100 ms, and some statements it does
    not wait for at all; with four processes writing, a commit then takes 105 ms at the 99th percentile instead of 20.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            return connection.execute(statement).fetchone()
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or time.monotonic() >= deadline:
                raise
            time.sleep(_POLL)


def _is_busy(error: sqlite3.OperationalError) -> bool:
    # The low byte is the kind; the rest says which lock.
    return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
