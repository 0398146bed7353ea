"""Retention and erasure on both engines: what goes, what stays, and what the database refuses to let go."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keywright.keys.verdict import Code
from keywright.service.change_log import ORIGIN, ChangeLog
from keywright.service.management.audit import FindingKind, Report, audit
from keywright.service.management.audit_log import EventType
from keywright.service.management.erasure import EVENTS_IN_AN_ERASURE, NotErasable, erase_subject
from keywright.service.management.ports import EventFilter, NewApiKey
from keywright.service.management.retention import EVENTS_IN_A_STEP, prune
from keywright.service.management.task_ports import Removable
from keywright.service.principal import Organization
from keywright.storage import migrations
from keywright.storage.engine import RunningStore
from keywright.storage.migrate import migrate
from keywright.storage.shared import statements
from keywright.storage.shared.statements import NEWEST_OF_OLD
from tests.postgres import fresh_database
from tests.storage.checking_making import a_batch, a_session, an_hourly_usage, literal
from tests.storage.life_contract import running
from tests.storage.making import NOON, UNSPECIFIED, Database, an_event, an_organization, new_id, new_key
from tests.storage.migrating import make

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
OLD = NOON - 500 * DAY
BEFORE = NOON - 400 * DAY
REFUSALS = r"only ever added|moves forward only|hash of its position|last 30 days|never removed|go after them|digest"


def made_at(organization: Organization, at: datetime, **changes: Any) -> NewApiKey:
    """Give a creation whose event is of another time."""
    new = new_key(organization)
    return replace(new, event=replace(new.event, occurred_at=at, **changes))


async def fill(store: RunningStore, organization: Organization, *times: datetime, **changes: Any) -> list[NewApiKey]:
    made = [made_at(organization, at, **changes) for at in times]
    for new in made:
        await store.create(new)
    return made


def kinds(report: Report) -> list[FindingKind]:
    return [finding.kind for finding in report.findings]


# Events


async def test_old_events_go_below_a_checkpoint(store: RunningStore, database: Database) -> None:
    """The events of an organization go from the oldest on, up to the first young one, and the rest is still proven."""
    organization, other = an_organization(), an_organization()
    await fill(store, organization, OLD, OLD, NOON, OLD)
    await fill(store, other, NOON)
    end = await store.chain_end(organization.id)
    assert {each.org_id for each in await store.aged_events(BEFORE, after=0, limit=9)} == {organization.id}
    assert await prune(store, organization.id, BEFORE) == 2
    assert await prune(store, organization.id, BEFORE) == 0
    checkpoint = await store.checkpoint(organization.id)
    assert checkpoint is not None
    assert (checkpoint.position, checkpoint.removed, checkpoint.undigested) == (2, 2, 0)
    assert [link.position for link in await store.links(organization.id, after=0, limit=9)] == [3, 4]
    assert (await store.chain_end(organization.id), await store.checkpoint(other.id)) == (end, None)
    report = await audit(store, organization.id)
    assert (report.findings, report.checkpoint, report.head.position) == ([], checkpoint, 4)
    assert database.counts()["events"] == 3


async def test_all_events_may_go(store: RunningStore) -> None:
    """A chain of which nothing is left is proven by its checkpoint, and goes on from it."""
    organization = an_organization()
    await fill(store, organization, OLD, OLD)
    assert await prune(store, organization.id, BEFORE) == 2
    assert (await audit(store, organization.id)).findings == []
    await fill(store, organization, NOON)
    report = await audit(store, organization.id)
    assert (report.findings, report.head.position) == ([], 3)


async def test_the_end_of_a_pruned_chain_is_missed(store: RunningStore, database: Database) -> None:
    """An organization of which only the checkpoint is left is audited, and the end that is gone is found."""
    organization = an_organization()
    await fill(store, organization, OLD, OLD)
    assert await prune(store, organization.id, BEFORE) == 2
    database.query("DELETE FROM event_chain_heads")
    assert await store.chained_organizations() == [organization.id]
    assert kinds(await audit(store, organization.id)) == [FindingKind.END_ALTERED]


async def test_several_processes_prune_at_once(store: RunningStore, database: Database) -> None:
    """Of several processes that prune one organization, each event is removed by one, and every step is bounded."""
    organization = an_organization()
    await asyncio.gather(*[store.create(made_at(organization, OLD)) for _ in range(3 * EVENTS_IN_A_STEP)])
    async with running(database.url) as other:
        removed: list[int] = []

        async def process(store: RunningStore) -> None:
            removed.extend([await prune(store, organization.id, BEFORE) for _ in range(4)])

        await asyncio.gather(*map(process, (store, other)))
    assert (sum(removed), max(removed)) == (3 * EVENTS_IN_A_STEP, EVENTS_IN_A_STEP)
    assert (await audit(store, organization.id)).findings == []


async def test_an_altered_event_is_never_pruned(store: RunningStore, database: Database) -> None:
    """Pruning stops before an event that does not verify, so that the audit goes on finding it."""
    organization = an_organization()
    _, altered, _ = await fill(store, organization, OLD, OLD, OLD)
    disable_guards(database)
    database.query(f"UPDATE events SET subject = 'auth0|eve' WHERE id = {literal(database, altered.event.id)}")
    assert [await prune(store, organization.id, BEFORE) for _ in range(2)] == [1, 0]
    assert kinds(await audit(store, organization.id)) == [FindingKind.EVENT_ALTERED]


async def test_what_the_database_refuses(store: RunningStore, database: Database) -> None:
    """Whoever may change rows cannot alter or remove an event, go below a checkpoint that moves back, or forge one."""
    organization = an_organization()
    await fill(store, organization, OLD, OLD, OLD, datetime.now(UTC))
    assert await store.prune(organization.id, 1, await hash_at(store, organization, 1), BEFORE, limit=9) == 1
    org, hashes = literal(database, organization.id), [literal(database, bytes(32))]
    hashes += [literal(database, await hash_at(store, organization, position)) for position in (2, 3, 4)]
    at = "0" if database.is_sqlite else "now()"
    for statement in (
        "DELETE FROM events",
        "UPDATE events SET subject = 'auth0|eve'",
        "UPDATE events SET subject = '', client_id = NULL, address = NULL",
        "DELETE FROM event_chain",
        "UPDATE event_chain SET position = position + 9",
        "DELETE FROM event_checkpoints",
        "UPDATE event_checkpoints SET position = 0, hash = " + hashes[0],
        "UPDATE event_checkpoints SET removed = 0",
        "UPDATE event_checkpoints SET hash = " + hashes[0],
        "UPDATE event_checkpoints SET position = 3, hash = " + hashes[1],
        "UPDATE event_checkpoints SET position = 4, hash = " + hashes[3],
        "UPDATE event_checkpoints SET position = 5, hash = " + hashes[3],
        "INSERT INTO event_checkpoints (org_id, position, hash, removed, undigested, moved_at)"
        f" VALUES ({literal(database, new_id())}, 7, {hashes[1]}, 7, 0, {at})",
        "INSERT INTO events (id, org_id, key_id, type, occurred_at, issuer, subject, request_id, data)"
        f" VALUES ({literal(database, new_id())}, {org}, {org}, 'api_key.created', {at}, 'x', 'x', 'x', '{{}}')",
    ):
        with pytest.raises(Exception, match=REFUSALS):
            database.query(statement)
    report = await audit(store, organization.id)
    assert (report.findings, report.head.position) == ([], 4)
    assert database.counts()["events"] == 3


async def test_young_events_stay(store: RunningStore) -> None:
    """The database refuses to remove events of the last 30 days, whatever is asked of it, and changes nothing."""
    organization = an_organization()
    await fill(store, organization, OLD, datetime.now(UTC))
    with pytest.raises(ValueError, match="refuses"):
        await store.prune(organization.id, 2, await hash_at(store, organization, 2), datetime.now(UTC), limit=9)
    assert await store.checkpoint(organization.id) is None
    assert len(await store.links(organization.id, after=0, limit=9)) == 2


# Events from before the chain


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
async def test_events_without_a_digest(engine: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """
    The migration counts the events from before the chain in an event of it; one more or less is then found.

    Retention removes them before the event that counts them.
    """
    database = Database(f"sqlite:///{tmp_path / 'keys.db'}" if engine == "sqlite" else of_a_server(request))
    await asyncio.to_thread(make, database.url, ["20261130_0006", "20261130_0007", "20261130_0008"])
    chained, unchained = an_organization(), an_organization()
    for organization in (chained, chained, unchained):
        insert_undigested(database, organization)
    await asyncio.to_thread(migrate, database.url)
    async with running(database.url) as store:
        for organization, count in ((chained, 2), (unchained, 1)):
            report = await audit(store, organization.id)
            assert (report.findings, report.undigested, report.head.position) == ([], count, 1)
            ((event, link),) = [
                each
                for each in (await store.events(organization.id, limit=9, before=None, which=EventFilter())).items
                if each[0].type is EventType.SEALED
            ]
            assert link is not None
            assert (event.digest, dict(event.data)) == (link.digest, {"events": count})
        disable_guards(database)
        insert_undigested(database, unchained)
        assert kinds(await audit(store, unchained.id)) == [FindingKind.EVENTS_UNSEALED]
        assert [await prune(store, chained.id, BEFORE) for _ in range(2)] == [2, 0]
        report = await audit(store, chained.id)
        assert (report.findings, report.undigested, report.head.position) == ([], 0, 1)


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
async def test_more_events_without_a_digest_than_one_step_removes(
    engine: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """The checkpoint counts further events without a digest where it stands, also where its position is gone."""
    database = Database(f"sqlite:///{tmp_path / 'keys.db'}" if engine == "sqlite" else of_a_server(request))
    revisions = [revision for revision in migrations.SQLITE.revisions if revision < "20261201_0015"]
    await asyncio.to_thread(make, database.url, revisions[:3])
    organization = an_organization()
    for _ in range(EVENTS_IN_A_STEP + 2):
        insert_undigested(database, organization)
    await asyncio.to_thread(make, database.url, revisions)
    async with running(database.url) as store:
        await fill(store, organization, OLD, OLD)
    await asyncio.to_thread(migrate, database.url)
    async with running(database.url) as store:
        removed = [await prune(store, organization.id, BEFORE) for _ in range(3)]
        assert (sum(removed), removed[-1]) == (EVENTS_IN_A_STEP + 4, 0)
        report = await audit(store, organization.id)
        assert (report.findings, report.undigested, report.head.position) == ([], 0, 3)
        checkpoint = await store.checkpoint(organization.id)
    assert checkpoint is not None
    assert (checkpoint.position, checkpoint.removed) == (2, EVENTS_IN_A_STEP + 4)
    assert checkpoint.undigested == EVENTS_IN_A_STEP + 2


def test_a_step_reads_no_more_of_a_long_log(tmp_path: Path) -> None:
    """On SQLite, whose one thread for checking executes it, the count of each step reads no event with a digest."""
    database = Database(f"sqlite:///{tmp_path / 'keys.db'}")
    migrate(database.url)
    count = statements.UNDIGESTED.replace("$1", "x''")
    assert any("events_undigested_idx" in row["detail"] for row in database.query(f"EXPLAIN QUERY PLAN {count}"))


# Erasure


async def test_an_erased_event(store: RunningStore, database: Database) -> None:
    """All personal fields of a subject's events are blank, others' stay, and every event is still proven."""
    organization = an_organization()
    made = [*await fill(store, organization, NOON, NOON), *await fill(store, organization, NOON, subject="auth0|carol")]
    update = an_event(
        EventType.UPDATED,
        made[0].api_key,
        subject="auth0|carol",
        client_id="dashboard",
        data={"before": {"name": "Ann's", "scopes": []}, "after": {"name": "Ann's key", "scopes": ["a:b"]}},
    )
    await store.update(made[0].api_key, update)
    erased = await erase(store, organization, "auth0|carol")
    assert erased == (2, 1)
    events = {event.id: (event, link) for event, link in await page(store, organization)}
    shown, link = events[update.id]
    assert link is not None
    assert link.erased_by is not None
    assert shown == update.blanked
    assert dict(shown.data) == {"before": {"name": None, "scopes": []}, "after": {"name": None, "scopes": ["a:b"]}}
    assert (shown.subject, shown.client_id, shown.origin.address) == ("", None, None)
    assert events[made[0].event.id][0] == made[0].event
    assert events[link.erased_by][0].type is EventType.ERASED
    report = await audit(store, organization.id)
    assert (report.findings, report.erased, report.head.position) == ([], 2, 5)
    assert await erase(store, organization, "auth0|carol") == (0, 0)
    for table in ("events", "event_chain", "changes"):
        assert not any("carol" in str(row) or "Ann" in str(row) for row in database.table(table))


async def test_many_events_of_one_subject(store: RunningStore, database: Database) -> None:
    """Each event of an erasure names a bounded number of positions and stays below 4 KiB."""
    organization = an_organization()
    await asyncio.gather(*[store.create(made_at(organization, NOON)) for _ in range(2 * EVENTS_IN_AN_ERASURE + 1)])
    assert await erase(store, organization, "auth0|bob") == (2 * EVENTS_IN_AN_ERASURE + 1, 3)
    sizes = [len(str(row["data"])) for row in database.table("events") if row["type"] == EventType.ERASED]
    assert len(sizes) == 3
    assert max(sizes) < 4096
    assert (await audit(store, organization.id)).findings == []


async def test_two_erasures_at_once(store: RunningStore) -> None:
    """Of two erasures of one person at once, one may be told to go on later; together they erase each event once."""
    organization = an_organization()
    await asyncio.gather(*[store.create(made_at(organization, NOON)) for _ in range(2 * EVENTS_IN_AN_ERASURE)])
    outcomes = await asyncio.gather(
        *[erase(store, organization, "auth0|bob") for _ in range(2)], return_exceptions=True
    )
    assert all(isinstance(outcome, tuple | NotErasable) for outcome in outcomes)
    await erase(store, organization, "auth0|bob")
    report = await audit(store, organization.id)
    assert (report.findings, report.erased) == ([], 2 * EVENTS_IN_AN_ERASURE)


async def test_a_dry_run_erases_nothing(store: RunningStore) -> None:
    """A dry run counts and changes nothing."""
    organization = an_organization()
    made = await fill(store, organization, NOON, NOON)
    assert await erase(store, organization, "auth0|bob", dry_run=True) == (2, 1)
    assert [event for event, _ in await page(store, organization)] == [new.event for new in reversed(made)]


async def test_the_rest_of_an_erased_event_is_proven(store: RunningStore, database: Database) -> None:
    """What an erasure left of an event cannot be altered, nor can its digest, without being found."""
    organization = an_organization()
    made = await fill(store, organization, NOON, NOON, NOON)
    await erase(store, organization, "auth0|bob")
    disable_guards(database)
    ids = [literal(database, new.event.id) for new in made]
    database.query(f"UPDATE events SET type = 'api_key.revoked' WHERE id = {ids[0]}")
    database.query(f"UPDATE events SET subject = 'auth0|eve' WHERE id = {ids[1]}")
    database.query(f"UPDATE events SET erased_by = {ids[0]} WHERE id = {ids[2]}")
    report = await audit(store, organization.id)
    assert [(finding.kind, finding.position) for finding in report.findings] == [
        (FindingKind.EVENT_ALTERED, position) for position in (1, 2, 3)
    ]


async def test_erased_events_are_pruned(store: RunningStore) -> None:
    """Erased events go like others, and the event of the erasure stays until it is old itself."""
    organization = an_organization()
    await fill(store, organization, OLD, OLD, NOON)
    await erase(store, organization, "auth0|bob")
    assert await prune(store, organization.id, BEFORE) == 2
    report = await audit(store, organization.id)
    assert (report.findings, report.erased, report.head.position) == ([], 1, 4)


async def test_an_erasure_of_what_is_gone(store: RunningStore, database: Database) -> None:
    """An erasure that names an event which was erased before, or has none at its position, stores nothing."""
    organization = an_organization()
    (new,) = await fill(store, organization, NOON)
    for position in ("1", "7"):
        before = database.counts()
        erasure = replace(new.event, id=new_id(), type=EventType.ERASED, key_id=organization.id, subject="keywright")
        erasure = replace(erasure, issuer="keywright", data={"events": {position: "00" * 32}})
        if position == "1":
            await erase(store, organization, "auth0|bob")
            before = database.counts()
        with pytest.raises(ValueError, match="refuses"):
            await store.erase(erasure)
        assert database.counts() == before


# Other rows


async def test_old_usage_goes(store: RunningStore, database: Database) -> None:
    """Hours, sources and batch numbers up to a moment go, as many as are asked for, and younger ones stay."""
    made = new_key(an_organization())
    await store.create(made)
    times = [OLD, OLD + HOUR, NOON]
    for at in times:
        hour = at.replace(minute=0, second=0, microsecond=0)
        use = an_hourly_usage(made, hour=hour, first_seen=at, last_seen=at, agent=at.isoformat())
        await store.add_usage([use, use._replace(code=Code.DISABLED)], a_batch())
    for kind, table in (
        (Removable.USAGE, "key_hours"),
        (Removable.SOURCES, "secret_sources"),
        (Removable.REFUSALS, "key_refusals"),
        (Removable.REFUSED_SOURCES, "secret_refusals"),
    ):
        assert [await store.purge(kind, BEFORE, limit=1) for _ in range(3)] == [1, 1, 0]
        assert len(database.table(table)) == 1
    assert await store.purge(Removable.REPORTERS, BEFORE, limit=9) == 0


async def test_old_sessions_go(store: RunningStore, database: Database) -> None:
    """A session goes when its process could not have used its cache for so long; others stay, however old they are."""
    gone, alive, patient = a_session(), a_session(), a_session(outage_seconds=31_536_000)
    for session in (gone, alive, patient):
        await store.renew_session(session)
    move(database, "verifier_sessions", "connected_at", 500)
    for session in (gone, patient):
        move(database, "verifier_sessions", "seen_at", 500, f"id = {literal(database, session.id)}")
    until = datetime.now(UTC) - 400 * DAY
    assert await store.purge(Removable.SESSIONS, until, limit=9) == 1
    assert {row["id"] for row in database.table("verifier_sessions")} == {alive.id, patient.id}


async def test_old_receipts_go_and_the_feed_goes_on(store: RunningStore, database: Database) -> None:
    """
    Old changes and their acknowledgements go in bounded steps; the receipt of a young revocation stays complete.

    A reader of the change feed that begins afterwards has no numbers to look for, and knows no beginning.
    """
    session = a_session()
    await store.renew_session(session)
    old = NEWEST_OF_OLD + 5
    add_changes(database, old)
    move(database, "changes", "noted_at", 500)
    await store.confirm(session.id, [row["seq"] for row in database.query("SELECT seq FROM changes")])
    made = new_key(an_organization())
    await store.create(made)
    await store.revoke(an_event(EventType.REVOKED, made.api_key), UNSPECIFIED)
    (newest,) = [row["seq"] for row in database.query("SELECT max(seq) AS seq FROM changes")]
    await store.confirm(session.id, [newest])
    until = datetime.now(UTC) - 400 * DAY
    steps = [await store.purge(Removable.RECEIPTS, until, limit=3) for _ in range(9)]
    assert max(steps) <= 3
    assert steps[-1] == 0
    left = sorted(row["seq"] for row in database.query("SELECT seq FROM changes"))
    assert (len(left), left[-1]) == (NEWEST_OF_OLD + 1, newest)
    assert {row["seq"] for row in database.query("SELECT seq FROM acknowledgements")} == set(left)
    receipt = await store.receipt(made.api_key.org_id, made.api_key.id)
    assert receipt is not None
    assert receipt.confirmed == 1
    feed = await store.follow()
    try:
        reading = await feed.read()
    finally:
        await feed.close()
    assert reading.begins_after > 0
    assert reading.complete_to == newest
    assert reading.changes[-1].key_id == made.api_key.id
    log = ChangeLog()
    log.add(reading)
    assert log.missed(ORIGIN) is None


async def test_a_receipt_that_was_removed(store: RunningStore, database: Database) -> None:
    """A key whose revocation is older than receipts are kept has none, rather than one that names others."""
    made = new_key(an_organization())
    await store.create(made)
    await store.revoke(an_event(EventType.REVOKED, made.api_key), UNSPECIFIED)
    assert await store.receipt(made.api_key.org_id, made.api_key.id) is not None
    add_changes(database, NEWEST_OF_OLD + 1)
    move(database, "changes", "noted_at", 500)
    until = datetime.now(UTC) - 400 * DAY
    assert await store.purge(Removable.RECEIPTS, until, limit=9) == 2
    assert await store.receipt(made.api_key.org_id, made.api_key.id) is None


async def erase(store: RunningStore, organization: Organization, subject: str, *, dry_run: bool = False) -> Any:
    clock: Callable[[], datetime] = lambda: NOON  # noqa: E731
    return await erase_subject(store, organization.id, subject, clock=clock, new_id=new_id, dry_run=dry_run)


async def page(store: RunningStore, organization: Organization) -> Any:
    return (await store.events(organization.id, limit=99, before=None, which=EventFilter())).items


async def hash_at(store: RunningStore, organization: Organization, position: int) -> bytes:
    (link,) = await store.links(organization.id, after=position - 1, limit=1)
    assert link.position == position
    return link.hash


def add_changes(database: Database, count: int) -> None:
    """Add changes of keys that are gone, numbered on."""
    now = "(strftime('%s', 'now') + 1) * 1000000" if database.is_sqlite else "now()"
    numbers = (
        f"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) SELECT"
        if database.is_sqlite
        else "SELECT"
    )
    source = "n" if database.is_sqlite else f"generate_series(1, {count})"
    id_ = "zeroblob(16)" if database.is_sqlite else "gen_random_uuid()"
    database.query(
        "INSERT INTO changes (changed_id, type, occurred_at, noted_at)"
        f" {numbers} {id_}, 'api_key.updated', {now}, {now}"
        f" FROM {source}"
    )


def move(database: Database, table: str, column: str, days: int, where: str = "true") -> None:
    """Move the times of a column into the past."""
    span = f"{days} * 86400000000" if database.is_sqlite else f"interval '{days} days'"
    database.query(f"UPDATE {table} SET {column} = {column} - {span} WHERE {where}")


def of_a_server(request: pytest.FixtureRequest) -> str:
    return fresh_database(request.getfixturevalue("postgres_cluster"))


def insert_undigested(database: Database, organization: Organization) -> None:
    id_, org = literal(database, new_id()), literal(database, organization.id)
    database.query(
        "INSERT INTO events (id, org_id, key_id, type, occurred_at, issuer, subject, request_id, data)"
        f" VALUES ({id_}, {org}, {org}, 'api_key.created', {literal(database, OLD)}, 'x', 'x', 'x', '{{}}')"
    )


def disable_guards(database: Database) -> None:
    """Do what a superuser, or the owner of a file, can do."""
    if database.is_sqlite:
        for row in database.query("SELECT name FROM sqlite_schema WHERE type = 'trigger' AND name LIKE '%refuse%'"):
            if not row["name"].startswith(("event_checkpoints", "events_refuse_delete")):
                database.query(f"DROP TRIGGER {row['name']}")
    else:
        database.query("ALTER TABLE events DISABLE TRIGGER events_guard")
        database.query("ALTER TABLE events DROP CONSTRAINT events_digest_check")
