"""The promises of `service.operator.ports` about the keys of all organizations, on every store."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from keywright.keys.record import RevocationReason
from keywright.service.management.audit_log import Event, EventType, Origin
from keywright.service.management.ports import EventFilter, KeyFilter, NewApiKey
from keywright.service.management.task_ports import Removable
from keywright.service.operator import ports
from keywright.service.operator.ports import Actor, Batch, BulkRevocation, Target
from keywright.service.principal import Organization
from keywright.storage.engine import RunningStore
from tests.storage.chain import assert_chains
from tests.storage.making import ISSUER, NOON, Database, a_rotation, an_event, an_organization, new_id, new_key

HOUR = timedelta(hours=1)
READER = UUID(int=1)
ACTOR = Actor(issuer=ISSUER, subject="auth0|operator", client_id="ops", origin=Origin(request_id="r", address=None))


async def make(store: RunningStore, organization: Organization | None = None, **fields: object) -> NewApiKey:
    """Store a key of an organization, a new one unless it is given."""
    made = new_key(organization or an_organization(), **fields)
    await store.create(made)
    return made


def a_preview(target: Target, **changes: object) -> BulkRevocation:
    preview = BulkRevocation(
        id=new_id(),
        target=target,
        reason=RevocationReason.KEY_COMPROMISE,
        previewed_at=NOON,
        keys=1,
        organizations=1,
        actor=replace(ACTOR, subject="auth0|previewer"),
    )
    return replace(preview, **changes)  # type: ignore[arg-type]


async def started(store: RunningStore, target: Target) -> BulkRevocation:
    """Store a preview, start it, and read it back."""
    preview = a_preview(target)
    await store.add_preview(preview)
    await store.start_bulk_revocation(preview.id, ACTOR, NOON)
    return await read(store, preview)


async def read(store: RunningStore, revocation: BulkRevocation) -> BulkRevocation:
    found = await store.bulk_revocation(READER, revocation.id)
    assert found is not None
    return found


def revocations(batch: Batch) -> list[Event]:
    """Give an event for each key of a batch."""
    return [
        Event(
            id=new_id(),
            type=EventType.REVOKED,
            org_id=org_id,
            key_id=key_id,
            occurred_at=NOON + HOUR,
            issuer=ACTOR.issuer,
            subject=ACTOR.subject,
            client_id=ACTOR.client_id,
            origin=ACTOR.origin,
            data={"reason": "key_compromise"},
        )
        for org_id, key_id in sorted(batch.keys)
    ]


# find


async def test_find(store: RunningStore) -> None:
    """A key is found by its id, its public key and the digest of its private key, with its organization."""
    made = await make(store)
    await make(store)
    key = made.api_key
    by_id = await store.find_by_id(READER, key.id)
    assert by_id is not None
    assert (by_id.api_key, by_id.organization, by_id.deleted_at) == (key, made.organization, None)
    for found in (
        await store.find_by_digest(READER, made.secret_digest),
        await store.find_by_public_key(READER, key.secret.public_key.value),
    ):
        assert found is not None
        assert (found.key, found.secret) == (by_id, key.secret)


async def test_find_nothing(store: RunningStore) -> None:
    """What nobody has is not found."""
    await make(store)
    assert await store.find_by_id(READER, new_id()) is None
    assert await store.find_by_digest(READER, bytes(32)) is None
    assert await store.find_by_public_key(READER, bytes(32)) is None


async def test_find_by_an_ended_pair(store: RunningStore) -> None:
    """A key is found by a pair that a rotation has ended, and by its current one; each is given as it is."""
    made = await make(store)
    rotation = a_rotation(made.api_key, overlap=timedelta(0))
    await store.rotate(rotation)
    old = await store.find_by_digest(READER, made.secret_digest)
    new = await store.find_by_digest(READER, rotation.secret_digest)
    assert old is not None
    assert new is not None
    assert old.key == new.key
    assert old.secret.retires_at == rotation.retires_at
    assert (new.secret.public_key, new.secret.retires_at) == (rotation.secret.public_key, None)


async def test_find_a_deleted_key(store: RunningStore) -> None:
    """A deleted key is found by all of it, with the time and the subject of its deletion."""
    made = await make(store)
    event = an_event(EventType.DELETED, made.api_key)
    await store.delete(event)
    by_id = await store.find_by_id(READER, made.api_key.id)
    by_digest = await store.find_by_digest(READER, made.secret_digest)
    assert by_id is not None
    assert by_digest is not None
    assert by_digest.key == by_id
    assert (by_id.deleted_at, by_id.deleted_by) == (event.occurred_at, event.subject)


# lists


async def test_keys_of_all(store: RunningStore) -> None:
    """Keys of all organizations are listed newest first by page, without deleted ones, and each filter holds."""
    made = [await make(store, name=f"key {n}", external_id=f"c{n % 2}", created_by=f"u{n}") for n in range(5)]
    await store.delete(an_event(EventType.DELETED, made[2].api_key))
    kept = [each for each in reversed(made) if each is not made[2]]
    everything = KeyFilter(at=NOON)
    first = await store.keys_of_all(READER, limit=3, before=None, which=everything)
    assert [(key.api_key, key.organization) for key in first.items] == [
        (each.api_key, each.organization) for each in kept[:3]
    ]
    assert first.next == kept[2].api_key.id
    rest = await store.keys_of_all(READER, limit=3, before=first.next, which=everything)
    assert ([key.api_key.id for key in rest.items], rest.next) == ([kept[3].api_key.id], None)
    for which, expected in (
        (replace(everything, external_id="c1"), [made[3], made[1]]),
        (replace(everything, created_by="u4"), [made[4]]),
        (replace(everything, text="KEY 0"), [made[0]]),
        (replace(everything, text=made[1].api_key.secret.display), [made[1]]),
        (replace(everything, text=made[1].api_key.secret.public_key.text), [made[1]]),
        (replace(everything, external_id="c\0"), []),
    ):
        found = await store.keys_of_all(READER, limit=9, before=None, which=which)
        assert [key.api_key.id for key in found.items] == [each.api_key.id for each in expected]


async def test_keys_of_all_examines_a_bounded_number(store: RunningStore) -> None:
    """One call examines 500 keys, deleted ones among them; the rest begins at the last of these."""
    organization = an_organization()
    made = [await make(store, organization, name="old")]
    made += await asyncio.gather(*(make(store, organization) for _ in range(500)))
    ids = sorted((each.api_key.id for each in made), reverse=True)
    await store.delete(an_event(EventType.DELETED, max((each.api_key for each in made), key=lambda key: key.id)))
    which = KeyFilter(at=NOON, text="old")
    first = await store.keys_of_all(READER, limit=9, before=None, which=which)
    assert (first.items, first.next) == ([], ids[499])
    rest = await store.keys_of_all(READER, limit=9, before=first.next, which=which)
    assert ([key.api_key.id for key in rest.items], rest.next) == ([made[0].api_key.id], None)


async def test_events_of_all(store: RunningStore) -> None:
    """Events of all organizations are listed newest first by page, each with its place; each filter holds."""
    made = [await make(store) for _ in range(3)]
    revoked = an_event(EventType.REVOKED, made[0].api_key)
    await store.revoke(revoked, RevocationReason.UNSPECIFIED)
    expected = [revoked.id, *(each.event.id for each in reversed(made))]
    everything = EventFilter()
    first = await store.events_of_all(READER, limit=3, before=None, which=everything)
    assert [event.id for event, _ in first.items] == expected[:3]
    rest = await store.events_of_all(READER, limit=3, before=first.next, which=everything)
    assert ([event.id for event, _ in rest.items], rest.next) == (expected[3:], None)
    links = [place for _, place in first.items]
    assert [place is not None and place.position for place in links] == [2, 1, 1]
    for which, ids in (
        (EventFilter(key_id=made[1].api_key.id), [made[1].event.id]),
        (EventFilter(type=EventType.REVOKED), [revoked.id]),
        (EventFilter(subject="nobody"), []),
        (EventFilter(subject="\0"), []),
    ):
        found = await store.events_of_all(READER, limit=9, before=None, which=which)
        assert [event.id for event, _ in found.items] == ids


async def test_counted_organizations(store: RunningStore) -> None:
    """Organizations are listed by page, with the number of their keys that are neither revoked nor deleted."""
    organizations = sorted((an_organization() for _ in range(3)), key=lambda each: each.id, reverse=True)
    for number, organization in enumerate(organizations):
        made = [await make(store, organization) for _ in range(number + 1)]
    await store.revoke(an_event(EventType.REVOKED, made[0].api_key), RevocationReason.UNSPECIFIED)
    await store.delete(an_event(EventType.DELETED, made[1].api_key))
    first = await store.counted_organizations(READER, limit=2, before=None)
    rest = await store.counted_organizations(READER, limit=2, before=first[-1].organization.id)
    assert [each.organization for each in (*first, *rest)] == organizations
    assert [each.active_keys for each in (*first, *rest)] == [1, 2, 1]
    named = organizations[1]
    assert await store.counted_organization(READER, named.id) == first[1]
    assert await store.counted_organization_named(READER, named.issuer, named.external_id) == first[1]
    assert await store.counted_organization(READER, new_id()) is None
    assert await store.counted_organization_named(READER, named.issuer, "another") is None
    assert await store.counted_organization_named(READER, named.issuer, "\0") is None


# revocations of many keys


async def test_count_revocable(store: RunningStore) -> None:
    """A target's keys are counted by organization, without those that are revoked or deleted."""
    acme, globex = an_organization(), an_organization()
    made = [await make(store, acme, created_by="u1") for _ in range(4)]
    await make(store, acme, created_by="u2")
    await make(store, globex, created_by="u1")
    await store.revoke(an_event(EventType.REVOKED, made[0].api_key), RevocationReason.UNSPECIFIED)
    await store.delete(an_event(EventType.DELETED, made[1].api_key))
    for target, expected in (
        (Target(org_id=acme.id), {acme.id: 3}),
        (Target(created_by="u1"), {acme.id: 2, globex.id: 1}),
        (Target(org_id=acme.id, created_by="u1"), {acme.id: 2}),
        (Target(org_id=new_id()), {}),
    ):
        counted = await store.count_revocable(READER, target, after=ports.BEGIN)
        assert (counted.keys, counted.last) == (expected, None)
        batch = await store.revocable(target, after=ports.BEGIN)
        assert len(batch.keys) == sum(expected.values())
        assert batch.last is None
    beyond = await store.count_revocable(READER, Target(org_id=acme.id), after=made[2].api_key.id)
    assert beyond.keys == {acme.id: 2}


