"""The PostgreSQL store: the contract, and what is its own."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from keywright.service.faults import StorageUnavailable
from keywright.service.management.audit_log import EventType
from keywright.service.management.ports import NewApiKey, Outcome
from keywright.storage.engine import RunningStore, open_store
from keywright.storage.migrate import migrate, pending
from keywright.storage.migrations import POSTGRESQL
from keywright.storage.postgres import statements as sql
from keywright.storage.postgres.store import PostgresStore
from keywright.storage.url import PostgresUrl, read
from tests.listening import serving
from tests.postgres import PostgresCluster, fresh_database, lent_database, migrated_database, name_of
from tests.storage.checking_making import HOUR, a_batch, an_hourly_usage
from tests.storage.contract import StoreContract, assert_trail_agrees, calls_of
from tests.storage.life_contract import running
from tests.storage.making import UNSPECIFIED, Database, a_sealed_answer, an_event, an_organization, new_key
from tests.storage.migrating import make
from tests.waiting import until

# Enough for a server that answers, and little to wait for in a test.
SHORT = 1.0
# The time until a caller learns that the database is unavailable: the promise is "within a few seconds".
FEW_SECONDS = 10.0
PATIENT = 30.0


@pytest.fixture
def database(postgres_cluster: PostgresCluster) -> Iterator[Database]:
    """Give a migrated database."""
    with lent_database(postgres_cluster) as url:
        yield Database(url)


@pytest.fixture
def unmigrated(postgres_cluster: PostgresCluster) -> Database:
    """Give an empty database."""
    return Database(fresh_database(postgres_cluster))


@pytest.fixture
async def hasty(database: Database) -> AsyncIterator[PostgresStore]:
    """Give a store of few connections that waits for little."""
    store = _store(database, patience=SHORT, pool_size=4)
    await store.start()
    try:
        yield store
    finally:
        await store.close()


class TestPostgresStore(StoreContract):
    """The contract on PostgreSQL."""

    def open(self, database: Database, on_batch: Callable[[int, float], object] | None = None) -> RunningStore:
        """Open another store on the same database."""
        return open_store(database.url, on_batch=on_batch)


class TestWithoutPreparedStatements(StoreContract):
    """The contract on PostgreSQL as it is used behind a pooler that knows nothing of prepared statements."""

    def open(self, database: Database, on_batch: Callable[[int, float], object] | None = None) -> RunningStore:
        """Open another store on the same database."""
        return open_store(f"{database.url}&statement_cache_size=0", on_batch=on_batch)


class TestSerializable(StoreContract):
    """The contract on a server whose transactions are serializable, which makes them give way to each other."""

    @pytest.fixture
    def database(self, postgres_cluster: PostgresCluster) -> Iterator[Database]:
        """Give a migrated database."""
        with lent_database(postgres_cluster, "default_transaction_isolation = serializable") as url:
            yield Database(url)

    def open(self, database: Database, on_batch: Callable[[int, float], object] | None = None) -> RunningStore:
        """Open another store on the same database."""
        return open_store(database.url, on_batch=on_batch)


async def test_server_away(postgres_cluster: PostgresCluster, database: Database) -> None:
    """While the server is unavailable every call says so in time; when it is available every call works, at once."""
    store = _store(database)
    before, after = new_key(an_organization()), new_key(an_organization())
    try:
        await asyncio.gather(store.create(before), *[store.check() for _ in range(20)])
        for mode in ("fast", "immediate"):
            postgres_cluster.stop(mode)
            try:
                for call in calls_of(store, new_key(an_organization())):
                    with pytest.raises(StorageUnavailable):
                        await asyncio.wait_for(call(), FEW_SECONDS)
            finally:
                postgres_cluster.start()
            await asyncio.gather(*[store.check() for _ in range(20)])
            assert await store.get(before.api_key.org_id, before.api_key.id) == before.api_key
        await store.create(after)
        assert_trail_agrees(database)
    finally:
        await store.close()


async def test_creations_during_an_outage(postgres_cluster: PostgresCluster, database: Database) -> None:
    """Creations that run into the end of the server are answered in time, and every acknowledged one is there after."""
    store = _store(database)
    acknowledged = []

    async def create_until_refused() -> None:
        while True:
            new = new_key(an_organization())
            try:
                await asyncio.wait_for(store.create(new), FEW_SECONDS)
            except StorageUnavailable:
                return
            acknowledged.append(new.api_key)

    try:
        creators = [asyncio.ensure_future(create_until_refused()) for _ in range(20)]
        await until(lambda: len(acknowledged) >= 200)
        await asyncio.to_thread(postgres_cluster.stop, "immediate")
        try:
            await asyncio.gather(*creators)
        finally:
            postgres_cluster.start()
        for key in acknowledged:
            assert await store.get(key.org_id, key.id) == key
        assert_trail_agrees(database)
    finally:
        await store.close()


async def test_a_connection_that_died_while_idle(postgres_cluster: PostgresCluster, hasty: PostgresStore) -> None:
    """A read whose connection was ended unnoticed is answered through another one, and a change after it as well."""
    made = new_key(an_organization())
    await hasty.create(made)
    for _ in range(5):
        # The loop does not run while this does, so that the store learns of it by using the connection.
        _end_connections(postgres_cluster)
        assert await hasty.get(made.api_key.org_id, made.api_key.id) == made.api_key
        await hasty.create(new_key(an_organization()))


async def test_a_clock_ahead_counts_no_key_out(database: Database) -> None:
    """A process whose clock is a year ahead defeats the bound on active keys neither for itself nor for others."""
    organization, year = an_organization(), timedelta(days=365)
    now = datetime.now(UTC)

    def one_of_two(at: datetime) -> NewApiKey:
        new = new_key(organization, created_at=at, expires_at=at + timedelta(days=30))
        return replace(new, most_active=2)

    async with running(database.url) as store:
        for at in (now + year, now):
            assert await store.create(one_of_two(at)) is Outcome.DONE
        # The second time the server looks first.
        for at in (now + year, now + year, now):
            assert await store.create(one_of_two(at)) is Outcome.TOO_MANY
    assert [row["active"] for row in database.table("active_keys")] == [2]


async def test_what_a_clock_ahead_counted_out(unmigrated: Database) -> None:
    """The migration counts again what an earlier version counted out before it expired."""
    make(unmigrated.url, [revision for revision in POSTGRESQL.revisions if revision < "20261201_0022"])
    organization, now = an_organization(), datetime.now(UTC)
    for at in (now + timedelta(days=365), now):
        new = new_key(organization, created_at=at, expires_at=at + timedelta(days=30))
        async with running(unmigrated.url) as store:
            assert await store.create(new) is Outcome.DONE
    assert [row["active"] for row in unmigrated.table("active_keys")] == [1]
    await asyncio.to_thread(migrate, unmigrated.url)
    (row,) = unmigrated.table("active_keys")
    assert row["active"] == 2
    assert row["settled_at"] < now + timedelta(days=1)


async def test_a_connection_that_died_before_a_change(
    postgres_cluster: PostgresCluster, hasty: PostgresStore, database: Database
) -> None:
    """A change whose connection was ended unnoticed is made once or not at all, and the next one works."""
    organization = an_organization()
    await hasty.create(new_key(organization))
    for _ in range(5):
        _end_connections(postgres_cluster)
        made = new_key(organization)
        try:
            await hasty.create(made)
        except StorageUnavailable:
            await hasty.create(made)
    assert database.counts()["api_keys"] == database.counts()["events"] == 6


async def test_a_locked_table(hasty: PostgresStore, database: Database) -> None:
    """While a table is locked every call that needs it is refused in time; then all works, on as many connections."""
    made = new_key(an_organization())
    await hasty.create(made)
    calls = calls_of(hasty, new_key(made.organization))[:5]
    async with _Locked(database, "LOCK TABLE api_keys IN ACCESS EXCLUSIVE MODE"):
        outcomes = await asyncio.wait_for(
            asyncio.gather(*[call() for call in calls * 10], return_exceptions=True), FEW_SECONDS
        )
    assert {type(outcome) for outcome in outcomes} == {StorageUnavailable}
    await until(lambda: _works(hasty))
    assert await hasty.get(made.api_key.org_id, made.api_key.id) == made.api_key
    assert len(_connections(database)) <= 4
    assert_trail_agrees(database)


async def test_a_locked_row_holds_up_nobody_else(hasty: PostgresStore, database: Database) -> None:
    """A revocation that waits for another transaction ends in time, and other calls go on meanwhile."""
    made = new_key(an_organization())
    await hasty.create(made)
    lock = f"SELECT 1 FROM api_keys WHERE id = '{made.api_key.id}' FOR UPDATE"
    async with _Locked(database, lock):
        revocation = asyncio.ensure_future(hasty.revoke(an_event(EventType.REVOKED, made.api_key), UNSPECIFIED))
        await hasty.create(new_key(an_organization()))
        assert await hasty.get(made.api_key.org_id, made.api_key.id) == made.api_key
        with pytest.raises(StorageUnavailable):
            await asyncio.wait_for(revocation, FEW_SECONDS)
    await until(lambda: _works(hasty))
    revoked = await hasty.revoke(an_event(EventType.REVOKED, made.api_key), UNSPECIFIED)
    assert revoked is not None
    assert revoked.revoked_at is not None
    assert_trail_agrees(database)


async def test_a_revocation_that_waited_sees_what_happened(hasty: PostgresStore, database: Database) -> None:
    """A revocation that waited for another transaction answers by what that one left, not by what was there before."""
    made = new_key(an_organization())
    await hasty.create(made)
    deletion = f"UPDATE api_keys SET deleted_at = now(), deleted_by = 'x' WHERE id = '{made.api_key.id}'"
    async with _Locked(database, deletion) as transaction:
        revocation = asyncio.ensure_future(hasty.revoke(an_event(EventType.REVOKED, made.api_key), UNSPECIFIED))
        await until(lambda: _a_transaction_waits(database))
        await transaction.commit()
        assert await revocation is None


async def test_all_connections_in_use(database: Database) -> None:
    """A call that gets no connection is refused in time, and served when there is one again."""
    store = _store(database, patience=SHORT, pool_size=1)
    made = new_key(an_organization())
    try:
        await store.create(made)
        async with _Locked(database, "LOCK TABLE events IN ACCESS EXCLUSIVE MODE"):
            revocation = asyncio.ensure_future(store.revoke(an_event(EventType.REVOKED, made.api_key), UNSPECIFIED))
            await until(lambda: _a_transaction_waits(database))
            with pytest.raises(StorageUnavailable, match="in use"):
                await asyncio.wait_for(store.get(made.api_key.org_id, made.api_key.id), FEW_SECONDS)
            revocation.cancel()
        await until(lambda: _works(store))
        assert await store.get(made.api_key.org_id, made.api_key.id) == made.api_key
        assert len(_connections(database)) == 2
    finally:
        await store.close()


async def test_a_server_that_says_nothing(database: Database) -> None:
    """A server that takes connections and never answers is given up in time."""

    async def say_nothing(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with serving(say_nothing) as port:
        store = open_store(f"postgresql://postgres:hunter22@127.0.0.1:{port}/keys?sslmode=disable")
        try:
            with pytest.raises(StorageUnavailable, match="no answer") as fault:
                await asyncio.wait_for(store.check(), FEW_SECONDS)
            assert "hunter22" not in fault.value.reason
        finally:
            await store.close()


@pytest.mark.parametrize(
    "change", [{"database": "absent"}, {"user": "nobody_of_that_name"}, {"options": "sslmode=verify-full"}], ids=repr
)
async def test_a_server_that_refuses(postgres_cluster: PostgresCluster, change: dict[str, str]) -> None:
    """A server that does not let the store in makes every call unavailable, and the password is in no message."""
    user, name = change.get("user", "postgres"), change.get("database", "postgres")
    host = "127.0.0.1:9/" if "options" in change else f"/{name}?host={postgres_cluster.folder}&"
    url = f"postgresql://{user}:hunter22@{host}{change.get('options', '')}".rstrip("&")
    store = open_store(url.replace("9/sslmode", "9/x?sslmode"))
    try:
        for call in calls_of(store, new_key(an_organization())):
            with pytest.raises(StorageUnavailable) as fault:
                await call()
            assert "hunter22" not in fault.value.reason
    finally:
        await store.close()


async def test_a_server_that_forgets(postgres_cluster: PostgresCluster) -> None:
    """A server that acknowledges before it has written is refused by name, by every call and before starting."""
    url = migrated_database(postgres_cluster)
    _set(postgres_cluster, url, "synchronous_commit = off")
    store = open_store(url)
    try:
        for call in calls_of(store, new_key(an_organization())):
            with pytest.raises(StorageUnavailable, match="synchronous_commit=off"):
                await call()
    finally:
        await store.close()
    for ask in (pending, migrate):
        with pytest.raises(ValueError, match="synchronous_commit=off"):
            ask(url)


async def test_the_session_is_left_alone(hasty: PostgresStore, database: Database) -> None:
    """The store sets nothing in its session that a pooler could hand to another client."""
    made = new_key(an_organization())
    await hasty.create(made)
    await hasty.list_newest(made.api_key.org_id, limit=5, before=None)
    await hasty.revoke(an_event(EventType.REVOKED, made.api_key), UNSPECIFIED)
    changed = "SELECT name FROM pg_settings WHERE source = 'session'"
    rows = await hasty._managing.fetch(changed, (), deadline=hasty._managing.deadline())
    assert rows == []


async def test_connections_say_whose_they_are(database: Database) -> None:
    """The server lists connections under the name of the service, or under the one the URL gives."""
    for option, name in (("", "keywright"), ("&application_name=other", "other")):
        store = open_store(database.url + option)
        try:
            await store.check()
            assert {row["application_name"] for row in _connections(database)} == {name}
        finally:
            await store.close()
        await until(lambda: _no_connections(database))


@pytest.mark.parametrize("plan", ["force_custom_plan", "force_generic_plan"])
async def test_pages_cost_the_same_for_everybody(hasty: PostgresStore, database: Database, plan: str) -> None:
    """A small organization's page touches few blocks, however many keys others have and whatever plan is kept."""
    big, small = an_organization(), an_organization()
    await hasty.create(new_key(big))
    _fill(database, big.id)
    # By these statistics there is one organization, and a plan made from them would walk down the primary key.
    database.query("ANALYZE api_keys")
    few = [new_key(small) for _ in range(3)]
    for new in few:
        await hasty.create(new)
    assert (await hasty.list_newest(small.id, limit=100, before=None)).items == [new.api_key for new in reversed(few)]
    connection = await asyncpg.connect(database.url)
    try:
        await connection.execute(f"SET plan_cache_mode = {plan}; PREPARE page (uuid, uuid, bigint) AS {sql.LIST}")
        explain = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE page"
        page = await connection.fetchval(f"{explain} ('{small.id}', '{UUID(int=2**128 - 1)}', 101)")
    finally:
        await connection.close()
    blocks = json.loads(page)[0]["Plan"]
    assert blocks["Shared Hit Blocks"] + blocks["Shared Read Blocks"] < 100


