"""
The statements by which the PostgreSQL store serves checking. Each is a transaction of its own.

What stands in LATERAL with a LIMIT is looked up one by one through an index, whatever the server believes of its
tables. Arrays come as texts: see `rows`.
"""

from typing import Final

from keywright.service.change_feed import LONGEST_TRANSACTION_SECONDS
from keywright.service.verifier_sessions import SESSION_SECONDS
from keywright.storage import checking_rows as shape
from keywright.storage import rows

CHANNEL: Final = "keywright_changes"
"""Where a transaction that changes something makes itself heard."""

MOST_READ: Final = 1000
"""How many changes one reading gives at most."""

_ENDS = ", ".join(f"'{type_}'" for type_ in shape.ENDS)
_SESSION = ", ".join(shape.SESSION_COLUMNS)
_VERIFIER = ", ".join(shape.VERIFIER_COLUMNS)

# A query for current secrets and one for the others: together they have indexes for all of them.
_CHANGE = """
    c.seq, c.changed_id, c.occurred_at, (
        SELECT string_agg(digest, ''::bytea) FROM (
            SELECT secret_digest AS digest FROM api_key_secrets WHERE key_id = c.changed_id AND retires_at IS NULL
            UNION ALL
            SELECT secret_digest FROM api_key_secrets WHERE key_id = c.changed_id AND retires_at IS NOT NULL
            UNION ALL
            SELECT credential_digest FROM verifiers WHERE id = c.changed_id
        ) all_of_it
    ) AS digests, c.noted_at
"""

# In the place of what tells of a secret, and of its key's environment.
_NO_SECRET = ", ".join(["NULL"] * (rows.SECRET_READ.count(",") + 2))

FIND: Final = f"""
    SELECT {shape.FACTS_COLUMNS} FROM api_key_secrets s JOIN api_keys k ON k.id = s.key_id
    WHERE s.secret_digest = $1 AND k.deleted_at IS NULL
"""  # noqa: S608 - here and below: names of our own
"""Values: a digest."""

FIND_MANY: Final = f"""
    SELECT place, found.* FROM generate_series(0, length($1::bytea) / {shape.DIGEST_BYTES} - 1) AS place
    CROSS JOIN LATERAL (
        SELECT {shape.FACTS_COLUMNS} FROM api_key_secrets s JOIN api_keys k ON k.id = s.key_id
        WHERE s.secret_digest = substring($1 FROM place * {shape.DIGEST_BYTES} + 1 FOR {shape.DIGEST_BYTES})
            AND k.deleted_at IS NULL
        LIMIT 1
    ) found
"""  # noqa: S608
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

ADD_VERIFIER: Final = f"INSERT INTO verifiers ({_VERIFIER}, credential_digest) VALUES ($1, $2, $3, $4, $5, $6)"  # noqa: S608
VERIFIERS: Final = f"SELECT {_VERIFIER} FROM verifiers ORDER BY id DESC"  # noqa: S608
FIND_VERIFIER: Final = f"SELECT {_VERIFIER} FROM verifiers WHERE credential_digest = $1"  # noqa: S608

REVOKE_VERIFIER: Final = f"""
    WITH found AS (
        SELECT {_VERIFIER} FROM verifiers WHERE name = $1
        ORDER BY revoked_at IS NOT NULL, id DESC LIMIT 1 FOR NO KEY UPDATE
    ),
    changed AS (
        UPDATE verifiers v SET revoked_at = $2 FROM found WHERE v.id = found.id AND found.revoked_at IS NULL
        RETURNING {", ".join(f"v.{column}" for column in shape.VERIFIER_COLUMNS)}
    )
    SELECT * FROM changed UNION ALL SELECT * FROM found WHERE revoked_at IS NOT NULL
"""  # noqa: S608
"""Values: name, time. Of two at once, the second waits and gives what the first one did."""

