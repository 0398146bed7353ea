"""The chain of events on both engines: the same links, unbroken whatever happens at once, and what tampering shows."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from keywright.service.management.audit_log import CHAIN_BEGINS, EventType, link, storable
from keywright.service.management.ports import Outcome
from keywright.storage.engine import RunningStore
from tests.storage.chain import assert_chains
from tests.storage.checking_making import literal
from tests.storage.contract import assert_trail_agrees
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


async def test_links_are_what_is_written(store: RunningStore) -> None:
    """Each place has the hash over the one before and the event's digest, and the chain ends where the last one is."""
    made = new_key(an_organization())
    org_id = made.organization.id
    assert await store.chain_end(org_id) == (0, CHAIN_BEGINS)
    assert await store.links(org_id, after=0, limit=9) == []
    await store.create(made)
    revocation = an_event(EventType.REVOKED, made.api_key)
    await store.revoke(revocation, UNSPECIFIED)
    first = link(CHAIN_BEGINS, made.event.digest)
    second = link(first, revocation.digest)
    places = await store.links(org_id, after=0, limit=9)
    assert [(place.position, place.hash, place.digest, place.event) for place in places] == [
        (1, first, made.event.digest, made.event),
        (2, second, revocation.digest, revocation),
    ]
    assert await store.links(org_id, after=1, limit=9) == places[1:]
    assert await store.links(org_id, after=0, limit=1) == places[:1]
    assert await store.chain_end(org_id) == (2, second)
    assert await store.chained_organizations() == [org_id]


async def test_numbers_in_the_data(store: RunningStore) -> None:
    """An event whose data has any numbers and texts is read back with the digest that is in the chain."""
    numbers = [0.1, 1.0, -0.0, 1e16, 1e23, -2.5e-300, 1e308, 5e-324, 10**400, 12345678901234567890, True, None]
    made = new_key(an_organization())
    await store.create(made)
    data = storable(
        {"before": {"metadata": {}}, "after": {"metadata": {"n": numbers, "\N{GRINNING FACE} \0": ["\0", ""]}}}
    )
    event = replace(an_event(EventType.UPDATED, made.api_key), data=data)
    assert await store.update(made.api_key, event) is Outcome.DONE
    place = (await store.links(made.organization.id, after=1, limit=1))[0]
    assert place.event is not None
    assert place.event.digest == place.digest == event.digest


async def test_a_change_that_is_not_made_has_no_place(store: RunningStore, database: Database) -> None:
    """What is refused, outdated or repeated leaves neither an event nor a place."""
    organization, sealed_answer = an_organization(), a_sealed_answer()
    made = replace(new_key(organization), sealed_answer=sealed_answer)
    await store.create(made)
    await store.create(replace(new_key(organization), sealed_answer=sealed_answer))
    await store.create(replace(new_key(organization), most_active=1))
    await store.rotate(a_rotation(replace(made.api_key, version=9)))
    with pytest.raises(ValueError, match="refuses"):
        await store.create(replace(new_key(organization), secret_digest=made.secret_digest))
    assert await store.chain_end(organization.id) == (1, link(CHAIN_BEGINS, made.event.digest))
    await assert_chains(store, database)


async def test_chains_of_many_at_once(store: RunningStore, database: Database) -> None:
    """Whatever two processes do to few organizations at once, every chain is unbroken and no call fails."""
    organizations = [an_organization() for _ in range(4)]

    async def live(number: int, store: RunningStore) -> None:
        organization = organizations[number % 4]
        made = replace(new_key(organization), sealed_answer=a_sealed_answer() if number % 3 == 0 else None)
        await store.create(made)
        key = made.api_key
        await store.update(replace(key, name="renamed"), an_event(EventType.UPDATED, key))
        await store.rotate(a_rotation(replace(key, version=2)))
        event = an_event(EventType.ROTATION_CHANGED, key, occurred_at=NOON)
        await store.set_retirement(event, version=3, retires_at=NOON + timedelta(days=1))
        await store.revoke(an_event(EventType.REVOKED, key), UNSPECIFIED)
        if number % 2:
            await store.delete(an_event(EventType.DELETED, key))

    async with running(database.url) as other:
        await asyncio.gather(*[live(number, (store, other)[number % 2]) for number in range(60)])
    assert database.counts()["events"] == 60 * 5 + 30
    await assert_chains(store, database)
    assert_trail_agrees(database)


async def test_chains_of_batches_at_once(store: RunningStore, database: Database) -> None:
    """Creations that share commits with others of the same organizations, in two processes, all have their places."""
    organizations = [an_organization() for _ in range(5)]
    async with running(database.url) as other:
        await asyncio.gather(
            *[(store, other)[number % 2].create(new_key(organizations[number % 5])) for number in range(300)]
        )
    assert database.counts()["events"] == 300
    await assert_chains(store, database)


async def test_what_tampering_shows(store: RunningStore, database: Database) -> None:
    """An event that was altered, made unreadable, removed or slipped in shows in what is read of the chain."""
    organization = an_organization()
    made = [new_key(organization) for _ in range(4)]
    for new in made:
        await store.create(new)
    _disable_guards(database)
    altered, unreadable, removed, loose = [literal(database, new.event.id) for new in made]
    database.query(f"UPDATE events SET subject = 'auth0|eve' WHERE id = {altered}")
    database.query(f"UPDATE events SET type = 'api_key.blessed' WHERE id = {unreadable}")
    database.query(f"DELETE FROM events WHERE id = {removed}")
    database.query(f"DELETE FROM event_chain WHERE event_id = {loose}")
    first, second, third = await store.links(organization.id, after=0, limit=9)
    assert first.event is not None
    assert first.event.subject == "auth0|eve"
    assert first.digest == made[0].event.digest != first.event.digest
    assert (second.event, second.digest) == (None, made[1].event.digest)
    assert (third.event, third.digest) == (None, None)
    assert await store.unchained_events(organization.id) == [made[3].event.id]
    assert (await store.chain_end(organization.id))[0] == 4


async def test_places_are_only_added(store: RunningStore, database: Database) -> None:
    """A place in a chain can be neither changed nor removed unless the guard is switched off first."""
    await store.create(new_key(an_organization()))
    for statement in ("UPDATE event_chain SET position = 2", "DELETE FROM event_chain"):
        with pytest.raises(Exception, match="events are only ever added"):
            database.query(statement)


def _disable_guards(database: Database) -> None:
    if database.is_sqlite:
        for trigger in ("events_refuse_update", "events_refuse_delete", "event_chain_refuse_delete"):
            database.query(f"DROP TRIGGER {trigger}")
    else:
        database.query("ALTER TABLE events DISABLE TRIGGER events_guard")
        database.query("ALTER TABLE event_chain DISABLE TRIGGER event_chain_guard")
