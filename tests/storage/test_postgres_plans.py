"""How PostgreSQL carries out what the store asks of it, when there is much of everything."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from keywright.keys.record import Status
from keywright.service.management.ports import EventFilter, KeyFilter
from keywright.service.management.task_ports import Removable
from keywright.service.operator.ports import Target
from keywright.storage.postgres import checking_statements as checking_sql
from keywright.storage.postgres import list_statements as list_sql
from keywright.storage.postgres import retention_statements as retention_sql
from keywright.storage.postgres import statements as sql
from keywright.storage.shared import figures_statements as figures_sql
from keywright.storage.shared import filters, statements, usage_statements
from keywright.storage.shared import operator_statements as operator_sql
from keywright.storage.shared.recent_use import recently_used
from tests.postgres import PostgresCluster, migrated_database
from tests.storage.making import NOON, Database

KEYS = 20_000
FILLED = f"""
    INSERT INTO organizations SELECT md5('o' || n)::uuid, 'x', 'o' || n, now() FROM generate_series(0, 99) n;
    INSERT INTO organizations SELECT md5('f' || n)::uuid, 'x', 'f' || n, now() FROM generate_series(1, {KEYS}) n;
    INSERT INTO api_keys (id, org_id, name, environment, created_at, created_by, external_id, expires_at)
    SELECT md5(n::text)::uuid, md5('o' || n % 100)::uuid, 'x', 'live', now(), 'x', 'c' || n % 1000,
        now() + n % 900 * interval '1 day'
    FROM generate_series(1, {KEYS}) n;
    INSERT INTO api_key_secrets (id, key_id, public_key, secret_digest, brand, display, created_at)
    SELECT id, id, sha256(id::text::bytea), sha256(('s' || id)::bytea), 'kw', 'x', now() FROM api_keys;
    INSERT INTO api_key_secrets
        (id, key_id, public_key, secret_digest, brand, display, created_at, retires_at, idle_seconds)
    SELECT md5('r' || id)::uuid, id, sha256(('p' || id)::bytea), sha256(('d' || id)::bytea), 'kw', 'x', now(),
        now() + random() * interval '90 days', CASE WHEN random() < 0.01 THEN 60 END
    FROM api_keys;
    INSERT INTO events (id, org_id, key_id, type, occurred_at, issuer, subject, request_id, data, digest)
    SELECT id, org_id, id, 'api_key.created', now(), 'x', 'x', 'x', '{{}}', sha256(id::text::bytea) FROM api_keys;
    INSERT INTO idempotent_answers
    SELECT org_id, sha256(id::text::bytea), sha256(''), '', now(), now() + random() * interval '1 day' FROM api_keys;
    INSERT INTO key_hours SELECT id, now() - random() * interval '90 days', 1 FROM api_keys;
    INSERT INTO secret_sources SELECT id, '', '', 'x', now(), now() - random() * interval '90 days', 1 FROM api_keys;
    INSERT INTO key_refusals SELECT id, now() - random() * interval '90 days', 'revoked', 1 FROM api_keys;
    INSERT INTO secret_refusals
    SELECT id, 'revoked', '', '', 'x', now(), now() - random() * interval '90 days', 1 FROM api_keys;
    INSERT INTO changes (changed_id, type, occurred_at, noted_at)
    SELECT id, 'api_key.updated', now(), now() - random() * interval '90 days' FROM api_keys;
    INSERT INTO acknowledgements SELECT seq, gen_random_uuid(), now() FROM changes;
    INSERT INTO verifier_sessions
    SELECT id, NULL, 'x', 0, now() - random() * interval '90 days', now() - interval '1 day' FROM api_keys;
    INSERT INTO usage_reporters SELECT id, 1, now() - random() * interval '7 days' FROM api_keys;
    ANALYZE
"""


@pytest.fixture(scope="module")
def filled(postgres_cluster: PostgresCluster) -> Database:
    """Give a database with many keys, secrets, events and sealed answers of many organizations."""
    database = Database(migrated_database(postgres_cluster))
    for statement in FILLED.split(";\n"):
        database.query(statement)
    return database


@pytest.fixture
async def connection(filled: Database) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Give a connection on which every plan is one for any values, as those of prepared statements come to be."""
    connection = await asyncpg.connect(filled.url)
    try:
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        yield connection
    finally:
        await connection.close()


def _listed(**wanted: object) -> str:
    terms = filters.key_terms(sql.DIALECT, KeyFilter(at=NOON, **wanted))  # type: ignore[arg-type]
    assert terms is not None
    return list_sql.LIST_SOME[False, False].format(filters.query(sql.DIALECT, terms, None, None, None, None).conditions)


def _events(statement: str, *before: None) -> str:
    terms = filters.event_terms(EventFilter(subject="x", since=NOON))
    assert terms is not None
    return statement.format(filters.query(sql.DIALECT, terms, *before).conditions)


