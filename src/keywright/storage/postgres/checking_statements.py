"""
The statements of PostgreSQL that serve checking. Each is a transaction of its own.

What stands in LATERAL with a LIMIT is looked up one by one through an index, whatever the server believes of its
tables. Arrays come as texts: see `rows`.
"""

from typing import Final

from keywright.keys.verdict import Code
from keywright.storage.postgres.connecting import PROOF, SERVER
from keywright.storage.postgres.statements import DIALECT
from keywright.storage.shared.checking_rows import (
    DIGEST_BYTES,
    MOST_SOURCES,
    REFUSED_SOURCE,
    SOURCE,
    HourlyUsageRow,
    VerifierRow,
)
from keywright.storage.shared.readers import FACTS_COLUMNS, IS_KNOWN
from keywright.storage.shared.statements import VERIFIER_COLUMNS, change_columns, renew_sessions

CHANNEL: Final = "keywright_changes"
"""Where a transaction that changes something makes itself heard."""

MOST_READ: Final = 1000
"""How many changes one reading gives at most."""

_CHANGE: Final = change_columns(DIALECT)

FIND_MANY: Final = f"""
    SELECT place, found.* FROM generate_series(0, length($1::bytea) / {DIGEST_BYTES} - 1) AS place
    CROSS JOIN LATERAL (
        SELECT {FACTS_COLUMNS} FROM api_key_secrets s JOIN api_keys k ON k.id = s.key_id
        WHERE s.secret_digest = substring($1 FROM place * {DIGEST_BYTES} + 1 FOR {DIGEST_BYTES})
            AND {IS_KNOWN}
        LIMIT 1
    ) found
"""  # noqa: S608 - here and below: names of our own
"""Values: digests, one after another. Gives the place of each that was found, and its facts."""


def _changes(server: str, needs_proof: str) -> str:
    """
    Select the changes that a reader lacks, and last a row that says what the reader has to know of the server.

    Args:
        server: Which server it is, an expression.
        needs_proof: Whether a standby has to confirm what the server writes, an expression.
    """
    return f"""
        (
            SELECT {_CHANGE}, NULL AS recent, NULL AS server, NULL AS needs_proof FROM changes c
            WHERE seq > $1 ORDER BY seq LIMIT {MOST_READ}
        )
        UNION ALL
        SELECT {_CHANGE}, NULL, NULL, NULL FROM changes c WHERE seq = ANY($2::text[]::bigint[])
        UNION ALL
        SELECT NULL, NULL, NULL, NULL, now(), (
            SELECT string_agg(seq::text, ' ') FROM changes WHERE noted_at > $3 AND noted_at < 'infinity' AND seq <= $1
        ), {server}, {needs_proof}
    """  # noqa: S608


CHANGES: Final = _changes("NULL", "NULL")
"""
Values: the highest number seen, those missing below it, and since when to name what was noted below it.

Gives the changes of the first two, and last the time and the bare numbers of the third, in one text: nearly all of them
are known, and there may be thousands. The upper end looks idle, but to the planner a range with two ends is a small
one, and so worth an index.
"""

CHANGES_AND_SERVER: Final = _changes(
    SERVER,
    f"""CASE
        WHEN current_setting('synchronous_standby_names') = '' THEN 'no'
        WHEN $4::boolean THEN 'yes' || coalesce(substr({PROOF}::text, 1, 0), '')
        ELSE 'yes'
    END""",
)
"""
The same for a server that knows timelines, and one value more: whether to prove that it is still the primary.

Gives beside it which server it is and whether it needs a standby to confirm what it writes: 'yes' or 'no'. With the
fourth value a reading is a transaction that writes something then, so that it ends once the standby has confirmed it.
"""

BEGIN_AT: Final = """
    SELECT coalesce((
        SELECT seq FROM changes WHERE noted_at < now() - make_interval(secs => $1) ORDER BY seq DESC LIMIT 1
    ), 0), now()
"""
"""Values: seconds. Gives the last number that was noted longer ago than that, and the time."""

