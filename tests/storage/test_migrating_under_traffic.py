"""Migrating a large database while processes of the version before go on reading and writing, on both engines."""

import asyncio
import itertools
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from keywright.service.management.audit_log import EventType
from keywright.service.management.ports import EventFilter, Outcome
from keywright.storage.engine import RunningStore
from keywright.storage.migrate import migrate, pending
from keywright.storage.migrations import SQLITE
from tests.postgres import PostgresCluster, fresh_database, migrated_database
from tests.storage.chain import assert_chains
from tests.storage.checking_making import HOUR, a_session, an_hourly_usage
from tests.storage.life_contract import running
from tests.storage.making import (
    NOON,
    UNSPECIFIED,
    Database,
    a_rotation,
    a_sealed_answer,
    an_event,
    an_organization,
    new_key,
)
from tests.storage.migrating import make, run, with_more
from tests.storage.version_before import FileBefore, Life, ServerBefore
from tests.waiting import eventually, until

KEYS = 100_000
BEFORE = SQLITE.revisions[:1]
ORGANIZATION = UUID(int=7)
LONG = 60.0

Journal = list[Life]
"""What processes of the version before did."""


def test_sqlite(tmp_path: Path) -> None:
    """Every statement of the version before is carried out while a file is migrated; the new store knows it all."""
    path = tmp_path / "keys.db"
    make(f"sqlite:///{path}", BEFORE)
    _fill_file(path)
    stop, journal = threading.Event(), Journal()
    with ThreadPoolExecutor(2) as threads:
        traffic = [
            threads.submit(_write_to_file, path, stop, journal),
            threads.submit(_read_from_file, path, stop),
        ]
        eventually(lambda: len(journal) >= 20 or any(each.done() for each in traffic))
        migrate(f"sqlite:///{path}")
        reached = len(journal)
        eventually(lambda: len(journal) >= reached + 20 or any(each.done() for each in traffic))
        stop.set()
        for each in traffic:
            each.result()
    asyncio.run(_assert_all_there(Database(f"sqlite:///{path}"), journal))


