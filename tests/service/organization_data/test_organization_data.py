"""All data of one organization: exported line by line, and erased so that the audit still proves the rest."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from keywright.keys.record import RevocationReason
from keywright.keys.verdict import Code
from keywright.service.management.audit import audit
from keywright.service.management.audit_log import SERVICE, EventType, Origin
from keywright.service.management.erasure import ERASED_NAME, EVENTS_IN_AN_ERASURE, NotErasable
from keywright.service.operator.ports import Actor, BulkRevocation, Target
from keywright.service.organization_data.erasure import ErasedData, OrganizationErasure
from keywright.service.organization_data.export import ROWS_AT_ONCE, export
from keywright.service.principal import Organization
from keywright.storage.engine import RunningStore
from tests.service.recovery.restoring import Live, clock
from tests.storage.checking_making import a_batch, an_hourly_usage
from tests.storage.making import (
    NOON,
    Database,
    a_rotation,
    a_sealed_answer,
    an_event,
    an_organization,
    new_id,
    new_key,
)

NO_REQUEST = Origin(request_id="none", address=None)
PERSONAL: dict[str, Any] = {
    "name": "Ann's key",
    "description": "of Ann",
    "external_id": "ann-1",
    "metadata": {"owner": "Ann"},
    "allowed_ips": ("192.0.2.1/32",),
    "created_by": "auth0|ann",
}


async def lines(store: RunningStore, organization: Organization) -> list[dict[str, Any]]:
    counted = await store.counted_organization(organization.id, organization.id)
    assert counted is not None
    return [json.loads(json.dumps(line)) async for line in export(store, counted)]


async def erase(store: RunningStore, organization: Organization) -> ErasedData:
    return await OrganizationErasure(store=store, clock=clock, new_id=new_id).erase(organization.id)


async def fill(store: RunningStore, organization: Organization, *, used_at: datetime = NOON) -> list[UUID]:
    """Store a key that was rotated, one that was revoked, and one that was deleted; all were used and refused."""
    made = [new_key(organization, **PERSONAL) for _ in range(3)]
    for each in made:
        await store.create(replace(each, sealed_answer=a_sealed_answer()))
        use = an_hourly_usage(each, hour=used_at.replace(minute=0, second=0, microsecond=0), agent="Ann's laptop")
        await store.add_usage([use, use._replace(code=Code.EXPIRED)], a_batch())
    rotated, revoked, deleted = made
    await store.rotate(a_rotation(rotated.api_key))
    await store.revoke(an_event(EventType.REVOKED, revoked.api_key), RevocationReason.SUPERSEDED)
    await store.delete(an_event(EventType.DELETED, deleted.api_key))
    return [each.api_key.id for each in made]


def a_preview(org_id: UUID) -> BulkRevocation:
    return BulkRevocation(
        id=new_id(),
        target=Target(org_id=org_id),
        reason=RevocationReason.SUPERSEDED,
        previewed_at=NOON,
        keys=1,
        organizations=1,
        actor=Actor(issuer="x", subject="auth0|olivia", client_id=None, origin=NO_REQUEST),
    )


async def end(store: RunningStore, organization: Organization) -> None:
    """Revoke the keys of an organization."""
    for key in (await store.list_newest(organization.id, limit=1000, before=None)).items:
        event = an_event(EventType.REVOKED, key, subject=SERVICE, issuer=SERVICE, origin=NO_REQUEST)
        await store.revoke(event, RevocationReason.CESSATION_OF_OPERATION)


async def test_an_export(database: Live) -> None:
    """Every row of the organization is a line, none of another one's is, and none opens anything."""
    organization, other = an_organization(), an_organization()
    async with database.store() as store:
        keys = await fill(store, organization)
        await fill(store, other)
        for target in (organization.id, other.id):
            await store.add_preview(a_preview(target))
        found = await lines(store, organization)
        others = await lines(store, other)
    assert (found[0]["type"], found[0]["id"], found[0]["external_id"], found[0]["active_keys"]) == (
        "organization",
        str(organization.id),
        organization.external_id,
        1,
    )
    kinds = [line["type"] for line in found]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "organization": 1,
        "api_key": 3,
        "secret": 4,
        "usage": 3,
        "refusals": 3,
        "source": 3,
        "refused_source": 3,
        "bulk_revocation": 1,
        "event": 6,
    }
    exported = {line["id"]: line for line in found if line["type"] == "api_key"}
    assert exported.keys() == set(map(str, keys))
    first = exported[str(keys[0])]
    assert {name: first[name] for name in PERSONAL} == {**PERSONAL, "allowed_ips": ["192.0.2.1/32"]}
    assert [exported[str(key)]["deleted_at"] is None for key in keys] == [True, True, False]
    assert [line["position"] for line in found if line["type"] == "event"] == [1, 2, 3, 4, 5, 6]
    assert {line["key_id"] for line in found if line["type"] == "source"} == set(map(str, keys))
    assert not {str(line) for line in found} & {str(line) for line in others}
    text = json.dumps(found)
    stored = Database(f"sqlite:///{database.path}").query("SELECT secret_digest FROM api_key_secrets")
    assert not [row for row in stored if row["secret_digest"].hex() in text]


