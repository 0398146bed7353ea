"""
Brings a database to the version of this code, on either engine.

All that is missing is one transaction, under a lock: when two processes migrate at the same time, the second waits and
then finds nothing to do.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from keywright.service.faults import StorageUnavailable
from keywright.storage import sqlite_file
from keywright.storage import url as database_url
from keywright.storage.revision import OnStep, missing, script
from keywright.storage.url import SqliteUrl

LOCK_PATIENCE = 60.0
"""Seconds to wait for another process that writes to the same file."""


def pending(url: str) -> list[str]:
    """
    Name the migrations that the database lacks, oldest first, changing nothing.

    Raises:
        ValueError: The URL is malformed, or names a server that does not keep what it acknowledges.
        StorageUnavailable: The database cannot be reached.
    """
    place = database_url.read(url)
    if isinstance(place, SqliteUrl):
        return _pending_in_file(place.path)
    # Its driver takes a tenth of a second to import.
    from keywright.storage import postgres_migrate

    return postgres_migrate.pending(place)


def migrate(url: str, on_step: OnStep = lambda step: None) -> None:
    """
    Run the migrations that the database lacks; a SQLite file that does not exist is created.

    Args:
        url: See `url.read`.
        on_step: Called with the name of each migration as it begins.

    Raises:
        ValueError: As for `pending`.
        StorageUnavailable: The database cannot be reached, or a migration failed. Nothing was changed.
    """
    if not pending(url):
        return
    place = database_url.read(url)
    if isinstance(place, SqliteUrl):
        _migrate_file(place.path, on_step)
        return
    from keywright.storage import postgres_migrate

    postgres_migrate.migrate(place, on_step)


def statements(text: str) -> Iterator[str]:
    """Cut a script for SQLite into its statements; a trigger holds semicolons of its own."""
    collected = ""
    for line in text.splitlines(keepends=True):
        collected += line
        if sqlite3.complete_statement(collected):
            yield collected
            collected = ""


def _pending_in_file(path: Path) -> list[str]:
    if not path.exists():
        return missing(())
    with closing(sqlite_file.open_to_read(path)) as connection:
        try:
            return missing(sqlite_file.version(connection))
        except sqlite3.Error as error:
            raise sqlite_file.fault(error) from error


def _migrate_file(path: Path, on_step: OnStep) -> None:
    with closing(sqlite_file.create(path)) as connection:
        try:
            sqlite_file.begin(connection, LOCK_PATIENCE)
            for revision in missing(sqlite_file.version(connection)):
                on_step(revision)
                for statement in statements(script("sqlite", revision)):
                    connection.execute(statement)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            # Closing rolls back.
            raise StorageUnavailable(f"SQLite: {error}") from error
