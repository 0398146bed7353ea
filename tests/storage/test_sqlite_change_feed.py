"""The change feed in a SQLite file: what is its own."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from keywright.service.faults import StorageUnavailable
from keywright.service.management.audit_log import EventType
from keywright.storage.engine import RunningStore, open_store
from tests.storage.checking_making import add_event, read_changes
from tests.storage.making import UNSPECIFIED, Database, an_event, an_organization, migrated_file, new_key

LONG = 30.0


@pytest.fixture
def database(tmp_path: Path) -> Database:
    """Give a migrated database."""
    return migrated_file(tmp_path / "keys.db")


async def test_another_program_commits(store: RunningStore, database: Database) -> None:
    """What any program commits to the file ends the waiting, and what it changed is given."""
    made = new_key(an_organization())
    await store.create(made)
    feed = await store.follow()
    await read_changes(feed)
    waiting = asyncio.ensure_future(feed.wait(LONG))
    database.query(add_event(made.api_key, "api_key.revoked", database))
    await asyncio.wait_for(waiting, LONG)
    (change,) = await read_changes(feed)
    assert change.digests == (made.secret_digest,)


async def test_nobody_waits_for_a_writer(store: RunningStore, database: Database, tmp_path: Path) -> None:
    """While another program is in the middle of a change, readings go on; the change is given once it is committed."""
    made = new_key(an_organization())
    await store.create(made)
    feed = await store.follow()
    with closing(sqlite3.connect(tmp_path / "keys.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute(add_event(made.api_key, "api_key.revoked", database))
        assert await asyncio.wait_for(read_changes(feed), LONG) == []
        await feed.wait(0.05)
        assert await read_changes(feed) == []
        other.execute("COMMIT")
        (change,) = await read_changes(feed)
    assert change.digests == (made.secret_digest,)


async def test_a_transaction_that_is_undone_leaves_no_gap(store: RunningStore, database: Database) -> None:
    """A number that was drawn and given back is drawn again, and its change is given."""
    made = new_key(an_organization())
    await store.create(made)
    feed = await store.follow()
    with pytest.raises(ValueError, match="refuses"):
        await store.revoke(an_event(EventType.REVOKED, made.api_key, id=made.event.id), UNSPECIFIED)
    assert await read_changes(feed) == []
    await store.revoke(an_event(EventType.REVOKED, made.api_key), UNSPECIFIED)
    assert [change.seq for change in await read_changes(feed)] == [1]


async def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """No feed can begin on a file that does not exist, and the attempt leaves no thread."""
    store = open_store(f"sqlite:///{tmp_path / 'absent.db'}")
    with pytest.raises(StorageUnavailable, match="does not exist"):
        await store.follow()
    await store.close()


async def test_a_file_that_cannot_be_watched(store: RunningStore, database: Database, tmp_path: Path) -> None:
    """A damaged file does not end a wait with an error; a reading raises it."""
    feed = await store.follow()
    await read_changes(feed)
    for path in tmp_path.iterdir():
        path.write_bytes(b"\xa5" * path.stat().st_size)
    await asyncio.wait_for(feed.wait(0.1), LONG)
    with pytest.raises(StorageUnavailable):
        await read_changes(feed)
    await asyncio.wait_for(feed.wait(0.1), LONG)


async def test_the_log_is_gone_after_closing(database: Database, tmp_path: Path) -> None:
    """A store that was followed leaves the file alone and complete when it is closed."""
    store = open_store(database.url)
    made = new_key(an_organization())
    await store.create(made)
    feed = await store.follow()
    await store.revoke(an_event(EventType.REVOKED, made.api_key), UNSPECIFIED)
    await read_changes(feed)
    await store.close()
    assert {path.name for path in tmp_path.iterdir()} == {"keys.db"}
