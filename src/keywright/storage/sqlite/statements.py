"""The statements of the SQLite store."""

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from keywright.storage.shared import audit_rows, readers, rows, statements
from keywright.storage.shared.checking_rows import DIGEST_BYTES
from keywright.storage.shared.readers import API_KEY_COLUMNS, FACTS_COLUMNS, IS_KNOWN, LAST_REPLACED
from keywright.storage.shared.statements import VERIFIER_COLUMNS, Dialect, change_columns
from keywright.storage.sqlite.file import NOW

WITH_SECRETS: Final = f"""
    JOIN api_key_secrets s ON s.key_id = k.id AND s.retires_at IS NULL
    LEFT JOIN api_key_secrets r ON r.id = (SELECT id FROM api_key_secrets WHERE key_id = k.id AND {LAST_REPLACED})
"""  # noqa: S608 - here and below: names of our own

ALIVE: Final = f"""
    SELECT {API_KEY_COLUMNS} FROM api_keys k {WITH_SECRETS}
    WHERE k.deleted_at IS NULL AND k.org_id = ?1
"""  # noqa: S608
GET: Final = f"{ALIVE} AND k.id = ?2"
LIST: Final = f"{ALIVE} AND k.id < ?2 ORDER BY k.id DESC LIMIT ?3"
"""Values: organization, the id to begin below, the most rows to give."""


def _some(examined: str, found: str, *, oldest_first: bool = False) -> str:
    """
    Examine ?4 rows and give ?3 of them at most, as `postgres.list_statements.LIST_SOME` does.

    Args:
        examined: What is examined, in its order; its ids have to be in an index.
        found: What is found of it, with `{last}` where the condition for the last one stands.
        oldest_first: Whether the ids ascend.
    """
    last = "id >= coalesce((SELECT last_id FROM last), x'')"
    if oldest_first:
        last = "id <= coalesce((SELECT last_id FROM last), x'ffffffffffffffffffffffffffffffff')"
    return f"""
        WITH last AS MATERIALIZED (SELECT (SELECT id FROM {examined} LIMIT 1 OFFSET ?4 - 1) AS last_id)
        SELECT last_id, found.* FROM last LEFT JOIN ({found.format(last=last)}) found
        ORDER BY found.id {"" if oldest_first else "DESC"}
    """  # noqa: S608


def _list_some(*, of_external_id: bool, oldest_first: bool) -> str:
    begin, order = ("> ?2", "") if oldest_first else ("< ?2", "DESC")
    only = ("AND external_id = ?5", "AND k.external_id = ?5") if of_external_id else ("", "")
    return _some(
        f"api_keys WHERE org_id = ?1 AND id {begin} AND deleted_at IS NULL {only[0]} ORDER BY id {order}",
        f"{ALIVE} AND k.id {begin} AND k.{{last}} {only[1]} {{{{}}}} ORDER BY k.id {order} LIMIT ?3",
        oldest_first=oldest_first,
    )


LIST_SOME: Final = {
    (of_external_id, oldest_first): _list_some(of_external_id=of_external_id, oldest_first=oldest_first)
    for of_external_id in (False, True)
    for oldest_first in (False, True)
}
"""See `Dialect.list_some`."""

ACTIVE: Final = "SELECT active FROM active_keys WHERE org_id = ?"
"""Gives a number that is not too small; `SETTLE` counts out the keys that expired since the last time."""

SETTLE: Final = """
    UPDATE active_keys SET settled_at = ?1, active = active - (
        SELECT count(*) FROM api_keys k
        WHERE k.org_id = ?2 AND k.expires_at > settled_at AND k.expires_at <= ?1
            AND k.revoked_at IS NULL AND k.deleted_at IS NULL
    )
    WHERE org_id = ?2 AND settled_at < ?1
"""
"""Values: when, organization. Each expiry is counted once."""

REVIVES: Final = """
    SELECT 1 FROM api_keys k JOIN active_keys a ON a.org_id = k.org_id
    WHERE k.id = ?1 AND k.org_id = ?2 AND k.version = ?3 AND k.revoked_at IS NULL AND k.deleted_at IS NULL
        AND k.expires_at <= a.settled_at AND (?4 IS NULL OR ?4 > a.settled_at)
"""
"""Values: key, organization, the version that was read, the new expiry. Gives a row where it does not count yet."""

_KEY = "WHERE id = ? AND org_id = ? AND deleted_at IS NULL"
_STILL_WORKS = "SELECT 1 FROM api_key_secrets WHERE key_id = api_keys.id AND retires_at IS NOT NULL AND retires_at > ?"

