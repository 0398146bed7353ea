"""
The promises of `service.management.ports` about the life of a key, as tests: what changes, rotation, repeated requests,
bounds, filters, and background tasks. `test_life.py` runs them on every store; `contract.py` has the others.

A test gets `database`, migrated and empty, and `store`; `other` is a second one on the same database.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from keywright.keys.rate_limits import RateLimit
from keywright.keys.record import ApiKey, RevocationReason, Status
from keywright.service.checking.ports import HourlyUsage
from keywright.service.management.audit_log import Event, EventType
from keywright.service.management.ports import (
    MOST_EXAMINED,
    EventFilter,
    Found,
    KeyFilter,
    NewApiKey,
    Outcome,
    SealedAnswer,
)
from keywright.service.management.task_ports import Removable
from keywright.service.principal import Organization
from keywright.storage.engine import RunningStore, open_store
from tests.service.fake_store import fits
from tests.storage.chain import assert_chains
from tests.storage.checking_making import a_batch, an_hourly_usage, literal
from tests.storage.making import (
    NOON,
    UNSPECIFIED,
    Database,
    a_rotation,
    a_sealed_answer,
    allow_undigested,
    an_event,
    an_organization,
    find_key,
    new_id,
    new_key,
)

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
EVERYTHING = {
    "description": None,
    "expires_at": NOON + 30 * DAY,
    "scopes": ("reports:read", "users:*"),
    "allowed_ips": ("192.0.2.0/24", "2001:db8::/32"),
    "rate_limits": (RateLimit("burst", 10, 1), RateLimit("day", 1_000_000_000, 86_400)),
    "external_id": "customer \N{SNOWMAN}",
    "metadata": {"plan": "pro", "seats": 2**70, "ratio": 0.1, "tags": ["\N{PILE OF POO}", None, {"z": 1, "a": True}]},
}


class LifeContract:
    """What holds for every store."""

    @pytest.fixture
    async def store(self, database: Database) -> AsyncIterator[RunningStore]:
        """Give a running store."""
        async with running(database.url) as store:
            yield store

    @pytest.fixture
    async def other(self, database: Database) -> AsyncIterator[RunningStore]:
        """Give a second one on the same database, as another process has it."""
        async with running(database.url) as store:
            yield store

    # what a key may do, and changes to it

    async def test_what_a_key_may_do_is_read_back(self, store: RunningStore) -> None:
        """Scopes, networks, limits, external id and metadata come back as they were stored, in their order."""
        made = await _created(store, **EVERYTHING)
        read = await _read(store, made.api_key)
        assert read == made.api_key
        assert list(read.metadata["tags"][2]) == ["z", "a"]

    async def test_update(self, store: RunningStore, database: Database) -> None:
        """An update writes all that may be changed and nothing else, and leaves an event; the version is one more."""
        made = await _created(store)
        changed = replace(made.api_key, name="renamed", **EVERYTHING)
        odd = replace(changed, environment="test", created_by="eve", revoked_at=NOON, org_id=made.api_key.org_id)
        assert await store.update(odd, an_event(EventType.UPDATED, made.api_key)) is Outcome.DONE
        assert await _read(store, made.api_key) == replace(changed, version=2)
        assert [row["type"] for row in database.table("events")] == ["api_key.created", "api_key.updated"]

    async def test_an_update_may_clear(self, store: RunningStore) -> None:
        """What an update leaves empty is empty afterwards."""
        made = await _created(store, **EVERYTHING)
        empty = new_key(made.organization, id=made.api_key.id).api_key
        cleared = replace(empty, secret=made.api_key.secret, description=None)
        assert await store.update(cleared, an_event(EventType.UPDATED, made.api_key)) is Outcome.DONE
        assert await _read(store, made.api_key) == replace(cleared, version=2)

    async def test_outdated_updates_change_nothing(self, store: RunningStore, database: Database) -> None:
        """An update of a version that is not current, of another organization's key or of a deleted one is outdated."""
        made, stranger = await _created(store), await _created(store)
        event = an_event(EventType.UPDATED, made.api_key)
        posing = replace(event, org_id=stranger.api_key.org_id)
        assert await store.update(replace(made.api_key, version=2), event) is Outcome.OUTDATED
        assert await store.update(replace(made.api_key, org_id=posing.org_id), posing) is Outcome.OUTDATED
        assert await _read(store, made.api_key) == made.api_key
        await store.delete(an_event(EventType.DELETED, made.api_key))
        assert await store.update(made.api_key, event) is Outcome.OUTDATED
        assert database.counts()["events"] == 3

    async def test_of_updates_at_once_one_is_made(self, store: RunningStore, other: RunningStore) -> None:
        """Of many updates of one version, in two processes, one is made and the others are outdated."""
        made = await _created(store)
        wishes = [replace(made.api_key, name=f"name {n}") for n in range(20)]
        outcomes = await asyncio.gather(
            *[(store, other)[n % 2].update(key, _updated(key)) for n, key in enumerate(wishes)]
        )
        (winner,) = [key for key, outcome in zip(wishes, outcomes, strict=True) if outcome is Outcome.DONE]
        assert await _read(store, made.api_key) == replace(winner, version=2)
        assert set(outcomes) == {Outcome.DONE, Outcome.OUTDATED}

    async def test_an_update_that_cannot_be_stored(self, store: RunningStore, database: Database) -> None:
        """An update with a value that no column holds is refused, and the key stays as it was."""
        made = await _created(store)
        for change in ({"name": ""}, {"external_id": "a\0b"}, {"metadata": {"a": "\ud800"}}):
            with pytest.raises(ValueError, match=r"refuses|cannot store"):
                await store.update(replace(made.api_key, **change), an_event(EventType.UPDATED, made.api_key))
        assert await _read(store, made.api_key) == made.api_key
        assert database.counts()["events"] == 1

    @pytest.mark.parametrize("reason", list(RevocationReason))
    async def test_a_revocation_has_its_reason(self, store: RunningStore, reason: RevocationReason) -> None:
        """A revoked key says why, a later reason changes nothing, and its version is one more, once."""
        made = await _created(store)
        for given in (reason, RevocationReason.SUPERSEDED):
            revoked = await store.revoke(an_event(EventType.REVOKED, made.api_key), given)
            assert revoked is not None
            assert (revoked.revocation_reason, revoked.version) == (reason, 2)
            assert await _read(store, made.api_key) == revoked

    async def test_what_the_version_before_revoked(self, store: RunningStore, database: Database) -> None:
        """A key that was revoked before there were reasons says that none was given."""
        made = await _created(store)
        database.query("UPDATE api_keys SET revoked_at = created_at, revoked_by = 'auth0|bob'")
        read = await _read(store, made.api_key)
        assert (read.revoked_at, read.revocation_reason) == (NOON, RevocationReason.UNSPECIFIED)

    # rotation

    async def test_rotate(self, store: RunningStore, database: Database) -> None:
        """A rotation gives the key its new secret, and the old one its end; the new row bears the event's id."""
        made = await _created(store)
        rotation = a_rotation(made.api_key, idle_seconds=600)
        assert await store.rotate(rotation) is Outcome.DONE
        retiring = replace(made.api_key.secret, retires_at=NOON + HOUR, idle_seconds=600)
        expected = replace(made.api_key, secret=rotation.secret, retiring=retiring, version=2)
        assert await _read(store, made.api_key) == expected
        assert (await store.list_newest(expected.org_id, limit=5, before=None)).items == [expected]
        ids = {row["secret_digest"]: row["id"] for row in database.table("api_key_secrets")}
        assert ids == {made.secret_digest: made.api_key.id, rotation.secret_digest: rotation.event.id}

    async def test_one_rotation_at_a_time(self, store: RunningStore) -> None:
        """While a replaced secret works there is no other rotation; once it has retired, it stays retired as it was."""
        made = await _created(store)
        first, early, late = (
            a_rotation(replace(made.api_key, version=version), at=NOON + at)
            for version, at in ((1, timedelta()), (2, HOUR - timedelta(microseconds=1)), (2, HOUR))
        )
        assert await store.rotate(first) is Outcome.DONE
        assert await store.rotate(early) is Outcome.OUTDATED
        assert await store.rotate(late) is Outcome.DONE
        read = await _read(store, made.api_key)
        assert (read.secret, read.retiring) == (late.secret, replace(first.secret, retires_at=NOON + 2 * HOUR))
        oldest = await find_key(store, made.secret_digest)
        assert oldest is not None
        assert oldest.retires_at == (NOON + HOUR).timestamp()

    async def test_of_rotations_at_once_one_is_made(self, store: RunningStore, other: RunningStore) -> None:
        """Of many rotations of one version, in two processes, one is made and nothing is left of the others."""
        made = await _created(store)
        rotations = [a_rotation(made.api_key, overlap=timedelta()) for _ in range(20)]
        outcomes = await asyncio.gather(*[(store, other)[n % 2].rotate(each) for n, each in enumerate(rotations)])
        assert sorted(outcome is Outcome.DONE for outcome in outcomes) == [False] * 19 + [True]
        for rotation, outcome in zip(rotations, outcomes, strict=True):
            assert (await find_key(store, rotation.secret_digest) is not None) is (outcome is Outcome.DONE)

    async def test_rotations_change_no_foreign_key(self, store: RunningStore, database: Database) -> None:
        """Neither a rotation of another organization's key nor one of a deleted or unknown key is made."""
        made, stranger = await _created(store), await _created(store)
        posing = replace(made.api_key, org_id=stranger.api_key.org_id)
        nobody = new_key(made.organization).api_key
        for key in (posing, nobody):
            assert await store.rotate(a_rotation(key, sealed_answer=a_sealed_answer())) is Outcome.OUTDATED
        await store.delete(an_event(EventType.DELETED, made.api_key))
        assert await store.rotate(a_rotation(made.api_key)) is Outcome.OUTDATED
        assert database.counts()["api_key_secrets"] == 2
        assert database.table("idempotent_answers") == []

    async def test_set_retirement(self, store: RunningStore) -> None:
        """The secret that is being replaced gets its new end and waits for no quiet; a third secret is not touched."""
        made = await _created(store)
        first = a_rotation(made.api_key, overlap=timedelta())
        second = a_rotation(replace(made.api_key, version=2), idle_seconds=60)
        for rotation in (first, second):
            assert await store.rotate(rotation) is Outcome.DONE
        event = an_event(EventType.ROTATION_CHANGED, made.api_key, occurred_at=NOON)
        assert await store.set_retirement(event, version=3, retires_at=NOON + DAY) is Outcome.DONE
        read = await _read(store, made.api_key)
        assert read.retiring == replace(first.secret, retires_at=NOON + DAY)
        assert (read.secret, read.version) == (second.secret, 4)
        oldest = await find_key(store, made.secret_digest)
        assert oldest is not None
        assert oldest.retires_at == NOON.timestamp()

    async def test_no_retirement_to_set(self, store: RunningStore, database: Database) -> None:
        """With another version, without a rotation, or when it is over, no end is set."""
        made = await _created(store)
        event = an_event(EventType.ROTATION_CHANGED, made.api_key, occurred_at=NOON)
        assert await store.set_retirement(event, version=1, retires_at=NOON + DAY) is Outcome.OUTDATED
        await store.rotate(a_rotation(made.api_key))
        for attempt, version in ((event, 1), (replace(event, occurred_at=NOON + HOUR), 2)):
            assert await store.set_retirement(attempt, version=version, retires_at=NOON + DAY) is Outcome.OUTDATED
        assert database.counts()["events"] == 2

    async def test_a_revocation_meets_a_rotation(self, store: RunningStore, other: RunningStore) -> None:
        """Of a rotation and a revocation at once both may be made, and the revocation gives the key as it then is."""
        for _ in range(10):
            made = await _created(store)
            rotation = a_rotation(made.api_key)
            outcome, revoked = await asyncio.gather(
                store.rotate(rotation),
                other.revoke(an_event(EventType.REVOKED, made.api_key), RevocationReason.KEY_COMPROMISE),
            )
            read = await _read(store, made.api_key)
            assert read.revoked_at is not None
            assert read.secret == (rotation.secret if outcome is Outcome.DONE else made.api_key.secret)
            assert revoked is not None
            if read.version == revoked.version:
                assert revoked == read

    # requests that are repeated

    async def test_a_replay_is_read_back(self, store: RunningStore) -> None:
        """A sealed answer is given to its organization until it expires, and to no other."""
        sealed_answer = a_sealed_answer()
        made = await _created(store, sealed_answer=sealed_answer)
        org_id, digest, end = made.api_key.org_id, sealed_answer.request_digest, sealed_answer.expires_at
        assert await store.sealed_answer(org_id, digest, end - timedelta(microseconds=1)) == sealed_answer
        assert await store.sealed_answer(org_id, digest, end) is None
        assert await store.sealed_answer(new_id(), digest, NOON) is None
        assert await store.sealed_answer(org_id, bytes(32), NOON) is None

    async def test_a_repeated_creation(self, store: RunningStore, database: Database) -> None:
        """A request that was made before creates nothing; another organization's of the same name has its own."""
        organization, sealed_answer = an_organization(), a_sealed_answer()
        first = _repeatable(organization, sealed_answer)
        assert await store.create(first) is Outcome.DONE
        assert await store.create(_repeatable(organization, sealed_answer)) is Outcome.REPEATED
        assert await store.create(_repeatable(an_organization(), sealed_answer)) is Outcome.DONE
        assert (await store.list_newest(organization.id, limit=5, before=None)).items == [first.api_key]
        assert database.counts() == {"organizations": 2, "api_keys": 2, "api_key_secrets": 2, "events": 2}

    async def test_a_replay_that_expired_is_taken_over(self, store: RunningStore) -> None:
        """After its sealed answer has expired a request may be made again, and its sealed answer is the new one."""
        organization, old = an_organization(), a_sealed_answer()
        new = replace(old, sealed=b"new", created_at=old.expires_at, expires_at=old.expires_at + DAY)
        for sealed_answer in (old, new):
            assert await store.create(_repeatable(organization, sealed_answer)) is Outcome.DONE
        assert await store.sealed_answer(organization.id, old.request_digest, new.created_at) == new

    async def test_one_key_of_a_hundred_equal_creations(
        self, store: RunningStore, other: RunningStore, database: Database
    ) -> None:
        """Of a hundred equal requests at once, in two processes, one makes a key; others beside them are not kept."""
        organization, sealed_answer = an_organization(), a_sealed_answer()
        equal = [_repeatable(organization, sealed_answer) for _ in range(100)]
        beside = [new_key(organization) for _ in range(20)] + [
            _repeatable(organization, a_sealed_answer()) for _ in range(20)
        ]
        made = [*equal, *beside]
        outcomes = await asyncio.gather(*[(store, other)[n % 2].create(new) for n, new in enumerate(made)])
        assert sorted(outcome is Outcome.DONE for outcome in outcomes[:100]) == [False] * 99 + [True]
        assert outcomes[:100].count(Outcome.REPEATED) == 99
        assert outcomes[100:] == [Outcome.DONE] * 40
        counts = database.counts()
        assert (counts["api_keys"], counts["api_key_secrets"], counts["events"]) == (41, 41, 41)
        await assert_chains(store, database)

    async def test_a_refused_creation_leaves_no_replay(self, store: RunningStore, database: Database) -> None:
        """A creation that cannot be stored leaves its request unmade, whatever was stored beside it."""
        organization, sealed_answer = an_organization(), a_sealed_answer()
        first = await _created(store)
        odd = replace(_repeatable(organization, sealed_answer), secret_digest=first.secret_digest)
        beside = [_repeatable(organization, a_sealed_answer()) for _ in range(5)]
        outcomes = await asyncio.gather(*map(store.create, [*beside[:2], odd, *beside[2:]]), return_exceptions=True)
        assert [place for place, outcome in enumerate(outcomes) if isinstance(outcome, ValueError)] == [2]
        assert await store.create(_repeatable(organization, sealed_answer)) is Outcome.DONE
        assert len(database.table("idempotent_answers")) == 6

    async def test_a_repeated_rotation(self, store: RunningStore, other: RunningStore, database: Database) -> None:
        """Of equal rotations at once, in two processes, one is made, and all others are repeated."""
        made, sealed_answer = await _created(store), a_sealed_answer()
        rotations = [a_rotation(made.api_key, sealed_answer=sealed_answer) for _ in range(20)]
        outcomes = await asyncio.gather(*[(store, other)[n % 2].rotate(each) for n, each in enumerate(rotations)])
        assert sorted(outcome.name for outcome in outcomes) == ["DONE"] + ["REPEATED"] * 19
        assert database.counts()["api_key_secrets"] == 2
        assert await store.sealed_answer(made.api_key.org_id, sealed_answer.request_digest, NOON) == sealed_answer

    async def test_an_outdated_rotation_leaves_no_replay(self, store: RunningStore, database: Database) -> None:
        """A rotation that is not made leaves its request unmade."""
        made = await _created(store)
        outdated = a_rotation(replace(made.api_key, version=7), sealed_answer=a_sealed_answer())
        assert await store.rotate(outdated) is Outcome.OUTDATED
        assert database.table("idempotent_answers") == []

    async def test_purge(self, store: RunningStore, database: Database) -> None:
        """Sealed answers that have expired are removed, as many as are asked for, and no others."""
        organization = an_organization()
        for number in range(5):
            await store.create(_repeatable(organization, a_sealed_answer(expires_at=NOON + number * HOUR)))
        until = NOON + 2 * HOUR
        assert [await store.purge(Removable.ANSWERS, until, limit=2) for _ in range(3)] == [2, 1, 0]
        assert {row["expires_at"] for row in database.table("idempotent_answers")} == {NOON + 3 * HOUR, NOON + 4 * HOUR}

    async def test_purge_of_reporters(self, store: RunningStore, database: Database) -> None:
        """
        The batch number of a reporter that wrote nothing since a moment is removed, and no other, as many as asked for.
        """
        made = await _created(store)
        batches = [a_batch() for _ in range(4)]
        for batch in batches:
            await store.add_usage([an_hourly_usage(made)], batch)
        written = [row["written_at"] for row in database.table("usage_reporters")]
        await store.add_usage([an_hourly_usage(made)], batches[0]._replace(number=2))
        until = min(written) - DAY
        assert await store.purge(Removable.REPORTERS, until, limit=9) == 0
        age = 7 * 86_400_000_000 if database.is_sqlite else "interval '7 days'"
        database.query(f"UPDATE usage_reporters SET written_at = written_at - {age} WHERE batch = 1")
        assert [await store.purge(Removable.REPORTERS, until, limit=2) for _ in range(3)] == [2, 1, 0]
        assert [row["batch"] for row in database.table("usage_reporters")] == [2]

    # no more than so many active keys

    async def test_no_more_than_the_most(self, store: RunningStore, other: RunningStore, database: Database) -> None:
        """Of many creations at once, in two processes, exactly as many are made as the organization may have."""
        organization = an_organization()
        await store.create(new_key(organization))
        bounded = [replace(new_key(organization), most_active=5) for _ in range(20)]
        elsewhere = [replace(new_key(an_organization()), most_active=1) for _ in range(3)]
        outcomes = await asyncio.gather(
            *[(store, other)[n % 2].create(new) for n, new in enumerate([*bounded, *elsewhere])]
        )
        assert sorted(outcome.name for outcome in outcomes[:20]) == ["DONE"] * 4 + ["TOO_MANY"] * 16
        assert outcomes[20:] == [Outcome.DONE] * 3
        assert database.counts()["events"] == 8
        await assert_chains(store, database)

    async def test_full_organizations_cost_others_nothing(self, store: RunningStore, database: Database) -> None:
        """Of creations for very many organizations at once, all but one of them full, that one is done."""
        full, neighbour = [an_organization() for _ in range(60)], an_organization()
        await asyncio.gather(*[store.create(new_key(organization)) for organization in full])
        async with running(database.url) as fresh:
            creations = [replace(new_key(each), most_active=1) for each in (*full, neighbour)]
            outcomes = await asyncio.gather(*[fresh.create(new) for new in creations])
        assert outcomes == [Outcome.TOO_MANY] * len(full) + [Outcome.DONE]

    async def test_only_active_keys_count(self, store: RunningStore) -> None:
        """Keys that are revoked, deleted or expired by a creation take no place; a disabled one keeps its own."""
        organization = an_organization()
        revoked, deleted, _ = [
            await _created_for(store, organization, expires_at=end) for end in (None, NOON + DAY, NOON)
        ]
        bounded = replace(new_key(organization), most_active=2)
        assert await store.create(bounded) is Outcome.TOO_MANY
        await store.revoke(an_event(EventType.REVOKED, revoked.api_key), RevocationReason.UNSPECIFIED)
        assert await store.create(bounded) is Outcome.DONE
        await store.delete(an_event(EventType.DELETED, deleted.api_key))
        assert await store.create(replace(new_key(organization), most_active=2)) is Outcome.DONE
        assert await store.create(replace(new_key(organization), most_active=2)) is Outcome.TOO_MANY
        disabled = replace(bounded.api_key, disabled_at=NOON)
        assert await store.update(disabled, an_event(EventType.UPDATED, disabled)) is Outcome.DONE
        assert await store.create(replace(new_key(organization), most_active=2)) is Outcome.TOO_MANY

    async def test_a_key_leaves_its_place_as_it_expires(self, store: RunningStore) -> None:
        """A key that expires at the very moment at which another is created takes no place any more."""
        organization = an_organization()
        await _created_for(store, organization, expires_at=NOON + DAY)
        now, later = (replace(new_key(organization, created_at=at), most_active=1) for at in (NOON, NOON + DAY))
        assert await store.create(now) is Outcome.TOO_MANY
        assert await store.create(later) is Outcome.DONE

    async def test_no_room_leaves_nothing(self, store: RunningStore, database: Database) -> None:
        """A creation for which there is no room leaves neither its organization nor its sealed answer."""
        new = replace(_repeatable(an_organization(), a_sealed_answer()), most_active=0)
        assert await store.create(new) is Outcome.TOO_MANY
        assert set(database.counts().values()) == {0}
        assert database.table("idempotent_answers") == []

    async def test_who_repeats_takes_no_room(self, store: RunningStore, other: RunningStore) -> None:
        """The request that took the last place is repeated, not refused, also when all come at once."""
        organization, sealed_answer = an_organization(), a_sealed_answer()
        equal = [replace(_repeatable(organization, sealed_answer), most_active=1) for _ in range(10)]
        outcomes = await asyncio.gather(*[(store, other)[n % 2].create(new) for n, new in enumerate(equal)])
        assert sorted(outcome.name for outcome in outcomes) == ["DONE"] + ["REPEATED"] * 9

    async def test_a_key_that_comes_back_takes_room(self, store: RunningStore, other: RunningStore) -> None:
        """Of expired keys that get later expiries at once, in two processes, as many come back as there is room for."""
        organization = an_organization()
        expired = [(await _created_for(store, organization, expires_at=NOON + DAY)).api_key for _ in range(10)]
        at = NOON + 2 * DAY
        for _ in range(2):
            assert await store.create(replace(new_key(organization, created_at=at), most_active=5)) is Outcome.DONE
        changes = [
            (store, other)[n % 2].update(
                replace(key, expires_at=at + DAY), an_event(EventType.UPDATED, key, occurred_at=at), most_active=5
            )
            for n, key in enumerate(expired)
        ]
        outcomes = await asyncio.gather(*changes)
        assert sorted(outcome.name for outcome in outcomes) == ["DONE"] * 3 + ["TOO_MANY"] * 7
        refused = expired[outcomes.index(Outcome.TOO_MANY)]
        assert await store.get(refused.org_id, refused.id) == refused
        renamed = an_event(EventType.UPDATED, refused, occurred_at=at)
        assert await store.update(replace(refused, name="n"), renamed, most_active=5) is Outcome.DONE
        assert await store.create(replace(new_key(organization, created_at=at), most_active=5)) is Outcome.TOO_MANY

    async def test_the_number_of_active_keys(self, store: RunningStore, other: RunningStore) -> None:
        """After any changes in two processes, the room that is left is what a count of the keys gives."""
        organization, numbers = an_organization(), random.Random(9)
        for day in range(12):
            at = NOON + day * DAY
            ends = [numbers.choice([None, at + DAY, at + 2 * DAY]) for _ in range(8)]
            new = [new_key(organization, created_at=at, expires_at=end) for end in ends]
            await asyncio.gather(*[(store, other)[n % 2].create(each) for n, each in enumerate(new)])
            listed = (await store.list_newest(organization.id, limit=1000, before=None)).items
            some = numbers.sample(listed, 6)
            await asyncio.gather(
                *[store.revoke(an_event(EventType.REVOKED, key, occurred_at=at), UNSPECIFIED) for key in some[:3]],
                *[other.delete(an_event(EventType.DELETED, key, occurred_at=at)) for key in some[2:4]],
                *[
                    store.update(
                        replace(key, expires_at=numbers.choice([None, at + DAY])),
                        an_event(EventType.UPDATED, key, occurred_at=at),
                    )
                    for key in some[4:]
                ],
            )
            keys = (await store.list_newest(organization.id, limit=1000, before=None)).items
            active = sum(key.status_at(at) is Status.ACTIVE for key in keys)
            for bound, outcome in ((active, Outcome.TOO_MANY), (active + 1, Outcome.DONE)):
                new_one = new_key(organization, created_at=at)
                assert await other.create(replace(new_one, most_active=bound)) is outcome

    # filters

    async def test_filters(self, store: RunningStore) -> None:
        """A filtered list has the keys that fit, newest first and page by page, and no others."""
        keys = await _many_keys(store)
        for which in _filters(keys):
            expected = [key for key in keys if fits(key, which)]
            assert await _all_pages(store, which, keys[0]) == expected, which
            assert len(expected) < len(keys), which

    async def test_oldest_first(self, store: RunningStore) -> None:
        """A list from the oldest key on has the same keys in the other order, filtered or not, page by page."""
        keys, stranger = await _many_keys(store), await _created(store)
        for which in (KeyFilter(at=NOON), KeyFilter(at=NOON, status=Status.ACTIVE), KeyFilter(at=NOON, text="billing")):
            expected = [key for key in reversed(keys) if fits(key, which)]
            assert await _all_pages(store, replace(which, oldest_first=True), keys[0]) == expected, which
        assert await _all_pages(store, KeyFilter(at=NOON, oldest_first=True), stranger.api_key) == [stranger.api_key]

    async def test_filters_keep_organizations_apart(self, store: RunningStore) -> None:
        """A filter finds no key of another organization and no deleted one."""
        made, stranger = [await _created(store, external_id="same") for _ in range(2)]
        deleted = await _created_for(store, made.organization, external_id="same")
        await store.delete(an_event(EventType.DELETED, deleted.api_key))
        which = KeyFilter(at=NOON, external_id="same")
        assert (await store.list_newest(made.api_key.org_id, limit=9, before=None, which=which)).items == [made.api_key]
        assert stranger.api_key.org_id != made.api_key.org_id

    async def test_filters_nothing_can_fit(self, store: RunningStore) -> None:
        """A filter for a value that no column stores or no key has matches nothing, and harms no other call."""
        made = await _created(store)
        for text in ("\0", "\ud800", "kw_pk_live_!", "kw_sk_live_0", "kw_pk_live_zzz", "Kw_pk_live_" + "0" * 45):
            for which in (KeyFilter(at=NOON, text=text), KeyFilter(at=NOON, external_id=text)):
                assert (await store.list_newest(made.api_key.org_id, limit=9, before=None, which=which)).items == []

    async def test_a_filter_examines_so_many(self, store: RunningStore) -> None:
        """One call examines its number of keys, whatever the filter, and says where to go on."""
        organization = an_organization()
        rare = await _created_for(store, organization, external_id="rare", name="rare")
        others = [new_key(organization, external_id="frequent") for _ in range(2 * MOST_EXAMINED)]
        await asyncio.gather(*map(store.create, [*others, *(new_key(an_organization()) for _ in range(50))]))
        newest_first = sorted((new.api_key.id for new in others), reverse=True)
        for which in (
            KeyFilter(at=NOON, text="rare"),
            KeyFilter(at=NOON, unused_since=NOON - DAY, text="rare"),
            KeyFilter(at=NOON, environment="live", text="rare"),
        ):
            before: UUID | None = None
            for number in (1, 2):
                found = await store.list_newest(organization.id, limit=5, before=before, which=which)
                before = newest_first[number * MOST_EXAMINED - 1]
                assert found == Found([], before)
            found = await store.list_newest(organization.id, limit=5, before=before, which=which)
            assert found == Found([] if which.unused_since else [rare.api_key], None)
        which = KeyFilter(at=NOON, external_id="rare")
        found = await store.list_newest(organization.id, limit=5, before=None, which=which)
        assert found == Found([rare.api_key], None)
        which = KeyFilter(at=NOON, external_id="frequent", text="nothing")
        found = await store.list_newest(organization.id, limit=5, before=None, which=which)
        assert found == Found([], newest_first[MOST_EXAMINED - 1])

    async def test_a_filter_examines_so_many_events(self, store: RunningStore) -> None:
        """The same of events, of an organization and of one key; of another organization's key nothing shows."""
        made = await _created(store, description=None)
        key = made.api_key
        told = [an_event(EventType.UPDATED, key, subject="auth0|other") for _ in range(MOST_EXAMINED)]
        for version, event in enumerate(told, start=1):
            assert await store.update(replace(key, version=version), event) is Outcome.DONE
        for which in (EventFilter(subject=made.event.subject), EventFilter(subject=made.event.subject, key_id=key.id)):
            first = await store.events(key.org_id, limit=5, before=None, which=which)
            assert first == Found([], told[0].id)
            second = await store.events(key.org_id, limit=5, before=first.next, which=which)
            assert ([event for event, _ in second.items], second.next) == ([made.event], None)
        stranger = an_organization().id
        for which in (EventFilter(key_id=key.id), EventFilter(key_id=key.id, subject="x")):
            assert await store.events(stranger, limit=5, before=None, which=which) == Found([], None)

    # what the service does by itself

    async def test_quiet(self, store: RunningStore, database: Database) -> None:
        """A replaced secret is due once both it and its successor's first use are past its quiet and the lag."""
        at = NOON + HOUR
        due, busy, unused, patient, over, revoked = [await _created(store) for _ in range(6)]
        for made in (due, busy, unused, patient, over, revoked):
            end = 30 * timedelta(minutes=1) if made is over else DAY
            rotation = a_rotation(made.api_key, overlap=end, idle_seconds=None if made is patient else 600)
            await store.rotate(rotation)
            if made is not unused:
                await store.add_usage([_use_of(made, rotation.secret_digest, at - timedelta(seconds=721))], a_batch())
            late = timedelta(seconds=719 if made is busy else 721)
            await store.add_usage([_use_of(made, made.secret_digest, at - late)], a_batch())
        await store.revoke(an_event(EventType.REVOKED, revoked.api_key), RevocationReason.UNSPECIFIED)
        (found,) = await store.idle_secrets(at, lag_seconds=120.0, limit=10)
        assert (found.org_id, found.key_id, found.version) == (due.api_key.org_id, due.api_key.id, 2)
        assert found.public_key == due.api_key.secret.public_key.text
        assert len(await store.idle_secrets(at + timedelta(seconds=10), lag_seconds=120.0, limit=1)) == 1
        assert len(await store.idle_secrets(at + timedelta(seconds=10), lag_seconds=120.0, limit=9)) == 2

    async def test_a_secret_nobody_uses_is_quiet(self, store: RunningStore) -> None:
        """A replaced secret that was never used is due as soon as its successor was used for long enough."""
        made = await _created(store)
        rotation = a_rotation(made.api_key, overlap=DAY, idle_seconds=600)
        await store.rotate(rotation)
        await store.add_usage([_use_of(made, rotation.secret_digest, NOON)], a_batch())
        assert await store.idle_secrets(NOON + timedelta(seconds=600), lag_seconds=0.0, limit=9) == []
        assert len(await store.idle_secrets(NOON + timedelta(seconds=601), lag_seconds=0.0, limit=9)) == 1

    async def test_expiring(self, store: RunningStore) -> None:
        """Active keys that expire within so many days are due, the next first, and no others."""
        ends = (None, NOON, NOON + timedelta(microseconds=1), NOON + 3 * DAY, NOON + 3 * DAY + HOUR)
        never, over, soon, last, later = [await _created(store, expires_at=end) for end in ends]
        revoked, deleted = [await _created(store, expires_at=NOON + DAY) for _ in range(2)]
        await store.revoke(an_event(EventType.REVOKED, revoked.api_key), RevocationReason.UNSPECIFIED)
        await store.delete(an_event(EventType.DELETED, deleted.api_key))
        found = await store.expiring(NOON, within_days=3, limit=10)
        assert [(due.key_id, due.expires_at) for due in found] == [
            (new.api_key.id, new.api_key.expires_at) for new in (soon, last)
        ]
        assert [due.key_id for due in await store.expiring(NOON, within_days=3, limit=1)] == [soon.api_key.id]
        assert len(await store.expiring(NOON, within_days=4, limit=9)) == 3
        assert never.api_key.id != over.api_key.id != later.api_key.id

    async def test_one_notice_of_each_kind(self, store: RunningStore, other: RunningStore, database: Database) -> None:
        """Of many notices at once one is stored; then there is one of fewer days, and none of more."""
        end = NOON + DAY
        made = await _created(store, expires_at=end)
        events = [an_event(EventType.EXPIRING, made.api_key) for _ in range(10)]
        noted = await asyncio.gather(
            *[(store, other)[n % 2].add_expiry_notice(event, expires_at=end, days=3) for n, event in enumerate(events)]
        )
        assert sum(noted) == 1
        assert await store.expiring(NOON, within_days=3, limit=9) == []
        assert await store.expiring(NOON, within_days=14, limit=9) == []
        assert len(await store.expiring(NOON, within_days=1, limit=9)) == 1
        event = an_event(EventType.EXPIRING, made.api_key)
        assert await store.add_expiry_notice(event, expires_at=end, days=14) is False
        assert await store.add_expiry_notice(event, expires_at=end, days=1) is True
        assert database.counts()["events"] == 3
        assert (await _read(store, made.api_key)).version == 1

    async def test_notices_of_what_is_no_more(self, store: RunningStore, database: Database) -> None:
        """There is no notice of an expiry that was changed, nor for a key that was revoked or deleted."""
        end = NOON + DAY
        made, revoked, deleted = [await _created(store, expires_at=end) for _ in range(3)]
        await store.revoke(an_event(EventType.REVOKED, revoked.api_key), RevocationReason.UNSPECIFIED)
        await store.delete(an_event(EventType.DELETED, deleted.api_key))
        for new, expires_at in ((made, end + HOUR), (revoked, end), (deleted, end)):
            event = an_event(EventType.EXPIRING, new.api_key)
            assert await store.add_expiry_notice(event, expires_at=expires_at, days=1) is False
        assert database.counts()["events"] == 5

    async def test_a_changed_expiry_is_noticed_again(self, store: RunningStore) -> None:
        """An update that changes the expiry forgets its notices, and one that does not keeps them."""
        end = NOON + DAY
        made = await _created(store, expires_at=end)
        await store.add_expiry_notice(an_event(EventType.EXPIRING, made.api_key), expires_at=end, days=1)
        renamed = replace(made.api_key, name="renamed")
        await store.update(renamed, _updated(renamed))
        assert await store.expiring(NOON, within_days=1, limit=9) == []
        moved = replace(renamed, version=2, expires_at=end - HOUR)
        await store.update(moved, _updated(moved))
        assert len(await store.expiring(NOON, within_days=1, limit=9)) == 1

    # the change feed

    async def test_events(self, store: RunningStore, database: Database) -> None:
        """Events are given newest first and page by page, each with its place, also those of deleted keys."""
        organization = an_organization()
        first, second = await _created_for(store, organization), await _created_for(store, organization)
        later = an_event(EventType.REVOKED, first.api_key, subject="auth0|eve", occurred_at=NOON + DAY)
        await store.revoke(later, RevocationReason.UNSPECIFIED)
        gone = an_event(EventType.DELETED, first.api_key)
        await store.delete(gone)
        await _created(store)
        expected = [gone, later, second.event, first.event]
        found = (await store.events(organization.id, limit=9, before=None, which=EventFilter())).items
        assert [event for event, _ in found] == expected
        assert [place and place.position for _, place in found] == [4, 3, 2, 1]
        assert all(place is not None and place.event == event for event, place in found)
        for which, fitting in (
            (EventFilter(key_id=first.api_key.id), [gone, later, first.event]),
            (EventFilter(key_id=new_id()), []),
            (EventFilter(type=EventType.CREATED), [second.event, first.event]),
            (EventFilter(subject="auth0|eve"), [later]),
            (EventFilter(subject="\0"), []),
            (EventFilter(since=later.occurred_at), [later]),
            (EventFilter(until=later.occurred_at), [gone, second.event, first.event]),
            (EventFilter(key_id=first.api_key.id, type=EventType.REVOKED, subject="auth0|eve"), [later]),
        ):
            for limit in (1, 2, 9):
                assert await _pages_of_events(store, organization, which, limit) == fitting

    async def test_events_of_other_versions(self, store: RunningStore, database: Database) -> None:
        """Events from before the chain have no place, and those of a type that is not known are left out."""
        made = await _created(store)
        allow_undigested(database)
        columns = "org_id, key_id, occurred_at, issuer, subject, request_id, data"
        for number, type_ in ((1, "api_key.revoked"), (2, "api_key.renamed")):
            id_ = literal(database, UUID(int=number))
            database.query(
                f"INSERT INTO events (id, type, {columns}) SELECT {id_}, '{type_}', {columns} FROM events LIMIT 1"
            )
        found = (await store.events(made.api_key.org_id, limit=9, before=None, which=EventFilter())).items
        assert [(event.type.value, place is None) for event, place in found] == [
            ("api_key.created", False),
            ("api_key.revoked", True),
        ]
        assert await store.unchained_events(made.api_key.org_id) == []