async def test_a_batch_is_bounded(store: RunningStore) -> None:
    """A batch has 500 keys at most, in ascending order; the next one begins above the last of them."""
    organization = an_organization()
    made = await asyncio.gather(*(make(store, organization) for _ in range(501)))
    ids = sorted(each.api_key.id for each in made)
    for target in (Target(org_id=organization.id), Target(created_by=made[0].api_key.created_by)):
        batch = await store.revocable(target, after=ports.BEGIN)
        assert [key_id for _, key_id in batch.keys] == ids[:500]
        assert batch.last == ids[499]
        rest = await store.revocable(target, after=batch.last)
        assert (rest.keys, rest.last) == ([(organization.id, ids[500])], None)


async def test_a_preview_is_read_back(store: RunningStore) -> None:
    """A preview comes back as it was stored, and does not run; listed, the newest comes first."""
    first = a_preview(Target(org_id=new_id()))
    second = a_preview(Target(org_id=new_id(), created_by="\N{SNOWMAN}"))
    for preview in (first, second):
        await store.add_preview(preview)
        assert await read(store, preview) == preview
    assert await store.bulk_revocations(READER, limit=9, before=None) == [second, first]
    assert await store.bulk_revocations(READER, limit=9, before=second.id) == [first]
    assert await store.running_bulk_revocations() == []
    assert await store.bulk_revocation(READER, new_id()) is None
    with pytest.raises(ValueError, match="character"):
        await store.add_preview(a_preview(Target(created_by="\0")))


