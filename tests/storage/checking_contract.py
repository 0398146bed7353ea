"""
The promises of `service.checking.ports` as tests. `test_checking.py` runs them on every store.

A test gets `database`, migrated and empty, and `store`; `open` opens another one on the same database.
"""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import inf
from uuid import UUID

import pytest

from keywright.keys.rate_limits import RateLimit
from keywright.keys.record import ApiKey
from keywright.keys.verdict import KeyFacts
from keywright.service.change_feed import LONGEST_TRANSACTION_SECONDS, Change, ChangeFeed, Reading
from keywright.service.faults import StorageUnavailable
from keywright.service.management.audit_log import EventType
from keywright.service.management.ports import NewApiKey, Outcome, Rotations, Source, Usage, UsageCount
from keywright.service.verifier_sessions import Acknowledged, Receipt, Session
from keywright.storage.engine import RunningStore
from keywright.storage.migrate import migrate
from keywright.storage.postgres import statements as postgres
from keywright.storage.shared import usage_statements
from keywright.storage.shared.statements import MOST_ANNOUNCED
from keywright.storage.sqlite import statements as sqlite
from tests.storage.checking_making import (
    HOUR,
    TODAY,
    a_batch,
    a_session,
    a_verifier,
    add_event,
    an_hourly_usage,
    confirmed_at,
    literal,
    read_changes,
    was,
    written_at,
)
from tests.storage.making import (
    NOON,
    UNSPECIFIED,
    Database,
    a_rotation,
    an_event,
    an_organization,
    find_key,
    new_id,
    new_key,
)

REVOKED_AT = NOON + timedelta(hours=1)
"""When `an_event` says that something happened."""

# Waited out only when something is broken.
LONG = 30.0

CLOCKS = timedelta(milliseconds=1)
"""By how much two readings of one machine's clock may look the wrong way round, through rounding."""


