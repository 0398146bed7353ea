"""The statements by which the SQLite store serves checking."""

from typing import Final

from keywright.service.change_feed import LONGEST_TRANSACTION_SECONDS
from keywright.service.verifier_sessions import SESSION_SECONDS
from keywright.storage import checking_rows as shape
from keywright.storage import rows
from keywright.storage.sqlite_file import NOW

MOST_RECENT: Final = 1000
"""With how many of the recent changes a reader begins."""

_ENDS = ", ".join(f"'{type_}'" for type_ in shape.ENDS)
_SESSION = ", ".join(shape.SESSION_COLUMNS)
_VERIFIER = ", ".join(shape.VERIFIER_COLUMNS)


# In the place of what tells of a secret, and of its key's environment.
_NO_SECRET = ", ".join(["NULL"] * (rows.SECRET_READ.count(",") + 2))


def _marks(count: int) -> str:
    return ", ".join("?" * count)


# A query for current secrets and one for the others: together they have indexes for all of them.
_CHANGE = """
    c.seq, c.changed_id, c.occurred_at, (
        SELECT group_concat(hex(digest), '') FROM (
            SELECT secret_digest AS digest FROM api_key_secrets WHERE key_id = c.changed_id AND retires_at IS NULL
            UNION ALL
            SELECT secret_digest FROM api_key_secrets WHERE key_id = c.changed_id AND retires_at IS NOT NULL
            UNION ALL
            SELECT credential_digest FROM verifiers WHERE id = c.changed_id
        )
    ), c.noted_at
"""

FIND: Final = f"""
    SELECT {shape.FACTS_COLUMNS} FROM api_key_secrets s JOIN api_keys k ON k.id = s.key_id
    WHERE s.secret_digest = ? AND k.deleted_at IS NULL
"""  # noqa: S608 - here and below: names of our own
"""Values: a digest."""

DATA_VERSION: Final = "PRAGMA data_version"
"""A number that changes whenever another connection commits something."""

BEGIN_AFTER: Final = f"SELECT seq FROM changes ORDER BY seq DESC LIMIT 1 OFFSET {MOST_RECENT}"  # noqa: S608
"""Gives the number before the recent ones; nothing where there are no more than those."""

CHANGES: Final = f"SELECT {_CHANGE} FROM changes c WHERE c.seq > ? ORDER BY c.seq"  # noqa: S608
"""Values: the last number seen. Once a change is visible, so are all before it: one process commits at a time."""

ADD_VERIFIER: Final = f"""
    INSERT INTO verifiers ({_VERIFIER}, credential_digest) VALUES ({_marks(len(shape.VERIFIER_COLUMNS) + 1)})
"""  # noqa: S608
VERIFIERS: Final = f"SELECT {_VERIFIER} FROM verifiers ORDER BY id DESC"  # noqa: S608
FIND_VERIFIER: Final = f"SELECT {_VERIFIER} FROM verifiers WHERE credential_digest = ?"  # noqa: S608
NAMED_VERIFIER: Final = f"""
    SELECT {_VERIFIER} FROM verifiers WHERE name = ? ORDER BY revoked_at IS NOT NULL, id DESC LIMIT 1
"""  # noqa: S608
REVOKE_VERIFIER: Final = f"UPDATE verifiers SET revoked_at = ? WHERE id = ? RETURNING {_VERIFIER}"  # noqa: S608

NOTE_SESSION: Final = f"""
    INSERT INTO verifier_sessions AS old ({_SESSION}, connected_at, seen_at)
    SELECT ?, ?, ?, ?, at, at FROM (SELECT {NOW} AS at) WHERE true
    ON CONFLICT (id) DO UPDATE SET
        name = excluded.name, outage_seconds = excluded.outage_seconds, seen_at = excluded.seen_at, closed_at = NULL
    WHERE old.verifier_id IS excluded.verifier_id
"""  # noqa: S608
"""Values: `SESSION_COLUMNS`."""

CLOSE_SESSION: Final = f"UPDATE verifier_sessions SET closed_at = {NOW} WHERE id = ? AND verifier_id IS ?"  # noqa: S608
"""Values: session, verifier."""

CONFIRM: Final = f"""
    INSERT INTO confirmations (seq, session_id, confirmed_at) SELECT seq, ?, {NOW} FROM changes WHERE seq = ?
    ON CONFLICT DO NOTHING
"""  # noqa: S608
"""Values: session, number."""