NOTE_SESSION: Final = f"""
    INSERT INTO verifier_sessions AS old ({_SESSION}, connected_at, seen_at) VALUES ($1, $2, $3, $4, now(), now())
    ON CONFLICT (id) DO UPDATE SET
        name = excluded.name, outage_seconds = excluded.outage_seconds, seen_at = now(), closed_at = NULL
    WHERE old.verifier_id IS NOT DISTINCT FROM excluded.verifier_id
"""  # noqa: S608
"""Values: `SESSION_COLUMNS`."""

CLOSE_SESSION: Final = """
    UPDATE verifier_sessions SET closed_at = now() WHERE id = $1 AND verifier_id IS NOT DISTINCT FROM $2
"""
"""Values: session, verifier."""

CONFIRM: Final = """
    INSERT INTO confirmations (seq, session_id, confirmed_at)
    SELECT seq, $1, now() FROM changes WHERE seq = ANY($2::text[]::bigint[]) ORDER BY seq
    ON CONFLICT DO NOTHING
"""
"""Values: session, numbers."""

ENDING: Final = f"""
    WITH key AS (
        SELECT coalesce(revoked_at, deleted_at) AS ended_at FROM api_keys
        WHERE org_id = $1 AND id = $2 AND coalesce(revoked_at, deleted_at) IS NOT NULL
    ),
    confirmed AS (
        SELECT f.session_id, min(f.confirmed_at) AS at
        FROM changes c JOIN confirmations f ON f.seq = c.seq
        WHERE c.changed_id = $2 AND c.type IN ({_ENDS})
        GROUP BY f.session_id
    ),
    written AS (SELECT min(noted_at) AS at FROM changes WHERE changed_id = $2 AND type IN ({_ENDS})),
    ending AS (
        SELECT ended_at, coalesce(
            (SELECT min(at) FROM confirmed),
            (SELECT least(clock_timestamp(), at + make_interval(secs => {LONGEST_TRANSACTION_SECONDS})) FROM written)
        ) AS committed_by FROM key
    ),
    told AS (SELECT s.*, confirmed.at FROM verifier_sessions s LEFT JOIN confirmed ON confirmed.session_id = s.id)
    SELECT ending.*, told.at, told.connected_at, told.closed_at, {", ".join(f"told.{c}" for c in shape.SESSION_COLUMNS)}
    FROM ending LEFT JOIN told ON told.at IS NOT NULL OR (
        told.connected_at < committed_by AND (told.closed_at IS NULL OR told.closed_at > least(ended_at, committed_by))
        AND told.seen_at + make_interval(secs => told.outage_seconds + {SESSION_SECONDS})
            > least(ended_at, committed_by)
    )
    ORDER BY told.connected_at, told.id
"""  # noqa: S608
"""
Values: organisation, key. A session that confirmed belongs here whenever it began.

The time of reading comes from `clock_timestamp()`: `now()` is before the snapshot in which the key's end was found.
"""

_SIGHTING_TYPES = ("uuid", "bytea", "timestamptz", "text", "text", "text", "timestamptz", "timestamptz", "bigint")
_SIGHTING = ", ".join(shape.SIGHTING_COLUMNS)
_TOLD = ", ".join(f"{column}::{type_}" for column, type_ in zip(shape.SIGHTING_COLUMNS, _SIGHTING_TYPES, strict=True))
_ARRAYS = ", ".join(f"${n}::text[]" for n, _ in enumerate(shape.SIGHTING_COLUMNS, start=1))
_BATCH = ", ".join(f"${len(shape.SIGHTING_COLUMNS) + n}" for n in (1, 2))