async def test_start(store: RunningStore) -> None:
    """A revocation starts once, in the name of the one that starts it; then it runs until its last step."""
    revocation = await started(store, Target(created_by="u"))
    assert (revocation.started_at, revocation.actor) == (NOON, ACTOR)
    await store.start_bulk_revocation(revocation.id, replace(ACTOR, subject="another"), NOON + HOUR)
    assert await store.running_bulk_revocations() == [revocation]
    await store.revoke_many(revocation, [], position=ports.BEGIN, finished_at=NOON + HOUR)
    assert await store.running_bulk_revocations() == []
    assert (await read(store, revocation)).finished_at == NOON + HOUR


async def test_revoke_many(store: RunningStore, database: Database) -> None:
    """A step revokes its keys with an event each, in the chains of their organizations, and leaves ended ones."""
    made = [await make(store, created_by="u") for _ in range(3)]
    other = await make(store)
    before = an_event(EventType.REVOKED, made[1].api_key)
    revocation = await started(store, Target(created_by="u"))
    batch = await store.revocable(revocation.target, after=ports.BEGIN)
    await store.revoke(before, RevocationReason.SUPERSEDED)
    events = revocations(batch)
    await store.revoke_many(revocation, events, position=batch.keys[-1][1], finished_at=None)
    keys = [await store.get(each.api_key.org_id, each.api_key.id) for each in (*made, other)]
    assert [key is not None and (key.revocation_reason, key.revoked_by) for key in keys] == [
        (RevocationReason.KEY_COMPROMISE, ACTOR.subject),
        (RevocationReason.SUPERSEDED, before.subject),
        (RevocationReason.KEY_COMPROMISE, ACTOR.subject),
        (None, None),
    ]
    stored = {row["id"] for row in database.table("events") if row["type"] == EventType.REVOKED}
    done = [event for event in events if event.key_id != made[1].api_key.id]
    assert stored == {before.id, *(event.id for event in done)}
    found = await read(store, revocation)
    assert (found.revoked, found.position, found.finished_at) == (2, batch.keys[-1][1], None)
    assert found.last == (done[-1].org_id, done[-1].key_id)
    receipt = await store.receipt(*found.last)
    assert receipt is not None
    changed = [row["changed_id"] for row in sorted(database.table("changes"), key=lambda row: row["seq"])]
    assert changed[-1] == done[-1].key_id
    await assert_chains(store, database)


