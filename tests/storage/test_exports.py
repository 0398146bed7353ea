"""The promises of `service.recovery.ports` and `service.organization_data.ports`, on both engines."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from keywright.keys.rate_limits import RateLimit
from keywright.keys.record import RevocationReason
from keywright.keys.verdict import Code
from keywright.service.management.audit import Head
from keywright.service.management.audit_log import EventType
from keywright.service.management.erasure import key_erasure
from keywright.service.management.ports import NewApiKey
from keywright.service.operator.ports import Actor, BulkRevocation, Target
from keywright.service.organization_data.ports import Part
from keywright.storage.engine import RunningStore
from keywright.storage.exports.statements import PARTS, page
from tests.storage.checking_making import HOUR, a_batch, an_hourly_usage, literal
from tests.storage.making import (
    NOON,
    ORIGIN,
    UNSPECIFIED,
    Database,
    a_rotation,
    a_sealed_answer,
    allow_undigested,
    an_event,
    an_organization,
    new_id,
    new_key,
)

FIRST = UUID(int=0)
DAY = timedelta(days=1)


async def all_of(store: RunningStore, part: Part, owner: UUID, limit: int = 1) -> list[Mapping[str, Any]]:
    """Read a part in pages as small as this."""
    found: list[Mapping[str, Any]] = []
    after: Sequence[Any] | None = None
    while True:
        rows = await store.data(part, owner, after=after, limit=limit)
        assert len(rows.rows) <= limit
        found += rows.rows
        after = rows.next
        if after is None:
            return found


def erasure(made: NewApiKey) -> Any:
    return key_erasure(made.api_key.org_id, made.api_key.id, NOON, new_id())


# Chains


async def test_heads_page_by_page(store: RunningStore) -> None:
    """Ends of chains come in ascending order of organization, each as `chain_end` gives it."""
    organizations = sorted([an_organization() for _ in range(3)], key=lambda each: each.id)
    for organization in organizations:
        await store.create(new_key(organization))
    first = await store.chain_heads(after=FIRST, limit=2)
    rest = await store.chain_heads(after=first[-1].org_id, limit=2)
    assert [each.org_id for each in (*first, *rest)] == [each.id for each in organizations]
    assert [each.head for each in first] == [Head(*await store.chain_end(each.id)) for each in organizations[:2]]
    assert await store.chain_heads(after=rest[-1].org_id, limit=2) == []


async def test_hashes(store: RunningStore) -> None:
    """Hashes are those of the links."""
    organization = an_organization()
    for _ in range(4):
        await store.create(new_key(organization))
    links = await store.links(organization.id, after=1, limit=2)
    assert await store.hashes(organization.id, after=1, limit=2) == [Head(each.position, each.hash) for each in links]
    assert await store.hashes(new_id(), after=0, limit=2) == []


async def test_the_first_event_since(store: RunningStore) -> None:
    """The lowest position of those from a moment on is found, although clocks of processes were apart."""
    organization, other = an_organization(), an_organization()
    await store.create(new_key(other))
    for days in (0, 3, 2, 4):
        made = new_key(organization)
        await store.create(replace(made, event=replace(made.event, occurred_at=NOON + days * DAY)))
    found = [await store.first_since(organization.id, NOON + days * DAY) for days in (-9999, 0, 1, 3, 4)]
    assert found == [1, 1, 2, 2, 4]
    # The id says that the event is later than its time, and none is as late as this.
    assert await store.first_since(organization.id, datetime.now(UTC) + DAY) is None


# Parts


async def test_all_of_a_key(store: RunningStore) -> None:
    """Every column of keys, pairs, usage, refusals and sources is read, a row at a time, without any digest."""
    organization = an_organization()
    made = new_key(
        organization,
        expires_at=NOON + DAY,
        scopes=("reports:read",),
        allowed_ips=("192.0.2.0/24",),
        rate_limits=(RateLimit("minute", 100, 60),),
        metadata={"plan": ["team", 1.5]},
        external_id="customer-1",
    )
    await store.create(made)
    rotation = a_rotation(made.api_key)
    await store.rotate(rotation)
    for hours in (0, 1):
        hour = HOUR + timedelta(hours=hours)
        use = an_hourly_usage(made, hour=hour, agent=f"agent-{hours}")
        refusals = [use._replace(code=code, count=2) for code in (Code.EXPIRED, Code.IP_NOT_ALLOWED)]
        await store.add_usage([use, *refusals], a_batch())
    (key,) = await all_of(store, Part.KEYS, organization.id)
    assert key == {
        "id": str(made.api_key.id),
        "name": "billing",
        "description": "for the nightly job",
        "environment": "live",
        "created_at": "2026-11-15T12:00:00.123456Z",
        "created_by": "auth0|alice",
        "expires_at": "2026-11-16T12:00:00.123456Z",
        "disabled_at": None,
        "revoked_at": None,
        "revoked_by": None,
        "revocation_reason": None,
        "deleted_at": None,
        "deleted_by": None,
        "scopes": ["reports:read"],
        "allowed_ips": ["192.0.2.0/24"],
        "rate_limits": [{"name": "minute", "limit": 100, "window_seconds": 60}],
        "metadata": {"plan": ["team", 1.5]},
        "external_id": "customer-1",
        "version": 2,
    }
    secrets = await all_of(store, Part.SECRETS, made.api_key.id)
    assert {each["public_key"] for each in secrets} == {
        made.api_key.secret.public_key.text,
        rotation.secret.public_key.text,
    }
    assert [each["hour"] for each in await all_of(store, Part.USAGE, made.api_key.id)] == [
        "2026-11-15T12:00:00.000000Z",
        "2026-11-15T13:00:00.000000Z",
    ]
    refused = await all_of(store, Part.REFUSALS, made.api_key.id)
    assert [(each["hour"][11:13], each["code"], each["count"]) for each in refused] == [
        ("12", "expired", 2),
        ("12", "ip_not_allowed", 2),
        ("13", "expired", 2),
        ("13", "ip_not_allowed", 2),
    ]
    sources = await all_of(store, Part.SOURCES, made.api_key.id)
    assert sorted((each["agent"], each["network"], each["key_id"]) for each in sources) == [
        (f"agent-{hours}", "192.0.2.0/24", str(made.api_key.id)) for hours in (0, 1)
    ]
    assert len(await all_of(store, Part.REFUSED_SOURCES, made.api_key.id)) == 4


async def test_deleted_keys_are_apart(store: RunningStore) -> None:
    """A deleted key is among the deleted ones alone; keys of another organization are among neither."""
    organization = an_organization()
    kept, deleted = new_key(organization), new_key(organization)
    for each in (kept, deleted, new_key(an_organization())):
        await store.create(each)
    await store.delete(an_event(EventType.DELETED, deleted.api_key))
    assert [each["id"] for each in await all_of(store, Part.KEYS, organization.id)] == [str(kept.api_key.id)]
    assert [each["id"] for each in await all_of(store, Part.DELETED_KEYS, organization.id)] == [str(deleted.api_key.id)]


async def test_what_else_an_organization_has(store: RunningStore, database: Database) -> None:
    """Revocations of many keys that name it, and events from before the chain, are its data, too."""
    organization = an_organization()
    made = new_key(organization)
    await store.create(made)
    actor = Actor(issuer="x", subject="auth0|olivia", client_id=None, origin=ORIGIN)
    for target in (Target(org_id=organization.id), Target(created_by="auth0|alice")):
        await store.add_preview(
            BulkRevocation(
                id=new_id(),
                target=target,
                reason=UNSPECIFIED,
                previewed_at=NOON,
                keys=1,
                organizations=1,
                actor=actor,
            )
        )
    (bulk,) = await all_of(store, Part.BULK_REVOCATIONS, organization.id)
    assert (bulk["previewed_keys"], bulk["finished_at"]) == (1, None)
    assert "olivia" not in str(bulk)
    allow_undigested(database)
    values = (new_id(), organization.id, made.api_key.id, "api_key.updated", NOON, "x", "auth0|eve", "req-9", "{}")
    columns = "id, org_id, key_id, type, occurred_at, issuer, subject, request_id, data"
    literals = ", ".join(literal(database, value) for value in values)
    database.query(f"INSERT INTO events ({columns}) VALUES ({literals})")
    (old,) = await all_of(store, Part.UNCHAINED_EVENTS, organization.id)
    assert (old["event"]["subject"], old["event"]["data"]) == ("auth0|eve", {})


def test_parts_are_found_by_indexes(database: Database) -> None:
    """On SQLite no page of a part sorts or reads a whole table but that of revocations of many keys."""
    if not database.is_sqlite:
        return
    for part, selection in PARTS.items():
        for is_first in (True, False):
            statement = page(selection, is_first=is_first).replace("$", "?")
            values = ", ".join(["x''", "1", *["1"] * (0 if is_first else len(selection.place))])
            for number, value in enumerate(values.split(", "), start=1):
                statement = statement.replace(f"?{number}", value)
            plan = [row["detail"] for row in database.query(f"EXPLAIN QUERY PLAN {statement}")]
            scans = [detail for detail in plan if detail.startswith("SCAN")]
            assert part is Part.BULK_REVOCATIONS or not scans, (part, plan)


# Erasure


async def test_an_ended_key_is_erased_once(store: RunningStore, database: Database) -> None:
    """The personal fields of an ended key and its sources go; digests and times stay, and its change is announced."""
    organization = an_organization()
    made = [new_key(organization, metadata={"a": 1}, external_id="x", allowed_ips=("::/0",)) for _ in range(3)]
    for each in made:
        await store.create(each)
        await store.add_usage([an_hourly_usage(each)], a_batch())
    works, revoked, deleted = made
    await store.revoke(an_event(EventType.REVOKED, revoked.api_key), RevocationReason.SUPERSEDED)
    await store.delete(an_event(EventType.DELETED, deleted.api_key))
    assert not await store.erase_key(erasure(works))
    for each in (revoked, deleted):
        other = replace(erasure(each), org_id=new_id())
        before = len(database.table("events")), len(database.table("changes"))
        assert not await store.erase_key(other)
        assert await store.erase_key(erasure(each))
        assert not await store.erase_key(erasure(each))
        assert (len(database.table("events")), len(database.table("changes"))) == (before[0] + 1, before[1] + 1)
        assert await store.data(Part.SOURCES, each.api_key.id, after=None, limit=9) == ([], None)
    (key,) = await all_of(store, Part.DELETED_KEYS, organization.id)
    assert {name: key[name] for name in ("name", "created_by", "revoked_by", "deleted_by", "version")} == {
        "name": "erased",
        "created_by": "",
        "revoked_by": None,
        "deleted_by": "",
        "version": 2,
    }
    assert {key[name] for name in ("description", "external_id", "allowed_ips")} == {None}
    assert key["metadata"] is None
    read = await store.get(organization.id, revoked.api_key.id)
    assert read is not None
    assert (read.name, read.revoked_by, read.revocation_reason) == ("erased", "", RevocationReason.SUPERSEDED)
    assert await store.get(organization.id, works.api_key.id) == replace(
        works.api_key, secret=replace(works.api_key.secret, **used(await store.get(organization.id, works.api_key.id)))
    )
    facts = await store.find_keys([each.secret_digest for each in made])
    assert {digest: found.revoked for digest, found in facts.items()} == {
        works.secret_digest: False,
        revoked.secret_digest: True,
    }


def used(key: Any) -> dict[str, Any]:
    return {"first_used_at": key.secret.first_used_at, "last_used_at": key.secret.last_used_at}


async def test_stored_answers_go(store: RunningStore, database: Database) -> None:
    """The sealed answers of one organization are removed, and no other's."""
    organization, other = an_organization(), an_organization()
    for each in (organization, organization, other):
        await store.create(replace(new_key(each), sealed_answer=a_sealed_answer()))
    assert [await store.remove_answers(organization.id) for _ in range(2)] == [2, 0]
    assert len(database.table("idempotent_answers")) == 1