REVOKE: Final = f"""
    UPDATE api_keys SET revoked_at = ?, revoked_by = ?, revocation_reason = ?, version = version + 1
    {_KEY} AND revoked_at IS NULL
"""  # noqa: S608
DELETE: Final = f"UPDATE api_keys SET deleted_at = ?, deleted_by = ? {_KEY}"  # noqa: S608

UPDATE: Final = f"""
    UPDATE api_keys SET {", ".join(f"{column} = ?" for column in rows.ChangedRow._fields)}, version = version + 1,
        noticed_days = CASE WHEN expires_at IS ? THEN noticed_days END
    {_KEY} AND version = ?
"""  # noqa: S608
"""Values: a `ChangedRow`, the expiry once more, the key, its organization, the version that was read."""

BEGIN_ROTATION: Final = f"""
    UPDATE api_keys SET version = version + 1 {_KEY} AND version = ? AND NOT EXISTS ({_STILL_WORKS})
"""  # noqa: S608
CHANGE_ROTATION: Final = f"UPDATE api_keys SET version = version + 1 {_KEY} AND version = ? AND EXISTS ({_STILL_WORKS})"  # noqa: S608
"""Values, as above: the key, its organization, the version that was read, now."""

BEGIN_RETIREMENT: Final = """
    UPDATE api_key_secrets SET retires_at = ?, idle_seconds = ? WHERE key_id = ? AND retires_at IS NULL
"""
SET_RETIREMENT: Final = """
    UPDATE api_key_secrets SET retires_at = ?, idle_seconds = NULL
    WHERE key_id = ? AND retires_at IS NOT NULL AND retires_at > ?
"""
"""Values: when, the key, now."""

ADD_EXPIRY_NOTICE: Final = """
    UPDATE api_keys SET noticed_days = ?1
    WHERE id = ?2 AND org_id = ?3 AND deleted_at IS NULL AND revoked_at IS NULL AND expires_at = ?4
        AND (noticed_days IS NULL OR noticed_days > ?1)
"""
"""Values: days, the key, its organization, when it expires."""

CHAIN_HEAD: Final = statements.CHAIN_END.replace("$", "?")
SET_CHAIN_HEAD: Final = """
    INSERT INTO event_chain_heads (org_id, position, hash) VALUES (?, ?, ?)
    ON CONFLICT (org_id) DO UPDATE SET position = excluded.position, hash = excluded.hash
"""
ADD_LINK: Final = "INSERT INTO event_chain (org_id, position, event_id, hash) VALUES (?, ?, ?, ?)"

IS_ANSWERED: Final = "SELECT 1 FROM idempotent_answers WHERE org_id = ? AND request_digest = ? AND expires_at > ?"


def _insert(table: str, columns: Sequence[str]) -> str:
    marks = ", ".join("?" * len(columns))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608


OWNERS: Final = """
    SELECT id = ?1 AND issuer = ?2 AND external_id = ?3 FROM organizations
    WHERE id = ?1 OR (issuer = ?2 AND external_id = ?3)
"""
"""Values: an id, an issuer, an external id. Whether each row that has one of them is this organization."""

ADD_ORGANIZATION: Final = _insert("organizations", rows.OrganizationRow._fields)
ADD_KEY: Final = _insert("api_keys", rows.KeyRow._fields)
ADD_SECRET: Final = _insert("api_key_secrets", rows.SecretRow._fields)
ADD_EVENT: Final = _insert("events", rows.EventRow._fields)
# In the place of one that has expired, where there is one.
ADD_ANSWER: Final = _insert("idempotent_answers", rows.AnswerRow._fields).replace("INSERT", "INSERT OR REPLACE", 1)


def _events(of: str = "") -> str:
    found = f"""
        SELECT {audit_rows.LINK_COLUMNS} FROM events e LEFT JOIN event_chain c ON c.event_id = e.id
        WHERE e.org_id = ?1 {of} AND e.id < ?2 AND e.{{last}} AND e.type IN ({audit_rows.KNOWN_TYPES}) {{{{}}}}
        ORDER BY e.id DESC LIMIT ?3
    """  # noqa: S608
    return _some(f"events WHERE org_id = ?1 {of} AND id < ?2 ORDER BY id DESC", found)


def _uuid_text(column: str) -> str:
    places = ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
    parts = " || '-' || ".join(f"substr(hex({column}), {begin}, {length})" for begin, length in places)
    return f"lower({parts})"


_DAY: Final = 24 * 60 * 60 * 1_000_000


def _day(time: str) -> str:
    return f"{time} - {time} % {_DAY}"


