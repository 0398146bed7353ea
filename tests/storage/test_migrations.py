"""Migrations on both engines, and what is shipped of them."""

import asyncio
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import pytest

from keywright.service.faults import StorageUnavailable
from keywright.storage.migrate import migrate, pending, statements
from keywright.storage.migrations import POSTGRESQL, SQLITE, Migrations
from tests.live import PATIENCE_SECONDS
from tests.postgres import PostgresCluster, fresh_database, migrated_database
from tests.storage.catalog import catalog
from tests.storage.life_contract import running
from tests.storage.making import Database
from tests.storage.migrating import make

CATALOGS = Path(__file__).parent / "catalogs"


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """Give an empty database of each engine."""
    return _empty(request.param, tmp_path, request)


def _empty(engine: str, folder: Path, request: pytest.FixtureRequest) -> Database:
    if engine == "sqlite":
        return Database(f"sqlite:///{folder / 'empty.db'}")
    return Database(fresh_database(request.getfixturevalue("postgres_cluster")))


def test_migrate(empty: Database) -> None:
    """Migrating an empty database names every step once; then nothing is pending and migrating does nothing."""
    steps: list[str] = []
    assert pending(empty.url) == SQLITE.revisions
    migrate(empty.url, steps.append)
    assert steps == SQLITE.revisions
    assert pending(empty.url) == []
    migrate(empty.url, steps.append)
    assert steps == SQLITE.revisions


def test_asking_changes_nothing(tmp_path: Path) -> None:
    """Asking what is pending creates no file, and leaves one that is there as it is."""
    assert pending(f"sqlite:///{tmp_path / 'x.db'}") == SQLITE.revisions
    (tmp_path / "y.db").touch()
    assert pending(f"sqlite:///{tmp_path / 'y.db'}") == SQLITE.revisions
    assert {path.name: path.stat().st_size for path in tmp_path.iterdir()} == {"y.db": 0}


def test_two_at_once(empty: Database) -> None:
    """Of several that migrate at the same time one does it, and all of them end well."""
    with ThreadPoolExecutor(4) as threads:
        steps: list[str] = []
        list(threads.map(lambda _: migrate(empty.url, steps.append), range(4)))
    assert steps == SQLITE.revisions
    assert pending(empty.url) == []


def test_a_migration_that_fails_changes_nothing(empty: Database) -> None:
    """When a step cannot be carried out, none is, and the error has the reason."""
    empty.query("CREATE TABLE api_key_secrets (x integer)")
    with pytest.raises(StorageUnavailable, match="api_key_secrets"):
        migrate(empty.url)
    assert pending(empty.url) == SQLITE.revisions
    assert _tables_of(empty) == {"api_key_secrets"}


def test_a_newer_database_has_nothing_pending(empty: Database) -> None:
    """A database that a newer version migrated is left alone."""
    migrate(empty.url)
    empty.query("UPDATE alembic_version SET version_num = '29991231_0001'")
    assert pending(empty.url) == []
    migrate(empty.url)


@pytest.mark.parametrize(
    ("found", "expected"),
    [((), ["b", "c", "d"]), (("b",), ["c", "d"]), (("d",), []), (("z",), []), (("b", "z"), [])],
)
def test_what_is_missing(tmp_path: Path, found: tuple[str, ...], expected: list[str]) -> None:
    """Missing is what comes after the newest revision found; one above all known ones misses nothing."""
    for name in "dbc":
        (tmp_path / f"{name}.sql").touch()
    assert Migrations(tmp_path).missing(found) == expected


def test_an_older_database_is_refused(empty: Database) -> None:
    """A database older than the oldest migration is refused with one sentence, by all who look, and stays as it is."""
    migrate(empty.url)
    empty.query("UPDATE alembic_version SET version_num = '20261126_0005'")
    before = catalog(empty)
    for ask in (pending, migrate, _check):
        with pytest.raises(StorageUnavailable) as fault:
            ask(empty.url)
        assert fault.value.reason == (
            "the database has revision 20261126_0005, and this version migrates from 20261130_0006 on;"
            " migrate it with an earlier version first"
        )
    assert catalog(empty) == before


def test_both_engines_have_the_same_migrations() -> None:
    """Every revision has a file for each engine, and the file records that revision and no other."""
    assert SQLITE.revisions == POSTGRESQL.revisions
    for steps in (SQLITE, POSTGRESQL):
        for revision in steps.revisions:
            assert re.findall(r"alembic_version .*'(.*)'", steps.script(revision)) == [revision]


def test_the_first_migration_makes_what_it_always_made(empty: Database) -> None:
    """The oldest file makes the schema that was recorded when it took the place of the files before it."""
    make(empty.url, SQLITE.revisions[:1])
    assert catalog(empty) == _recorded(empty, SQLITE.revisions[0])


def test_the_schema(empty: Database) -> None:
    """All migrations together make the recorded schema: a change to it shows in `catalogs`, on both engines."""
    migrate(empty.url)
    assert catalog(empty) == _recorded(empty, SQLITE.head)


def test_absent_server() -> None:
    """The error for an unavailable server has no password."""
    for ask in (pending, migrate):
        with pytest.raises(StorageUnavailable) as fault:
            ask("postgresql://me:hunter22@127.0.0.1:9/keys")
        assert "hunter22" not in fault.value.reason


async def test_a_server_that_does_not_say_its_version(postgres_cluster: PostgresCluster) -> None:
    """A lock on the table of revisions does not block the reading of pending migrations: it fails in time."""
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


def test_sqlite_statements() -> None:
    """A script is cut between statements, and not inside of a trigger or a text."""
    script = (
        "CREATE TABLE a (b);\n\nCREATE TRIGGER c BEFORE DELETE ON a\n BEGIN SELECT 1;\n SELECT 2; END;\nSELECT ';\n';\n"
    )
    assert [part.strip()[:14] for part in statements(script)] == ["CREATE TABLE a", "CREATE TRIGGER", "SELECT ';\n';"]


def test_starting_is_quick() -> None:
    """Opening a SQLite file, and migrating one, imports no driver of PostgreSQL."""
    probe = (
        "import sys; from keywright.storage import engine, migrate; engine.open_store('sqlite:///x.db'); "
        "print('asyncpg' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def _check(url: str) -> None:
    async def check() -> None:
        async with running(url) as store:
            await store.check()

    asyncio.run(check())


def _recorded(database: Database, revision: str) -> list[str]:
    engine = "sqlite" if database.is_sqlite else "postgresql"
    return (CATALOGS / f"{revision}.{engine}.txt").read_text("utf-8").splitlines()


def _tables_of(database: Database) -> set[str]:
    if database.is_sqlite:
        rows = database.query("SELECT name FROM sqlite_schema WHERE type = 'table'")
    else:
        rows = database.query("SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'")
    return {row["name"] for row in rows}