@asynccontextmanager
async def running(url: str) -> AsyncIterator[RunningStore]:
    """Open a store and close it."""
    store = open_store(url)
    await store.start()
    try:
        yield store
    finally:
        await store.close()


def calls_of(store: RunningStore, new: NewApiKey) -> list[Callable[[], Awaitable[object]]]:
    """Give every call that this contract adds, to be made on its own."""
    key, event = new.api_key, new.event
    return [
        lambda: store.sealed_answer(key.org_id, bytes(32), NOON),
        lambda: store.list_newest(key.org_id, limit=1, before=None, which=KeyFilter(at=NOON, text="x")),
        lambda: store.update(key, event),
        lambda: store.rotate(a_rotation(key)),
        lambda: store.set_retirement(event, version=1, retires_at=NOON),
        lambda: store.events(key.org_id, limit=1, before=None, which=EventFilter()),
        store.chained_organizations,
        lambda: store.links(key.org_id, after=0, limit=1),
        lambda: store.chain_end(key.org_id),
        lambda: store.unchained_events(key.org_id),
        lambda: store.idle_secrets(NOON, lag_seconds=1.0, limit=1),
        lambda: store.expiring(NOON, within_days=1, limit=1),
        lambda: store.add_expiry_notice(event, expires_at=NOON, days=1),
        *(lambda kind=kind: store.purge(kind, NOON, limit=1) for kind in Removable),  # type: ignore[misc]
        lambda: store.checkpoint(key.org_id),
        lambda: store.undigested_events(key.org_id),
        lambda: store.link_of(key.org_id, event.id),
        lambda: store.links_of_subject(key.org_id, "auth0|bob", after=0, limit=1),
        lambda: store.aged_events(NOON, after=0, limit=1),
        lambda: store.prune(key.org_id, 1, bytes(32), NOON, limit=1),
        lambda: store.erase(replace(event, data={"events": {}})),
    ]


