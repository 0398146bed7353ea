"""Migrations on both engines, and what is shipped of them."""

import asyncio
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import create_engine
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from keywright.service.faults import StorageUnavailable
from keywright.storage import revision
from keywright.storage.migrate import migrate, pending, statements
from keywright.storage.migrations import render
from keywright.storage.tables import metadata
from tests.live import PATIENCE_SECONDS
from tests.postgres import PostgresCluster, fresh_database, migrated_database
from tests.storage.making import Database

RENDER = "python -m keywright.storage.migrations.render"


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """Give an empty database of each engine."""
    return _empty(request.param, tmp_path, request)


def _empty(engine: str, folder: Path, request: pytest.FixtureRequest) -> Database:
    if engine == "sqlite":
        return Database(f"sqlite:///{folder / 'empty.db'}")
    return Database(fresh_database(request.getfixturevalue("postgres_cluster")))


def test_the_list_of_revisions_is_alembics() -> None:
    """The revisions that the service knows without Alembic are Alembic's own, in its order."""
    assert list(revision.REVISIONS) == render.revisions()
    assert revision.REVISIONS[-1] == revision.HEAD


@pytest.mark.parametrize("dialect", render.DIALECTS)
def test_what_is_shipped_is_what_was_written(dialect: str) -> None:
    """The SQL of every migration is what Alembic renders today, and there is no other."""
    for name in revision.REVISIONS:
        assert revision.script(dialect, name) == render.render(dialect, name), f"run `{RENDER}`"
    folder = render.file_of(dialect, revision.HEAD).parent
    assert {path.stem for path in folder.iterdir()} == set(revision.REVISIONS)


def test_migrate(empty: Database) -> None:
    """Migrating an empty database names every step once; then nothing is pending and migrating does nothing."""
    steps: list[str] = []
    assert pending(empty.url) == list(revision.REVISIONS)
    migrate(empty.url, steps.append)
    assert steps == list(revision.REVISIONS)
    assert pending(empty.url) == []
    migrate(empty.url, steps.append)
    assert steps == list(revision.REVISIONS)


def test_asking_changes_nothing(tmp_path: Path) -> None:
    """Asking what is pending creates no file, and leaves one that is there as it is."""
    assert pending(f"sqlite:///{tmp_path / 'x.db'}") == list(revision.REVISIONS)
    (tmp_path / "y.db").touch()
    assert pending(f"sqlite:///{tmp_path / 'y.db'}") == list(revision.REVISIONS)
    assert {path.name: path.stat().st_size for path in tmp_path.iterdir()} == {"y.db": 0}


def test_two_at_once(empty: Database) -> None:
    """Of several that migrate at the same time one does it, and all of them end well."""
    with ThreadPoolExecutor(4) as threads:
        steps: list[str] = []
        list(threads.map(lambda _: migrate(empty.url, steps.append), range(4)))
    assert steps == list(revision.REVISIONS)
    assert pending(empty.url) == []


def test_a_migration_that_fails_changes_nothing(empty: Database) -> None:
    """When a step cannot be carried out, none is, and the reason is told."""
    empty.query("CREATE TABLE api_key_secrets (x integer)")
    with pytest.raises(StorageUnavailable, match="api_key_secrets"):
        migrate(empty.url)
    assert pending(empty.url) == list(revision.REVISIONS)
    assert _tables_of(empty) == {"api_key_secrets"}


def test_a_newer_database_has_nothing_pending(empty: Database) -> None:
    """A database that a newer version migrated is left alone."""
    migrate(empty.url)
    empty.query("UPDATE alembic_version SET version_num = '29991231_0001'")
    assert pending(empty.url) == []
    migrate(empty.url)


@pytest.mark.parametrize(
    ("found", "expected"),
    [((), ["a", "b", "c"]), (("a",), ["b", "c"]), (("c",), []), (("z",), []), (("b", "z"), [])],
)
def test_what_is_missing(found: tuple[str, ...], expected: list[str]) -> None:
    """Missing is what comes after the newest known version; an unknown version is a newer one and misses nothing."""
    assert revision.missing(found, ("a", "b", "c")) == expected


def test_absent_server() -> None:
    """A server that is away is told as such, without the password."""
    for ask in (pending, migrate):
        with pytest.raises(StorageUnavailable) as fault:
            ask("postgresql://me:hunter22@127.0.0.1:9/keys")
        assert "hunter22" not in fault.value.reason


