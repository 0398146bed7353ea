"""Holds the chains of events in a database to what they are, reading it through a store and behind its back."""

from uuid import UUID

from keywright.service.management.audit_log import CHAIN_BEGINS, link
from keywright.service.management.audit_ports import AuditStore
from keywright.service.management.ports import Link
from tests.storage.making import Database

PAGE = 100


async def assert_chains(store: AuditStore, database: Database) -> None:
    """Hold that every event with a digest has one place in an unbroken chain, and that each chain ends at its head."""
    counted = database.query("SELECT org_id, count(*) AS n FROM events WHERE digest IS NOT NULL GROUP BY org_id")
    expected = {UUID(bytes=row["org_id"]) if database.is_sqlite else row["org_id"]: row["n"] for row in counted}
    found: dict[UUID, int] = {}
    for org_id in await store.chained_organizations():
        places = await _all_links(store, org_id)
        head = CHAIN_BEGINS
        for position, place in enumerate(places, start=1):
            assert place.event is not None
            assert place.event.org_id == org_id
            assert place.digest == place.event.digest
            head = link(head, place.digest)
            assert (place.position, place.hash) == (position, head)
        assert await store.chain_end(org_id) == (len(places), head)
        assert await store.unchained_events(org_id) == []
        found[org_id] = len(places)
    assert {org_id: count for org_id, count in found.items() if count} == expected


async def _all_links(store: AuditStore, org_id: UUID) -> list[Link]:
    places: list[Link] = []
    while page := await store.links(org_id, after=len(places), limit=PAGE):
        places += page
    return places