def _fill(database: Database, org_id: UUID) -> None:
    """Give an organization twenty thousand keys."""
    database.query(
        f"""
        WITH key AS (
            INSERT INTO api_keys (id, org_id, name, environment, created_at, created_by)
            SELECT md5(n::text)::uuid, '{org_id}', 'x', 'live', now(), 'x' FROM generate_series(1, 20000) n
            RETURNING id
        )
        INSERT INTO api_key_secrets (id, key_id, public_key, secret_digest, brand, display, created_at)
        SELECT id, id, sha256(id::text::bytea), sha256(('s' || id)::bytea), 'kw', 'x', now() FROM key
        """
    )


@pytest.mark.parametrize("change", ["create", "create once", "revoke"])
async def test_locks_are_taken_in_one_order(database: Database, change: str) -> None:
    """A change locks the number of active keys of its organization first, and the end of its chain of events last."""
    organization = an_organization()
    made, new = new_key(organization), new_key(organization)
    once = replace(new, sealed_answer=a_sealed_answer())
    async with running(database.url) as store:
        await store.create(made)
        changes = {
            "create": lambda: store.create(new),
            "create once": lambda: store.create(once),
            "revoke": lambda: store.revoke(an_event(EventType.REVOKED, made.api_key), UNSPECIFIED),
        }
        holder, other = [await asyncpg.connect(database.url) for _ in range(2)]
        try:
            async with holder.transaction():
                await holder.execute("SELECT FROM event_chain_heads FOR UPDATE")
                changing = asyncio.ensure_future(changes[change]())
                await until(lambda: other.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))
                with pytest.raises(asyncpg.LockNotAvailableError):
                    await other.execute("SELECT FROM active_keys FOR UPDATE NOWAIT")
            await changing
        finally:
            await holder.close()
            await other.close()