class FollowingContract:
    """Finding keys, and following what becomes of them."""

    @pytest.fixture
    async def store(self, database: Database) -> AsyncIterator[RunningStore]:
        """Give a running store."""
        async with self.running(database) as store:
            yield store

    @pytest.fixture
    async def other(self, database: Database) -> AsyncIterator[RunningStore]:
        """Give a second one on the same database, as another process has it."""
        async with self.running(database) as store:
            yield store

    @pytest.fixture
    async def feed(self, store: RunningStore) -> AsyncIterator[ChangeFeed]:
        """Give a change feed whose first reading is over."""
        feed = await store.follow()
        await feed.read()
        try:
            yield feed
        finally:
            await feed.close()

    @asynccontextmanager
    async def running(self, database: Database) -> AsyncIterator[RunningStore]:
        """Open a store and close it."""
        store = self.open(database)
        await store.start()
        try:
            yield store
        finally:
            await store.close()

    def open(self, database: Database) -> RunningStore:
        """Open a store."""
        raise NotImplementedError

    # find

    async def test_a_key_is_found_by_its_digest(self, store: RunningStore, other: RunningStore) -> None:
        """A created key is found at once, by every process, with what a verdict needs."""
        made = await _created(store, name="nightly \N{PILE OF POO}")
        for reader in (store, other):
            assert await find_key(reader, made.secret_digest) == KeyFacts(
                id=made.api_key.id.bytes,
                org_id=made.api_key.org_id.bytes,
                name="nightly \N{PILE OF POO}",
                environment="live",
                expires_at=inf,
                revoked=False,
                scopes=(),
                org_external_id=made.organization.external_id,
                created_by="auth0|alice",
            )

    async def test_what_a_verdict_tells_is_found(self, store: RunningStore, other: RunningStore) -> None:
        """A look-up tells the external ids, the creator and short metadata; long metadata is read by itself."""
        short, long = {"plan": "\u00c4", "share": [0.5, 1e16]}, {"text": "x" * 600}
        told = [await _created(store, external_id="cust-1", metadata=metadata) for metadata in ({}, short, long)]
        for reader in (store, other):
            found = [await find_key(reader, made.secret_digest) for made in told]
            assert [facts and facts.external_id for facts in found] == ["cust-1"] * 3
            assert [facts and facts.metadata for facts in found][::2] == ["{}", None]
            assert found[1] is not None
            assert json.loads(found[1].metadata or "") == short
            read = [await reader.find_metadata(made.secret_digest) for made in told]
            assert [json.loads(text or "") for text in read] == [{}, short, long]
        await _delete(store, told[2])
        assert await other.find_metadata(told[2].secret_digest) is None
        assert await store.find_metadata(bytes(32)) is None

    async def test_a_disabled_key_is_found_as_disabled(self, store: RunningStore, feed: ChangeFeed) -> None:
        """A key is found disabled as long as it is, and the feed tells of both changes."""
        made = await _created(store)
        key = made.api_key
        for version, disabled_at in enumerate((NOON, None), 1):
            changed = replace(key, disabled_at=disabled_at, version=version)
            assert await store.update(changed, an_event(EventType.UPDATED, key)) is Outcome.DONE
            found = await find_key(store, made.secret_digest)
            assert found is not None
            assert found.disabled is (disabled_at is not None)
        assert [change.digests for change in await read_changes(feed)] == [(made.secret_digest,)] * 2

    async def test_no_key_is_found_by_another_digest(self, store: RunningStore) -> None:
        """A digest that is no secret's finds nothing, whatever its length."""
        made = await _created(store)
        for digest in (bytes(32), b"", made.secret_digest[:31], made.secret_digest + b"\0", bytes(64)):
            assert await find_key(store, digest) is None

    async def test_the_end_of_a_key_is_exact(self, store: RunningStore) -> None:
        """The expiry is found as seconds since the epoch, to the microsecond."""
        expires_at = datetime(2027, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
        made = await _created(store, expires_at=expires_at)
        found = await find_key(store, made.secret_digest)
        assert found is not None
        assert found.expires_at == expires_at.timestamp()

    async def test_a_revoked_key_is_found_as_revoked(self, store: RunningStore, other: RunningStore) -> None:
        """Once a revocation is acknowledged, every process finds the key revoked."""
        made = await _created(store)
        await _revoke(store, made)
        for reader in (store, other):
            found = await find_key(reader, made.secret_digest)
            assert found is not None
            assert found.revoked

    async def test_a_deleted_key_is_not_found(self, store: RunningStore, other: RunningStore) -> None:
        """Once a deletion is acknowledged, no process finds the key, revoked before or not."""
        first, second = [await _created(store) for _ in range(2)]
        await _revoke(store, second)
        for made in (first, second):
            await _delete(store, made)
            for reader in (store, other):
                assert await find_key(reader, made.secret_digest) is None

    async def test_both_secrets_find_a_rotated_key(self, store: RunningStore) -> None:
        """Both secrets of a rotated key find it, and each says when it ends itself, whether that is over or not."""
        made = await _created(store, expires_at=NOON + timedelta(days=300))
        rotation = a_rotation(made.api_key)
        await store.rotate(rotation)
        old, new = await find_key(store, made.secret_digest), await find_key(store, rotation.secret_digest)
        assert old is not None
        assert new is not None
        assert (old.retires_at, new.retires_at) == (rotation.retires_at.timestamp(), inf)
        assert replace(old, retires_at=inf) == new
        assert new.expires_at == (NOON + timedelta(days=300)).timestamp()

    async def test_what_a_key_may_do_is_found(self, store: RunningStore) -> None:
        """A look-up tells scopes, networks and rate limits, and keys that may do the same share the objects."""
        may = {
            "scopes": ("reports:read", "*:*"),
            "allowed_ips": ("192.0.2.0/24", "2001:db8::/32"),
            "rate_limits": (RateLimit("burst", 10, 1), RateLimit("day", 1_000_000_000, 86_400)),
        }
        first, second = [await find_key(store, (await _created(store, **may)).secret_digest) for _ in range(2)]
        assert first is not None
        assert second is not None
        assert {name: getattr(first, name) for name in may} == may
        assert all(getattr(first, name) is getattr(second, name) for name in ("scopes", "networks", "rate_limits"))
        assert isinstance(first.rate_limits[0], RateLimit)

    async def test_a_rotation_is_told_by_both_secrets(self, store: RunningStore, feed: ChangeFeed) -> None:
        """The feed names a rotation, and a new end of the old secret, by the digests of both."""
        made = await _created(store)
        rotation = a_rotation(made.api_key)
        await store.rotate(rotation)
        event = an_event(EventType.ROTATION_CHANGED, made.api_key, occurred_at=NOON)
        await store.set_retirement(event, version=2, retires_at=NOON)
        told = {change.seq: set(change.digests) for change in await read_changes(feed)}
        assert list(told.values()) == [{made.secret_digest, rotation.secret_digest}] * 2

    async def test_everybody_gets_the_key_asked_for(self, store: RunningStore) -> None:
        """Look-ups that wait together, some of them of nothing, are each given their own; so is one of many keys."""
        made = [await _created(store, name=f"key {number}") for number in range(30)]
        digests = [new.secret_digest for new in made for _ in range(7)] + [new_id().bytes * 2 for _ in range(90)]
        random.Random(7).shuffle(digests)
        names = {new.secret_digest: new.api_key.name for new in made}
        found = await asyncio.gather(*(find_key(store, digest) for digest in digests))
        assert [facts and facts.name for facts in found] == [names.get(digest) for digest in digests]
        odd = [b"", made[0].secret_digest[:31], made[0].secret_digest + b"\0"]
        together = await store.find_keys([odd[0], *digests[:70], *odd[1:], *digests[70:]])
        assert {digest: facts.name for digest, facts in together.items()} == names
        assert await store.find_keys([]) == {}

    async def test_what_keys_share_is_held_once(self, store: RunningStore) -> None:
        """Keys of one organization and environment share the objects that name them, for there may be a million."""
        organization = an_organization()
        first, second = [new_key(organization) for _ in range(2)]
        await store.create(first)
        await store.create(second)
        found = [await find_key(store, new.secret_digest) for new in (first, second)]
        assert found[0] is not None
        assert found[1] is not None
        assert found[0].org_id is found[1].org_id
        assert found[0].environment is found[1].environment
        assert found[0].org_external_id is found[1].org_external_id
        assert found[0].created_by is found[1].created_by
        # The second takes only what it does not share.
        assert found[0].weight > found[1].weight

    async def test_keys_are_named_by_their_last_use(self, store: RunningStore, other: RunningStore) -> None:
        """The secrets of used keys come page by page: the latest hour first, and of each key those that work."""
        unused, old, rotated, both = [await _created(store) for _ in range(4)]
        ended, running = a_rotation(rotated.api_key), a_rotation(both.api_key, at=datetime.now(UTC))
        await store.rotate(ended)
        await store.rotate(running)
        later = HOUR + timedelta(days=36_500)
        hours = [(old, later), (rotated, later + timedelta(hours=1)), (both, later + timedelta(hours=1)), (both, later)]
        uses = [an_hourly_usage(made, hour=hour) for made, hour in hours]
        await store.add_usage(uses, a_batch())
        for limit in (1, 3, 100):
            digests: list[bytes] = []
            below = None
            while below is None or below.hour >= later:
                page = await other.recently_used(below=below, limit=limit)
                digests += page.digests
                below = page.last
                if below is None:
                    break
            both_work = [running.secret_digest, both.secret_digest]
            expected = [*both_work, ended.secret_digest, *both_work, old.secret_digest]
            assert digests[: len(expected)] == expected
            assert unused.secret_digest not in digests

    async def test_a_caller_that_goes_away_harms_nobody(self, store: RunningStore) -> None:
        """Cancelled look-ups leave their neighbours answered."""
        made = await _created(store)
        for _ in range(20):
            tasks = [asyncio.ensure_future(find_key(store, made.secret_digest)) for _ in range(10)]
            await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            assert all([await task for task in tasks[1::2]])
            await asyncio.gather(*tasks, return_exceptions=True)

    # the change feed

    async def test_a_trail_begins_with_the_recent_changes(self, store: RunningStore, other: RunningStore) -> None:
        """The first reading gives what was changed lately, and every process reads it alike."""
        made = [await _created(store) for _ in range(3)]
        for new in made:
            await _revoke(store, new)
        readings = []
        for follower in (store, other):
            feed = await follower.follow()
            readings.append(await feed.read())
            assert await read_changes(feed) == []
            await feed.close()
        assert readings[0] == readings[1]
        assert [change.key_id for change in readings[0].changes] == [new.api_key.id for new in made]
        assert (readings[0].begins_after, readings[0].complete_to) == (0, readings[0].changes[-1].seq)

    async def test_what_changes_while_a_trail_begins(self, store: RunningStore, other: RunningStore) -> None:
        """What is changed after a change feed was asked for is given by it, before or after its first reading."""
        made = [await _created(store) for _ in range(40)]
        asked_for = asyncio.Event()

        async def follow() -> set[bytes]:
            await asked_for.wait()
            feed = await store.follow()
            given: set[bytes] = set()
            async with asyncio.timeout(LONG):
                while len(given) < len(made):
                    given |= _digests(await read_changes(feed))
                    await feed.wait(0.05)
            await feed.close()
            return given

        followers = [asyncio.ensure_future(follow()) for _ in range(4)]
        asked_for.set()
        for new in made:
            await _revoke(other, new)
        assert await asyncio.gather(*followers) == [{new.secret_digest for new in made}] * 4

    async def test_where_a_trail_is_complete(self, store: RunningStore, feed: ChangeFeed) -> None:
        """A reading is complete up to its last number, also where it gives nothing, and begins where the first did."""
        assert await feed.read() == Reading(changes=[], begins_after=0, complete_to=0)
        made = await _created(store)
        await _revoke(store, made)
        (change,) = await read_changes(feed)
        assert await feed.read() == Reading(changes=[], begins_after=0, complete_to=change.seq)

    async def test_changes_are_on_the_trail(self, store: RunningStore, other: RunningStore, feed: ChangeFeed) -> None:
        """A revocation and a deletion, by any process, are on the change feed as soon as they are acknowledged."""
        first, second = [await _created(store) for _ in range(2)]
        await _revoke(store, first)
        assert _told(await read_changes(feed)) == [(first.api_key.id, {first.secret_digest}, REVOKED_AT)]
        await _delete(other, second)
        assert _told(await read_changes(feed)) == [(second.api_key.id, {second.secret_digest}, REVOKED_AT)]
        assert await read_changes(feed) == []

    async def test_what_changes_nothing_is_not_on_the_trail(self, store: RunningStore, feed: ChangeFeed) -> None:
        """Creations, second revocations, uses, sessions and verifiers that are added leave no change."""
        made = await _created(store)
        await _revoke(store, made)
        await read_changes(feed)
        await _revoke(store, made)
        await store.add_usage([an_hourly_usage(made)], a_batch())
        await store.renew_session(a_session())
        await store.add_verifier(*a_verifier())
        await _created(store)
        assert await read_changes(feed) == []

    async def test_what_works_is_announced(self, store: RunningStore, feed: ChangeFeed) -> None:
        """A change names the secrets that have not ended, whatever the state of the key, and those that it ends."""
        made = await _created(store)
        rotation = a_rotation(made.api_key, overlap=timedelta(hours=2))
        both = {made.secret_digest, rotation.secret_digest}
        assert await store.rotate(rotation) is Outcome.DONE
        event = an_event(EventType.ROTATION_CHANGED, made.api_key)
        assert await store.set_retirement(event, version=2, retires_at=REVOKED_AT) is Outcome.DONE
        await _revoke(store, made)
        await _delete(store, made)
        assert _told(await read_changes(feed)) == [
            (made.api_key.id, both, NOON),
            *[(made.api_key.id, both, REVOKED_AT)] * 3,
        ]

    async def test_what_has_ended_is_not_announced(self, store: RunningStore, feed: ChangeFeed) -> None:
        """Of a key that was rotated often, a change names the secrets that work and those that ended minutes before."""
        made = await _created(store)
        ended = [made.secret_digest, *await _rotated(store, made.api_key, 30, apart=timedelta(minutes=5))]
        assert all(len(change.digests) <= 4 for change in await _all_changes(feed))
        current = ended.pop()
        at = NOON + timedelta(minutes=5) * 29 + timedelta(minutes=8)
        await store.revoke(an_event(EventType.REVOKED, made.api_key, occurred_at=at), UNSPECIFIED)
        assert _told(await read_changes(feed)) == [(made.api_key.id, {ended[-1], current}, at)]

    async def test_many_secrets_that_ended_just_now(self, store: RunningStore, feed: ChangeFeed) -> None:
        """However many secrets end within minutes, a change names a bounded number, with the current one among them."""
        made = await _created(store)
        digests = await _rotated(store, made.api_key, 40, apart=timedelta(seconds=1))
        changes = await _all_changes(feed)
        assert [change.digests[0] for change in changes] == digests
        assert max(len(change.digests) for change in changes) == 1 + MOST_ANNOUNCED
        assert all(replaced in change.digests for replaced, change in zip(digests, changes[1:], strict=False))

    async def test_a_change_of_the_version_before(
        self, store: RunningStore, database: Database, feed: ChangeFeed
    ) -> None:
        """A change without its digests, as a process of the version before writes it, names the same ones."""
        made = await _created(store)
        rotation = a_rotation(made.api_key)
        await store.rotate(rotation)
        _, verifier_digest = verifier = a_verifier()
        await store.add_verifier(*verifier)
        await store.revoke_verifier(verifier[0].name, NOON)
        database.query("UPDATE changes SET digests = NULL")
        found = [set(change.digests) for change in await read_changes(feed)]
        assert found == [{made.secret_digest, rotation.secret_digest}, {verifier_digest}]

    async def test_more_changes_than_one_reading_has(self, store: RunningStore, feed: ChangeFeed) -> None:
        """Changes that are too many for one reading come in several; all but the last say that there are more."""
        made = await asyncio.gather(*[_created(store) for _ in range(50)])
        await asyncio.gather(*[_touched(store, new, 50) for new in made])
        readings = [await feed.read()]
        while readings[-1].more:
            readings.append(await feed.read())
        assert sum(len(reading.changes) for reading in readings) == 50 * 50
        assert max(len(reading.changes) for reading in readings) <= 1000

    async def test_a_secret_that_ended_stays_ended(self, store: RunningStore) -> None:
        """The revocation and the deletion of its key give a secret that ended before no other facts but revoked."""
        made = await _created(store)
        rotation = a_rotation(made.api_key, overlap=timedelta(minutes=1))
        await store.rotate(rotation)
        before = await find_key(store, made.secret_digest)
        assert before is not None
        await _revoke(store, made)
        assert await find_key(store, made.secret_digest) == replace(before, revoked=True)
        await _delete(store, made)
        assert await find_key(store, made.secret_digest) == replace(before, revoked=True)
        assert await find_key(store, rotation.secret_digest) is None

    async def test_whatever_happens_to_a_key_is_a_change(
        self, store: RunningStore, database: Database, feed: ChangeFeed
    ) -> None:
        """An event of any kind but a creation is a change, also of a kind this version does not know."""
        made = await _created(store)
        for type_ in ("api_key.created", "api_key.renamed"):
            database.query(add_event(made.api_key, type_, database))
        assert _told(await read_changes(feed)) == [(made.api_key.id, {made.secret_digest}, NOON)]

    async def test_numbers_tell_changes_apart(self, store: RunningStore, feed: ChangeFeed) -> None:
        """Every change has a number of its own."""
        made = [await _created(store) for _ in range(20)]
        await asyncio.gather(*[_revoke(store, new) for new in made])
        await asyncio.gather(*[_delete(store, new) for new in made])
        assert len({change.seq for change in await read_changes(feed)}) == 40

    async def test_a_reading_that_is_given_up_loses_nothing(self, store: RunningStore, feed: ChangeFeed) -> None:
        """What a cancelled reading had begun to fetch is given by the next one."""
        for turns in range(12):
            made = await _created(store)
            await _revoke(store, made)
            reading = asyncio.ensure_future(read_changes(feed))
            for _ in range(turns):
                await asyncio.sleep(0)
            reading.cancel()
            (outcome,) = await asyncio.gather(reading, return_exceptions=True)
            given = [] if isinstance(outcome, BaseException) else list(outcome)
            given += await read_changes(feed)
            assert made.secret_digest in _digests(given)

    async def test_a_reading_that_fails_loses_nothing(
        self, store: RunningStore, database: Database, feed: ChangeFeed
    ) -> None:
        """While the database does not answer readings say so, and the first one after that gives what was missed."""
        before, after = [await _created(store) for _ in range(2)]
        await _revoke(store, before)
        database.query("ALTER TABLE changes RENAME TO hidden")
        for _ in range(3):
            with pytest.raises(StorageUnavailable):
                await read_changes(feed)
            await feed.wait(0.01)
        database.query("ALTER TABLE hidden RENAME TO changes")
        await _revoke(store, after)
        assert _digests(await read_changes(feed)) >= {before.secret_digest, after.secret_digest}

    async def test_a_change_ends_the_waiting(self, store: RunningStore, other: RunningStore, feed: ChangeFeed) -> None:
        """A wait on a change feed ends when a key changes, in this process or in another one."""
        for changer in (store, other, store, other):
            made = await _created(store)
            await read_changes(feed)
            waiting = asyncio.ensure_future(_wait_for(feed, made.secret_digest))
            await _revoke(changer, made)
            await asyncio.wait_for(waiting, LONG)

    async def test_waiting_ends_by_itself(self, feed: ChangeFeed) -> None:
        """Where nothing changes, waiting ends when the time is over."""
        await read_changes(feed)
        for seconds in (0.05, 0.001, 0, -1):
            await asyncio.wait_for(feed.wait(seconds), LONG)

    async def test_waiting_can_be_given_up(self, store: RunningStore, feed: ChangeFeed) -> None:
        """A cancelled wait leaves a change feed that reads and waits."""
        await read_changes(feed)
        waiting = asyncio.ensure_future(feed.wait(LONG))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        made = await _created(store)
        await _revoke(store, made)
        assert _digests(await asyncio.wait_for(read_changes(feed), LONG)) == {made.secret_digest}
        await asyncio.wait_for(feed.wait(0.01), LONG)

    async def test_a_closed_trail(self, store: RunningStore) -> None:
        """A closed change feed refuses to be read, ends every wait, and may be closed again."""
        feed = await store.follow()
        waiting = asyncio.ensure_future(feed.wait(LONG))
        await asyncio.sleep(0)
        await feed.close()
        await feed.close()
        await asyncio.wait_for(waiting, LONG)
        await asyncio.wait_for(feed.wait(LONG), LONG / 2)
        with pytest.raises(StorageUnavailable, match="closed"):
            await read_changes(feed)

    async def test_a_store_closes_its_trails(self, database: Database) -> None:
        """When a store is closed, so are its change feeds, and no others can begin."""
        async with self.running(database) as store:
            feeds = [await store.follow() for _ in range(3)]
        for call in (*(feed.read for feed in feeds), store.follow, lambda: find_key(store, bytes(32))):
            with pytest.raises(StorageUnavailable, match="closed"):
                await call()

    async def test_nothing_is_missed(self, store: RunningStore, other: RunningStore) -> None:
        """Of 2,000 revocations by two processes at once, readers of both have each as soon as it is acknowledged."""
        made = [new_key(an_organization()) for _ in range(2000)]
        await asyncio.gather(*map(store.create, made))
        acknowledged: set[bytes] = set()
        revoked = asyncio.Event()

        async def revoke_in_any_order(changer: RunningStore, share: list[NewApiKey]) -> None:
            for new in share:
                await _revoke(changer, new)
                acknowledged.add(new.secret_digest)

        async def follow(feed: ChangeFeed) -> None:
            given: set[bytes] = set()
            while len(given) < len(made):
                stop = revoked.is_set()
                before = set(acknowledged)
                given |= _digests(await read_changes(feed))
                assert before <= given
                assert not stop or len(given) == len(made)
                await feed.wait(0.05)

        random.Random(11).shuffle(made)
        followers = [asyncio.ensure_future(follow(await follower.follow())) for follower in (store, other)]
        changers = [revoke_in_any_order((store, other)[n % 2], made[n::32]) for n in range(32)]
        await asyncio.gather(*changers)
        revoked.set()
        await asyncio.wait_for(asyncio.gather(*followers), LONG)


class CheckingContract(FollowingContract):
    """All that holds for every store."""

    # verifiers

    async def test_a_verifier_is_known_by_its_credential(self, store: RunningStore, other: RunningStore) -> None:
        """A verifier that was added is found by the digest of its credential, by every process, and by no other."""
        verifier, digest = a_verifier()
        await store.add_verifier(verifier, digest)
        for reader in (store, other):
            assert await reader.find_verifier(digest) == verifier
            assert await reader.find_verifier(bytes(32)) is None
            assert await find_key(reader, digest) is None

    async def test_verifiers_are_listed_newest_first(self, store: RunningStore) -> None:
        """All verifiers are listed, newest first, the revoked ones among them."""
        assert await store.verifiers() == []
        added = [a_verifier(f"api-{number}") for number in range(3)]
        for verifier, digest in added:
            await store.add_verifier(verifier, digest)
        revoked = await store.revoke_verifier("api-1", REVOKED_AT)
        assert revoked == replace(added[1][0], revoked_at=REVOKED_AT)
        assert await store.verifiers() == [added[2][0], revoked, added[0][0]]

    async def test_a_name_is_given_once(self, store: RunningStore) -> None:
        """A name is refused while a verifier bears it that is not revoked, and free again after that."""
        first, digest = a_verifier()
        await store.add_verifier(first, digest)
        second, second_digest = a_verifier()
        with pytest.raises(ValueError, match="refuses"):
            await store.add_verifier(second, second_digest)
        assert await store.find_verifier(second_digest) is None
        await store.revoke_verifier("billing-api", REVOKED_AT)
        await store.add_verifier(second, second_digest)
        assert await store.find_verifier(second_digest) == second
        again = await store.revoke_verifier("billing-api", REVOKED_AT + timedelta(days=1))
        assert again == replace(second, revoked_at=REVOKED_AT + timedelta(days=1))

    @pytest.mark.parametrize("name", ["a\0b", "half \ud800", "", "x" * 256], ids=repr)
    async def test_a_name_nobody_can_bear(self, store: RunningStore, name: str) -> None:
        """A name that no column holds is refused."""
        with pytest.raises(ValueError, match=r"refuses|cannot store"):
            await store.add_verifier(*a_verifier(name))
        assert await store.verifiers() == []

    async def test_a_digest_is_taken_once(self, store: RunningStore) -> None:
        """A credential belongs to one verifier, revoked or not."""
        first, digest = a_verifier()
        await store.add_verifier(first, digest)
        await store.revoke_verifier(first.name, REVOKED_AT)
        with pytest.raises(ValueError, match="refuses"):
            await store.add_verifier(a_verifier()[0], digest)

    async def test_a_verifier_is_revoked_for_good(self, store: RunningStore, other: RunningStore) -> None:
        """A revoked verifier is found as revoked by every process; revoking it again changes nothing."""
        verifier, digest = a_verifier()
        await store.add_verifier(verifier, digest)
        revoked = replace(verifier, revoked_at=REVOKED_AT)
        for at in (REVOKED_AT, REVOKED_AT + timedelta(hours=1)):
            assert await store.revoke_verifier(verifier.name, at) == revoked
        for reader in (store, other):
            assert await reader.find_verifier(digest) == revoked

    async def test_no_verifier_cannot_be_revoked(self, store: RunningStore) -> None:
        """A name without a verifier gives nothing."""
        assert await store.revoke_verifier("nobody", REVOKED_AT) is None

    async def test_the_revocation_of_a_verifier_is_on_the_trail(
        self, store: RunningStore, other: RunningStore, feed: ChangeFeed
    ) -> None:
        """Revoking a verifier, by any process, is a change of its credential, once."""
        verifier, digest = a_verifier()
        await store.add_verifier(verifier, digest)
        await asyncio.gather(*[(store, other)[n % 2].revoke_verifier(verifier.name, REVOKED_AT) for n in range(8)])
        assert _told(await read_changes(feed)) == [(verifier.id, {digest}, REVOKED_AT)]
        again = await store.follow()
        assert _told(await read_changes(again)) == [(verifier.id, {digest}, REVOKED_AT)]

    async def test_revoking_a_verifier_at_the_same_time(self, store: RunningStore, other: RunningStore) -> None:
        """Of many revocations of one verifier at once one is made, and all give the same answer."""
        verifier, digest = a_verifier()
        await store.add_verifier(verifier, digest)
        moments = [REVOKED_AT + timedelta(seconds=n) for n in range(16)]
        calls = [(store, other)[n % 2].revoke_verifier(verifier.name, at) for n, at in enumerate(moments)]
        answers = await asyncio.gather(*calls)
        assert set(answers) == {await store.find_verifier(digest)}

    # sessions and confirmations

    async def test_who_may_have_used_the_key(self, store: RunningStore, database: Database, feed: ChangeFeed) -> None:
        """A receipt names the sessions that were open when the end of the key was committed, and no other."""
        made = await _created(store)
        second = timedelta(seconds=1)
        committed_by = REVOKED_AT + 5 * second
        longest = timedelta(seconds=300 + 60)
        moments: dict[str, dict[str, datetime]] = {
            "renewed since": {"seen_at": committed_by},
            "seen just before": {"seen_at": REVOKED_AT - second},
            "silent, but may use it": {"seen_at": REVOKED_AT - longest + second},
            "closed later": {"seen_at": REVOKED_AT, "closed_at": REVOKED_AT + second},
            "began before the commit": {"connected_at": committed_by - second, "seen_at": committed_by},
            "closed before": {"seen_at": NOON, "closed_at": REVOKED_AT - second},
            "silent for too long": {"seen_at": REVOKED_AT - longest - second},
            "began after the commit": {"connected_at": committed_by + second, "seen_at": committed_by + 2 * second},
        }
        sessions = {name: a_session(name=name) for name in moments}
        for name, session in sessions.items():
            await store.renew_session(session)
            was(session, database, **{"connected_at": NOON, **moments[name]})
        await _revoke(store, made)
        confirming = a_session(name="confirms")
        await store.renew_session(confirming)
        await store.confirm(confirming.id, [change.seq for change in await read_changes(feed)])
        confirmed_at(confirming.id, committed_by, database)
        ending = await _ending(store, made)
        assert (ending.ended_at, ending.committed_by) == (REVOKED_AT, committed_by)
        named = {each.session: (each.confirmed_at, each.closed_at) for each in ending.confirmations}
        assert named == {
            confirming: (committed_by, None),
            **{sessions[name]: (None, moments[name].get("closed_at")) for name in list(moments)[:5]},
        }
        assert [each.connected_at for each in ending.confirmations] == sorted(
            each.connected_at for each in ending.confirmations
        )

    async def test_a_receipt_before_any_confirmation(self, store: RunningStore, other: RunningStore) -> None:
        """Until a session has confirmed, the commit is no later than the reading, whatever time the change bears."""
        made = await _created(store)
        early, late = a_session(name="early"), a_session(name="late")
        await store.renew_session(early)
        await _revoke(store, made)
        await store.renew_session(late)
        before = datetime.now(UTC)
        first, second = await _ending(store, made), await _ending(other, made)
        assert before - CLOCKS < first.committed_by <= second.committed_by < datetime.now(UTC) + CLOCKS
        assert {each.session for each in first.confirmations} == {early, late}

    async def test_a_receipt_that_nobody_ever_confirms(self, store: RunningStore, database: Database) -> None:
        """Where no session was left to confirm, the commit is no later than the longest transaction lasts."""
        made = await _created(store)
        early, late = a_session(name="early"), a_session(name="late")
        for session in (early, late):
            await store.renew_session(session)
        await _revoke(store, made)
        longest = timedelta(seconds=LONGEST_TRANSACTION_SECONDS)
        written_at(NOON, database)
        was(early, database, connected_at=NOON + longest - timedelta(seconds=1))
        was(late, database, connected_at=NOON + longest)
        ending = await _ending(store, made)
        assert ending.committed_by == NOON + longest
        assert [each.session for each in ending.confirmations] == [early]

    async def test_a_confirmation_is_kept(
        self, store: RunningStore, other: RunningStore, database: Database, feed: ChangeFeed
    ) -> None:
        """Once a session confirmed, every receipt says when; confirming again does not move that time."""
        session, silent, made = a_session(), a_session(), await _created(store)
        for noted in (session, silent):
            await store.renew_session(noted)
        await _revoke(store, made)
        seqs = [change.seq for change in await read_changes(feed)]
        await other.confirm(session.id, seqs)
        confirmed = await _confirmed(store, made)
        await store.confirm(session.id, seqs * 2)
        assert await _confirmed(store, made) == confirmed
        assert (confirmed[session] is None, confirmed[silent]) == (False, None)
        assert (await _ending(store, made)).committed_by == confirmed[session]

    async def test_many_confirm_together(self, store: RunningStore, database: Database, feed: ChangeFeed) -> None:
        """Sessions that confirm in one transaction confirm what each of them names, once."""
        made = [await _created(store) for _ in range(3)]
        for each in made:
            await _revoke(store, each)
        first, second, third = [change.seq for change in await read_changes(feed)][-3:]
        one, other = a_session(), a_session()
        await store.renew_sessions([one, other])
        together = [Acknowledged(one.id, (first, second, first)), Acknowledged(other.id, (third, 2**62))]
        await store.confirm_together([*together, Acknowledged(one.id, (second,)), Acknowledged(other.id, ())])
        rows = database.table("acknowledgements")
        assert sorted(row["seq"] for row in rows) == [first, second, third]
        confirmed = [await _confirmed(store, each) for each in made]
        assert [[each[session] is None for session in (one, other)] for each in confirmed] == [
            [False, True],
            [False, True],
            [True, False],
        ]
        await store.confirm_together([])

    async def test_many_sessions_are_renewed_together(self, store: RunningStore, database: Database) -> None:
        """Sessions are stored in one call, whatever their order; the id of a session stays with its verifier."""
        sessions = [a_session(name=f"v{number}") for number in range(20)]
        await store.renew_sessions(list(reversed(sessions)))
        (taken, *_) = sessions
        other, digest = a_verifier("other")
        await store.add_verifier(other, digest)
        await store.renew_sessions(
            [replace(taken, name="first"), replace(taken, verifier_id=other.id, name="taken"), *sessions[1:]]
        )
        names = sorted(row["name"] for row in database.table("verifier_sessions"))
        assert names == sorted(["first", *(session.name for session in sessions[1:])])
        await store.renew_sessions([])

    async def test_each_key_is_confirmed_by_itself(self, store: RunningStore, feed: ChangeFeed) -> None:
        """Confirming the change of one key says nothing of another."""
        session = a_session()
        await store.renew_session(session)
        first, second = [await _created(store) for _ in range(2)]
        for made in (first, second):
            await _revoke(store, made)
        seqs = {change.key_id: change.seq for change in await read_changes(feed)}
        await store.confirm(session.id, [seqs[first.api_key.id]])
        confirmed = [await _confirmed(store, made) for made in (first, second)]
        assert [(list(each), each[session] is None) for each in confirmed] == [([session], False), ([session], True)]

    async def test_whoever_confirms_was_there(self, store: RunningStore, feed: ChangeFeed) -> None:
        """A session that could only be stored after it confirmed is on the receipt."""
        made = await _created(store)
        await _revoke(store, made)
        session = a_session()
        await store.confirm(session.id, [change.seq for change in await read_changes(feed)])
        await store.renew_session(session)
        (confirmation,) = (await _ending(store, made)).confirmations
        assert confirmation.session == session
        assert confirmation.confirmed_at is not None
        assert confirmation.confirmed_at <= confirmation.connected_at

    async def test_confirming_what_never_was(self, store: RunningStore, database: Database) -> None:
        """Numbers that no change has are passed over, and so are none at all."""
        await store.confirm(new_id(), [1, 2**62, 0, -1])
        await store.confirm(new_id(), [])
        assert database.table("acknowledgements") == []

    async def test_another_change_confirms_nothing(
        self, store: RunningStore, database: Database, feed: ChangeFeed
    ) -> None:
        """A session that dropped a key for another reason before has not confirmed its revocation."""
        session, made = a_session(), await _created(store)
        await store.renew_session(session)
        database.query(add_event(made.api_key, "api_key.renamed", database))
        await store.confirm(session.id, [change.seq for change in await read_changes(feed)])
        await _revoke(store, made)
        assert await _confirmed(store, made) == {session: None}

    async def test_a_deleted_key_has_a_receipt(self, store: RunningStore, feed: ChangeFeed) -> None:
        """A deletion has a receipt like a revocation; a key that was revoked first keeps that one's time."""
        session = a_session()
        await store.renew_session(session)
        deleted, both = [await _created(store) for _ in range(2)]
        await _delete(store, deleted)
        await _revoke(store, both)
        later = an_event(EventType.DELETED, both.api_key, occurred_at=REVOKED_AT + timedelta(days=1))
        await store.delete(later)
        await store.confirm(session.id, [change.seq for change in await read_changes(feed)])
        for made in (deleted, both):
            assert (await _ending(store, made)).ended_at == REVOKED_AT
            confirmed = await _confirmed(store, made)
            assert (list(confirmed), confirmed[session] is None) == ([session], False)

    async def test_no_receipt(self, store: RunningStore) -> None:
        """A key that works, that belongs to another organization or that never existed has no receipt."""
        active, revoked, absent = await _created(store), await _created(store), new_key(an_organization())
        await _revoke(store, revoked)
        assert await store.receipt(active.api_key.org_id, active.api_key.id) is None
        assert await store.receipt(active.api_key.org_id, revoked.api_key.id) is None
        assert await store.receipt(absent.api_key.org_id, absent.api_key.id) is None
        assert (await _ending(store, revoked)).confirmations == []

    async def test_a_session_is_renewed(self, store: RunningStore, database: Database) -> None:
        """The last state of a session counts; it began when it was first stored, and is open again after its return."""
        made, session = await _created(store), a_session()
        await store.renew_session(session)
        was(session, database, connected_at=NOON, seen_at=NOON)
        await _revoke(store, made)
        for state in (replace(session, name="new name", outage_seconds=5), session):
            await store.renew_session(state)
            (found,) = (await _ending(store, made)).confirmations
            assert (found.session, found.connected_at, found.closed_at) == (state, NOON, None)
        await store.close_session(session.id, None)
        (closed,) = (await _ending(store, made)).confirmations
        assert closed.closed_at is not None
        await store.renew_session(session)
        (back,) = (await _ending(store, made)).confirmations
        assert (back.connected_at, back.closed_at) == (NOON, None)
        assert len(database.table("verifier_sessions")) == 1

    async def test_a_session_belongs_to_one_verifier(self, store: RunningStore) -> None:
        """A session belongs to one verifier, and no other can take it over or close it."""
        verifiers = [a_verifier(name) for name in ("one", "two")]
        for verifier, digest in verifiers:
            await store.add_verifier(verifier, digest)
        session = a_session(verifier_id=verifiers[0][0].id)
        await store.renew_session(session)
        for other_id in (verifiers[1][0].id, None):
            await store.renew_session(replace(session, verifier_id=other_id, name="other"))
            await store.close_session(session.id, other_id)
        made = await _created(store)
        await _revoke(store, made)
        (found,) = (await _ending(store, made)).confirmations
        assert (found.session, found.closed_at) == (session, None)

    async def test_a_session_of_nobody(self, store: RunningStore) -> None:
        """A session of a verifier that does not exist is refused, and so is one that no column holds."""
        for changes in ({"verifier_id": new_id()}, {"name": "a\0b"}, {"name": ""}, {"outage_seconds": -1}):
            with pytest.raises(ValueError, match=r"refuses|cannot store"):
                await store.renew_session(a_session(**changes))

    # usage

    async def test_uses_are_added_up(self, store: RunningStore, other: RunningStore) -> None:
        """Uses noted by any process, together or one after another, are one sum by hour and by source."""
        made = await _created(store)
        minute = timedelta(minutes=1)
        first = an_hourly_usage(made, count=3)
        again = first._replace(count=4, first_seen=first.first_seen - minute, last_seen=first.last_seen + minute)
        elsewhere = first._replace(count=5, network=None, agent=None, hour=HOUR + timedelta(hours=1))
        await store.add_usage([first, again, elsewhere, elsewhere], a_batch())
        await other.add_usage([first._replace(count=100)], a_batch())
        usage = await store.usage(made.api_key.org_id, made.api_key.id, since=HOUR)
        assert usage == Usage(
            last_used_at=again.last_seen,
            counts={HOUR: 107, HOUR + timedelta(hours=1): 10},
            secrets=[replace(made.api_key.secret, first_used_at=again.first_seen, last_used_at=again.last_seen)],
            sources=[
                Source(
                    public_key=made.api_key.secret.public_key.text,
                    network="192.0.2.0/24",
                    agent="python-httpx",
                    verifier="billing-api",
                    first_seen=again.first_seen,
                    last_seen=again.last_seen,
                    count=107,
                ),
                Source(
                    public_key=made.api_key.secret.public_key.text,
                    network=None,
                    agent=None,
                    verifier="billing-api",
                    first_seen=first.first_seen,
                    last_seen=first.last_seen,
                    count=10,
                ),
            ],
        )

    async def test_a_batch_counts_once(self, store: RunningStore, other: RunningStore) -> None:
        """A batch that is written again, by any process, adds nothing, and the next number of its reporter does."""
        made = await _created(store)
        batch = a_batch()
        uses = [an_hourly_usage(made, count=3), an_hourly_usage(made, network=None, count=4)]
        for writer in (store, store, other):
            await writer.add_usage(uses, batch)
        assert await _counted(store, made) == (7, 7)
        await store.add_usage(uses, batch._replace(number=2))
        assert await _counted(store, made) == (14, 14)

    async def test_an_older_batch_counts_nothing(self, store: RunningStore) -> None:
        """A number that is not above the last one of its reporter was written before; numbers may be left out."""
        made = await _created(store)
        batch = a_batch()
        for number, expected in ((5, 1), (4, 1), (1, 1), (5, 1), (2**40, 2), (6, 2)):
            await store.add_usage([an_hourly_usage(made)], batch._replace(number=number))
            assert await _counted(store, made) == (expected, expected)

    async def test_reporters_do_not_disturb_each_other(self, store: RunningStore, other: RunningStore) -> None:
        """Each reporter has numbers of its own."""
        made = await _created(store)
        first, second = a_batch(), a_batch()
        await store.add_usage([an_hourly_usage(made)], first._replace(number=9))
        for number in (1, 2):
            await other.add_usage([an_hourly_usage(made)], second._replace(number=number))
        await store.add_usage([an_hourly_usage(made)], first._replace(number=10))
        assert await _counted(store, made) == (4, 4)

    async def test_a_batch_that_is_repeated_at_the_same_time(self, store: RunningStore, other: RunningStore) -> None:
        """Of the same batch, written many times at once by several processes, exactly one writing counts."""
        made = [await _created(store) for _ in range(3)]
        batches = [a_batch() for _ in range(4)]
        for number in range(1, 6):
            writings = [
                writer.add_usage([an_hourly_usage(new) for new in made], batch._replace(number=number))
                for writer in (store, other) * 3
                for batch in batches
            ]
            await asyncio.gather(*writings)
            for new in made:
                assert await _counted(store, new) == (4 * number, 4 * number)

    async def test_a_batch_that_is_refused_has_no_number(self, store: RunningStore) -> None:
        """A batch that no column holds is not written, and its number can be used for another."""
        made = await _created(store)
        batch = a_batch()
        with pytest.raises(ValueError, match="refuses"):
            await store.add_usage([an_hourly_usage(made), an_hourly_usage(made, verifier="x" * 256)], batch)
        await store.add_usage([an_hourly_usage(made)], batch)
        assert await _counted(store, made) == (1, 1)

    async def test_the_last_use_goes_forward_only(self, store: RunningStore) -> None:
        """An older use that is noted later moves no last use back, the key's or the source's, but may be the first."""
        made = await _created(store)
        newest = HOUR + timedelta(minutes=30)
        for minutes in (10, 30, 20, 0):
            at = HOUR + timedelta(minutes=minutes)
            await store.add_usage([an_hourly_usage(made, first_seen=at, last_seen=at)], a_batch())
        usage = await store.usage(made.api_key.org_id, made.api_key.id, since=HOUR)
        key = await store.get(made.api_key.org_id, made.api_key.id)
        assert usage is not None
        assert key is not None
        assert usage.last_used_at == key.secret.last_used_at == newest
        assert key.secret.first_used_at == HOUR
        assert [(source.first_seen, source.last_seen) for source in usage.sources] == [(HOUR, newest)]

    async def test_each_secret_has_its_uses(self, store: RunningStore) -> None:
        """The use of one secret says nothing of the other; the key was last used when either was."""
        made = await _created(store)
        rotation = a_rotation(made.api_key)
        await store.rotate(rotation)
        early, late = HOUR + timedelta(minutes=1), HOUR + timedelta(minutes=30)
        await store.add_usage(
            [an_hourly_usage(made, last_seen=late), an_hourly_usage(made, digest=rotation.secret_digest)], a_batch()
        )
        usage = await store.usage(made.api_key.org_id, made.api_key.id, since=HOUR)
        key = await store.get(made.api_key.org_id, made.api_key.id)
        assert usage is not None
        assert key is not None
        assert (usage.last_used_at, usage.counts) == (late, {HOUR: 2})
        assert usage.secrets == [key.secret, key.retiring]
        assert [(each.first_used_at, each.last_used_at) for each in usage.secrets] == [(early, early), (early, late)]
        assert [(source.public_key, source.last_seen) for source in usage.sources] == [
            (made.api_key.secret.public_key.text, late),
            (rotation.secret.public_key.text, early),
        ]

    async def test_every_secret_is_told_newest_first(self, store: RunningStore) -> None:
        """The use of a key tells every secret it ever had, the current one first and then as they were replaced."""
        made = await _created(store)
        key, shown = made.api_key, [made.api_key.secret.public_key]
        for number in range(3):
            rotation = a_rotation(key, at=NOON + timedelta(minutes=number), overlap=timedelta())
            await store.rotate(rotation)
            key, shown = replace(key, version=key.version + 1), [rotation.secret.public_key, *shown]
        usage = await store.usage(key.org_id, key.id, since=HOUR)
        assert usage is not None
        assert [each.public_key for each in usage.secrets] == shown

    async def test_noting_uses_writes_nothing_else(self, store: RunningStore, database: Database) -> None:
        """Of what was there before, noting a use changes when a secret was first and last used, and nothing more."""
        made = await _created(store)
        await _revoke(store, made)

        def everything() -> list[list[dict[str, object]]]:
            tables = ("organizations", "api_keys", "api_key_secrets", "events", "changes")
            uses = {"first_used_at": None, "last_used_at": None}
            return [[{**row, **uses} for row in database.table(name)] for name in tables]

        before = everything()
        await store.add_usage([an_hourly_usage(made)], a_batch())
        assert everything() == before

    async def test_uses_never_undo_a_revocation(self, store: RunningStore, other: RunningStore) -> None:
        """However uses and revocations of the same keys meet, every acknowledged revocation stays."""
        made = [await _created(store) for _ in range(10)]
        stop = asyncio.Event()

        async def keep_noting(writer: RunningStore) -> None:
            while not stop.is_set():
                await writer.add_usage([an_hourly_usage(new) for new in made], a_batch())

        writers = [asyncio.ensure_future(keep_noting(writer)) for writer in (store, other)]
        for number, new in enumerate(made):
            changer = (store, other)[number % 2]
            await (_delete if number % 3 == 0 else _revoke)(changer, new)
        stop.set()
        await asyncio.gather(*writers)
        for number, new in enumerate(made):
            found = await find_key(store, new.secret_digest)
            assert found is None if number % 3 == 0 else found is not None and found.revoked

    async def test_uses_of_unknown_keys_are_passed_over(self, store: RunningStore, database: Database) -> None:
        """Uses of a key that is unknown, deleted or does not have that secret are passed over, the others noted."""
        made, deleted, absent = await _created(store), await _created(store), new_key(an_organization())
        await _delete(store, deleted)
        await store.add_usage(
            [
                an_hourly_usage(absent),
                an_hourly_usage(deleted),
                an_hourly_usage(made, digest=deleted.secret_digest),
                an_hourly_usage(made, key_id=new_id().bytes),
                an_hourly_usage(made),
            ],
            a_batch(),
        )
        assert {row["key_id"] for row in database.table("key_hours")} == {made.api_key.id}
        assert {row["secret_id"] for row in database.table("secret_sources")} == {made.api_key.id}
        assert await store.daily_counts(made.api_key.org_id, [made.api_key.id], since=HOUR) == {
            made.api_key.id: {TODAY: UsageCount(1, {})}
        }

    async def test_no_uses(self, store: RunningStore, database: Database) -> None:
        """A key that was never used says so, and noting nothing does nothing."""
        made = await _created(store)
        await store.add_usage([], a_batch())
        usage = await store.usage(made.api_key.org_id, made.api_key.id, since=HOUR)
        assert usage == Usage(last_used_at=None, counts={}, sources=[], secrets=[made.api_key.secret])

    async def test_the_latest_sources_are_kept(self, store: RunningStore, database: Database) -> None:
        """Of a secret's sources the latest fifty are kept, whether they come together, one by one, or late."""
        made, neighbour = await _created(store), await _created(store)
        records = []
        for minute in range(120):
            at = HOUR + timedelta(seconds=minute)
            records.append(an_hourly_usage(made, network=f"10.0.{minute}.0/24", first_seen=at, last_seen=at))
        random.Random(3).shuffle(records)
        await store.add_usage([an_hourly_usage(neighbour, network=f"10.1.{n}.0/24") for n in range(50)], a_batch())
        await store.add_usage(records[:100], a_batch())
        for record in records[100:]:
            await store.add_usage([record], a_batch())
        usage = await store.usage(made.api_key.org_id, made.api_key.id, since=HOUR)
        assert usage is not None
        assert [source.network for source in usage.sources] == [f"10.0.{n}.0/24" for n in range(119, 69, -1)]
        assert usage.counts == {HOUR: 120}
        assert database.query("SELECT count(*) AS n FROM secret_sources") == [{"n": 100}]

    async def test_uses_by_many_at_once(self, store: RunningStore, other: RunningStore) -> None:
        """Uses of the same keys that many note at once are all counted."""
        made = [await _created(store) for _ in range(5)]
        numbers = random.Random(5)
        calls = [
            (store, other)[n % 2].add_usage(
                [an_hourly_usage(new) for new in numbers.sample(made, len(made))], a_batch()
            )
            for n in range(40)
        ]
        await asyncio.gather(*calls)
        for new in made:
            usage = await store.usage(new.api_key.org_id, new.api_key.id, since=HOUR)
            assert usage is not None
            assert usage.counts == {HOUR: 40}
            assert [source.count for source in usage.sources] == [40]

    @pytest.mark.parametrize(
        "change",
        [{"agent": "a\0b"}, {"network": "\ud800"}, {"verifier": "x" * 256}, {"agent": "x" * 65}, {"count": 2**63}],
        ids=repr,
    )
    async def test_uses_that_no_column_holds(
        self, store: RunningStore, database: Database, change: dict[str, object]
    ) -> None:
        """Of a batch with a value that no column holds, nothing is noted."""
        made = await _created(store)
        with pytest.raises(ValueError, match=r"refuses|cannot store|beyond|cannot be given"):
            await store.add_usage([an_hourly_usage(made), an_hourly_usage(made, **change)], a_batch())
        assert database.table("key_hours") == database.table("secret_sources") == []

    async def test_usage_since(self, store: RunningStore) -> None:
        """Hours before the moment asked for are left out, and those without a use are absent."""
        made = await _created(store)
        hours = [HOUR + timedelta(hours=n) for n in (0, 1, 5)]
        await store.add_usage(
            [an_hourly_usage(made, hour=hour, count=n + 1) for n, hour in enumerate(hours)], a_batch()
        )
        for since, expected in ((HOUR, {0, 1, 5}), (hours[1], {1, 5}), (hours[1] + timedelta(minutes=1), {5})):
            usage = await store.usage(made.api_key.org_id, made.api_key.id, since=since)
            assert usage is not None
            assert set(usage.counts) == {HOUR + timedelta(hours=n) for n in expected}
            counts = await store.daily_counts(made.api_key.org_id, [made.api_key.id], since=since)
            days = {day: UsageCount(count, {}) for day, count in _by_day(usage.counts).items()}
            assert counts.get(made.api_key.id, {}) == days

    async def test_usage_by_day(self, store: RunningStore) -> None:
        """By day, every day in UTC has one count, that of all its hours, on each page of the secrets."""
        made = await _created(store)
        (other,) = await _rotated(store, made.api_key, 1, apart=timedelta(minutes=1))
        hours = [TODAY + timedelta(hours=n) for n in (-25, -24, -1, 0, 5, 23, 24, 47)]
        uses = [
            an_hourly_usage(made, digest=digest, hour=hour, count=n + 1)
            for n, hour in enumerate(hours)
            for digest in (made.secret_digest, other)
        ]
        await store.add_usage(uses, a_batch())
        org_id, key_id = made.api_key.org_id, made.api_key.id
        day = timedelta(days=1)
        expected = {TODAY - 2 * day: 2, TODAY - day: 10, TODAY: 30, TODAY + day: 30}
        page = await store.usage(org_id, key_id, since=hours[0], by_day=True, limit=1)
        assert page is not None
        assert page.counts == expected
        assert list(page.counts) == sorted(expected)
        last = await store.usage(org_id, key_id, since=TODAY, by_day=True, before=page.next)
        assert last is not None
        assert last.counts == {TODAY: 30, TODAY + day: 30}
        by_hour = await store.usage(org_id, key_id, since=hours[0])
        assert by_hour is not None
        assert by_hour.counts == {hour: 2 * (n + 1) for n, hour in enumerate(hours)}
        assert replace(page, counts={}, secrets=[], sources=[], next=None) == replace(
            by_hour, counts={}, secrets=[], sources=[]
        )

    async def test_usage_in_pages(self, store: RunningStore) -> None:
        """The secrets of a key come page by page, newest first, each once, with their own sources."""
        made = await _created(store)
        digests = [made.secret_digest, *await _rotated(store, made.api_key, 44, apart=timedelta(minutes=1))]
        uses = [an_hourly_usage(made, digest=digest, count=n + 1) for n, digest in enumerate(digests)]
        await store.add_usage(uses, a_batch())
        org_id, key_id = made.api_key.org_id, made.api_key.id
        pages = [await store.usage(org_id, key_id, since=HOUR)]
        while (last := pages[-1]) is not None and last.next is not None:
            pages.append(await store.usage(org_id, key_id, since=HOUR, limit=15, before=last.next))
        found = [page for page in pages if page is not None]
        assert [len(page.secrets) for page in found] == [20, 15, 10]
        assert [source.count for page in found for source in page.sources] != []
        for page in found:
            shown = {secret.public_key.text for secret in page.secrets}
            assert {source.public_key for source in page.sources} == shown
            assert page.last_used_at == uses[0].last_seen
            assert page.counts == {HOUR: sum(range(1, 46))}
        ends = [secret.retires_at for page in found for secret in page.secrets]
        assert ends[0] is None
        assert ends[1:] == sorted({end for end in ends[1:] if end is not None}, reverse=True)
        absent = await store.usage(org_id, key_id, since=HOUR, before=new_id())
        assert absent is not None
        assert absent.secrets == absent.sources == []

    async def test_the_rows_of_usage(self, store: RunningStore, database: Database) -> None:
        """A page of usage by day takes a row for each day and secret, and 150 for sources, however many there are."""
        made = await _created(store)
        digests = [made.secret_digest, *await _rotated(store, made.api_key, 5, apart=timedelta(minutes=1))]
        minute = timedelta(minutes=1)
        for place, digest in enumerate(digests):
            # The secrets that were replaced first, which the page leaves out, were used last.
            last = [HOUR + (50 * (5 - place) + n) * minute for n in range(50)]
            uses = [
                an_hourly_usage(made, digest=digest, network=f"10.{place}.{n}.0/24", first_seen=HOUR, last_seen=at)
                for n, at in enumerate(last)
            ]
            await store.add_usage(uses, a_batch())
        days, hours = 40, (0, 7, 23)
        times = [TODAY - timedelta(days=day, hours=-hour) for day in range(1, days) for hour in hours]
        await store.add_usage([an_hourly_usage(made, hour=hour) for hour in times], a_batch())
        org_id, key_id = made.api_key.org_id, made.api_key.id
        page = await store.usage(org_id, key_id, since=times[-1], by_day=True, limit=4)
        assert page is not None
        assert (len(page.counts), len(page.secrets), len(page.sources)) == (days, 4, 50)
        shown = {secret.public_key.text for secret in page.secrets}
        assert {source.public_key for source in page.sources} <= shown
        statement = usage_statements.usage(
            (sqlite if database.is_sqlite else postgres).DIALECT, by_day=True, below=False
        )
        for number, value in enumerate((org_id, key_id, times[-1] - timedelta(days=1)), start=1):
            statement = statement.replace(f"${number}", literal(database, value))
        assert len(database.query(statement.replace("$4", "5"))) <= 1 + days + (4 + 2) + 150

    async def test_past_rotations(self, store: RunningStore) -> None:
        """The pairs of a key are counted up to a number, and the latest of its rotations have their times."""
        made = await _created(store)
        org_id, key_id = made.api_key.org_id, made.api_key.id
        assert await store.past_rotations(org_id, key_id, latest=3, most=9) == Rotations(pairs=1, latest=[])
        await _rotated(store, made.api_key, 5, apart=timedelta(minutes=1))
        times = [NOON + timedelta(minutes=n) for n in range(4, -1, -1)]
        for latest, most, pairs in ((3, 9, 6), (9, 6, 6), (0, 4, 4), (5, 0, 1)):
            found = await store.past_rotations(org_id, key_id, latest=latest, most=most)
            assert found == Rotations(pairs=pairs, latest=times[:latest])

    async def test_usage_of_no_key(self, store: RunningStore) -> None:
        """A foreign, a deleted and an absent key have no usage."""
        made, deleted, absent = await _created(store), await _created(store), new_key(an_organization())
        await store.add_usage([an_hourly_usage(made), an_hourly_usage(deleted)], a_batch())
        await _delete(store, deleted)
        for org_id, key_id in (
            (absent.api_key.org_id, made.api_key.id),
            (deleted.api_key.org_id, deleted.api_key.id),
            (absent.api_key.org_id, absent.api_key.id),
        ):
            assert await store.usage(org_id, key_id, since=HOUR) is None
            assert await store.daily_counts(org_id, [key_id], since=HOUR) == {}

    async def test_counts_of_many_keys(self, store: RunningStore) -> None:
        """Counts of many keys come in one call; foreign, deleted and unused ones are left out."""
        organization = an_organization()
        made = [new_key(organization) for _ in range(1100)]
        foreign = new_key(an_organization())
        await asyncio.gather(*map(store.create, [*made, foreign]))
        used = made[:1090]
        await store.add_usage([an_hourly_usage(new, count=n + 1) for n, new in enumerate([*used, foreign])], a_batch())
        await _delete(store, made[0])
        ids = [new.api_key.id for new in made] * 2 + [foreign.api_key.id, new_id()]
        counts = await store.daily_counts(organization.id, ids, since=HOUR)
        assert counts == {new.api_key.id: {TODAY: UsageCount(n + 1, {})} for n, new in enumerate(used) if n}
        assert await store.daily_counts(organization.id, [], since=HOUR) == {}

    # a database of another version

    async def test_an_unmigrated_database(self, unmigrated: Database) -> None:
        """On a database without tables every call is refused with the command to run, and works once that was run."""
        async with self.running(unmigrated) as store:
            for call in calls_of(store, new_key(an_organization())):
                with pytest.raises(StorageUnavailable) as fault:
                    await call()
                assert "keywright migrate" in fault.value.reason
            migrate(unmigrated.url)
            for call in calls_of(store, new_key(an_organization())):
                await call()


def calls_of(store: RunningStore, new: NewApiKey) -> list[Callable[[], Awaitable[object]]]:
    """Give every call of the port, to be made on its own."""
    key = new.api_key
    return [
        lambda: find_key(store, new.secret_digest),
        store.follow,
        lambda: store.add_verifier(*a_verifier()),
        store.verifiers,
        lambda: store.find_verifier(bytes(32)),
        lambda: store.revoke_verifier("nobody", NOON),
        lambda: store.renew_session(a_session()),
        lambda: store.close_session(new_id(), None),
        lambda: store.confirm(new_id(), [1]),
        lambda: store.receipt(key.org_id, key.id),
        lambda: store.add_usage([an_hourly_usage(new)], a_batch()),
        lambda: store.usage(key.org_id, key.id, since=NOON),
        lambda: store.daily_counts(key.org_id, [key.id], since=NOON),
    ]


def _by_day(hours: dict[datetime, int]) -> dict[datetime, int]:
    days: dict[datetime, int] = {}
    for hour, count in hours.items():
        day = hour.replace(hour=0)
        days[day] = days.get(day, 0) + count
    return days


async def _counted(store: RunningStore, made: NewApiKey) -> tuple[int, int]:
    """Add up the uses of a key by hour, and by source."""
    usage = await store.usage(made.api_key.org_id, made.api_key.id, since=HOUR)
    assert usage is not None
    return sum(usage.counts.values()), sum(source.count for source in usage.sources)


async def _created(store: RunningStore, **changes: object) -> NewApiKey:
    made = new_key(an_organization(), **changes)
    await store.create(made)
    return made


async def _revoke(store: RunningStore, made: NewApiKey) -> None:
    revoked = await store.revoke(an_event(EventType.REVOKED, made.api_key), UNSPECIFIED)
    assert revoked is not None
    assert revoked.revoked_at is not None


async def _delete(store: RunningStore, made: NewApiKey) -> None:
    assert await store.delete(an_event(EventType.DELETED, made.api_key))


async def _wait_for(feed: ChangeFeed, digest: bytes) -> None:
    while digest not in _digests(await read_changes(feed)):
        await feed.wait(LONG)


async def _ending(store: RunningStore, made: NewApiKey) -> Receipt:
    found = await store.receipt(made.api_key.org_id, made.api_key.id)
    assert found is not None
    return found


async def _confirmed(store: RunningStore, made: NewApiKey) -> dict[Session, datetime | None]:
    return {each.session: each.confirmed_at for each in (await _ending(store, made)).confirmations}


def _digests(changes: Sequence[Change]) -> set[bytes]:
    return {digest for change in changes for digest in change.digests}


async def _all_changes(feed: ChangeFeed) -> list[Change]:
    reading = await feed.read()
    changes = list(reading.changes)
    while reading.more:
        reading = await feed.read()
        changes += reading.changes
    return changes


async def _rotated(store: RunningStore, key: ApiKey, times: int, *, apart: timedelta) -> list[bytes]:
    """Rotate a key from noon on, with no overlap, and give the digests of the new secrets."""
    digests = []
    for number in range(times):
        rotation = a_rotation(replace(key, version=key.version + number), at=NOON + number * apart, overlap=timedelta())
        assert await store.rotate(rotation) is Outcome.DONE
        digests.append(rotation.secret_digest)
    return digests


async def _touched(store: RunningStore, made: NewApiKey, times: int) -> None:
    """Change a key so many times."""
    for _ in range(times):
        key = await store.get(made.api_key.org_id, made.api_key.id)
        assert key is not None
        assert await store.update(key, an_event(EventType.UPDATED, key)) is Outcome.DONE


def _told(changes: Sequence[Change]) -> list[tuple[UUID, set[bytes], datetime]]:
    return [(change.key_id, set(change.digests), change.occurred_at) for change in changes]
