"""
The promises of `service.management.ports.Store` as tests. `test_sqlite.py` and `test_postgres.py` run them on the
two stores.

A test gets `database`, migrated and empty, and `open_store`, which opens a store on it and closes it afterwards.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest

from keywright.keys.record import ApiKey
from keywright.service.faults import StorageUnavailable
from keywright.service.management.audit_log import EventType
from keywright.service.management.ports import NewApiKey, Outcome
from keywright.storage.engine import RunningStore
from keywright.storage.migrate import migrate
from keywright.storage.migrations import SQLITE
from tests.storage import life_contract
from tests.storage.making import ISSUER, NOON, UNSPECIFIED, Database, an_event, an_organization, new_id, new_key

LATER = NOON + timedelta(hours=1)


class StoreContract:
    """What holds for every store."""

    @pytest.fixture
    def batches(self) -> list[int]:
        """Give the sizes of the commits so far."""
        return []

    @pytest.fixture
    async def store(self, database: Database, batches: list[int]) -> AsyncIterator[RunningStore]:
        """Give a running store."""
        store = self.open(database, lambda size, _seconds: batches.append(size))
        await store.start()
        try:
            yield store
        finally:
            await store.close()

    def open(self, database: Database, on_batch: Callable[[int, float], object] | None = None) -> RunningStore:
        """Open another store on the same database."""
        raise NotImplementedError

    # create

    async def test_what_was_created_is_read_back(self, store: RunningStore) -> None:
        """A key comes back equal to what was stored, every field of it."""
        made = new_key(an_organization(), name="a \N{PILE OF POO}\N{COMBINING ACUTE ACCENT} key", expires_at=LATER)
        await store.create(made)
        assert await store.get(made.api_key.org_id, made.api_key.id) == made.api_key

    async def test_nothing_stays_nothing(self, store: RunningStore) -> None:
        """An absent description is None when it is read, and an empty one is empty."""
        absent, empty = (new_key(an_organization(), description=text) for text in (None, ""))
        for made in (absent, empty):
            await store.create(made)
            assert await store.get(made.api_key.org_id, made.api_key.id) == made.api_key

    async def test_times_are_kept_to_the_microsecond(self, store: RunningStore) -> None:
        """A time is the same instant when it is read, whatever its zone and however far from now."""
        for at in (
            datetime(2026, 3, 29, 2, 30, 0, 1, tzinfo=timezone(timedelta(hours=-9, minutes=-30))),
            datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
            datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        ):
            made = new_key(an_organization(), created_at=at, expires_at=at)
            await store.create(made)
            read = await store.get(made.api_key.org_id, made.api_key.id)
            assert read is not None
            assert (read.created_at, read.expires_at) == (at, at)
            assert read.created_at.tzinfo is UTC

    async def test_a_creation_stores_all_that_belongs_to_it(self, store: RunningStore, database: Database) -> None:
        """One creation adds one row to each table, and each says what it was given."""
        made = new_key(an_organization())
        await store.create(made)
        key, event = made.api_key, made.event
        (organization,) = database.table("organizations")
        assert organization == {
            "id": key.org_id,
            "issuer": ISSUER,
            "external_id": made.organization.external_id,
            "created_at": NOON,
        }
        (secret,) = database.table("api_key_secrets")
        assert (secret["key_id"], secret["secret_digest"]) == (key.id, made.secret_digest)
        assert (secret["retires_at"], secret["last_used_at"]) == (None, None)
        (row,) = database.table("events")
        assert row.pop("seq") >= 1
        assert row == {
            "id": event.id,
            "org_id": key.org_id,
            "key_id": key.id,
            "type": "api_key.created",
            "occurred_at": event.occurred_at,
            "issuer": ISSUER,
            "subject": "auth0|bob",
            "client_id": None,
            "request_id": "req-1",
            "address": "192.0.2.7",
            "data": event.data,
            "digest": event.digest,
            "erased_by": None,
        }

    async def test_an_organization_is_stored_once(self, store: RunningStore, database: Database) -> None:
        """Further keys of an organization leave it as it was first stored, whether they come one by one or together."""
        organization = an_organization()
        await store.create(new_key(organization))
        await asyncio.gather(*[store.create(new_key(organization, created_at=LATER)) for _ in range(20)])
        assert database.counts() == {"organizations": 1, "api_keys": 21, "api_key_secrets": 21, "events": 21}
        assert database.table("organizations")[0]["created_at"] == NOON

    @pytest.mark.parametrize("taken", ["id", "public_key", "digest", "event"])
    async def test_what_is_taken_is_refused(self, store: RunningStore, database: Database, taken: str) -> None:
        """A taken id, public key, digest or event id is refused, nothing of it is stored, and the first key stays."""
        first = new_key(an_organization())
        await store.create(first)
        with pytest.raises(ValueError, match="refuses"):
            await store.create(_sharing(taken, first))
        assert set(database.counts().values()) == {1}
        assert await store.get(first.api_key.org_id, first.api_key.id) == first.api_key

    @pytest.mark.parametrize(
        "change",
        [
            {"name": "x" * 101},
            {"name": ""},
            {"name": "a\0b"},
            {"name": "half \ud800"},
            {"description": "x" * 256},
            {"description": "\0"},
            {"created_by": "a\0b"},
        ],
        ids=repr,
    )
    async def test_what_no_column_holds_is_refused(
        self, store: RunningStore, database: Database, change: dict[str, str]
    ) -> None:
        """A value that a column does not hold is refused on every engine alike, and nothing of it is stored."""
        with pytest.raises(ValueError, match=r"refuses|cannot store"):
            await store.create(new_key(an_organization(), **change))
        assert set(database.counts().values()) == {0}

    async def test_odd_details_are_refused(self, store: RunningStore, database: Database) -> None:
        """A digest of another length, and event data that a database cannot store, are refused."""
        made = new_key(an_organization())
        odd = [
            replace(made, secret_digest=bytes(31)),
            replace(made, event=replace(made.event, data={"name": "a\0b"})),
            replace(made, event=replace(made.event, data={"name": "\ud800"})),
        ]
        for new in odd:
            with pytest.raises(ValueError, match=r"refuses|cannot store"):
                await store.create(new)
        assert set(database.counts().values()) == {0}

    async def test_a_refusal_quotes_nothing(self, store: RunningStore) -> None:
        """The refusal of a key quotes no value of it."""
        first = new_key(an_organization(), name="confidential")
        await store.create(first)
        for new in (_sharing("digest", first), new_key(an_organization(), name="confidential" * 9)):
            with pytest.raises(ValueError, match="refuses") as refusal:
                await store.create(new)
            assert "confidential" not in str(refusal.value)
            assert first.secret_digest.hex() not in str(refusal.value)

    async def test_what_waits_together_shares_a_commit(self, store: RunningStore, batches: list[int]) -> None:
        """Sixty-four creations at once are all stored, in far fewer commits."""
        made = [new_key(an_organization()) for _ in range(64)]
        await asyncio.gather(*map(store.create, made))
        assert sum(batches) == 64
        assert len(batches) < 16
        for new in made:
            assert await store.get(new.api_key.org_id, new.api_key.id) == new.api_key

    async def test_one_bad_key_fails_alone(self, store: RunningStore, database: Database) -> None:
        """Of sixty-four creations at once, one with a taken digest, that one is refused and the others are stored."""
        organization = an_organization()
        first = new_key(organization)
        await store.create(first)
        made = [new_key(organization) for _ in range(64)]
        made[40] = _sharing("digest", first)
        outcomes = await asyncio.gather(*map(store.create, made), return_exceptions=True)
        assert [place for place, outcome in enumerate(outcomes) if outcome is not Outcome.DONE] == [40]
        assert isinstance(outcomes[40], ValueError)
        counts = database.counts()
        assert (counts["api_keys"], counts["api_key_secrets"], counts["events"]) == (64, 64, 64)

    async def test_two_of_one_digest_at_once(self, store: RunningStore, database: Database) -> None:
        """Of two creations with one digest that come at once, one is stored."""
        first = new_key(an_organization())
        outcomes = await asyncio.gather(
            store.create(first), store.create(_sharing("digest", first)), return_exceptions=True
        )
        assert sorted(isinstance(outcome, ValueError) for outcome in outcomes) == [False, True]
        assert database.counts()["api_keys"] == database.counts()["events"] == 1

    # get, and the organization in every call

    async def test_a_foreign_key_is_no_key(self, store: RunningStore, database: Database) -> None:
        """To another organization a key does not exist: it is not read, listed, revoked or deleted."""
        made, stranger = new_key(an_organization()), new_key(an_organization())
        await store.create(made)
        await store.create(stranger)
        posing = replace(made.api_key, org_id=stranger.api_key.org_id)
        assert await store.get(posing.org_id, posing.id) is None
        assert (await store.list_newest(posing.org_id, limit=10, before=None)).items == [stranger.api_key]
        assert await store.revoke(an_event(EventType.REVOKED, posing), UNSPECIFIED) is None
        assert await store.delete(an_event(EventType.DELETED, posing)) is False
        assert await store.get(made.api_key.org_id, made.api_key.id) == made.api_key
        assert database.counts()["events"] == 2

    async def test_no_key_is_no_key(self, store: RunningStore, database: Database) -> None:
        """A key that never was is not read, listed, revoked or deleted, and leaves no event."""
        nobody = new_key(an_organization()).api_key
        assert await store.get(nobody.org_id, nobody.id) is None
        assert (await store.list_newest(nobody.org_id, limit=10, before=None)).items == []
        assert await store.revoke(an_event(EventType.REVOKED, nobody), UNSPECIFIED) is None
        assert await store.delete(an_event(EventType.DELETED, nobody)) is False
        assert database.counts()["events"] == 0

    # list_newest

    async def test_pages_show_every_key_once(self, store: RunningStore) -> None:
        """Pages of a thousand keys, newest first, hold each of them once and in order, whatever the size of a page."""
        organization = an_organization()
        made = [new_key(organization, name=f"key {number}") for number in range(1000)]
        await asyncio.gather(*map(store.create, made))
        await store.create(new_key(an_organization()))
        newest_first = [new.api_key for new in reversed(made)]
        assert (await store.list_newest(organization.id, limit=1001, before=None)).items == newest_first
        for size in (37, 250):
            assert await _all_pages(store, organization.id, size) == newest_first

    async def test_a_page_begins_below_any_id(self, store: RunningStore) -> None:
        """A page may begin below an id that is no key's, and below the oldest there is nothing."""
        organization = an_organization()
        older, between, newer = new_key(organization), new_id(), new_key(organization)
        await store.create(older)
        await store.create(newer)
        assert (await store.list_newest(organization.id, limit=5, before=between)).items == [older.api_key]
        assert (await store.list_newest(organization.id, limit=5, before=older.api_key.id)).items == []
        assert (await store.list_newest(organization.id, limit=5, before=UUID(int=0))).items == []

    async def test_revoked_keys_are_listed_and_deleted_ones_are_not(self, store: RunningStore) -> None:
        """A list shows revoked keys as revoked, and no deleted key."""
        organization = an_organization()
        first, second, third = (new_key(organization) for _ in range(3))
        for new in (first, second, third):
            await store.create(new)
        revoked = await store.revoke(an_event(EventType.REVOKED, first.api_key), UNSPECIFIED)
        await store.delete(an_event(EventType.DELETED, second.api_key))
        assert (await store.list_newest(organization.id, limit=9, before=None)).items == [third.api_key, revoked]

    # revoke

    async def test_revoke(self, store: RunningStore, database: Database) -> None:
        """A revoked key is given back as of the event's time and stays so; its row names the subject."""
        made = new_key(an_organization())
        await store.create(made)
        event = an_event(EventType.REVOKED, made.api_key)
        revoked = await store.revoke(event, UNSPECIFIED)
        assert revoked == replace(
            made.api_key,
            revoked_at=event.occurred_at,
            revoked_by=event.subject,
            revocation_reason=UNSPECIFIED,
            version=2,
        )
        assert await store.get(made.api_key.org_id, made.api_key.id) == revoked
        assert database.table("api_keys")[0]["revoked_by"] == event.subject
        assert {row["id"]: row["type"] for row in database.table("events")} == {
            made.event.id: "api_key.created",
            event.id: "api_key.revoked",
        }

    async def test_revoking_again_changes_nothing(self, store: RunningStore, database: Database) -> None:
        """A second revocation gives the first one's answer and stores no event."""
        made = new_key(an_organization())
        await store.create(made)
        first = await store.revoke(an_event(EventType.REVOKED, made.api_key), UNSPECIFIED)
        again = an_event(EventType.REVOKED, made.api_key, occurred_at=LATER + timedelta(days=1), subject="auth0|eve")
        assert await store.revoke(again, UNSPECIFIED) == first
        assert database.counts()["events"] == 2
        assert database.table("api_keys")[0]["revoked_by"] == "auth0|bob"

    async def test_revoking_at_the_same_time(self, store: RunningStore, database: Database) -> None:
        """Of many revocations at once one is stored, and all give the same answer."""
        made = new_key(an_organization())
        await store.create(made)
        events = [
            an_event(EventType.REVOKED, made.api_key, occurred_at=LATER + timedelta(seconds=n)) for n in range(20)
        ]
        answers = await asyncio.gather(*[store.revoke(event, UNSPECIFIED) for event in events])
        assert all(answer == answers[0] for answer in answers)
        revocations = [row for row in database.table("events") if row["type"] == "api_key.revoked"]
        assert [row["occurred_at"] for row in revocations] == [answers[0] and answers[0].revoked_at]

    # delete

    async def test_delete(self, store: RunningStore) -> None:
        """A deleted key is gone for every call, and deleting it again finds nothing."""
        made = new_key(an_organization())
        await store.create(made)
        assert await store.delete(an_event(EventType.DELETED, made.api_key)) is True
        assert await store.get(made.api_key.org_id, made.api_key.id) is None
        assert (await store.list_newest(made.api_key.org_id, limit=9, before=None)).items == []
        assert await store.revoke(an_event(EventType.REVOKED, made.api_key), UNSPECIFIED) is None
        assert await store.delete(an_event(EventType.DELETED, made.api_key)) is False

    async def test_deleting_leaves_a_tombstone(self, store: RunningStore, database: Database) -> None:
        """A deleted key's row and digest stay, with who deleted it and when, and nothing of it can be used again."""
        made = new_key(an_organization())
        await store.create(made)
        event = an_event(EventType.DELETED, made.api_key)
        await store.delete(event)
        (key,) = database.table("api_keys")
        assert (key["deleted_at"], key["deleted_by"]) == (event.occurred_at, event.subject)
        assert database.table("api_key_secrets")[0]["secret_digest"] == made.secret_digest
        assert {row["type"] for row in database.table("events")} == {"api_key.created", "api_key.deleted"}
        for taken in ("id", "public_key", "digest"):
            with pytest.raises(ValueError, match="refuses"):
                await store.create(_sharing(taken, made))
        assert database.counts()["events"] == 2

    async def test_deleting_at_the_same_time(self, store: RunningStore, database: Database) -> None:
        """Of many deletions at once one finds the key, and one event is stored."""
        made = new_key(an_organization())
        await store.create(made)
        events = [an_event(EventType.DELETED, made.api_key) for _ in range(20)]
        assert sum(await asyncio.gather(*map(store.delete, events))) == 1
        assert database.counts()["events"] == 2

    async def test_a_revoked_key_can_be_deleted(self, store: RunningStore, database: Database) -> None:
        """Deleting a revoked key finds it, and the tombstone stays revoked."""
        made = new_key(an_organization())
        await store.create(made)
        await store.revoke(an_event(EventType.REVOKED, made.api_key), UNSPECIFIED)
        assert await store.delete(an_event(EventType.DELETED, made.api_key)) is True
        assert database.table("api_keys")[0]["revoked_at"] == LATER

    async def test_a_taken_event_id_undoes_the_change(self, store: RunningStore, database: Database) -> None:
        """A change whose event cannot be stored is not made: the change feed and the keys are one transaction."""
        made = new_key(an_organization())
        await store.create(made)
        with pytest.raises(ValueError, match="refuses"):
            await store.revoke(an_event(EventType.REVOKED, made.api_key, id=made.event.id), UNSPECIFIED)
        with pytest.raises(ValueError, match="refuses"):
            await store.delete(an_event(EventType.DELETED, made.api_key, id=made.event.id))
        assert await store.get(made.api_key.org_id, made.api_key.id) == made.api_key
        assert database.counts()["events"] == 1

    async def test_the_trail_is_only_added_to(self, store: RunningStore, database: Database) -> None:
        """An event can be neither changed nor removed, by any session of the database."""
        await store.create(new_key(an_organization()))
        for statement in ("UPDATE events SET subject = 'eve'", "DELETE FROM events"):
            with pytest.raises(Exception, match="events are only ever added"):
                database.query(statement)
        assert database.table("events")[0]["subject"] == "auth0|bob"

    # together, cancelled, closed

    async def test_everything_at_once(self, store: RunningStore, database: Database) -> None:
        """Calls of every kind side by side leave keys and feed that agree."""
        made = [new_key(an_organization()) for _ in range(30)]
        await asyncio.gather(*map(store.create, made))
        calls: list[Awaitable[object]] = []
        for number, new in enumerate(made):
            calls += [store.get(new.api_key.org_id, new.api_key.id), store.create(new_key(new.organization))]
            calls += [store.list_newest(new.api_key.org_id, limit=5, before=None)]
            if number % 2:
                calls.append(store.revoke(an_event(EventType.REVOKED, new.api_key), UNSPECIFIED))
            if number % 3 == 0:
                calls.append(store.delete(an_event(EventType.DELETED, new.api_key)))
        await asyncio.gather(*calls)
        assert_trail_agrees(database)
        assert database.counts()["api_keys"] == 60

    async def test_a_caller_that_goes_away_harms_nobody(self, store: RunningStore, database: Database) -> None:
        """Cancelled calls leave their neighbours stored, and nothing half-done of their own."""
        made = [new_key(an_organization()) for _ in range(40)]
        tasks = [asyncio.ensure_future(store.create(new)) for new in made]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(outcome, asyncio.CancelledError) for outcome in outcomes] == [True, False] * 20
        for new in made[1::2]:
            assert await store.get(new.api_key.org_id, new.api_key.id) == new.api_key
        assert_trail_agrees(database)

    async def test_a_cancelled_read_harms_nobody(self, store: RunningStore) -> None:
        """Cancelled reads leave a store that answers."""
        made = new_key(an_organization())
        await store.create(made)
        for _ in range(20):
            reads = [asyncio.ensure_future(store.get(made.api_key.org_id, made.api_key.id)) for _ in range(20)]
            await asyncio.sleep(0)
            for task in reads[:-1]:
                task.cancel()
            assert await reads[-1] == made.api_key
            await asyncio.gather(*reads, return_exceptions=True)

    async def test_close_finishes_what_was_accepted(self, database: Database) -> None:
        """Creations under way when the store closes are stored and acknowledged, and later calls are refused."""
        store = self.open(database)
        await store.start()
        made = [new_key(an_organization()) for _ in range(600)]
        tasks = [asyncio.ensure_future(store.create(new)) for new in made]
        await asyncio.sleep(0)
        await store.close()
        assert await asyncio.gather(*tasks) == [Outcome.DONE] * 600
        assert database.counts()["api_keys"] == 600
        with pytest.raises(StorageUnavailable, match="closed"):
            await store.create(new_key(an_organization()))
        with pytest.raises(StorageUnavailable, match="closed"):
            await store.get(made[0].api_key.org_id, made[0].api_key.id)

    async def test_close_without_use(self, database: Database) -> None:
        """A store that was never used closes, twice if need be."""
        store = self.open(database)
        await store.start()
        await store.close()
        await store.close()

    async def test_two_stores_on_one_database(self, store: RunningStore, database: Database) -> None:
        """What one process stores another one reads, and both may write at once."""
        other = self.open(database)
        await other.start()
        try:
            organization = an_organization()
            made = [new_key(organization) for _ in range(100)]
            await asyncio.gather(*[(store, other)[n % 2].create(new) for n, new in enumerate(made)])
            for new in made[:10]:
                for reader in (store, other):
                    assert await reader.get(organization.id, new.api_key.id) == new.api_key
        finally:
            await other.close()

    # check, and a database of another version

    async def test_check(self, store: RunningStore) -> None:
        """A migrated database that answers passes."""
        await store.check()

    async def test_a_newer_database_is_accepted(self, store: RunningStore, database: Database) -> None:
        """A database that a newer version has migrated already passes: versions are rolled out one by one."""
        database.query("UPDATE alembic_version SET version_num = '29991231_0001'")
        await store.check()

    async def test_an_unmigrated_database(self, unmigrated: Database) -> None:
        """On a database without tables every call is refused with the command to run, and works once that was run."""
        await self._expect_refusals(unmigrated)

    async def _expect_refusals(self, unmigrated: Database) -> None:
        store = self.open(unmigrated)
        await store.start()
        key = new_key(an_organization())
        try:
            for call in calls_of(store, key):
                with pytest.raises(StorageUnavailable) as fault:
                    await call()
                assert "keywright migrate" in fault.value.reason
            migrate(unmigrated.url)
            await store.check()
            await store.create(key)
        finally:
            await store.close()
        assert unmigrated.query("SELECT version_num FROM alembic_version") == [{"version_num": SQLITE.head}]