# By its id, with its organization or without.
ONE_KEY = "Index Scan using api_keys_"
STATEMENTS = {
    "get": (sql.GET, ONE_KEY),
    "list": (list_sql.LIST, "api_keys_newest_idx"),
    "list oldest first": (list_sql.LIST_SOME[False, True].format(""), "api_keys_newest_idx"),
    "list of an external id, oldest first": (list_sql.LIST_SOME[True, True].format(""), "api_keys_external_id_idx"),
    "metadata": (statements.FIND_METADATA, "api_key_secrets_secret_digest_key"),
    "list by status": (_listed(status=Status.ACTIVE), "api_keys_newest_idx"),
    "list by text": (_listed(text="kw_pk_live_a", environment="live", unused_since=NOON), "api_keys_newest_idx"),
    "list by external id": (list_sql.LIST_SOME[True, False].format(""), "api_keys_external_id_idx"),
    "update": (sql.UPDATE, ONE_KEY),
    "rotate": (sql.ROTATE, "api_key_secrets_current_idx"),
    "set retirement": (sql.SET_RETIREMENT, "api_key_secrets_replaced_idx"),
    "revoke": (sql.REVOKE, ONE_KEY),
    "delete": (sql.DELETE, ONE_KEY),
    "events": (_events(sql.DIALECT.events_of_organization, None, None, None, None), "events_newest_idx"),
    "events of a key": (_events(sql.DIALECT.events_of_key, None, None, None, None, None), "events_of_key_idx"),
    "links": (statements.LINKS, "event_chain_pkey"),
    "chain end": (statements.CHAIN_END, "event_chain_heads"),
    "idempotent answer": (statements.ANSWER, "idempotent_answers_pkey"),
    "purge of answers": (retention_sql.PURGE[Removable.ANSWERS], "idempotent_answers_expires_at_idx"),
    "purge of reporters": (retention_sql.PURGE[Removable.REPORTERS], "usage_reporters_written_at_idx"),
    "purge of usage": (retention_sql.PURGE[Removable.USAGE], "key_hours_latest_idx"),
    "purge of sources": (retention_sql.PURGE[Removable.SOURCES], "secret_sources_last_seen_idx"),
    "purge of refusals": (retention_sql.PURGE[Removable.REFUSALS], "key_refusals_latest_idx"),
    "purge of sources of refusals": (retention_sql.PURGE[Removable.REFUSED_SOURCES], "secret_refusals_last_seen_idx"),
    "purge of sessions": (retention_sql.PURGE[Removable.SESSIONS], "verifier_sessions_connected_at_idx"),
    "purge of receipts": (retention_sql.PURGE[Removable.RECEIPTS], "changes_noted_at_idx"),
    "purge of acknowledgements": (retention_sql.PURGE[Removable.RECEIPTS], "acknowledgements_pkey"),
    "events without a digest": (statements.UNDIGESTED, "events_undigested_idx"),
    "old events": (statements.AGED_EVENTS, "events_pkey"),
    "idle": (statements.idle(sql.DIALECT), "api_key_secrets_idle_idx"),
    "expiring": (statements.EXPIRING, "api_keys_expires_at_idx"),
    "notice": (sql.ADD_EXPIRY_NOTICE, ONE_KEY),
    "key by id": (operator_sql.key_by_id(sql.DIALECT), ONE_KEY),
    "key by digest": (
        operator_sql.key_by_secret(sql.DIALECT, "secret_digest"),
        "api_key_secrets_secret_digest_key",
    ),
    "key by public key": (operator_sql.key_by_secret(sql.DIALECT, "public_key"), "api_key_secrets_public_key_key"),
    "keys of all": (operator_sql.keys_of_all(sql.DIALECT).format(""), "api_keys_pkey"),
    "events of all": (_events(operator_sql.events_of_all(sql.DIALECT), None, None, None), "events_id_key"),
    "keys of an organization to revoke": (
        operator_sql.revocable(sql.DIALECT, Target(org_id=UUID(int=1))),
        "api_keys_newest_idx",
    ),
    "keys of a creator to revoke": (operator_sql.revocable(sql.DIALECT, Target(created_by="x")), "api_keys_pkey"),
    "count of all keys": (figures_sql.count_keys(sql.DIALECT), "api_keys_pkey"),
    "delays": (figures_sql.revocation_delays(sql.DIALECT), "changes_noted_at_idx"),
    "count of an organization's keys": (
        operator_sql.count_revocable(sql.DIALECT, Target(org_id=UUID(int=1), created_by="x")),
        "api_keys_newest_idx",
    ),
}