async def test_postgresql(postgres_cluster: PostgresCluster) -> None:
    """Every statement of the version before is carried out while a server is migrated; the new store knows it all."""
    database = Database(fresh_database(postgres_cluster))
    await asyncio.to_thread(make, database.url, BEFORE)
    await _fill_server(database)
    stop, journal = asyncio.Event(), Journal()
    traffic = [
        *(asyncio.ensure_future(_write_to_server(database.url, stop, journal)) for _ in range(3)),
        *(asyncio.ensure_future(_read_from_server(database.url, stop)) for _ in range(2)),
    ]
    await until(lambda: len(journal) >= 20 or any(each.done() for each in traffic))
    await asyncio.to_thread(migrate, database.url)
    reached = len(journal)
    await until(lambda: len(journal) >= reached + 20 or any(each.done() for each in traffic))
    stop.set()
    await asyncio.gather(*traffic)
    await _assert_all_there(database, journal)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """Give a database of the version before on each engine."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'before.db'}"
    else:
        url = fresh_database(request.getfixturevalue("postgres_cluster"))
    make(url, BEFORE)
    return Database(url)


def test_sources_noted_of_a_key_become_its_first_secrets(database: Database) -> None:
    """What the oldest versions noted of a key is a source of its first secret; one noted in both ways is added up."""
    key = f"{'x' if database.is_sqlite else ''}'{UUID(int=1).hex}'"
    times = ("60000000", "120000000") if database.is_sqlite else ("to_timestamp(60)", "to_timestamp(120)")
    for table, agent, first, last in (
        ("key_sources", "'curl'", times[0], times[0]),
        ("key_sources", "'httpx'", times[0], times[0]),
        ("secret_sources", "'curl'", times[1], times[1]),
    ):
        database.query(f"INSERT INTO {table} VALUES ({key}, '', {agent}, 'api', {first}, {last}, 10)")
    migrate(database.url)
    found = {row["agent"]: row for row in database.table("secret_sources")}
    assert {agent: row["count"] for agent, row in found.items()} == {"curl": 20, "httpx": 10}
    assert found["curl"]["first_seen"] == found["httpx"]["first_seen"] < found["curl"]["last_seen"]
    assert found["httpx"]["first_seen"] == found["httpx"]["last_seen"]


async def test_a_migration_gives_way(postgres_cluster: PostgresCluster, tmp_path: Path) -> None:
    """While a long transaction keeps a migration from a table, others get through, and then the migration does."""
    database = Database(migrated_database(postgres_cluster))
    steps = with_more(tmp_path, database.url, _29991231_0001="ALTER TABLE api_keys ADD COLUMN one INTEGER")
    long, other = [await asyncpg.connect(database.url) for _ in range(2)]
    try:
        await long.execute("BEGIN; SELECT FROM api_keys")
        migration = asyncio.ensure_future(asyncio.to_thread(run, database.url, steps))
        for _ in range(2):
            await _until_waiting(other)
            await other.fetch("SELECT FROM api_keys", timeout=LONG)
        assert await _version(other) == SQLITE.head
        await long.execute("COMMIT")
        await asyncio.wait_for(migration, LONG)
        assert await _version(other) == "29991231_0001"
    finally:
        await long.close()
        await other.close()


async def test_an_interrupted_index_is_made_again(postgres_cluster: PostgresCluster, tmp_path: Path) -> None:
    """An index that an interrupted migration left unfinished is dropped and made by the next one."""
    database = Database(migrated_database(postgres_cluster))
    script = "DROP INDEX CONCURRENTLY IF EXISTS one_idx;\n\nCREATE INDEX CONCURRENTLY one_idx ON events (type, id)"
    steps = with_more(tmp_path, database.url, _29991231_0001=script)
    connection = await asyncpg.connect(database.url)
    try:
        await connection.execute("CREATE INDEX one_idx ON events (type, id)")
        await connection.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'one_idx'::regclass")
        await asyncio.to_thread(run, database.url, steps)
        assert await _version(connection) == "29991231_0001"
        assert await connection.fetchval("SELECT indisvalid FROM pg_index WHERE indexrelid = 'one_idx'::regclass")
    finally:
        await connection.close()


def _fill_file(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        connection.execute("INSERT INTO organizations VALUES (?, 'x', 'x', 0)", (ORGANIZATION.bytes,))
        numbers = f"WITH RECURSIVE new (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM new WHERE n < {KEYS})"
        for insert in (
            "api_keys (id, org_id, name, environment, created_at, created_by)"
            " SELECT CAST(printf('%016d', n) AS BLOB), ?, 'old', 'live', 0, 'x'",
            "api_key_secrets (id, key_id, public_key, secret_digest, brand, display, created_at)"
            " SELECT CAST(printf('%016d', n) AS BLOB), CAST(printf('%016d', n) AS BLOB),"
            " CAST(printf('%032d', n) AS BLOB), CAST(printf('%032d', n) AS BLOB), 'kw', 'x' || substr(?, 1, 0), 0",
            "events (id, org_id, key_id, type, occurred_at, issuer, subject, request_id, data)"
            " SELECT CAST(printf('%016d', n) AS BLOB), ?, CAST(printf('%016d', n) AS BLOB), 'api_key.created',"
            " 0, 'x', 'x', 'x', '{}'",
        ):
            connection.execute(
                f"INSERT INTO {insert.replace(' SELECT', f' {numbers} SELECT', 1)} FROM new", (ORGANIZATION.bytes,)
            )
        connection.execute("COMMIT")


def _write_to_file(path: Path, stop: threading.Event, journal: Journal) -> None:
    with closing(FileBefore(path)) as process:
        while not stop.is_set():
            life = _a_life(len(journal))
            process.live(life)
            journal.append(life)


def _read_from_file(path: Path, stop: threading.Event) -> None:
    with closing(FileBefore(path)) as process:
        for call in itertools.count():
            if stop.is_set():
                return
            number = call % KEYS + 1
            process.look(ORGANIZATION, UUID(bytes=b"%016d" % number), b"%032d" % number)


async def _fill_server(database: Database) -> None:
    id_, bytes_ = "lpad(n::text, 32, '0')::uuid", "convert_to(lpad(n::text, 32, '0'), 'UTF8')"
    numbers = f"FROM generate_series(1, {KEYS}) n"
    connection = await asyncpg.connect(database.url)
    try:
        await connection.execute(
            f"INSERT INTO organizations VALUES ('{ORGANIZATION}', 'x', 'x', now());"
            " INSERT INTO api_keys (id, org_id, name, environment, created_at, created_by)"
            f" SELECT {id_}, '{ORGANIZATION}', 'old', 'live', now(), 'x' {numbers};"
            " INSERT INTO api_key_secrets (id, key_id, public_key, secret_digest, brand, display, created_at)"
            f" SELECT {id_}, {id_}, {bytes_}, {bytes_}, 'kw', 'x', now() {numbers};"
            " INSERT INTO events (id, org_id, key_id, type, occurred_at, issuer, subject, request_id, data)"
            f" SELECT {id_}, '{ORGANIZATION}', {id_}, 'api_key.created', now(), 'x', 'x', 'x', '{{}}' {numbers};"
            " ANALYZE"
        )
    finally:
        await connection.close()


async def _write_to_server(url: str, stop: asyncio.Event, journal: Journal) -> None:
    connection = await asyncpg.connect(url, command_timeout=LONG)
    try:
        process = ServerBefore(connection)
        while not stop.is_set():
            life = _a_life(len(journal))
            await process.live(life)
            journal.append(life)
    finally:
        await connection.close()


async def _read_from_server(url: str, stop: asyncio.Event) -> None:
    connection = await asyncpg.connect(url, command_timeout=LONG)
    try:
        process = ServerBefore(connection)
        for call in itertools.count():
            if stop.is_set():
                return
            number = call * 7919 % KEYS + 1
            await process.look(ORGANIZATION, UUID(f"{number:032d}"), b"%032d" % number)
    finally:
        await connection.close()


def _a_life(number: int) -> Life:
    """Give the life of a new key; in every second one the end of the rotation is changed."""
    made = new_key(an_organization())
    return Life(
        made=made,
        answer=a_sealed_answer(),
        rotation=a_rotation(made.api_key, idle_seconds=60),
        retires=NOON + timedelta(hours=3) if number % 2 else None,
        session=a_session(),
        use=an_hourly_usage(made),
        reporter=a_session().id,
    )


async def _assert_all_there(database: Database, journal: Journal) -> None:
    """Hold that the new store knows what was acknowledged to the version before, and works on what it left."""
    assert pending(database.url) == []
    async with running(database.url) as store:
        await store.check()
        for life in journal:
            await _assert_there(store, life)
        old = (await store.list_newest(ORGANIZATION, limit=1, before=None)).items[0]
        assert await store.rotate(a_rotation(old)) is Outcome.DONE
        event = an_event(EventType.REVOKED, old, occurred_at=NOON + timedelta(days=1))
        assert await store.revoke(event, UNSPECIFIED) is not None
        assert await store.create(new_key(an_organization())) is Outcome.DONE
        given = (await store.events(ORGANIZATION, limit=9, before=None, which=EventFilter(key_id=old.id))).items
        # The first place is that of the event by which the migration counts the events from before the chain.
        assert sorted(0 if place is None else place.position for _, place in given) == [0, 2, 3]
        await assert_chains(store, database)


async def _assert_there(store: RunningStore, life: Life) -> None:
    key = life.made.api_key
    read = await store.get(key.org_id, key.id)
    assert read is not None
    assert read.retiring is not None
    assert read.revoked_at is not None
    assert read.secret.public_key == life.rotation.secret.public_key
    assert read.retiring.public_key == key.secret.public_key
    # The change of a rotation's end ends the waiting for idle time.
    expected = (life.rotation.retires_at, 60) if life.retires is None else (life.retires, None)
    assert (read.retiring.retires_at, read.retiring.idle_seconds) == expected
    assert await store.sealed_answer(key.org_id, life.answer.request_digest, NOON) == life.answer
    ending = await store.receipt(key.org_id, key.id)
    assert ending is not None
    assert [each.confirmed_at is not None for each in ending.confirmations if each.session.id == life.session.id] == [
        True
    ]
    usage = await store.usage(key.org_id, key.id, since=HOUR)
    assert usage is not None
    assert usage.counts == {HOUR: 1}
    assert [source.count for source in usage.sources] == [1]


async def _version(connection: "asyncpg.Connection[asyncpg.Record]") -> str:
    version: str = await connection.fetchval("SELECT version_num FROM alembic_version")
    return version


async def _until_waiting(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Wait until a migration waits for a table."""
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'"
    await until(lambda: connection.fetchval(waiting))