def calls_of(store: RunningStore, new: NewApiKey) -> list[Callable[[], Awaitable[object]]]:
    """Give every call a store has, to be made on its own."""
    key = new.api_key
    return [
        lambda: store.create(new),
        lambda: store.get(key.org_id, key.id),
        lambda: store.list_newest(key.org_id, limit=10, before=None),
        lambda: store.revoke(an_event(EventType.REVOKED, key), UNSPECIFIED),
        lambda: store.delete(an_event(EventType.DELETED, key)),
        *life_contract.calls_of(store, new),
        store.check,
    ]


def assert_trail_agrees(database: Database) -> None:
    """Hold that every key has its secrets and exactly the events that its rows tell of, and no event stands alone."""
    keys = {row["id"]: row for row in database.table("api_keys")}
    secrets = database.table("api_key_secrets")
    assert {row["key_id"] for row in secrets} == set(keys)
    told = sorted(
        (row["key_id"], row["type"], row["org_id"])
        for row in database.table("events")
        if row["type"] not in _NOT_IN_ROWS
    )
    expected = [(id_, "api_key.created", row["org_id"]) for id_, row in keys.items()]
    later = [row["key_id"] for row in secrets if row["id"] != row["key_id"]]
    expected += [(id_, "api_key.rotated", keys[id_]["org_id"]) for id_ in later]
    expected += [(id_, "api_key.revoked", row["org_id"]) for id_, row in keys.items() if row["revoked_at"]]
    expected += [(id_, "api_key.deleted", row["org_id"]) for id_, row in keys.items() if row["deleted_at"]]
    assert told == sorted(expected)


_NOT_IN_ROWS = ("api_key.updated", "api_key.rotation_changed", "api_key.expiring")
"""What leaves no row of its own, nor a time in one."""


async def _all_pages(store: RunningStore, org_id: UUID, size: int) -> list[ApiKey]:
    shown: list[ApiKey] = []
    before: UUID | None = None
    while True:
        page = await store.list_newest(org_id, limit=size, before=before)
        assert len(page.items) <= size
        shown += page.items
        before = page.next
        if before is None:
            return shown


def _sharing(taken: str, first: NewApiKey) -> NewApiKey:
    """Give a creation that shares one unique value with *first*."""
    new = new_key(first.organization)
    key = new.api_key
    if taken == "id":
        return replace(new, api_key=replace(key, id=first.api_key.id))
    if taken == "public_key":
        secret = replace(key.secret, public_key=first.api_key.secret.public_key)
        return replace(new, api_key=replace(key, secret=secret))
    if taken == "digest":
        return replace(new, secret_digest=first.secret_digest)
    return replace(new, event=replace(new.event, id=first.event.id))