async def test_a_batch_of_uses_that_commits_late(database: Database) -> None:
    """A batch that is repeated while its first transaction still runs waits for it, and is counted once."""
    stores, made = [_store(database, patience=PATIENT) for _ in range(2)], new_key(an_organization())
    uses, batch = [an_hourly_usage(made, count=3)], a_batch()
    try:
        await stores[0].create(made)
        async with _Locked(database, "SELECT FROM api_key_secrets FOR UPDATE") as secrets:
            writings = []
            for number, store in enumerate(stores, start=1):
                writings.append(asyncio.ensure_future(store.add_usage(uses, batch)))
                await until(partial(_are_waiting, database, number))
            await secrets.commit()
            await asyncio.gather(*writings)
        usage = await stores[0].usage(made.api_key.org_id, made.api_key.id, since=HOUR)
        assert usage is not None
        assert usage.counts == {HOUR: 3}
    finally:
        for store in stores:
            await store.close()


def _store(database: Database, *, patience: float | None = None, pool_size: int = 10) -> PostgresStore:
    url = read(database.url)
    assert isinstance(url, PostgresUrl)
    url = replace(url, pool_size=pool_size)
    return PostgresStore(url) if patience is None else PostgresStore(url, patience=patience)


def _set(cluster: PostgresCluster, url: str, setting: str) -> None:
    cluster.execute(f"ALTER DATABASE {name_of(url)} SET {setting}")


def _end_connections(cluster: PostgresCluster) -> None:
    cluster.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'keywright'")


def _connections(database: Database) -> list[dict[str, Any]]:
    """List the connections to a database but the one that asks."""
    return database.query(
        "SELECT application_name, wait_event_type FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )


class _Locked:
    """Do something in another transaction that stays open for the length of the block, or until `commit`."""

    def __init__(self, database: Database, statement: str) -> None:
        self._url = database.url
        self._statement = statement

    async def __aenter__(self) -> "_Locked":
        self._connection = await asyncpg.connect(self._url, server_settings={"application_name": "other"})
        await self._connection.execute(f"BEGIN; {self._statement}")
        return self

    async def commit(self) -> None:
        await self._connection.execute("COMMIT")

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()


async def _works(store: PostgresStore) -> bool:
    try:
        await store.check()
    except StorageUnavailable:
        return False
    return True


async def _a_transaction_waits(database: Database) -> bool:
    return any(row["wait_event_type"] == "Lock" for row in _connections(database))


async def _are_waiting(database: Database, number: int) -> bool:
    return sum(row["wait_event_type"] == "Lock" for row in _connections(database)) == number


async def _no_connections(database: Database) -> bool:
    return _connections(database) == []
