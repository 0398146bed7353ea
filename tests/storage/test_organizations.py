"""Stored organizations: an id has one owner, whoever comes first, and the database holds that it stays so."""

import asyncio
import sqlite3
from dataclasses import replace
from uuid import UUID

import asyncpg
import pytest

from keywright.service.management.ports import Outcome
from keywright.service.principal import Organization
from keywright.storage.engine import RunningStore, open_store
from tests.storage.making import ISSUER, Database, a_sealed_answer, an_organization, new_id, new_key


@pytest.mark.parametrize("other", [{"issuer": "https://other.example/"}, {"external_id": "two"}])
async def test_an_id_has_one_owner(store: RunningStore, database: Database, other: dict[str, str]) -> None:
    """Nothing is stored for an organization whose id another issuer or external id has; the owner goes on."""
    ours = Organization(new_id(), ISSUER, "one")
    await store.create(new_key(ours))
    before = database.counts()
    theirs = replace(new_key(replace(ours, **other)), sealed_answer=a_sealed_answer())
    for bound in (None, 10):
        assert await store.create(replace(theirs, most_active=bound)) is Outcome.OTHER_OWNER
    assert database.counts() == before
    assert database.table("idempotent_answers") == []
    assert await store.create(new_key(ours)) is Outcome.DONE


async def test_an_owner_has_one_id(store: RunningStore, database: Database) -> None:
    """Nothing is stored for an issuer and external id that are stored with another id."""
    ours = Organization(new_id(), ISSUER, "one")
    await store.create(new_key(ours))
    before = database.counts()
    assert await store.create(new_key(replace(ours, id=new_id()))) is Outcome.OTHER_OWNER
    assert database.counts() == before


async def test_first_creations_at_once(store: RunningStore, database: Database) -> None:
    """Of many owners that claim one new id at once, on two stores, one gets it, and all keys are of that one."""
    other = open_store(database.url)
    await other.start()
    claimed = [Organization(UUID(int=1 << 64), ISSUER, f"org_{number % 5}") for number in range(50)]
    try:
        creations = [(store, other)[n % 2].create(new_key(each)) for n, each in enumerate(claimed)]
        outcomes = await asyncio.gather(*creations)
    finally:
        await other.close()
    (row,) = database.table("organizations")
    done = [each.external_id for each, outcome in zip(claimed, outcomes, strict=True) if outcome is Outcome.DONE]
    assert done == [row["external_id"]] * 10
    assert set(outcomes) == {Outcome.DONE, Outcome.OTHER_OWNER}
    assert database.counts()["api_keys"] == 10


async def test_one_owner_refuses_no_other(store: RunningStore) -> None:
    """Creations that share a commit with one for a foreign id are done."""
    ours = Organization(new_id(), ISSUER, "one")
    await store.create(new_key(ours))
    theirs = replace(ours, external_id="two")
    outcomes = await asyncio.gather(*(store.create(new_key((ours, theirs)[n % 2])) for n in range(20)))
    assert outcomes == [Outcome.DONE, Outcome.OTHER_OWNER] * 10


async def test_organizations_like(store: RunningStore) -> None:
    """Stored organizations are found by their id, and by their issuer and external id; others are not."""
    one, two = Organization(new_id(), ISSUER, "one"), Organization(new_id(), ISSUER, "two")
    for organization in (one, two):
        await store.create(new_key(organization))
    assert await store.organizations_like(one) == [one]
    assert await store.organizations_like(replace(one, external_id="three")) == [one]
    assert await store.organizations_like(replace(one, id=new_id())) == [one]
    assert set(await store.organizations_like(replace(one, external_id="two"))) == {one, two}
    assert await store.organizations_like(Organization(new_id(), "https://other.example/", "one")) == []


async def test_self_named_organizations(store: RunningStore) -> None:
    """Organizations are found whose id of version 5 is their own external id, in any case, and no others."""
    five, four = UUID("6f1f2c1e-3a8e-5b0f-8a43-0f6f5c1e9d21"), UUID("6f1f2c1e-3a8e-4b0f-8a43-0f6f5c1e9d21")
    other = UUID("7f1f2c1e-3a8e-5b0f-8a43-0f6f5c1e9d21")
    found = [Organization(five, ISSUER, str(five)), Organization(other, ISSUER, str(other).upper())]
    others = [Organization.named(ISSUER, "org_1"), Organization.named(ISSUER, str(four))]
    for organization in (*found, *others):
        await store.create(new_key(organization))
    assert await store.self_named_organizations(limit=3) == found
    assert await store.self_named_organizations(limit=1) == found[:1]


async def test_an_organization_never_changes(store: RunningStore, database: Database) -> None:
    """The database itself refuses to give an organization another owner, or to forget it."""
    await store.create(new_key(an_organization()))
    before = database.table("organizations")
    for statement in ("UPDATE organizations SET external_id = 'mine'", "DELETE FROM organizations"):
        with pytest.raises((sqlite3.IntegrityError, asyncpg.RestrictViolationError), match="never change"):
            database.query(statement)
    assert database.table("organizations") == before
