"""The change feed in PostgreSQL, and what is its own: late transactions, lost notifications, other servers."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
import pytest

from keywright.service.change_feed import LONGEST_TRANSACTION_SECONDS, Change, ChangeFeed
from keywright.service.faults import StorageUnavailable
from keywright.service.management.audit_log import EventType
from keywright.service.management.ports import NewApiKey
from keywright.storage.engine import RunningStore, open_store
from keywright.storage.postgres import checking_statements as sql
from keywright.storage.postgres.change_feed import PostgresChangeFeed
from keywright.storage.postgres.change_reader import MOST_MISSING, Numbers
from keywright.storage.url import PostgresUrl, read
from tests.postgres import PostgresCluster, lent_database, migrated_database, name_of
from tests.storage.checking_making import add_event, read_changes
from tests.storage.making import UNSPECIFIED, Database, an_event, an_organization, find_key, new_key

LONG = 30.0


@pytest.fixture
def database(postgres_cluster: PostgresCluster) -> Iterator[Database]:
    """Give a migrated database."""
    with lent_database(postgres_cluster) as url:
        yield Database(url)


@pytest.fixture
async def feed(database: Database) -> AsyncIterator[PostgresChangeFeed]:
    """Give a change feed that has just begun."""
    async with _following(database) as feed:
        yield feed


# Numbers become visible out of order.


async def test_a_lower_number_that_shows_later(store: RunningStore, database: Database) -> None:
    """A change whose transaction began before another one and ended after it is given as soon as it is acknowledged."""
    async with _following(database, overlap=0) as feed:
        assert await _late_change_is_given(store, database, feed)


async def test_a_lower_number_is_missed_by_who_does_not_look_for_it(store: RunningStore, database: Database) -> None:
    """The same is missed by a reader that only goes on from the highest number: it is the guard that finds it."""
    async with _following(database, overlap=0, most_missing=0) as feed:
        assert not await _late_change_is_given(store, database, feed)


async def test_a_transaction_that_was_open_when_the_trail_began(store: RunningStore, database: Database) -> None:
    """A change that was under way when the change feed began is given, though others had overtaken it before that."""
    slow, fast = await _created(store, 2)
    async with _open_transaction(database, slow) as transaction:
        await _revoke(store, fast)
        async with _following(database, overlap=0) as feed:
            assert await read_changes(feed) == []
            await transaction.execute("COMMIT")
            assert _digests(await read_changes(feed)) == {slow.secret_digest}


async def test_many_late_transactions(store: RunningStore, database: Database) -> None:
    """Whatever the order in which twenty open transactions end, each change is given when it is acknowledged."""
    made = await _created(store, 40)
    async with _following(database, overlap=0) as feed:
        late = []
        for slow, fast in zip(made[::2], made[1::2], strict=True):
            connection = await asyncpg.connect(database.url)
            await connection.execute(f"BEGIN; {add_event(slow.api_key, 'api_key.revoked', database)}")
            late.append((connection, slow))
            await _revoke(store, fast)
        assert _digests(await read_changes(feed)) == {fast.secret_digest for fast in made[1::2]}
        random.Random(2).shuffle(late)
        for place, (connection, slow) in enumerate(late):
            await connection.execute("ROLLBACK" if place % 5 == 0 else "COMMIT")
            await connection.close()
            assert _digests(await read_changes(feed)) == (set() if place % 5 == 0 else {slow.secret_digest})


async def test_numbers_that_are_handed_out_in_blocks(store: RunningStore, database: Database) -> None:
    """On a server whose connections each have a stock of numbers, a low one may come at any time and is not missed."""
    assert await _low_number_is_given(store, database, overlap=10)


async def test_blocks_are_missed_by_who_does_not_look_back(store: RunningStore, database: Database) -> None:
    """The same is missed by a reader that does not look through the last seconds again."""
    assert not await _low_number_is_given(store, database, overlap=-3600)


async def test_more_changes_than_one_reading_gives(store: RunningStore, database: Database) -> None:
    """However many changes there were since the last reading, readings that follow at once give them all."""
    (made,) = await _created(store, 1)
    async with _following(database) as feed:
        insert = "INSERT INTO changes (changed_id, type, occurred_at, noted_at)"
        database.query(
            f"{insert} SELECT '{made.api_key.id}', 'x', now(), now() FROM generate_series(1, {3 * sql.MOST_READ + 7})"
        )
        readings = [await feed.read()]
        while readings[-1].more:
            readings.append(await feed.read())
        assert [len(reading.changes) for reading in readings] == [sql.MOST_READ] * 3 + [7]
        assert await read_changes(feed) == []


def test_missing_numbers() -> None:
    """Missing is what lies below the highest number and was not seen; it is so until it is seen."""
    numbers = Numbers()
    for seq in (3, 7, 5, 1):
        numbers.saw(seq, 0)
    assert (numbers.highest, numbers.missing) == (7, [2, 4, 6])
    numbers.miss(4, 1)
    numbers.saw(2, 2)
    assert numbers.missing == [4, 6]


def test_missing_numbers_are_given_up() -> None:
    """A number is looked for until the longest transaction must be over, and not longer."""
    numbers = Numbers()
    numbers.saw(2, 0)
    numbers.saw(4, LONGEST_TRANSACTION_SECONDS)
    numbers.give_up(before=0)
    assert numbers.missing == [1, 3]
    numbers.give_up(before=1)
    assert numbers.missing == [3]


def test_missing_numbers_are_bounded() -> None:
    """However far numbers leap, and however often, no more than so many are looked for: the latest."""
    numbers = Numbers()
    numbers.saw(10**18, 0)
    assert len(numbers.missing) == MOST_MISSING
    for leap in range(1, 6):
        numbers.saw(10**18 + leap * 4000, leap)
        numbers.give_up(before=0)
    assert len(numbers.missing) <= MOST_MISSING
    assert numbers.missing[-1] == 10**18 + 19999


# Notifications, and their absence.


async def test_a_change_is_notified(store: RunningStore, feed: PostgresChangeFeed) -> None:
    """The change of another process calls a reader that does not ask."""
    (made,) = await _created(store, 1)
    await read_changes(feed)
    await _revoke(store, made)
    await asyncio.wait_for(feed._woken.wait(), LONG)


async def test_creations_notify_nobody(store: RunningStore, database: Database) -> None:
    """A notification is sent by each change and by no creation: notifying makes commits wait for each other."""
    heard: asyncio.Queue[str] = asyncio.Queue()
    connection = await asyncpg.connect(database.url)
    await connection.add_listener(sql.CHANNEL, lambda *_: heard.put_nowait("x"))
    made = await _created(store, 20)
    await _revoke(store, made[0])
    await asyncio.wait_for(heard.get(), LONG)
    # Sent in the order of commits: whatever the creations had sent would be here by now.
    await connection.fetch("SELECT 1")
    assert heard.empty()
    await connection.close()


async def test_lost_notifications(store: RunningStore, database: Database, feed: PostgresChangeFeed) -> None:
    """Where no notification arrives, a reader that waits sees the change all the same."""
    database.query("DROP TRIGGER changes_notify ON changes")
    (made,) = await _created(store, 1)
    await read_changes(feed)
    await _revoke(store, made)
    assert await _until_given(feed, made)


async def test_a_connection_that_was_ended(
    store: RunningStore, database: Database, postgres_cluster: PostgresCluster, feed: PostgresChangeFeed
) -> None:
    """A reader whose connection was ended sees what changed meanwhile, and is called again from then on."""
    for _ in range(3):
        made, again = await _created(store, 2)
        await read_changes(feed)
        _end_connections(database, postgres_cluster)
        await _try_to_revoke(store, made)
        assert await _until_given(feed, made)
        await read_changes(feed)
        await _revoke(store, again)
        await asyncio.wait_for(feed._woken.wait(), LONG)


async def test_a_server_without_notifications(store: RunningStore, database: Database) -> None:
    """Behind a pooler nothing is listened for, and a reader that waits sees the change all the same."""
    async with _following(database, options="&statement_cache_size=0") as feed:
        (made,) = await _created(store, 1)
        await read_changes(feed)
        await _revoke(store, made)
        assert await _until_given(feed, made)
        assert not feed._woken.is_set()


# Servers that go and come.


async def test_a_restart(store: RunningStore, postgres_cluster: PostgresCluster, feed: PostgresChangeFeed) -> None:
    """While the server restarts readings say so in time; then all is given that was acknowledged before or since."""
    for mode in ("fast", "immediate"):
        before, after = await _created(store, 2)
        await _revoke(store, before)
        await asyncio.to_thread(postgres_cluster.stop, mode)
        try:
            for _ in range(3):
                with pytest.raises(StorageUnavailable):
                    await asyncio.wait_for(read_changes(feed), LONG)
                await asyncio.wait_for(feed.wait(LONG), LONG)
        finally:
            await asyncio.to_thread(postgres_cluster.start)
        await _try_to_revoke(store, after)
        assert _digests(await read_changes(feed)) >= {before.secret_digest, after.secret_digest}


async def test_readings_through_restarts(
    store: RunningStore, postgres_cluster: PostgresCluster, feed: PostgresChangeFeed
) -> None:
    """While the server crashes again and again, a reader has each change that was acknowledged before it asked."""
    made = await _created(store, 600)
    acknowledged: set[bytes] = set()
    changed = asyncio.Event()

    async def follow() -> set[bytes]:
        given: set[bytes] = set()
        while True:
            before, last = set(acknowledged), changed.is_set()
            try:
                given |= _digests(await read_changes(feed))
            except StorageUnavailable:
                await asyncio.sleep(0.05)
                continue
            assert before <= given
            if last:
                return given
            await feed.wait(0.02)

    async def change(share: list[NewApiKey]) -> None:
        for new in share:
            await _try_to_revoke(store, new)
            acknowledged.add(new.secret_digest)

    follower = asyncio.ensure_future(follow())
    changes = asyncio.gather(*[change(made[n::8]) for n in range(8)])
    for _ in range(2):
        await asyncio.to_thread(postgres_cluster.stop, "immediate")
        await asyncio.to_thread(postgres_cluster.start)
    await changes
    changed.set()
    assert await asyncio.wait_for(follower, LONG) >= acknowledged


async def test_a_server_that_lost_its_last_changes(
    store: RunningStore, database: Database, postgres_cluster: PostgresCluster, feed: PostgresChangeFeed
) -> None:
    """A change whose number was seen before, on a server that has failed since, is given all the same."""
    *lost, made = await _created(store, 6)
    for new in lost:
        await _revoke(store, new)
    numbers = [change.seq for change in await read_changes(feed)]
    # As after a failover to a server that had not received the last transactions.
    database.query(f"DELETE FROM changes WHERE seq >= {numbers[1]}")
    database.query(f"ALTER TABLE changes ALTER COLUMN seq RESTART WITH {numbers[1]}")
    _end_connections(database, postgres_cluster)
    await _try_to_revoke(store, made)
    given = await read_changes(feed)
    assert made.secret_digest in _digests(given)
    assert max(change.seq for change in given) < numbers[-1]


async def test_a_server_that_is_away_at_the_beginning(
    postgres_cluster: PostgresCluster, database: Database, store: RunningStore
) -> None:
    """No feed can begin while the server is unavailable; once it is back, feeds can begin."""
    (made,) = await _created(store, 1)
    await asyncio.to_thread(postgres_cluster.stop)
    try:
        with pytest.raises(StorageUnavailable):
            await asyncio.wait_for(store.follow(), LONG)
    finally:
        await asyncio.to_thread(postgres_cluster.start)
    feed = await store.follow()
    await _try_to_revoke(store, made)
    assert _digests(await read_changes(feed)) == {made.secret_digest}


async def test_a_standby_is_refused(own_cluster: PostgresCluster) -> None:
    """A server that follows another one is not read: what it says of a key may be old."""
    url = migrated_database(own_cluster)
    primary = open_store(url)
    (made,) = await _created(primary, 1)
    await primary.close()
    own_cluster.stop()
    (own_cluster.folder / "data" / "standby.signal").touch()
    own_cluster.start()
    standby = open_store(url)
    try:
        for call in (lambda: find_key(standby, made.secret_digest), standby.follow):
            with pytest.raises(StorageUnavailable, match="standby"):
                await call()
    finally:
        await standby.close()


# Looking back, and what it costs.


async def test_a_trail_begins_with_the_last_minutes(store: RunningStore, database: Database) -> None:
    """The first reading gives what was written while any transaction may last, and the one change before that."""
    made = await _created(store, 4)
    for new, ago in zip(made, ("40 minutes", "20 minutes", "10 minutes", "0 minutes"), strict=True):
        database.query(
            "INSERT INTO changes (changed_id, type, occurred_at, noted_at)"
            f" VALUES ('{new.api_key.id}', 'api_key.revoked', now(), now() - interval '{ago}')"
        )
    feed = await store.follow()
    reading = await feed.read()
    assert [change.key_id for change in reading.changes] == [new.api_key.id for new in made[1:]]
    assert (reading.begins_after, reading.complete_to) == (1, 4)
    await feed.close()


async def test_a_missing_number_holds_up_what_is_complete(store: RunningStore, database: Database) -> None:
    """A reading is complete only up to a number that is missing, until it shows."""
    slow, fast = await _created(store, 2)
    async with _following(database) as feed:
        async with _open_transaction(database, slow) as transaction:
            await _revoke(store, fast)
            assert (await feed.read()).complete_to == 0
            await transaction.execute("COMMIT")
        assert (await feed.read()).complete_to == 2


@asynccontextmanager
async def _following(
    database: Database, *, options: str = "", overlap: float = 10, most_missing: int = MOST_MISSING
) -> AsyncIterator[PostgresChangeFeed]:
    """Give a change feed whose first reading is over."""
    url = read(database.url + options)
    assert isinstance(url, PostgresUrl)
    feed = PostgresChangeFeed(url, overlap=timedelta(seconds=overlap), most_missing=most_missing)
    await feed.start()
    await feed.read()
    try:
        yield feed
    finally:
        await feed.close()


@asynccontextmanager
async def _open_transaction(database: Database, made: NewApiKey) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Revoke a key in a transaction that has drawn its number and is not done."""
    connection = await asyncpg.connect(database.url)
    try:
        await connection.execute(f"BEGIN; {add_event(made.api_key, 'api_key.revoked', database)}")
        yield connection
    finally:
        await connection.close()


