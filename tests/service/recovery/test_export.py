"""What is kept elsewhere: heads and events of all organizations, in bounded pieces."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from keywright.service.management.audit import PAGE
from keywright.service.recovery.export import chain, events, heads
from tests.service.recovery.restoring import Live, clock
from tests.storage.making import an_organization, new_id, new_key

SECOND = timedelta(seconds=1)


async def test_heads_of_many(database: Live) -> None:
    """Each organization has one head, in ascending order, however many pages they take."""
    organizations = [an_organization() for _ in range(5)]
    for organization in organizations:
        await database.create(organization)
    async with database.store() as store:
        found = [kept.org_id async for kept in heads(store, clock, at_once=2)]
    assert found == sorted(organization.id for organization in organizations)


async def test_a_long_log(database: Live) -> None:
    """All positions are given in order, page by page; a log of one organization has no other's."""
    organization = an_organization()
    async with database.store() as store:
        await asyncio.gather(*[store.create(new_key(organization)) for _ in range(PAGE + 3)])
        await store.create(new_key(an_organization()))
        found = [kept.link.position async for kept in events(store, clock, org_id=organization.id)]
        assert found == list(range(1, PAGE + 4))
        assert len([kept async for kept in events(store, clock)]) == PAGE + 4
        assert [kept async for kept in events(store, clock, org_id=new_id())] == []


async def test_since(database: Live) -> None:
    """A log since a moment begins with the first event from then on, and has all after it."""
    organization, quiet = an_organization(), an_organization()
    await database.create(quiet)
    await database.create(organization, 3)
    async with database.store() as store:
        assert await positions(store, datetime.now(UTC) + SECOND) == []
        # These events are of a time in the past.
        found = await positions(store, datetime(2026, 11, 1, tzinfo=UTC))
        assert sorted(found) == sorted([(quiet.id, 1), *((organization.id, n) for n in (1, 2, 3))])


async def test_positions_that_are_missing(database: Live) -> None:
    """A position that was removed with a database client is passed over, and the log ends where it ended."""
    organization = an_organization()
    await database.create(organization, 4)
    database.query("DELETE FROM event_chain WHERE position IN (2, 4)")
    async with database.store() as store:
        assert [number for _, number in await positions(store, None)] == [1, 3]
        # Two positions are asked for, and the page has the third.
        assert [kept.link.position async for kept in chain(store, organization.id, 1, 2)] == [1]


async def positions(store: Any, since: datetime | None) -> list[tuple[UUID, int]]:
    return [(kept.org_id, kept.link.position) async for kept in events(store, clock, since=since)]