REVOKE_VERIFIER: Final = f"""
    WITH found AS (
        SELECT {VERIFIER_COLUMNS} FROM verifiers WHERE name = $1
        ORDER BY revoked_at IS NOT NULL, id DESC LIMIT 1 FOR NO KEY UPDATE
    ),
    changed AS (
        UPDATE verifiers v SET revoked_at = $2 FROM found WHERE v.id = found.id AND found.revoked_at IS NULL
        RETURNING {", ".join(f"v.{column}" for column in VerifierRow._fields)}
    )
    SELECT * FROM changed UNION ALL SELECT * FROM found WHERE revoked_at IS NOT NULL
"""  # noqa: S608
"""Values: name, time. Of two at once, the second waits and gives what the first one did."""

ACKNOWLEDGE: Final = """
    INSERT INTO acknowledgements (seq, session_id, acknowledged_at)
    SELECT seq, session_id, now() FROM (
        SELECT session_id::uuid, seq::bigint FROM unnest($1::text[], $2::text[]) AS new (session_id, seq)
    ) new
    WHERE EXISTS (SELECT 1 FROM changes c WHERE c.seq = new.seq)
    ORDER BY seq, session_id
    ON CONFLICT DO NOTHING
"""
"""Values: sessions, and a number for each. In one order for all, so that two of them never wait for each other."""

RENEW_SESSIONS: Final = renew_sessions(
    DIALECT,
    """(
        SELECT id::uuid, verifier_id::uuid, name, outage_seconds::integer, version
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
            AS new (id, verifier_id, name, outage_seconds, version)
    )""",
)
"""Values: the columns of a `SessionRow` each, by id, no id twice."""

_USE_TYPES = ("uuid", "bytea", "timestamptz", "text", "text", "text", "timestamptz", "timestamptz", "bigint", "text")
_USE = ", ".join(HourlyUsageRow._fields)
_TYPED = ", ".join(f"{column}::{type_}" for column, type_ in zip(HourlyUsageRow._fields, _USE_TYPES, strict=True))
_ARRAYS = ", ".join(f"${n}::text[]" for n, _ in enumerate(HourlyUsageRow._fields, start=1))
_BATCH = ", ".join(f"${len(HourlyUsageRow._fields) + n}" for n in (1, 2))


def _add_sources(table: str, source: str, reported: str) -> str:
    """
    Add rows of *reported* to the sources in *table*, and keep the latest of each secret: steps of ADD_USAGE.

    Args:
        table: The table.
        source: Its columns that tell sources apart.
        reported: The step that gives the rows.
    """
    return f"""
        {table}_new AS MATERIALIZED (
            SELECT secret_id, {source}, min(first_seen) AS first_seen, max(last_seen) AS last_seen, sum(count) AS count
            FROM {reported} GROUP BY secret_id, {source}
        ),
        {table}_ranked AS MATERIALIZED (
            SELECT secret_id, {source}, max(last_seen) AS last_seen, row_number() OVER (
                PARTITION BY secret_id ORDER BY max(last_seen) DESC, {source}
            ) AS place
            FROM (
                SELECT secret_id, {source}, last_seen FROM {table}_new
                UNION ALL
                SELECT secret_id, {source}, last_seen FROM {table}
                WHERE secret_id IN (SELECT secret_id FROM {table}_new)
            ) both_of_them
            GROUP BY secret_id, {source}
        ),
        {table}_dropped AS (
            DELETE FROM {table} s USING {table}_ranked r
            WHERE r.place > {MOST_SOURCES} AND s.last_seen = r.last_seen
                AND (s.secret_id, {_of("s", source)}) = (r.secret_id, {_of("r", source)})
        ),
        {table}_added AS (
            INSERT INTO {table} AS old (secret_id, {source}, first_seen, last_seen, count)
            SELECT secret_id, {source}, new.first_seen, new.last_seen, new.count
            FROM {table}_new new JOIN {table}_ranked USING (secret_id, {source}) WHERE place <= {MOST_SOURCES}
            ORDER BY secret_id, {source}
            ON CONFLICT (secret_id, {source}) DO UPDATE SET
                first_seen = least(old.first_seen, excluded.first_seen),
                last_seen = greatest(old.last_seen, excluded.last_seen), count = old.count + excluded.count
        )
    """  # noqa: S608