ENDING: Final = f"""
    WITH key AS (
        SELECT coalesce(revoked_at, deleted_at) AS ended_at FROM api_keys
        WHERE org_id = :org AND id = :key AND coalesce(revoked_at, deleted_at) IS NOT NULL
    ),
    confirmed AS (
        SELECT f.session_id, min(f.confirmed_at) AS at
        FROM changes c JOIN confirmations f ON f.seq = c.seq
        WHERE c.changed_id = :key AND c.type IN ({_ENDS})
        GROUP BY f.session_id
    ),
    written AS (SELECT min(noted_at) AS at FROM changes WHERE changed_id = :key AND type IN ({_ENDS})),
    ending AS MATERIALIZED (
        SELECT ended_at, coalesce(
            (SELECT min(at) FROM confirmed),
            (SELECT min({NOW}, at + {LONGEST_TRANSACTION_SECONDS:.0f} * 1000000) FROM written),
            {NOW}
        ) AS committed_by FROM key
    ),
    told AS (SELECT s.*, confirmed.at FROM verifier_sessions s LEFT JOIN confirmed ON confirmed.session_id = s.id)
    SELECT ending.*, told.at, told.connected_at, told.closed_at, {", ".join(f"told.{c}" for c in shape.SESSION_COLUMNS)}
    FROM ending LEFT JOIN told ON told.at IS NOT NULL OR (
        told.connected_at < committed_by AND (told.closed_at IS NULL OR told.closed_at > min(ended_at, committed_by))
        AND told.seen_at + (told.outage_seconds + {SESSION_SECONDS}) * 1000000 > min(ended_at, committed_by)
    )
    ORDER BY told.connected_at, told.id
"""  # noqa: S608
"""Values: `org` and `key`. A session that confirmed belongs here whenever it began."""

BEGIN_BATCH: Final = """
    INSERT INTO usage_reporters AS old (reporter, batch, written_at)
    VALUES (?, ?, CAST(strftime('%s', 'now') AS INTEGER) * 1000000)
    ON CONFLICT (reporter) DO UPDATE SET batch = excluded.batch, written_at = excluded.written_at
    WHERE old.batch < excluded.batch
"""
"""Values: a reporter, a number. Changes a row unless the batch was written before."""

NAMED_BY_DIGEST: Final = """
    SELECT s.id FROM api_key_secrets s JOIN api_keys k ON k.id = s.key_id
    WHERE s.secret_digest = ? AND k.id = ? AND k.deleted_at IS NULL
"""
"""Values: a digest, a key."""

USED: Final = """
    UPDATE api_key_secrets
    SET first_used_at = min(coalesce(first_used_at, ?1), ?1), last_used_at = max(coalesce(last_used_at, ?2), ?2)
    WHERE id = ?3 AND (coalesce(first_used_at, ?1 + 1) > ?1 OR coalesce(last_used_at, ?2 - 1) < ?2)
"""
"""Values: from when, until when, which secret."""

ADD_TO_HOUR: Final = """
    INSERT INTO key_hours (key_id, hour, count) VALUES (?, ?, ?)
    ON CONFLICT (key_id, hour) DO UPDATE SET count = count + excluded.count
"""

ADD_TO_SOURCE: Final = """
    INSERT INTO secret_sources AS old (secret_id, network, agent, verifier, first_seen, last_seen, count)
    VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (secret_id, network, agent, verifier) DO UPDATE SET
        first_seen = min(old.first_seen, excluded.first_seen), last_seen = max(old.last_seen, excluded.last_seen),
        count = old.count + excluded.count
"""

KEEP_LATEST_SOURCES: Final = f"""
    DELETE FROM secret_sources WHERE rowid IN (
        SELECT rowid FROM secret_sources WHERE secret_id = ?
        ORDER BY last_seen DESC, network, agent, verifier LIMIT -1 OFFSET {shape.MOST_SOURCES}
    )
"""  # noqa: S608
"""Values: a secret."""

USAGE: Final = f"""
    WITH key AS (SELECT id, environment FROM api_keys WHERE org_id = :org AND id = :key AND deleted_at IS NULL),
    secret AS (
        SELECT s.* FROM key JOIN api_key_secrets s ON s.key_id = key.id AND s.retires_at IS NULL
        UNION ALL
        SELECT s.* FROM key JOIN api_key_secrets s ON s.key_id = key.id AND s.retires_at IS NOT NULL
    )
    SELECT {shape.SECRET}, s.id, NULL, NULL, NULL, NULL, NULL, NULL, {rows.SECRET_READ}, key.environment
    FROM key CROSS JOIN secret s
    UNION ALL
    SELECT {shape.HOUR}, NULL, NULL, NULL, NULL, NULL, h.hour, h.count, {_NO_SECRET}
    FROM key JOIN key_hours h ON h.key_id = key.id AND h.hour >= :since
    UNION ALL
    SELECT {shape.SOURCE}, o.secret_id, o.network, o.agent, o.verifier, o.first_seen, o.last_seen, o.count, {_NO_SECRET}
    FROM secret JOIN secret_sources o ON o.secret_id = secret.id
    UNION ALL
    SELECT {shape.SOURCE}, o.key_id, o.network, o.agent, o.verifier, o.first_seen, o.last_seen, o.count, {_NO_SECRET}
    FROM key JOIN key_sources o ON o.key_id = key.id
"""  # noqa: S608
"""Values: `org`, `key` and `since`."""


def hourly_counts(keys: int) -> str:
    """Count uses of so many keys. Values: organisation, since when, the keys."""
    return f"""
        SELECT h.key_id, h.hour, h.count FROM api_keys k JOIN key_hours h ON h.key_id = k.id
        WHERE k.org_id = ? AND h.hour >= ? AND k.deleted_at IS NULL AND k.id IN ({_marks(keys)})
        ORDER BY h.hour
    """  # noqa: S608