def test_tables_and_migrations_agree_on_sqlite(tmp_path: Path) -> None:
    """The tables as they are written down are those of a migrated file, word for word but for triggers."""
    migrated, written = (f"sqlite:///{tmp_path / name}" for name in ("migrated.db", "written.db"))
    migrate(migrated)
    engine = create_engine(written)
    with engine.begin() as connection:
        metadata.create_all(connection)
    engine.dispose()
    assert _schema_of_file(migrated) == _schema_of_file(written)


async def test_a_server_that_does_not_say_its_version(postgres_cluster: PostgresCluster) -> None:
    """Whoever asks for pending migrations is not held up by a lock on what tells of them: the database is away."""
    url = migrated_database(postgres_cluster)
    other = await asyncpg.connect(url)
    try:
        async with other.transaction():
            await other.execute("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE")
            async with asyncio.timeout(PATIENCE_SECONDS):
                with pytest.raises(StorageUnavailable, match="did not answer in time"):
                    await asyncio.to_thread(pending, url)
    finally:
        await other.close()
    assert await asyncio.to_thread(pending, url) == []


def test_tables_and_migrations_agree_on_postgresql(postgres_cluster: PostgresCluster) -> None:
    """The tables as they are written down are those of a migrated database: columns, constraints and indexes."""
    migrated, written = (Database(fresh_database(postgres_cluster)) for _ in range(2))
    migrate(migrated.url)
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    for table in metadata.sorted_tables:
        written.query(str(CreateTable(table).compile(dialect=dialect)))
        for index in table.indexes:
            written.query(str(CreateIndex(index).compile(dialect=dialect)))
    assert _schema_of_server(migrated) == _schema_of_server(written)


def test_sqlite_statements() -> None:
    """A script is cut between statements, and not inside of a trigger or a text."""
    script = (
        "CREATE TABLE a (b);\n\nCREATE TRIGGER c BEFORE DELETE ON a\n BEGIN SELECT 1;\n SELECT 2; END;\nSELECT ';\n';\n"
    )
    assert [part.strip()[:14] for part in statements(script)] == ["CREATE TABLE a", "CREATE TRIGGER", "SELECT ';\n';"]


def test_starting_is_quick() -> None:
    """Neither opening a store nor migrating imports SQLAlchemy or Alembic; opening a file imports no driver either."""
    probe = (
        "import sys; from keywright.storage import engine, migrate; engine.open_store('sqlite:///x.db'); "
        "print([name for name in ('asyncpg', 'sqlalchemy', 'alembic', 'mako') if name in sys.modules]); "
        "engine.open_store('postgresql://x/y'); from keywright.storage import postgres_migrate; "
        "print([name for name in ('sqlalchemy', 'alembic', 'mako') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "[]"]


def _tables_of(database: Database) -> set[str]:
    if database.is_sqlite:
        rows = database.query("SELECT name FROM sqlite_schema WHERE type = 'table'")
    else:
        rows = database.query("SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'")
    return {row["name"] for row in rows}


def _schema_of_file(url: str) -> dict[str, list[str]]:
    rows = Database(url).query("SELECT name, sql FROM sqlite_schema WHERE type <> 'trigger' AND sql IS NOT NULL")
    return {row["name"]: _parts(row["sql"]) for row in rows if row["name"] != "alembic_version"}


def _parts(statement: str) -> list[str]:
    """Take a statement apart, since constraints may come in any order."""
    head, _, rest = re.sub(r"\s+", " ", statement).partition("(")
    body, _, tail = rest.rpartition(")")
    return [head.strip(), *sorted(part.strip() for part in body.split(", ")), tail.strip()]


def _schema_of_server(database: Database) -> dict[str, list[dict[str, Any]]]:
    columns = """
        SELECT table_name, ordinal_position, column_name, data_type, collation_name, is_nullable, column_default,
            is_identity, identity_generation
        FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version'
        ORDER BY 1, 2
    """
    constraints = """
        SELECT conname, conrelid::regclass::text AS of, pg_get_constraintdef(oid) AS is
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND conname NOT LIKE 'alembic%' ORDER BY 1
    """
    indexes = (
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
    )
    return {
        "columns": database.query(columns),
        "constraints": database.query(constraints),
        "indexes": database.query(indexes + " ORDER BY 1"),
    }