def _of(table: str, columns: str) -> str:
    return ", ".join(f"{table}.{column}" for column in columns.split(", "))


ADD_USAGE: Final = f"""
    WITH unwritten AS (
        INSERT INTO usage_reporters AS old (reporter, batch, written_at) VALUES ({_BATCH}, now())
        ON CONFLICT (reporter) DO UPDATE SET batch = excluded.batch, written_at = excluded.written_at
        WHERE old.batch < excluded.batch
        RETURNING 1
    ),
    reported AS MATERIALIZED (
        SELECT {_TYPED} FROM unwritten CROSS JOIN unnest({_ARRAYS}) AS reported ({_USE})
    ),
    secret AS MATERIALIZED (
        SELECT s.id, s.secret_digest, s.key_id FROM api_key_secrets s JOIN api_keys k ON k.id = s.key_id
        WHERE s.secret_digest IN (SELECT digest FROM reported) AND k.deleted_at IS NULL
        ORDER BY s.id FOR NO KEY UPDATE OF s
    ),
    seen AS MATERIALIZED (
        SELECT reported.*, secret.id AS secret_id FROM reported
        JOIN secret ON secret.secret_digest = reported.digest AND secret.key_id = reported.key_id
    ),
    uses AS MATERIALIZED (SELECT * FROM seen WHERE code = '{Code.VALID}'),
    refusals AS MATERIALIZED (SELECT * FROM seen WHERE code <> '{Code.VALID}'),
    used AS (
        UPDATE api_key_secrets s
        SET first_used_at = least(s.first_used_at, times.since), last_used_at = greatest(s.last_used_at, times.until)
        FROM (
            SELECT secret_id, min(first_seen) AS since, max(last_seen) AS until FROM uses GROUP BY secret_id
        ) times
        WHERE s.id = times.secret_id
            AND (coalesce(s.first_used_at > times.since, true) OR coalesce(s.last_used_at < times.until, true))
    ),
    counted AS (
        INSERT INTO key_hours AS old (key_id, hour, count)
        SELECT key_id, hour, sum(count) FROM uses GROUP BY key_id, hour ORDER BY key_id, hour
        ON CONFLICT (key_id, hour) DO UPDATE SET count = old.count + excluded.count
    ),
    counted_refusals AS (
        INSERT INTO key_refusals AS old (key_id, hour, code, count)
        SELECT key_id, hour, code, sum(count) FROM refusals GROUP BY key_id, hour, code ORDER BY key_id, hour, code
        ON CONFLICT (key_id, hour, code) DO UPDATE SET count = old.count + excluded.count
    ),
    {_add_sources("secret_sources", SOURCE, "uses")},
    {_add_sources("secret_refusals", REFUSED_SOURCE, "refusals")}
    SELECT 1 FROM unwritten
"""  # noqa: S608
"""
Values: an array for each of `HourlyUsageRow`, the reporter, the number of the batch.

A repeated batch waits for the row of the reporter until the first transaction is over, and then sees the result:
`reported` is empty where the batch was written, and nothing else is done. After that row, the secrets are locked in one
order, so that reports on the same keys wait for each other once and never in a ring. A rotation locks one of them, and
waits for no report while it has the lock.
"""

DAILY_COUNTS: Final = """
    SELECT found.* FROM unnest($2::text[]) AS asked (id)
    CROSS JOIN LATERAL (
        SELECT key_id, date_trunc('day', hour AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS day,
            code, sum(count)::bigint AS count
        FROM (
            SELECT h.key_id, h.hour, NULL AS code, h.count
            FROM api_keys k JOIN key_hours h ON h.key_id = k.id AND h.hour >= $3
            WHERE k.id = asked.id::uuid AND k.org_id = $1 AND k.deleted_at IS NULL
            UNION ALL
            SELECT h.key_id, h.hour, h.code, h.count
            FROM api_keys k JOIN key_refusals h ON h.key_id = k.id AND h.hour >= $3
            WHERE k.id = asked.id::uuid AND k.org_id = $1 AND k.deleted_at IS NULL
        ) counted
        GROUP BY 1, 2, 3
    ) found
    ORDER BY found.day
"""
"""Values: organization, keys, since when."""