async def test_an_export_of_many_keys(database: Live) -> None:
    """Keys are read page by page, each once."""
    organization = an_organization()
    async with database.store() as store:
        await asyncio.gather(*[store.create(new_key(organization)) for _ in range(ROWS_AT_ONCE + 2)])
        found = [line["id"] for line in await lines(store, organization) if line["type"] == "api_key"]
    assert (len(found), len(set(found))) == (ROWS_AT_ONCE + 2, ROWS_AT_ONCE + 2)


async def test_an_erasure(database: Live) -> None:
    """
    Nothing of an erased organization names a person, and the audit proves the rest; another organization is as it was.

    A second run erases nothing.
    """
    organization, other = an_organization(), an_organization()
    async with database.store() as store:
        await fill(store, organization)
        await fill(store, other)
        before = await lines(store, other)
        await end(store, organization)
        assert await erase(store, organization) == ErasedData(keys=3, events=6, answers=3)
        found = await lines(store, organization)
        report = await audit(store, organization.id)
        assert (report.findings, report.erased, report.head.position) == ([], 6, 11)
        assert await lines(store, other) == before
        assert await erase(store, organization) == ErasedData()
        assert await lines(store, organization) == found
    text = json.dumps(found).lower()
    assert [word for word in ("ann", "alice", "bob", "192.0.2", "nightly") if word in text] == []
    keys = [line for line in found if line["type"] == "api_key"]
    assert {key["name"] for key in keys} == {ERASED_NAME}
    assert {line["type"] for line in found} == {"organization", "api_key", "secret", "usage", "refusals", "event"}


async def test_an_erasure_of_many_keys(database: Live) -> None:
    """Keys are erased page by page, each once."""
    organization = an_organization()
    await database.create(organization, 5)
    async with database.store() as store:
        await end(store, organization)
        erasure = OrganizationErasure(store=store, clock=clock, new_id=new_id, at_once=2)
        assert await erasure.erase(organization.id) == ErasedData(keys=5, events=5)


async def test_a_key_that_works_is_left(database: Live) -> None:
    """A key that was created meanwhile works as it did: its networks are not removed while it can be used."""
    organization = an_organization()
    async with database.store() as store:
        made = new_key(organization, **PERSONAL)
        await store.create(made)
        erased = await erase(store, organization)
        assert (erased.keys, erased.events) == (0, 1)
        assert await store.get(organization.id, made.api_key.id) == made.api_key


async def test_sources_that_came_later(database: Live) -> None:
    """Sources that were reported after an erasure are removed by the next one, which has an event, too."""
    organization = an_organization()
    async with database.store() as store:
        made = new_key(organization)
        await store.create(made)
        await end(store, organization)
        await erase(store, organization)
        use = an_hourly_usage(made, hour=datetime.now(UTC).replace(minute=0, second=0, microsecond=0))
        await store.add_usage([use._replace(code=Code.REVOKED)], a_batch())
        assert await erase(store, organization) == ErasedData(keys=1)
        assert [line for line in await lines(store, organization) if line["type"] == "refused_source"] == []


async def test_many_events(database: Live) -> None:
    """More events than one erasure names are erased by several."""
    organization = an_organization()
    async with database.store() as store:
        await asyncio.gather(*[store.create(new_key(organization)) for _ in range(EVENTS_IN_AN_ERASURE)])
        assert (await erase(store, organization)).events == EVENTS_IN_AN_ERASURE
        assert (await store.chain_end(organization.id))[0] == EVENTS_IN_AN_ERASURE + 1


async def test_an_event_that_was_altered(database: Live) -> None:
    """An altered event is not erased, because its rest cannot be vouched for; one that cannot be read is left."""
    organization = an_organization()
    await database.create(organization, 2)
    database.query("UPDATE events SET type = 'nonsense' WHERE seq = 1")
    async with database.store() as store:
        assert (await erase(store, organization)).events == 1
    database.query("UPDATE events SET type = 'api_key.deleted' WHERE seq = 1")
    async with database.store() as store:
        with pytest.raises(NotErasable, match="position 1 was altered"):
            await erase(store, organization)


async def test_events_of_the_service(database: Live) -> None:
    """An event of the service itself names nobody, unless its data does."""
    organization = an_organization()
    async with database.store() as store:
        for data in ({"days": 7}, {"name": "Ann's key"}):
            made = new_key(organization)
            event = an_event(EventType.EXPIRING, made.api_key, subject=SERVICE, origin=NO_REQUEST, data=data)
            await store.create(replace(made, event=event))
        assert (await erase(store, organization)).events == 1