async def _late_change_is_given(store: RunningStore, database: Database, feed: PostgresChangeFeed) -> bool:
    """Have a change with a lower number become visible after one with a higher number."""
    slow, fast = await _created(store, 2)
    async with _open_transaction(database, slow) as transaction:
        await _revoke(store, fast)
        (higher,) = await read_changes(feed)
        assert higher.digests == (fast.secret_digest,)
        await transaction.execute("COMMIT")
    given = list(await read_changes(feed))
    assert all(lower.seq < higher.seq for lower in given)
    return slow.secret_digest in _digests(given)


async def _low_number_is_given(store: RunningStore, database: Database, *, overlap: float) -> bool:
    """Have one connection use up its stock of low numbers while another one's are higher."""
    database.query("ALTER SEQUENCE changes_seq_seq CACHE 20")
    made = await _created(store, 6)
    statements = [add_event(new.api_key, "api_key.revoked", database) for new in made]
    given: list[Change] = []
    async with _following(database, overlap=overlap, most_missing=0) as feed:
        low, high = [await asyncpg.connect(database.url) for _ in range(2)]
        for connection, statement in zip((low, high) * 3, statements, strict=True):
            await connection.execute(statement)
            given += await read_changes(feed)
        await low.close()
        await high.close()
    seqs = [change.seq for change in given]
    assert max(seqs) > 20 > min(seqs)
    return _digests(given) == {new.secret_digest for new in made}


async def _created(store: RunningStore, count: int) -> list[NewApiKey]:
    made = [new_key(an_organization()) for _ in range(count)]
    await asyncio.gather(*map(store.create, made))
    return made


async def _revoke(store: RunningStore, made: NewApiKey) -> None:
    assert await store.revoke(an_event(EventType.REVOKED, made.api_key), UNSPECIFIED) is not None


async def _try_to_revoke(store: RunningStore, made: NewApiKey) -> None:
    """Revoke a key through connections that may be broken."""
    deadline = asyncio.get_running_loop().time() + LONG
    while True:
        try:
            return await _revoke(store, made)
        except StorageUnavailable:
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.02)


async def _until_given(feed: ChangeFeed, made: NewApiKey) -> bool:
    """Read and wait as a follower does, until a change is there."""
    async with asyncio.timeout(LONG):
        while made.secret_digest not in _digests(await read_changes(feed)):
            await feed.wait(LONG)
    return True


def _digests(changes: "Iterator[Change] | list[Change]") -> set[bytes]:
    return {digest for change in changes for digest in change.digests}


def _end_connections(database: Database, cluster: PostgresCluster) -> None:
    cluster.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        f" WHERE datname = '{name_of(database.url)}' AND application_name = 'keywright'"
    )