OFTEN_ROTATED = "md5('often')::uuid"
ROTATED = f"""
    INSERT INTO api_keys (id, org_id, name, environment, created_at, created_by)
    SELECT {OFTEN_ROTATED}, md5('o1')::uuid, 'x', 'live', now(), 'x';
    INSERT INTO api_key_secrets (id, key_id, public_key, secret_digest, brand, display, created_at, retires_at)
    SELECT md5('p' || n)::uuid, {OFTEN_ROTATED}, sha256(('q' || n)::bytea), sha256(('t' || n)::bytea), 'kw', 'x', now(),
        CASE WHEN n < 10000 THEN now() - n * interval '1 second' END
    FROM generate_series(1, 10000) n;
    INSERT INTO changes (changed_id, type, occurred_at, noted_at) SELECT {OFTEN_ROTATED}, 'x', now(), now();
    ANALYZE api_key_secrets
"""
KEY = f"md5('o1')::uuid, {OFTEN_ROTATED}"
USAGE = {
    "usage": usage_statements.usage(sql.DIALECT, by_day=False, below=False),
    "usage by day": usage_statements.usage(sql.DIALECT, by_day=True, below=False),
    "usage below": usage_statements.usage(sql.DIALECT, by_day=True, below=True),
}
WORK = {
    "get": (sql.GET, KEY),
    "usage": (USAGE["usage"], f"{KEY}, now(), 21"),
    "usage by day": (USAGE["usage by day"], f"{KEY}, now(), 21"),
    "usage below": (USAGE["usage below"], f"{KEY}, now(), 21, md5('p5000')::uuid"),
    "pairs": (statements.PAIRS, f"{KEY}, 50"),
    "rotations": (statements.ROTATIONS, f"{KEY}, 10"),
    "change": (
        f"SELECT {statements.change_columns(sql.DIALECT)} FROM changes c WHERE c.changed_id = $1",
        OFTEN_ROTATED,
    ),
}


@pytest.mark.parametrize("name", WORK)
async def test_a_key_that_was_rotated_often(connection: "asyncpg.Connection[asyncpg.Record]", name: str) -> None:
    """With 10,000 ended secrets of a key, no statement of it touches more than a few rows of theirs."""
    statement, values = WORK[name]
    transaction = connection.transaction()
    await transaction.start()
    try:
        for filling in ROTATED.split(";\n"):
            await connection.execute(filling)
        await connection.execute(f"PREPARE asked AS {statement}")
        (found,) = await connection.fetchrow(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE asked ({values})")
    finally:
        await transaction.rollback()
    assert _touched(json.loads(found)[0]["Plan"]) < 100, found


def _touched(plan: dict[str, Any]) -> int:
    """Count the rows that the scans of a plan gave or threw away."""
    own = 0
    if "Scan" in plan["Node Type"] and "Relation Name" in plan:
        own = plan["Actual Loops"] * (plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0))
    return int(own) + sum(_touched(inner) for inner in plan.get("Plans", []))


@pytest.mark.parametrize("name", STATEMENTS)
async def test_plans(connection: "asyncpg.Connection[asyncpg.Record]", name: str) -> None:
    """The plan that is kept for a statement finds its rows by the index made for it, and reads no table to its end."""
    statement, index = STATEMENTS[name]
    plan = await _plan(connection, statement)
    assert index in plan, plan
    # A table of as many rows as there are organizations is read as it likes.
    assert "Seq Scan" not in plan.replace("Seq Scan on event_chain_heads", "").replace(
        "Seq Scan on event_checkpoints", ""
    ), plan


async def test_hourly_counts(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """The plan that is kept for a slice of hourly counts reads them by the index on the hour, in its order."""
    plan = await _plan(connection, figures_sql.KEY_HOURS)
    assert "key_hours_latest_idx" in plan, plan
    assert "key_refusals_latest_idx" in plan, plan
    assert not re.search("Seq Scan on (key_|api_keys)", plan), plan


CHECKING = {
    "changes": checking_sql.CHANGES,
    "begin": checking_sql.BEGIN_AT,
    "find": checking_sql.FIND_MANY,
    "recently used": recently_used(sql.DIALECT),
    "acknowledge": checking_sql.ACKNOWLEDGE,
    "add usage": checking_sql.ADD_USAGE,
    **USAGE,
    "pairs": statements.PAIRS,
    "rotations": statements.ROTATIONS,
    "daily counts": checking_sql.DAILY_COUNTS,
}


@pytest.mark.parametrize("name", CHECKING)
async def test_no_table_is_read_from_end_to_end(connection: "asyncpg.Connection[asyncpg.Record]", name: str) -> None:
    """With many rows, the plan that is kept for a statement reads no table from end to end."""
    plan = await _plan(connection, CHECKING[name])
    assert "Seq Scan" not in plan.replace("Seq Scan on verifiers", ""), plan


async def _plan(connection: "asyncpg.Connection[asyncpg.Record]", statement: str) -> str:
    await connection.execute(f"PREPARE asked AS {statement}")
    nulls = ", ".join(["NULL"] * max(map(int, re.findall(r"\$(\d+)", statement))))
    return "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN EXECUTE asked ({nulls})"))