DIALECT: Final = Dialect(
    decoding=readers.SQLITE,
    mark="?",
    now=NOW,
    clock=NOW,
    least="min",
    same="IS",
    seconds=lambda span: f"{span} * 1000000",
    day=_day,
    milliseconds=lambda span: f"max(({span} + 999) / 1000, 0)",
    uuid_text=_uuid_text,
    latest="9223372036854775807",
    contains=lambda column: f"instr(lower({column}), {{0}}) > 0",
    ends=lambda column: f"substr({column}, -length({{0}})) = {{0}}",
    includes=lambda column: f"instr({column}, {{}}) > 0",
    digests="group_concat(hex(digest), '')",
    with_secrets=WITH_SECRETS,
    last_id="x'ffffffffffffffffffffffffffffffff'",
    list_newest=LIST,
    list_some=LIST_SOME,
    events_of_organization=_events(),
    events_of_key=_events("AND key_id = ?5"),
)

FIND_MANY: Final = f"""
    SELECT place.key, {FACTS_COLUMNS} FROM json_each(?1) place
    CROSS JOIN api_key_secrets s ON s.secret_digest = substr(?2, place.value, {DIGEST_BYTES})
    JOIN api_keys k ON k.id = s.key_id
    WHERE {IS_KNOWN}
"""  # noqa: S608
"""
Values: `places` of so many digests, and these, one after another. Gives the number of each that was found, from 0, and
its facts.

CROSS JOIN has SQLite look up each digest, whatever it believes of its tables.
"""


@lru_cache(maxsize=256)
def places(digests: int) -> str:
    """Say where each of so many digests begins in the text that they are together, from 1, as a JSON array."""
    return json.dumps([1 + place * DIGEST_BYTES for place in range(digests)])


MOST_RECENT: Final = 1000
"""With how many of the recent changes a reader begins."""

DATA_VERSION: Final = "PRAGMA data_version"
"""A number that changes whenever another connection commits something."""

BEGIN_AFTER: Final = f"SELECT seq FROM changes ORDER BY seq DESC LIMIT 1 OFFSET {MOST_RECENT}"  # noqa: S608
"""Gives the number before the recent ones; nothing where there are no more than those."""

MOST_READ: Final = 1000
"""How many changes one statement gives at most."""

CHANGES: Final = f"""
    SELECT {change_columns(DIALECT)} FROM changes c WHERE c.seq > ? ORDER BY c.seq LIMIT {MOST_READ}
"""  # noqa: S608
"""Values: the last number seen. Once a change is visible, so are all before it: one process commits at a time."""

NAMED_VERIFIER: Final = f"""
    SELECT {VERIFIER_COLUMNS} FROM verifiers WHERE name = ? ORDER BY revoked_at IS NOT NULL, id DESC LIMIT 1
"""  # noqa: S608
REVOKE_VERIFIER: Final = f"UPDATE verifiers SET revoked_at = ? WHERE id = ? RETURNING {VERIFIER_COLUMNS}"  # noqa: S608

RENEW_SESSION: Final = statements.renew_session(DIALECT).replace("$", DIALECT.mark)
"""Values: a `SessionRow`."""

ACKNOWLEDGE: Final = f"""
    INSERT OR IGNORE INTO acknowledgements (seq, session_id, acknowledged_at)
    SELECT seq, ?, {NOW} FROM changes WHERE seq = ?
"""  # noqa: S608
"""Values: session, number."""

BEGIN_BATCH: Final = """
    INSERT INTO usage_reporters AS old (reporter, batch, written_at)
    VALUES (?, ?, CAST(strftime('%s', 'now') AS INTEGER) * 1000000)
    ON CONFLICT (reporter) DO UPDATE SET batch = excluded.batch, written_at = excluded.written_at
    WHERE old.batch < excluded.batch
"""
"""Values: a reporter, a number. Changes a row unless the batch was written before."""


def daily_counts(keys: int) -> str:
    """Count the uses and refusals of so many keys. Values: organization, the keys, since when."""
    return f"""
        WITH asked AS (
            SELECT id FROM api_keys WHERE org_id = ? AND deleted_at IS NULL AND id IN ({", ".join("?" * keys)})
        ),
        since AS (SELECT ? AS hour)
        SELECT key_id, day, code, sum(count)
        FROM (
            SELECT h.key_id, {_day("h.hour")} AS day, NULL AS code, h.count
            FROM asked CROSS JOIN since JOIN key_hours h ON h.key_id = asked.id AND h.hour >= since.hour
            UNION ALL
            SELECT h.key_id, {_day("h.hour")}, h.code, h.count
            FROM asked CROSS JOIN since JOIN key_refusals h ON h.key_id = asked.id AND h.hour >= since.hour
        ) counted
        GROUP BY key_id, day, code ORDER BY day
    """  # noqa: S608