async def _created(store: RunningStore, *, sealed_answer: SealedAnswer | None = None, **changes: object) -> NewApiKey:
    return await _created_for(store, an_organization(), sealed_answer=sealed_answer, **changes)


async def _created_for(
    store: RunningStore, organization: Organization, *, sealed_answer: SealedAnswer | None = None, **changes: object
) -> NewApiKey:
    made = replace(new_key(organization, **changes), sealed_answer=sealed_answer)
    assert await store.create(made) is Outcome.DONE
    return made


def _repeatable(organization: Organization, sealed_answer: SealedAnswer) -> NewApiKey:
    return replace(new_key(organization, created_at=sealed_answer.created_at), sealed_answer=sealed_answer)


async def _read(store: RunningStore, key: ApiKey) -> ApiKey:
    read = await store.get(key.org_id, key.id)
    assert read is not None
    return read


def _updated(key: ApiKey) -> Event:
    return an_event(EventType.UPDATED, key)


def _use_of(made: NewApiKey, digest: bytes, at: datetime) -> HourlyUsage:
    return an_hourly_usage(made, digest=digest, first_seen=at, last_seen=at)


async def _many_keys(store: RunningStore) -> list[ApiKey]:
    """Make keys that differ in all that can be asked for; newest first."""
    organization = an_organization()
    changes: list[dict[str, object]] = [
        {"name": "Billing job", "description": None},
        {"name": "100% \u00c9t\u00e9"},
        {"name": "nightly", "description": "BILLING_export"},
        {"expires_at": NOON},
        {"expires_at": NOON + DAY},
        {"expires_at": NOON + 30 * DAY, "external_id": "cust-1"},
        {"external_id": "cust-1"},
        {"external_id": "cust-2", "created_at": NOON + DAY},
        {"environment": "test", "created_by": "auth0|bob", "scopes": ("invoices:read", "reports:*")},
        {"scopes": ("invoices:read2",), "disabled_at": NOON},
    ]
    made = [await _created_for(store, organization, **change) for change in changes]
    await store.revoke(an_event(EventType.REVOKED, made[3].api_key), RevocationReason.UNSPECIFIED)
    rotation = a_rotation(made[0].api_key)
    await store.rotate(rotation)
    await store.add_usage([_use_of(made[0], made[0].secret_digest, NOON + HOUR)], a_batch())
    await store.add_usage([_use_of(made[1], made[1].secret_digest, NOON - HOUR)], a_batch())
    return (await store.list_newest(organization.id, limit=99, before=None)).items


