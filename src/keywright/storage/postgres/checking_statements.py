"""
The statements of PostgreSQL that serve checking. Each is a transaction of its own.

What stands in LATERAL with a LIMIT is looked up one by one through an index, whatever the server believes of its
tables. Arrays come as texts: see `rows`.
"""

from typing import Final

from keywright.storage.postgres.statements import DIALECT
from keywright.storage.shared.checking_rows import DIGEST_BYTES, MOST_SOURCES, HourlyUsageRow, VerifierRow
from keywright.storage.shared.readers import FACTS_COLUMNS, IS_KNOWN
from keywright.storage.shared.statements import VERIFIER_COLUMNS, change_columns

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

CHANGES: Final = f"""
    (SELECT {_CHANGE}, NULL AS recent FROM changes c WHERE seq > $1 ORDER BY seq LIMIT {MOST_READ})
    UNION ALL
    SELECT {_CHANGE}, NULL FROM changes c WHERE seq = ANY($2::text[]::bigint[])
    UNION ALL
    SELECT NULL, NULL, NULL, NULL, now(), (
        SELECT string_agg(seq::text, ' ') FROM changes WHERE noted_at > $3 AND noted_at < 'infinity' AND seq <= $1
    )
"""  # noqa: S608
"""
Values: the highest number seen, those missing below it, and since when to name what was noted below it.

Gives the changes of the first two, and last the time and the bare numbers of the third, in one text: nearly all of them
are known, and there may be thousands. The upper end looks idle, but to the planner a range with two ends is a small
one, and so worth an index.
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
    SELECT seq, $1, now() FROM changes WHERE seq = ANY($2::text[]::bigint[]) ORDER BY seq
    ON CONFLICT DO NOTHING
"""
"""Values: session, numbers."""

_USE_TYPES = ("uuid", "bytea", "timestamptz", "text", "text", "text", "timestamptz", "timestamptz", "bigint")
_USE = ", ".join(HourlyUsageRow._fields)
_TYPED = ", ".join(f"{column}::{type_}" for column, type_ in zip(HourlyUsageRow._fields, _USE_TYPES, strict=True))
_ARRAYS = ", ".join(f"${n}::text[]" for n, _ in enumerate(HourlyUsageRow._fields, start=1))
_BATCH = ", ".join(f"${len(HourlyUsageRow._fields) + n}" for n in (1, 2))

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
    used AS (
        UPDATE api_key_secrets s
        SET first_used_at = least(s.first_used_at, uses.since), last_used_at = greatest(s.last_used_at, uses.until)
        FROM (
            SELECT secret_id, min(first_seen) AS since, max(last_seen) AS until FROM seen GROUP BY secret_id
        ) uses
        WHERE s.id = uses.secret_id
            AND (coalesce(s.first_used_at > uses.since, true) OR coalesce(s.last_used_at < uses.until, true))
    ),
    counted AS (
        INSERT INTO key_hours AS old (key_id, hour, count)
        SELECT key_id, hour, sum(count) FROM seen GROUP BY key_id, hour ORDER BY key_id, hour
        ON CONFLICT (key_id, hour) DO UPDATE SET count = old.count + excluded.count
    ),
    new AS MATERIALIZED (
        SELECT secret_id, network, agent, verifier, min(first_seen) AS first_seen, max(last_seen) AS last_seen,
            sum(count) AS count
        FROM seen GROUP BY secret_id, network, agent, verifier
    ),
    ranked AS MATERIALIZED (
        SELECT secret_id, network, agent, verifier, max(last_seen) AS last_seen, row_number() OVER (
            PARTITION BY secret_id ORDER BY max(last_seen) DESC, network, agent, verifier
        ) AS place
        FROM (
            SELECT secret_id, network, agent, verifier, last_seen FROM new
            UNION ALL
            SELECT secret_id, network, agent, verifier, last_seen FROM secret_sources
            WHERE secret_id IN (SELECT secret_id FROM new)
        ) both_of_them
        GROUP BY secret_id, network, agent, verifier
    ),
    dropped AS (
        DELETE FROM secret_sources s USING ranked r
        WHERE r.place > {MOST_SOURCES} AND s.last_seen = r.last_seen
            AND (s.secret_id, s.network, s.agent, s.verifier) = (r.secret_id, r.network, r.agent, r.verifier)
    )
    INSERT INTO secret_sources AS old (secret_id, network, agent, verifier, first_seen, last_seen, count)
    SELECT secret_id, network, agent, verifier, new.first_seen, new.last_seen, new.count
    FROM new JOIN ranked USING (secret_id, network, agent, verifier) WHERE place <= {MOST_SOURCES}
    ORDER BY secret_id, network, agent, verifier
    ON CONFLICT (secret_id, network, agent, verifier) DO UPDATE SET
        first_seen = least(old.first_seen, excluded.first_seen),
        last_seen = greatest(old.last_seen, excluded.last_seen), count = old.count + excluded.count
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
        SELECT h.key_id, date_trunc('day', h.hour AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS day,
            sum(h.count)::bigint AS count
        FROM api_keys k JOIN key_hours h ON h.key_id = k.id AND h.hour >= $3
        WHERE k.id = asked.id::uuid AND k.org_id = $1 AND k.deleted_at IS NULL
        GROUP BY 1, 2
    ) found
    ORDER BY found.day
"""
"""Values: organization, keys, since when."""
