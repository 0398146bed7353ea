"""Several PostgreSQL servers: the primary among them, a former one, and what a standby has to confirm."""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from keywright.service.change_feed import ChangeFeed
from keywright.service.faults import StorageUnavailable
from keywright.service.management.audit_log import EventType
from keywright.storage.postgres.change_feed import PROVE_EVERY_SECONDS, PostgresChangeFeed
from keywright.storage.postgres.connecting import Server, Servers
from keywright.storage.postgres.faults import ConnectionLost
from keywright.storage.postgres.pool import Pool
from keywright.storage.postgres.store import PostgresStore
from keywright.storage.url import PostgresUrl, read
from tests.listening import serving
from tests.postgres import PostgresCluster, hand_over, lent_database, migrated_database, name_of, start_cluster
from tests.storage.making import UNSPECIFIED, an_event, an_organization, find_key, new_key
from tests.waiting import until

PATIENT = 30.0
WHERE = "SELECT current_setting('data_directory')"


@dataclass(frozen=True, slots=True)
class Pair:
    """A primary with a migrated database, and a standby of it."""

    primary: PostgresCluster
    standby: PostgresCluster
    database: str

    def url(self, *clusters: PostgresCluster) -> PostgresUrl:
        """Give the URL that names these servers, in this order; both of them by default, the standby first."""
        hosts = ",".join(str(cluster.folder) for cluster in clusters or (self.standby, self.primary))
        url = read(f"postgresql://postgres:@/{self.database}?host={hosts}&target_session_attrs=read-write")
        assert isinstance(url, PostgresUrl)
        return url

    def set(self, name: str, value: str) -> None:
        """Change a setting of the primary, without a restart."""
        self.primary.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        self.primary.execute("SELECT pg_reload_conf()")


@contextmanager
def _pair() -> Iterator[Pair]:
    primary = start_cluster()
    try:
        database = name_of(migrated_database(primary))
        standby = _standby_of(primary)
        try:
            yield Pair(primary, standby, database)
        finally:
            standby.remove()
    finally:
        primary.remove()