def _filters(keys: list[ApiKey]) -> list[KeyFilter]:
    key = keys[-1]
    assert key.retiring is not None
    public, replaced = key.secret.public_key.text, key.retiring.public_key.text
    texts = [
        "billing",
        "100%",
        "g_e",
        "\u00c9",
        "\u00e9",
        *(public[:length] for length in (14, 30, 54, 57, len(public))),
    ]
    texts += [replaced, key.secret.display[-4:], key.retiring.display, public[:-1] + "!", "kw_pk_test", "nothing"]
    return [
        *(KeyFilter(at=NOON, status=status) for status in Status),
        KeyFilter(at=NOON, status=Status.ACTIVE, expires_before=NOON + DAY),
        KeyFilter(at=NOON, expires_before=NOON + DAY),
        *(KeyFilter(at=NOON, text=text) for text in texts),
        *(KeyFilter(at=NOON, environment=name) for name in ("live", "test", "other")),
        *(KeyFilter(at=NOON, external_id=name) for name in ("cust-1", "cust")),
        *(KeyFilter(at=NOON, unused_since=NOON + at) for at in (-HOUR, timedelta(), HOUR)),
        *(KeyFilter(at=NOON, created_by=subject) for subject in ("auth0|bob", "auth0|eve")),
        *(KeyFilter(at=NOON, scope=scope) for scope in ("invoices:read", "invoices", "reports:*", "reports:read")),
        *(KeyFilter(at=NOON, created_since=NOON + at) for at in (timedelta(microseconds=1), DAY)),
        *(KeyFilter(at=NOON, created_before=NOON + at) for at in (timedelta(), HOUR)),
        KeyFilter(at=NOON, status=Status.ACTIVE, environment="live", text="billing", unused_since=NOON + DAY),
    ]


async def _all_pages(store: RunningStore, which: KeyFilter, key: ApiKey) -> list[ApiKey]:
    shown: list[ApiKey] = []
    before: UUID | None = None
    while True:
        page = await store.list_newest(key.org_id, limit=2, before=before, which=which)
        assert len(page.items) <= 2
        shown += page.items
        before = page.next
        if before is None:
            return shown


async def _pages_of_events(
    store: RunningStore, organization: Organization, which: EventFilter, limit: int
) -> list[Event]:
    shown: list[Event] = []
    before: UUID | None = None
    while True:
        page = await store.events(organization.id, limit=limit, before=before, which=which)
        assert len(page.items) <= limit
        shown += [event for event, _ in page.items]
        before = page.next
        if before is None:
            return shown
