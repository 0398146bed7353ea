"""
Migrating a large database while processes of the version before go on reading and writing, on both engines.

What they execute is kept as text in `statements_before.py`: their code is gone by then.
"""

import asyncio
import itertools
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import asyncpg

from keywright.service.management.audit_log import EventType
from keywright.service.management.ports import EventFilter, NewApiKey, Outcome
from keywright.storage import rows, sqlite_file
from keywright.storage.migrate import migrate, pending, statements
from keywright.storage.revision import REVISIONS, script
from keywright.storage.rows import NewRows, Row
from tests.postgres import PostgresCluster, fresh_database
from tests.storage import statements_before as before
from tests.storage.chain import assert_chains
from tests.storage.life_contract import running
from tests.storage.making import (
    NOON,
    UNSPECIFIED,
    Database,
    a_rotation,
    an_event,
    an_organization,
    new_key,
)

KEYS = 100_000
BEFORE = REVISIONS[:2]
ORGANIZATION = UUID(int=7)
WRITE_PATIENCE = 4.0
LONG = 60.0

Journal = list[tuple[str, NewApiKey]]
"""What was acknowledged to a process of the version before: the creation of a key, or its revocation."""


def test_sqlite(tmp_path: Path) -> None:
    """Every statement of the version before is carried out while a file is migrated; the new store knows it all."""
    path = tmp_path / "keys.db"
    _fill_file(path)
    stop, journal = threading.Event(), Journal()
    calls = itertools.count()
    with ThreadPoolExecutor(2) as threads:
        traffic = [
            threads.submit(_write_to_file, path, stop, journal),
            threads.submit(_read_from_file, path, stop, calls),
        ]
        _wait_for(lambda: len(journal) >= 20)
        migrate(f"sqlite:///{path}")
        reached = len(journal)
        _wait_for(lambda: len(journal) >= reached + 20 or any(each.done() for each in traffic))
        stop.set()
        for each in traffic:
            each.result()
    assert next(calls) > 0
    asyncio.run(_assert_all_there(Database(f"sqlite:///{path}"), journal))


async def test_postgresql(postgres_cluster: PostgresCluster) -> None:
    """Every statement of the version before is carried out while a server is migrated; the new store knows it all."""
    database = Database(fresh_database(postgres_cluster))
    await _fill_server(database)
    stop, journal = asyncio.Event(), Journal()
    traffic = [
        *(asyncio.ensure_future(_write_to_server(database.url, stop, journal)) for _ in range(3)),
        *(asyncio.ensure_future(_read_from_server(database.url, stop)) for _ in range(2)),
    ]
    await _until(lambda: len(journal) >= 20)
    await asyncio.to_thread(migrate, database.url)
    reached = len(journal)
    await _until(lambda: len(journal) >= reached + 20 or any(each.done() for each in traffic))
    stop.set()
    await asyncio.gather(*traffic)
    await _assert_all_there(database, journal)


async def test_a_migration_gives_way(postgres_cluster: PostgresCluster) -> None:
    """While a long transaction keeps a migration from a table, others get through, and then the migration does."""
    database = Database(fresh_database(postgres_cluster))
    await _migrate_before(database)
    long, other = [await asyncpg.connect(database.url) for _ in range(2)]
    try:
        await long.execute("BEGIN; SELECT FROM api_keys")
        migration = asyncio.ensure_future(asyncio.to_thread(migrate, database.url))
        for _ in range(2):
            await _until_waiting(other)
            await other.fetch("SELECT FROM api_keys", timeout=LONG)
        assert pending(database.url) == list(REVISIONS[2:])
        await long.execute("COMMIT")
        await asyncio.wait_for(migration, LONG)
    finally:
        await long.close()
        await other.close()
    assert pending(database.url) == []


