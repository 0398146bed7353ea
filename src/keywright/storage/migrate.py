"""
Brings a database to the version of this code, on either engine.

What is missing is done under a lock: when two processes migrate at the same time, the second waits and then finds
nothing to do. Each step is there as a whole or not at all.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path

from keywright.service.faults import StorageUnavailable
from keywright.storage import migrations
from keywright.storage import url as database_url
from keywright.storage.migrations import Migrations, OnStep
from keywright.storage.sqlite import file as sqlite_file
from keywright.storage.sqlite import writer
from keywright.storage.url import SqliteUrl

LOCK_PATIENCE = 60.0
"""Seconds to wait for another process that writes to the same file."""


def pending(url: str) -> list[str]:
    """
    Name the migrations that the database lacks, oldest first, changing nothing.

    Raises:
        ValueError: The URL is malformed, or names a server that does not keep what it acknowledges.
        TooOld: The database is older than the oldest migration.
        StorageUnavailable: The database cannot be reached.
    """
    place = database_url.read(url)
    if isinstance(place, SqliteUrl):
        return _pending_in_file(place.path)
    # Its driver takes a tenth of a second to import.
    from keywright.storage.postgres import migrate as postgres_migrate

    return postgres_migrate.pending(place)


def all_of(url: str) -> list[str]:
    """Name all migrations of the engine at *url*, oldest first: what an empty database lacks."""
    is_file = isinstance(database_url.read(url), SqliteUrl)
    return (migrations.SQLITE if is_file else migrations.POSTGRESQL).missing(())


def migrate(url: str, on_step: OnStep = lambda step: None) -> None:
    """
    Run the migrations that the database lacks; a SQLite file that does not exist is created.

    Args:
        url: See `url.read`.
        on_step: Called with the name of each migration as it begins.

    Raises:
        ValueError: As for `pending`.
        StorageUnavailable: The database cannot be reached, or a migration failed. Migrations that were done before it
            stay done, and it can be run again.
    """
    place = database_url.read(url)
    if isinstance(place, SqliteUrl):
        migrate_file(place.path, on_step)
        return
    from keywright.storage.postgres import migrate as postgres_migrate

    postgres_migrate.migrate(place, on_step)


def grant(url: str, role: str) -> None:
    """
    Give a role of the PostgreSQL server at *url* the rights that the service needs, and no others.

    Raises:
        ValueError: The URL is malformed, or names a file, which has no roles.
        StorageUnavailable: The server cannot be reached, has no such role, or refuses it.
    """
    place = database_url.read(url)
    if isinstance(place, SqliteUrl):
        raise ValueError("a SQLite file has no roles to grant rights to")
    # Its driver takes a tenth of a second to import.
    from keywright.storage.postgres import roles

    roles.grant(place, role)


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
        return migrations.SQLITE.missing(())
    with closing(sqlite_file.open_to_read(path)) as connection:
        try:
            return migrations.SQLITE.missing(sqlite_file.version(connection))
        except sqlite3.Error as error:
            raise sqlite_file.fault(error) from error


def migrate_file(path: Path, on_step: OnStep, steps: Migrations = migrations.SQLITE) -> None:
    """Run those of *steps* that a SQLite file lacks; see `migrate`."""
    with closing(writer.create(path)) as connection:
        _add_functions(connection)
        try:
            while _advance(connection, on_step, steps):
                pass
        except sqlite3.Error as error:
            # Closing rolls back.
            raise StorageUnavailable(f"SQLite: {error}") from error


def _add_functions(connection: sqlite3.Connection) -> None:
    """Add what scripts call: `sha256` of bytes, and `unhex`, which SQLite has from 3.41 on."""
    connection.create_function("sha256", 1, lambda value: sha256(value).digest(), deterministic=True)
    connection.create_function("unhex", 1, bytes.fromhex, deterministic=True)


def _advance(connection: sqlite3.Connection, on_step: OnStep, steps: Migrations) -> bool:
    """Run one migration in a transaction, so that writers get in between; give whether there was one."""
    writer.begin(connection, LOCK_PATIENCE)
    revisions = steps.missing(sqlite_file.version(connection))
    for revision in revisions[:1]:
        on_step(revision)
        for statement in statements(steps.script(revision)):
            connection.execute(statement)
    connection.execute("COMMIT")
    return bool(revisions)
