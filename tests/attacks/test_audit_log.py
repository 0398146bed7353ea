"""
Attempts to alter the audit log with all that the role of the service may do on PostgreSQL, and on a SQLite file.

A trigger or a missing right refuses each of them, and the audit of the organization finds nothing afterwards. What
nothing can refuse, because its author may switch off triggers, the audit finds.
"""

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from keywright.cli.doctor.database import check
from keywright.service.management.audit import FindingKind, audit
from keywright.service.management.audit_log import EventType
from keywright.service.management.erasure import erase_subject
from keywright.service.management.retention import prune
from keywright.service.management.task_ports import Removable
from keywright.service.organization_data.erasure import ErasedData, OrganizationErasure
from keywright.service.principal import Organization
from keywright.storage.engine import RunningStore
from keywright.storage.migrate import migrate
from tests import forked
from tests.live import clean_environment
from tests.postgres import PostgresCluster, migrated_database
from tests.storage.checking_making import a_batch, a_session, a_verifier, an_hourly_usage, literal
from tests.storage.life_contract import running
from tests.storage.making import (
    NOON,
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

OLD, BEFORE = NOON - timedelta(days=500), NOON - timedelta(days=400)
ROLE = "keywright_serving"


@dataclass(frozen=True, slots=True)
class Attacked:
    """A database with four events of an organization, two of them old; `database` is how the attacker reaches it."""

    organization: Organization
    database: Database
    owner: Database


@pytest.fixture(params=["sqlite", "postgresql"])
async def attacked(request: pytest.FixtureRequest, tmp_path: Path) -> Attacked:
    """Give a database of each engine, and on PostgreSQL the role of the service to reach it with."""
    if request.param == "sqlite":
        owner = serving = Database(f"sqlite:///{tmp_path / 'keys.db'}")
        migrate(owner.url)
    else:
        cluster: PostgresCluster = request.getfixturevalue("postgres_cluster")
        owner = Database(migrated_database(cluster))
        serving = Database(owner.url.replace("postgres:@", f"{ROLE}:@"))
        grant(cluster, owner)
    organization = an_organization()
    async with running(serving.url) as store:
        for at in (OLD, OLD, NOON, datetime.now(UTC)):
            new = new_key(organization)
            await store.create(replace(new, event=replace(new.event, occurred_at=at)))
    return Attacked(organization, serving, owner)


def grant(cluster: PostgresCluster, owner: Database) -> None:
    """Do what an operator does: make the role, and grant to it as the owner."""
    if not cluster.execute(f"SELECT 1 FROM pg_roles WHERE rolname = '{ROLE}'"):
        cluster.execute(f"CREATE ROLE {ROLE} LOGIN")
    done = forked.command("migrate", "--grant-to", ROLE, env=clean_environment({"KEYWRIGHT_DATABASE_URL": owner.url}))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(f"granted to {ROLE}: the rights of the service\nThe database was up to date.\n")


ATTACKS = (
    "UPDATE events SET subject = 'auth0|eve'",
    "UPDATE events SET digest = {zeros}",
    "UPDATE events SET subject = '', client_id = NULL, address = NULL, erased_by = id",
    "DELETE FROM events",
    "UPDATE event_chain SET hash = {zeros}",
    "DELETE FROM event_chain",
    "DELETE FROM event_checkpoints",
    "UPDATE event_checkpoints SET hash = {zeros}",
    "INSERT INTO event_checkpoints (org_id, position, hash, removed, undigested, moved_at)"
    " VALUES ({org}, 9, {zeros}, 9, 0, {now})",
    "INSERT INTO event_checkpoints (org_id, position, hash, removed, undigested, moved_at)"
    " SELECT org_id, position, hash, position, 0, {now} FROM event_chain WHERE position = 4",
    "INSERT INTO events (id, org_id, key_id, type, occurred_at, issuer, subject, request_id, data)"
    " VALUES ({id}, {org}, {org}, 'api_key.revoked', {now}, 'x', 'x', 'x', '{{}}')",
)
OF_A_SERVER = (
    "TRUNCATE events",
    "ALTER TABLE events DISABLE TRIGGER ALL",
    "ALTER TABLE events DROP COLUMN digest",
    "DROP TRIGGER events_guard ON events",
    "CREATE OR REPLACE FUNCTION events_guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$",
    "SET session_replication_role = replica",
    "UPDATE event_chain_heads SET position = 1",
    "INSERT INTO event_chain (org_id, position, event_id, hash) VALUES ({org}, 5, {id}, {zeros})",
    "SELECT events_prune({org}, 3, {zeros}, now(), 100)",
    "SELECT events_prune({org}, 4, (SELECT hash FROM event_chain WHERE org_id = {org} AND position = 4), now(), 100)",
    'SELECT events_erase({id}, {org}, now(), \'{{"events": {{"9": "00"}}}}\', {zeros})',
)


async def test_nothing_alters_the_log(attacked: Attacked) -> None:
    """Every statement that would alter, remove or slip in an event, or forge a checkpoint, is refused as a whole."""
    database, org_id = attacked.database, attacked.organization.id
    async with running(database.url) as store:
        (first,) = await store.links(org_id, after=0, limit=1)
        assert await store.prune(org_id, 1, first.hash, BEFORE, limit=9) == 1
        checkpoint = await store.checkpoint(org_id)
    for attack in ATTACKS if database.is_sqlite else (*ATTACKS, *OF_A_SERVER):
        with pytest.raises(Exception, match=REFUSED):
            database.query(written(attacked, attack))
    async with running(database.url) as store:
        report = await audit(store, org_id)
    assert (report.findings, report.head.position, report.checkpoint) == ([], 4, checkpoint)
    assert database.counts()["events"] == 3


REFUSED = (
    r"only ever added|moves forward only|hash of its position|last 30 days|never removed|has a digest|"
    r"permission denied|must be owner|violates check constraint|erased or removed meanwhile"
)


async def test_the_names_of_a_function_are_fixed(attacked: Attacked) -> None:
    """A table of the attacker's own does not stand in for one of ours in what runs with the rights of the owner."""
    if attacked.database.is_sqlite:
        return
    connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(attacked.database.url)
    org = attacked.organization.id
    try:
        for table in ("event_checkpoints", "event_chain", "events"):
            await connection.execute(f"CREATE TEMP TABLE {table} (LIKE public.{table})")
        hash_ = await connection.fetchval("SELECT hash FROM public.event_chain WHERE org_id = $1 AND position = 2", org)
        assert await connection.fetchval("SELECT public.events_prune($1, 2, $2, now(), 9)", org, hash_) == 2
        assert await connection.fetchval("SELECT count(*) FROM pg_temp.event_checkpoints") == 0
    finally:
        await connection.close()
    async with running(attacked.database.url) as store:
        assert (await audit(store, org)).findings == []


async def test_the_role_can_do_its_work(attacked: Attacked) -> None:
    """All that the service does works with the rights of its role; old events are pruned, and a person is erased."""
    organization = attacked.organization
    async with running(attacked.database.url) as store:
        await live(store, organization)
        for kind in Removable:
            await store.purge(kind, NOON + timedelta(days=900), limit=9)
        assert await prune(store, organization.id, BEFORE) == 2
        erased = await erase_subject(store, organization.id, "auth0|bob", clock=lambda: NOON, new_id=new_id)
        assert erased.events == 6
        report = await audit(store, organization.id)
        assert (report.findings, report.erased) == ([], 6)
        assert report.checkpoint is not None
        await store.check()


async def live(store: RunningStore, organization: Organization) -> None:
    made = replace(new_key(organization), sealed_answer=a_sealed_answer(), most_active=99)
    await store.create(made)
    key, session = made.api_key, a_session()
    await store.update(replace(key, name="renamed"), an_event(EventType.UPDATED, key))
    await store.rotate(a_rotation(replace(key, version=2)))
    await store.revoke(an_event(EventType.REVOKED, key), UNSPECIFIED)
    await store.renew_session(session)
    await store.add_usage([an_hourly_usage(made)], a_batch())
    await store.add_verifier(*a_verifier())
    await store.revoke_verifier("billing-api", NOON)
    feed = await store.follow()
    await store.confirm(session.id, [change.seq for change in (await feed.read()).changes])
    await feed.close()
    assert await store.receipt(key.org_id, key.id) is not None


async def test_whoever_switches_triggers_off_is_found(attacked: Attacked) -> None:
    """An event slipped in without a digest, by the owner with the triggers off, is found by the audit."""
    owner = attacked.owner
    allow_undigested(owner)
    owner.query(written(attacked, ATTACKS[-1]))
    async with running(attacked.database.url) as store:
        report = await audit(store, attacked.organization.id)
    assert [finding.kind for finding in report.findings] == [FindingKind.EVENTS_UNSEALED]


async def test_the_doctor_tells_the_roles_apart(attacked: Attacked) -> None:
    """The doctor warns of a role that could alter tables, and of nothing with the role of the service."""
    found = {result.subject: result.level for result in await check(attacked.database.url)}
    theirs = {result.subject: result.level for result in await check(attacked.owner.url)}
    if attacked.database.is_sqlite:
        assert set(found.values()) == {"ok"}
    else:
        assert (found["database role"], theirs["database role"]) == ("ok", "warn")


async def test_names_are_for_operators(attacked: Attacked) -> None:
    """An operator's receipt names the processes, with their state; a key without one is an error."""
    made = new_key(attacked.organization)
    async with running(attacked.database.url) as store:
        await store.create(made)
        await store.renew_session(a_session(name="node-7:4711"))
        assert await asyncio.to_thread(receipt_of, attacked, str(made.api_key.id)) == (1, "")
        await store.revoke(an_event(EventType.REVOKED, made.api_key), UNSPECIFIED)
    code, printed = await asyncio.to_thread(receipt_of, attacked, str(made.api_key.id))
    assert code == 0
    assert printed.startswith("node-7:4711")
    assert "may accept the key until" in printed


def receipt_of(attacked: Attacked, key_id: str) -> tuple[int, str]:
    command = ["verifiers", "receipt", key_id, "--org", str(attacked.organization.id)]
    done = forked.command(*command, env=clean_environment({"KEYWRIGHT_DATABASE_URL": attacked.database.url}))
    return done.returncode, done.stdout


def written(attacked: Attacked, statement: str) -> str:
    database = attacked.database
    return statement.format(
        org=literal(database, attacked.organization.id),
        id=literal(database, new_id()),
        zeros=literal(database, bytes(32)),
        now="1796000000000000" if database.is_sqlite else "now()",
    )


async def test_the_role_erases_and_ends_keys(attacked: Attacked) -> None:
    """The role of the service has the rights that an operator's commands need: to revoke keys, and to erase them."""
    async with running(attacked.database.url) as store:
        for key in (await store.list_newest(attacked.organization.id, limit=9, before=None)).items:
            await store.revoke(an_event(EventType.REVOKED, key), UNSPECIFIED)
        erasure = OrganizationErasure(store=store, clock=lambda: datetime.now(UTC), new_id=new_id)
        assert await erasure.erase(attacked.organization.id) == ErasedData(keys=4, events=8)
        report = await audit(store, attacked.organization.id)
    assert (report.findings, report.erased) == ([], 8)