NOTE_USAGE: Final = f"""
    WITH unwritten AS (
        INSERT INTO usage_reporters AS old (reporter, batch, written_at) VALUES ({_BATCH}, now())
        ON CONFLICT (reporter) DO UPDATE SET batch = excluded.batch, written_at = excluded.written_at
        WHERE old.batch < excluded.batch
        RETURNING 1
    ),
    told AS MATERIALIZED (
        SELECT {_TOLD} FROM unwritten CROSS JOIN unnest({_ARRAYS}) AS told ({_SIGHTING})
    ),
    secret AS MATERIALIZED (
        SELECT s.id, s.secret_digest, s.key_id FROM api_key_secrets s JOIN api_keys k ON k.id = s.key_id
        WHERE s.secret_digest IN (SELECT digest FROM told) AND k.deleted_at IS NULL
        ORDER BY s.id FOR NO KEY UPDATE OF s
    ),
    seen AS MATERIALIZED (
        SELECT told.*, secret.id AS secret_id FROM told
        JOIN secret ON secret.secret_digest = told.digest AND secret.key_id = told.key_id
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
        WHERE r.place > {shape.MOST_SOURCES} AND s.last_seen = r.last_seen
            AND (s.secret_id, s.network, s.agent, s.verifier) = (r.secret_id, r.network, r.agent, r.verifier)
    )
    INSERT INTO secret_sources AS old (secret_id, network, agent, verifier, first_seen, last_seen, count)
    SELECT secret_id, network, agent, verifier, new.first_seen, new.last_seen, new.count
    FROM new JOIN ranked USING (secret_id, network, agent, verifier) WHERE place <= {shape.MOST_SOURCES}
    ORDER BY secret_id, network, agent, verifier
    ON CONFLICT (secret_id, network, agent, verifier) DO UPDATE SET
        first_seen = least(old.first_seen, excluded.first_seen),
        last_seen = greatest(old.last_seen, excluded.last_seen), count = old.count + excluded.count
"""  # noqa: S608
"""
Values: an array for each of `SIGHTING_COLUMNS`, the reporter, the number of the batch.

Whoever repeats a batch waits for the row of the reporter until the first transaction is over, and then sees what became
of it: `told` is empty where the batch was written, and nothing else is done. After that row, the secrets are locked in
one order, so that those who note uses of the same keys wait for each other once and never in a ring. Whoever rotates a
key locks one of them, and waits for nobody who notes uses while they hold it.
"""

USAGE: Final = f"""
    WITH key AS (SELECT id, environment FROM api_keys WHERE org_id = $1 AND id = $2 AND deleted_at IS NULL),
    secret AS (
        SELECT s.* FROM key JOIN api_key_secrets s ON s.key_id = key.id AND s.retires_at IS NULL
        UNION ALL
        SELECT s.* FROM key JOIN api_key_secrets s ON s.key_id = key.id AND s.retires_at IS NOT NULL
    )
    SELECT {shape.SECRET}, s.id, NULL, NULL, NULL, NULL::timestamptz, NULL::timestamptz, NULL::bigint,
        {rows.SECRET_READ}, key.environment
    FROM key CROSS JOIN secret s
    UNION ALL
    SELECT {shape.HOUR}, NULL, NULL, NULL, NULL, NULL, h.hour, h.count, {_NO_SECRET}
    FROM key JOIN key_hours h ON h.key_id = key.id AND h.hour >= $3
    UNION ALL
    SELECT {shape.SOURCE}, o.secret_id, o.network, o.agent, o.verifier, o.first_seen, o.last_seen, o.count, {_NO_SECRET}
    FROM secret JOIN secret_sources o ON o.secret_id = secret.id
    UNION ALL
    SELECT {shape.SOURCE}, o.key_id, o.network, o.agent, o.verifier, o.first_seen, o.last_seen, o.count, {_NO_SECRET}
    FROM key JOIN key_sources o ON o.key_id = key.id
"""  # noqa: S608
"""Values: organisation, key, since when."""

HOURLY_COUNTS: Final = """
    SELECT found.* FROM unnest($2::text[]) AS asked (id)
    CROSS JOIN LATERAL (
        SELECT h.key_id, h.hour, h.count FROM api_keys k JOIN key_hours h ON h.key_id = k.id AND h.hour >= $3
        WHERE k.id = asked.id::uuid AND k.org_id = $1 AND k.deleted_at IS NULL
        OFFSET 0
    ) found
    ORDER BY found.hour
"""
"""Values: organisation, keys, since when."""