def _standby_of(primary: PostgresCluster) -> PostgresCluster:
    folder = Path(tempfile.mkdtemp(prefix="kw-pg-", dir="/tmp"))
    hand_over(folder)
    standby = PostgresCluster(primary.binaries, folder)
    standby.run(
        *("pg_basebackup", "-R", "-c", "fast", "-X", "stream", "-U", "postgres", "-h", primary.folder),
        *("-D", standby.folder / "data"),
    )
    with (standby.folder / "data" / "postgresql.conf").open("a") as conf:
        conf.write(f"unix_socket_directories = '{standby.folder}'\n")
    standby.start()
    return standby


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Give a primary and a standby."""
    with _pair() as pair:
        yield pair


@pytest.fixture(scope="module")
def steady_pair() -> Iterator[Pair]:
    """Give a primary and a standby that stay what they are; who changes a setting changes it back."""
    with _pair() as pair:
        yield pair


# Which of several.


async def test_the_primary_among_several(pair: Pair) -> None:
    """Of the servers in a URL the primary is used, wherever it stands; and after a failover the new one."""
    store = PostgresStore(pair.url())
    made = new_key(an_organization())
    try:
        await store.create(made)
        assert await find_key(store, made.secret_digest) is not None
        await until(lambda: _has(pair.standby, pair.database))
        await asyncio.to_thread(pair.primary.stop, "immediate")
        with pytest.raises(StorageUnavailable, match="none of 2 servers is the primary"):
            await store.check()
        await asyncio.to_thread(pair.standby.run, "pg_ctl", "promote", "-w", "-D", pair.standby.folder / "data")
        assert await find_key(store, made.secret_digest) is not None
        await store.create(new_key(made.organization))
    finally:
        await store.close()


async def test_a_host_that_does_not_answer(postgres_cluster: PostgresCluster) -> None:
    """A server that takes connections and says nothing, as one that is cut off, keeps nobody from the next one."""

    async def be_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with serving(be_silent) as port:
        with lent_database(postgres_cluster) as url:
            several = read(
                f"postgresql://postgres:@/{name_of(url)}?host=127.0.0.1,{postgres_cluster.folder}&port={port},5432"
            )
            assert isinstance(several, PostgresUrl)
            for _ in range(3):
                connection = await Servers(several).connect()
                assert connection.host == several.hosts[1]
                connection.terminate()


async def test_the_one_that_answered_comes_first(steady_pair: Pair) -> None:
    """The server that was the primary last is tried first, until it is doubted."""
    servers = Servers(steady_pair.url())
    standby, primary = steady_pair.url().hosts
    first = await servers.connect()
    assert (first.host, servers._order) == (primary, [primary, standby])
    servers.doubt(first)
    assert servers._order == [standby, primary]
    first.terminate()


# Two that answer.


async def test_a_former_primary(pair: Pair) -> None:
    """Once a process has met the next primary, it uses the former one no longer, though that one goes on answering."""
    servers = Servers(pair.url(pair.primary, pair.standby))
    pool = Pool(servers, 3, most_of_share=3)
    try:
        deadline = pool.deadline() + PATIENT
        assert await _where(pool, deadline) == pair.primary
        before = await servers.connect()
        await before.execute("SELECT pg_advisory_lock(7)")
        under_way = asyncio.ensure_future(pool.fetch("SELECT pg_advisory_xact_lock(7)", (), deadline=deadline))
        await asyncio.to_thread(pair.standby.run, "pg_ctl", "promote", "-w", "-D", pair.standby.folder / "data")
        assert await _where(pool, deadline) == pair.primary
        servers.doubt(before)
        after = await servers.connect()
        assert servers.is_former(before)
        assert not servers.is_former(after)
        # What was idle is not used again, what was under way tells nothing, and nobody goes back.
        assert await _where(pool, deadline) == pair.standby
        await before.execute("SELECT pg_advisory_unlock(7)")
        with pytest.raises(ConnectionLost, match="former primary"):
            await under_way
        await asyncio.to_thread(pair.standby.stop, "immediate")
        with pytest.raises(StorageUnavailable, match="former primary"):
            await servers.connect()
        for connection in (before, after):
            connection.terminate()
    finally:
        await pool.close()


def test_timelines() -> None:
    """A timeline is earlier than another one of the same cluster, and of no other one."""
    servers = Servers(PostgresUrl(dsn="postgresql://db/keys"))
    servers.primacy.admit(None)
    servers.primacy.admit(Server.read("7:0000000F"))
    former, same, next_one, other = map(Server.read, ("7:0000000E", "7:0000000F", "7:00000010", "8:00000001"))
    assert [servers.primacy.is_former(each) for each in (former, same, next_one, other, None)] == [True, *[False] * 4]
    with pytest.raises(StorageUnavailable, match="former primary"):
        servers.primacy.admit(former)
    # Restored from a dump into another cluster, for one.
    servers.primacy.admit(other)
    assert not servers.primacy.is_former(former)


# What a standby has to confirm.


async def test_nobody_confirms(steady_pair: Pair) -> None:
    """Where a standby has to confirm writes and does not, keys are looked up no longer: another may be the primary."""
    pair = steady_pair
    pair.set("synchronous_standby_names", "*")
    store = PostgresStore(pair.url())
    made = new_key(an_organization())
    try:
        await store.create(made)
        feed = await store.follow()
        # A process that starts: nobody is admitted before the first proof, and whoever manages keys does not wait.
        assert await _refuses(store, made.secret_digest)
        assert await store.get(made.api_key.org_id, made.api_key.id) == made.api_key
        reading = await feed.read()
        assert reading.proven
        assert await find_key(store, made.secret_digest) is not None
        await asyncio.to_thread(pair.standby.stop, "immediate")
        await until(lambda: _fails(feed))
        await until(lambda: _refuses(store, made.secret_digest))
        # Nor is anybody told that there is no such key: the next primary may have it.
        unknown = new_key(made.organization).api_key
        for call in (
            store.get(unknown.org_id, unknown.id),
            store.revoke(an_event(EventType.REVOKED, unknown), UNSPECIFIED),
            store.delete(an_event(EventType.DELETED, unknown)),
        ):
            with pytest.raises(StorageUnavailable, match="standby"):
                await call
        pair.set("synchronous_standby_names", "")
        await until(lambda: _proves(feed))
        assert await find_key(store, made.secret_digest) is not None
        await feed.close()
    finally:
        pair.set("synchronous_standby_names", "")
        await asyncio.to_thread(pair.standby.start)
        await store.close()


async def test_how_often_it_is_proven(steady_pair: Pair) -> None:
    """A reading proves that the server is the primary where the last proof is a while ago; between, none does."""
    steady_pair.set("synchronous_standby_names", "*")
    clock = [1000.0]
    feed = PostgresChangeFeed(steady_pair.url(), servers=Servers(steady_pair.url(), lambda: clock[0]))
    try:
        await feed.start()
        await until(lambda: _is_followed(steady_pair))
        assert [(await feed.read()).proven for _ in range(3)] == [True, False, False]
        clock[0] += 2 * PROVE_EVERY_SECONDS
        assert [(await feed.read()).proven for _ in range(2)] == [True, False]
        steady_pair.set("synchronous_standby_names", "")
        await until(lambda: _needs_none(steady_pair))
        assert [(await feed.read()).proven for _ in range(2)] == [True, True]
    finally:
        steady_pair.set("synchronous_standby_names", "")
        await feed.close()


async def test_a_wait_that_the_server_gave_up(steady_pair: Pair) -> None:
    """A change whose wait for the standby was cut short is not acknowledged, though the server reports a success."""
    pair = steady_pair
    await asyncio.to_thread(pair.standby.stop, "immediate")
    pair.set("synchronous_standby_names", "*")
    store = PostgresStore(pair.url())
    made = new_key(an_organization())
    try:
        creation = asyncio.ensure_future(store.create(made))
        await until(lambda: _is_cancelled(pair))
        with pytest.raises(StorageUnavailable, match="standby"):
            await creation
        # It is there, on this server alone.
        assert await store.get(made.api_key.org_id, made.api_key.id) == made.api_key
        pair.set("synchronous_standby_names", "")
        await until(lambda: _works(store))
    finally:
        pair.set("synchronous_standby_names", "")
        await asyncio.to_thread(pair.standby.start)
        await store.close()


async def test_a_server_that_takes_no_more_writes(steady_pair: Pair) -> None:
    """A connection to a server that has become read-only is not used again."""
    store = PostgresStore(steady_pair.url())
    try:
        await store.create(new_key(an_organization()))
        steady_pair.primary.execute(f"ALTER DATABASE {steady_pair.database} SET default_transaction_read_only = on")
        steady_pair.primary.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid()",
            steady_pair.database,
        )
        await until(lambda: _is_read_only(store))
        steady_pair.primary.execute(f"ALTER DATABASE {steady_pair.database} RESET default_transaction_read_only")
        await store.create(new_key(an_organization()))
    finally:
        steady_pair.primary.execute(f"ALTER DATABASE {steady_pair.database} RESET default_transaction_read_only")
        await store.close()


def _has(cluster: PostgresCluster, database: str) -> bool:
    return cluster.execute("SELECT count(*) FROM api_keys", database) != "0"


async def _where(pool: Pool, deadline: float) -> PostgresCluster | None:
    ((folder,),) = await pool.fetch(WHERE, (), deadline=deadline)
    return _Located(folder)


class _Located(str):
    """Equals the cluster whose data are in this folder."""

    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PostgresCluster) and str(other.folder / "data") == str(self)


async def _refuses(store: PostgresStore, digest: bytes) -> bool:
    try:
        await find_key(store, digest)
    except StorageUnavailable as refusal:
        return "standby" in refusal.reason
    return False


async def _fails(feed: ChangeFeed) -> bool:
    try:
        await feed.read()
    except StorageUnavailable:
        return True
    return False


def _is_followed(pair: Pair) -> bool:
    return pair.primary.execute("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") == "1"


def _is_cancelled(pair: Pair) -> bool:
    """Cancel what waits for the standby, as an operator does."""
    waiting = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    return pair.primary.execute(waiting) == "t"


def _needs_none(pair: Pair) -> bool:
    return not pair.primary.execute("SHOW synchronous_standby_names")


async def _proves(feed: ChangeFeed) -> bool:
    try:
        return (await feed.read()).proven
    except StorageUnavailable:
        return False


async def _works(store: PostgresStore) -> bool:
    try:
        await store.create(new_key(an_organization()))
    except StorageUnavailable:
        return False
    return True


async def _is_read_only(store: PostgresStore) -> bool:
    try:
        await store.create(new_key(an_organization()))
    except StorageUnavailable as refusal:
        return "read-only" in refusal.reason
    return False