async def test_an_interrupted_index_is_made_again(postgres_cluster: PostgresCluster) -> None:
    """An index that an interrupted migration left unfinished is dropped and made by the next one."""
    database = Database(fresh_database(postgres_cluster))
    await _migrate_before(database)
    connection = await asyncpg.connect(database.url)
    try:
        await connection.execute(script("postgresql", REVISIONS[2]))
        await connection.execute("CREATE INDEX events_of_key_idx ON events (key_id, id)")
        unfinished = "'events_of_key_idx'::regclass"
        await connection.execute(f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = {unfinished}")
    finally:
        await connection.close()
    await asyncio.to_thread(migrate, database.url)
    assert pending(database.url) == []
    assert database.query("SELECT count(*) AS n FROM pg_index WHERE NOT indisvalid") == [{"n": 0}]


def _fill_file(path: Path) -> None:
    with closing(sqlite_file.create(path)) as connection:
        for revision in BEFORE:
            for statement in statements(script("sqlite", revision)):
                connection.execute(statement)
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
    organization = an_organization()
    with closing(sqlite_file.open_to_write(path)) as connection:
        while not stop.is_set():
            made = new_key(organization)
            new = _rows_before(made, rows.for_sqlite)
            with _transaction(connection):
                connection.execute(before.SQLITE_ADD_ORGANIZATION, new.organization)
                connection.execute(before.SQLITE_ADD_KEY, new.key)
                connection.execute(before.SQLITE_ADD_SECRET, new.secret)
                connection.execute(before.SQLITE_ADD_EVENT, new.event)
            journal.append(("created", made))
            event = rows.for_sqlite(_event_before(made, rows.unchanged))
            with _transaction(connection):
                revoked = connection.execute(before.SQLITE_REVOKE, (event[4], event[6], event[2], event[1]))
                assert revoked.rowcount == 1
                connection.execute(before.SQLITE_ADD_EVENT, event)
            journal.append(("revoked", made))
            with _transaction(connection):
                connection.execute(before.SQLITE_USED, (1, new.key[0]))
                connection.execute(before.SQLITE_ADD_TO_HOUR, (new.key[0], 0, 1))
                connection.execute(before.SQLITE_ADD_TO_SOURCE, (new.key[0], "", "", "x", 0, 1, 1))


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    sqlite_file.begin(connection, WRITE_PATIENCE)
    yield
    connection.execute("COMMIT")


def _read_from_file(path: Path, stop: threading.Event, calls: "itertools.count[int]") -> None:
    with closing(sqlite_file.open_to_read(path)) as connection:
        while not stop.is_set():
            number = next(calls) % KEYS + 1
            assert connection.execute(before.SQLITE_FIND, (b"%032d" % number,)).fetchone() is not None
            assert connection.execute(before.SQLITE_GET, (ORGANIZATION.bytes, b"%016d" % number)).fetchone() is not None
            page = connection.execute(before.SQLITE_LIST, (ORGANIZATION.bytes, b"\xff" * 16, 10)).fetchall()
            assert len(page) == 10


async def _migrate_before(database: Database) -> None:
    connection = await asyncpg.connect(database.url)
    try:
        for revision in BEFORE:
            await connection.execute(script("postgresql", revision))
    finally:
        await connection.close()


async def _fill_server(database: Database) -> None:
    await _migrate_before(database)
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
            f" SELECT {id_}, '{ORGANIZATION}', {id_}, 'api_key.created', now(), 'x', 'x', 'x', '{{}}' {numbers}"
        )
    finally:
        await connection.close()


async def _write_to_server(url: str, stop: asyncio.Event, journal: Journal) -> None:
    organization = an_organization()
    connection = await asyncpg.connect(url, command_timeout=LONG)
    try:
        while not stop.is_set():
            made = new_key(organization)
            new = _rows_before(made, rows.as_text)
            await connection.fetch(before.POSTGRES_CREATE, *[[value] for row in new for value in row])
            journal.append(("created", made))
            event = _event_before(made, rows.unchanged)
            assert len(await connection.fetch(before.POSTGRES_REVOKE, *event)) == 1
            journal.append(("revoked", made))
            use = rows.as_text((made.api_key.id, made.secret_digest, NOON, "", "", "x", NOON, NOON, 1))
            await connection.fetch(before.POSTGRES_NOTE_USAGE, *[[value] for value in use])
    finally:
        await connection.close()


async def _read_from_server(url: str, stop: asyncio.Event) -> None:
    connection = await asyncpg.connect(url, command_timeout=LONG)
    last = UUID(int=2**128 - 1)
    try:
        for call in itertools.count():
            if stop.is_set():
                return
            number = call * 7919 % KEYS + 1
            id_, digest = UUID(f"{number:032d}"), b"%032d" % number
            assert len(await connection.fetch(before.POSTGRES_FIND, digest)) == 1
            assert len(await connection.fetch(before.POSTGRES_GET, ORGANIZATION, id_)) == 1
            assert len(await connection.fetch(before.POSTGRES_LIST, ORGANIZATION, last, 10)) == 10
    finally:
        await connection.close()


def _rows_before(made: NewApiKey, write: Callable[[Row], Row]) -> NewRows:
    """Give the rows of a creation as the version before wrote them, which had fewer columns."""
    organization, key, secret, event = map(write, rows.new_rows(made))
    return NewRows(organization, key[:8], secret, event[:11])


def _event_before(made: NewApiKey, write: Callable[[Row], Row]) -> Row:
    return write(rows.event_row(an_event(EventType.REVOKED, made.api_key))[:11])


async def _assert_all_there(database: Database, journal: Journal) -> None:
    """Hold that the new store knows what was acknowledged to the version before, and works on what it left."""
    assert pending(database.url) == []
    async with running(database.url) as store:
        await store.check()
        revoked = {made.api_key.id for said, made in journal if said == "revoked"}
        for _, made in journal:
            read = await store.get(made.api_key.org_id, made.api_key.id)
            assert read is not None
            assert read.revoked_at is not None or made.api_key.id not in revoked
            assert read.secret.public_key == made.api_key.secret.public_key
        old = (await store.list_newest(ORGANIZATION, limit=1, before=None))[0]
        assert await store.rotate(a_rotation(old)) is Outcome.DONE
        event = an_event(EventType.REVOKED, old, occurred_at=NOON + timedelta(days=1))
        assert await store.revoke(event, UNSPECIFIED) is not None
        assert await store.create(new_key(an_organization())) is Outcome.DONE
        told = await store.events(ORGANIZATION, limit=9, before=None, which=EventFilter(key_id=old.id))
        assert sorted(0 if place is None else place.position for _, place in told) == [0, 1, 2]
        await assert_chains(store, database)


async def _until_waiting(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Wait until a migration waits for a table."""
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'"
    async with asyncio.timeout(LONG):
        while not await connection.fetchval(waiting):  # noqa: ASYNC110 - the server does not tell
            await asyncio.sleep(0.01)


async def _until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(LONG):
        while not reached():  # noqa: ASYNC110 - threads reach it, too
            await asyncio.sleep(0.01)


def _wait_for(reached: Callable[[], bool]) -> None:
    asyncio.run(_until(reached))