async def test_a_step_is_done_once(store: RunningStore) -> None:
    """Of several processes that take the same step one does it, and a step after the last one is not done."""
    made = await make(store, created_by="u")
    revocation = await started(store, Target(created_by="u"))
    batch = await store.revocable(revocation.target, after=ports.BEGIN)
    end = {"position": made.api_key.id, "finished_at": NOON + HOUR}
    await asyncio.gather(*(store.revoke_many(revocation, revocations(batch), **end) for _ in range(4)))
    found = await read(store, revocation)
    assert (found.revoked, found.finished_at) == (1, NOON + HOUR)
    await store.revoke_many(found, [], position=new_id(), finished_at=None)
    assert await read(store, revocation) == found


async def test_a_preview_is_no_revocation(store: RunningStore) -> None:
    """No key of a preview that was not started is revoked."""
    made = await make(store, created_by="u")
    preview = a_preview(Target(created_by="u"))
    await store.add_preview(preview)
    batch = await store.revocable(preview.target, after=ports.BEGIN)
    await store.revoke_many(preview, revocations(batch), position=made.api_key.id, finished_at=NOON)
    assert await store.get(made.api_key.org_id, made.api_key.id) == made.api_key
    assert await read(store, preview) == preview


async def test_purge(store: RunningStore) -> None:
    """Previews that were not started are removed by their age, and revocations by their end; a running one stays."""
    preview = a_preview(Target(created_by="u"))
    await store.add_preview(preview)
    running, done = await started(store, Target(created_by="u")), await started(store, Target(created_by="u"))
    await store.revoke_many(done, [], position=ports.BEGIN, finished_at=NOON)
    early = NOON - timedelta(microseconds=1)
    for kind in (Removable.PREVIEWS, Removable.BULK_REVOCATIONS):
        assert await store.purge(kind, early, limit=9) == 0
        assert await store.purge(kind, NOON + HOUR, limit=9) == 1
    assert await store.bulk_revocations(READER, limit=9, before=None) == [running]
