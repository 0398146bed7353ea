"""The SQLite store: the contract, and what is its own."""

import asyncio
import resource
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from keywright.service.faults import StorageUnavailable
from keywright.storage.engine import RunningStore, open_store
from keywright.storage.migrate import migrate
from keywright.storage.sqlite.store import SqliteStore
from tests.storage.contract import StoreContract, assert_trail_agrees, calls_of
from tests.storage.making import Database, an_organization, migrated_file, new_key

# Enough to find a lock taken, and little to wait for in a test.
SHORT = 0.5


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Say where the file of a test is."""
    return tmp_path / "a file, #1 of 100%.db"


@pytest.fixture
def database(path: Path) -> Database:
    """Give a migrated database."""
    return migrated_file(path)


@pytest.fixture
def unmigrated(tmp_path: Path) -> Database:
    """Give a database that does not exist yet."""
    return Database(f"sqlite:///{tmp_path / 'absent.db'}")


@pytest.fixture
async def hasty(database: Database, path: Path) -> AsyncIterator[SqliteStore]:
    """Give a store that waits for little."""
    store = SqliteStore(path, patience=SHORT)
    await store.start()
    try:
        yield store
    finally:
        await store.close()


class TestSqliteStore(StoreContract):
    """The contract on SQLite."""

    def open(self, database: Database, on_batch: Callable[[int, float], object] | None = None) -> RunningStore:
        """Open another store on the same file."""
        return SqliteStore(Path(database.url.removeprefix("sqlite:///")), on_batch=on_batch)

    async def test_an_empty_file(self, tmp_path: Path) -> None:
        """A file without tables is refused like one that does not exist."""
        (tmp_path / "empty.db").touch()
        await self._expect_refusals(Database(f"sqlite:///{tmp_path / 'empty.db'}"))


async def test_another_process_writes_for_long(hasty: SqliteStore, path: Path, database: Database) -> None:
    """While another process holds the file, changes are refused as unavailable and reads go on; then all is well."""
    before, during, after = (new_key(an_organization()) for _ in range(3))
    await hasty.create(before)
    with _locked(path):
        with pytest.raises(StorageUnavailable, match="locked"):
            await hasty.create(during)
        assert await hasty.get(before.api_key.org_id, before.api_key.id) == before.api_key
        await hasty.check()
    await hasty.create(after)
    assert database.counts()["api_keys"] == 2
    assert_trail_agrees(database)


async def test_a_creation_waits_for_another_process(database: Database, path: Path) -> None:
    """A creation that finds the file locked waits, and is stored when it is free."""
    store = SqliteStore(path)
    made = new_key(an_organization())
    try:
        with _locked(path):
            creation = asyncio.ensure_future(store.create(made))
            assert await store.get(made.api_key.org_id, made.api_key.id) is None
            assert not creation.done()
        await creation
        assert await store.get(made.api_key.org_id, made.api_key.id) == made.api_key
    finally:
        await store.close()


async def test_a_full_disk(hasty: SqliteStore, path: Path, database: Database) -> None:
    """When the file cannot grow, changes are refused as unavailable and reads go on; with room again, all is well."""
    before = new_key(an_organization())
    await hasty.create(before)
    refused = 0
    with _no_file_larger_than(64 * 1024):
        for _ in range(100):
            try:
                await hasty.create(new_key(an_organization()))
            except StorageUnavailable:
                refused += 1
        assert refused > 0
        assert await hasty.get(before.api_key.org_id, before.api_key.id) == before.api_key
    await hasty.create(new_key(an_organization()))
    assert database.counts()["api_keys"] == 102 - refused
    assert_trail_agrees(database)


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    """A file of something else is refused as unavailable by every call, and left as it is."""
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to look like one\n" * 100)
    content = path.read_bytes()
    store = SqliteStore(path, patience=SHORT)
    try:
        for call in calls_of(store, new_key(an_organization())):
            with pytest.raises(StorageUnavailable, match="not a database"):
                await call()
    finally:
        await store.close()
    assert path.read_bytes() == content


async def test_a_damaged_file(database: Database, path: Path) -> None:
    """A database whose pages were overwritten is refused as unavailable."""
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)
    store = SqliteStore(path, patience=SHORT)
    try:
        new = new_key(an_organization())
        for call in (lambda: store.create(new), lambda: store.get(new.api_key.org_id, new.api_key.id)):
            with pytest.raises(StorageUnavailable):
                await call()
    finally:
        await store.close()


async def test_a_file_that_is_gone(hasty: SqliteStore, path: Path) -> None:
    """A database whose file was removed does not pass the check, although the store still holds it open."""
    await hasty.check()
    path.unlink()
    with pytest.raises(StorageUnavailable, match="does not exist"):
        await hasty.check()


async def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """A path that leads nowhere is refused as unavailable, by the store and by migrating."""
    path = tmp_path / "nowhere" / "x.db"
    store = SqliteStore(path)
    try:
        with pytest.raises(StorageUnavailable, match="does not exist"):
            await store.check()
        with pytest.raises(StorageUnavailable, match="cannot be opened"):
            migrate(f"sqlite:///{path}")
    finally:
        await store.close()


async def test_what_was_acknowledged_is_synced(hasty: SqliteStore, path: Path) -> None:
    """The writer commits to a write-ahead log with full syncing, and checks foreign keys; readers cannot write."""
    await hasty.create(new_key(an_organization()))
    await hasty.check()
    writer, reader = hasty._writer._connection, hasty._checking._connection
    assert writer is not None
    assert reader is not None
    for pragma, value in (("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("fullfsync", 1)):
        assert writer.execute(f"PRAGMA {pragma}").fetchone() == (value,)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("DELETE FROM api_keys")


async def test_the_log_starts_over(database: Database, path: Path) -> None:
    """The write-ahead log is written over again and again, and is gone when the store is closed."""
    store = open_store(database.url)
    await store.start()
    log = path.with_name(path.name + "-wal")
    organization = an_organization()
    sizes = []
    for _ in range(50):
        await asyncio.gather(*[store.create(new_key(organization)) for _ in range(100)])
        sizes.append(log.stat().st_size)
    # Written over, it does not grow.
    assert sum(before == after for before, after in pairwise(sizes)) > 10
    await store.close()
    assert not log.exists()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the file as another process that writes does."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def _no_file_larger_than(size: int) -> Iterator[None]:
    """Have this process's files end at *size* bytes, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
