"""
The statements of revision 20261130_0006, word for word, as processes of that version execute them.

For the test that migrates a database under them. Not to be kept up with anything.
"""

# ruff: noqa: E501

POSTGRES_CREATE_GUARDED = """
WITH asked AS MATERIALIZED (SELECT new.key_id::uuid AS key_id, new.org_id::uuid AS org_id, new.request_digest::bytea AS request_digest, new.fingerprint::bytea AS fingerprint, new.sealed::bytea AS sealed, new.created_at::timestamptz AS created_at, new.expires_at::timestamptz AS expires_at, new.asked_at::timestamptz AS asked_at, new.most_active::integer AS most_active FROM unnest($37::text[], $38::text[], $39::text[], $40::text[], $41::text[], $42::text[], $43::text[], $44::text[], $45::text[]) AS new (key_id, org_id, request_digest, fingerprint, sealed, created_at, expires_at, asked_at, most_active)),
    roomy AS MATERIALIZED (SELECT * FROM asked WHERE api_keys_have_room(org_id, asked_at, most_active)),
    replay AS (
    INSERT INTO replays AS old (org_id, request_digest, fingerprint, sealed, created_at, expires_at) SELECT org_id, request_digest, fingerprint, sealed, created_at, expires_at FROM roomy WHERE request_digest IS NOT NULL ORDER BY org_id, request_digest
    ON CONFLICT (org_id, request_digest) DO UPDATE SET fingerprint = excluded.fingerprint, sealed = excluded.sealed, created_at = excluded.created_at, expires_at = excluded.expires_at WHERE old.expires_at <= excluded.created_at
    RETURNING org_id, request_digest
),
    fresh AS MATERIALIZED (
        SELECT key_id, org_id FROM roomy
        WHERE request_digest IS NULL OR (org_id, request_digest) IN (SELECT org_id, request_digest FROM replay)
    ),
    organization AS (INSERT INTO organizations (id, issuer, external_id, created_at) SELECT new.id::uuid, new.issuer::text, new.external_id::text, new.created_at::timestamptz FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS new (id, issuer, external_id, created_at) WHERE new.id::uuid IN (SELECT org_id FROM fresh) ORDER BY new.id ON CONFLICT DO NOTHING),
    key AS (INSERT INTO api_keys (id, org_id, name, description, environment, created_at, created_by, expires_at, scopes, allowed_ips, rate_limits, external_id, metadata) SELECT new.id::uuid, new.org_id::uuid, new.name::text, new.description::text, new.environment::text, new.created_at::timestamptz, new.created_by::text, new.expires_at::timestamptz, new.scopes::text, new.allowed_ips::text, new.rate_limits::text, new.external_id::text, new.metadata::text FROM unnest($5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[]) AS new (id, org_id, name, description, environment, created_at, created_by, expires_at, scopes, allowed_ips, rate_limits, external_id, metadata) WHERE new.id::uuid IN (SELECT key_id FROM fresh)),
    secret AS (INSERT INTO api_key_secrets (id, key_id, public_key, secret_digest, brand, display, created_at) SELECT new.id::uuid, new.key_id::uuid, new.public_key::bytea, new.secret_digest::bytea, new.brand::text, new.display::text, new.created_at::timestamptz FROM unnest($18::text[], $19::text[], $20::text[], $21::text[], $22::text[], $23::text[], $24::text[]) AS new (id, key_id, public_key, secret_digest, brand, display, created_at) WHERE new.key_id::uuid IN (SELECT key_id FROM fresh)),
    event AS (INSERT INTO events (id, org_id, key_id, type, occurred_at, issuer, subject, client_id, request_id, address, data, digest) SELECT new.id::uuid, new.org_id::uuid, new.key_id::uuid, new.type::text, new.occurred_at::timestamptz, new.issuer::text, new.subject::text, new.client_id::text, new.request_id::text, new.address::text, new.data::jsonb, new.digest::bytea FROM unnest($25::text[], $26::text[], $27::text[], $28::text[], $29::text[], $30::text[], $31::text[], $32::text[], $33::text[], $34::text[], $35::text[], $36::text[]) AS new (id, org_id, key_id, type, occurred_at, issuer, subject, client_id, request_id, address, data, digest) WHERE new.key_id::uuid IN (SELECT key_id FROM fresh))
    SELECT key_id FROM fresh
"""

POSTGRES_GET = """
SELECT k.id, k.org_id, k.name, k.description, k.environment, k.created_at, k.created_by, k.expires_at, k.revoked_at, k.revocation_reason, k.scopes, k.allowed_ips, k.rate_limits, k.external_id, k.metadata, k.version, s.public_key, s.brand, s.display, s.created_at, s.first_used_at, s.last_used_at, s.retires_at, s.quiet_seconds, r.public_key, r.brand, r.display, r.created_at, r.first_used_at, r.last_used_at, r.retires_at, r.quiet_seconds FROM api_keys k
CROSS JOIN LATERAL (SELECT * FROM api_key_secrets WHERE key_id = k.id AND retires_at IS NULL LIMIT 1) s
LEFT JOIN LATERAL (SELECT * FROM api_key_secrets WHERE key_id = k.id AND retires_at IS NOT NULL ORDER BY retires_at DESC, id DESC LIMIT 1) r ON true

WHERE k.org_id = $1 AND k.id = $2 AND k.deleted_at IS NULL
"""

POSTGRES_LIST = """
SELECT k.id, k.org_id, k.name, k.description, k.environment, k.created_at, k.created_by, k.expires_at, k.revoked_at, k.revocation_reason, k.scopes, k.allowed_ips, k.rate_limits, k.external_id, k.metadata, k.version, s.public_key, s.brand, s.display, s.created_at, s.first_used_at, s.last_used_at, s.retires_at, s.quiet_seconds, r.public_key, r.brand, r.display, r.created_at, r.first_used_at, r.last_used_at, r.retires_at, r.quiet_seconds
   FROM (SELECT * FROM api_keys k WHERE
   (k.org_id, k.id) >= ($1, '00000000-0000-0000-0000-000000000000') AND (k.org_id, k.id) < ($1, $2)
   AND k.deleted_at IS NULL
ORDER BY k.org_id DESC, k.id DESC LIMIT $3) k
   CROSS JOIN LATERAL (SELECT * FROM api_key_secrets WHERE key_id = k.id AND retires_at IS NULL LIMIT 1) s
   LEFT JOIN LATERAL (SELECT * FROM api_key_secrets WHERE key_id = k.id AND retires_at IS NOT NULL ORDER BY retires_at DESC, id DESC LIMIT 1) r ON true
ORDER BY k.org_id DESC, k.id DESC
"""

POSTGRES_REVOKE = """
WITH seen AS (SELECT max(version) AS version FROM api_keys WHERE id = $3),
found AS (
    SELECT * FROM api_keys WHERE org_id = $2 AND id = $3 AND deleted_at IS NULL FOR UPDATE
),
changed AS (
    UPDATE api_keys SET revoked_at = $5, revoked_by = $7, revocation_reason = $13,
        version = found.version + 1
    FROM found WHERE api_keys.id = found.id AND found.revoked_at IS NULL
    RETURNING api_keys.*
),
noted AS (INSERT INTO events (id, org_id, key_id, type, occurred_at, issuer, subject, client_id, request_id, address, data, digest) SELECT $1::uuid, $2::uuid, $3::uuid, $4::text, $5::timestamptz, $6::text, $7::text, $8::text, $9::text, $10::text, $11::jsonb, $12::bytea FROM changed),
k AS (SELECT * FROM changed UNION ALL SELECT * FROM found WHERE revoked_at IS NOT NULL)
SELECT found.version IS DISTINCT FROM seen.version, k.id, k.org_id, k.name, k.description, k.environment, k.created_at, k.created_by, k.expires_at, k.revoked_at, k.revocation_reason, k.scopes, k.allowed_ips, k.rate_limits, k.external_id, k.metadata, k.version, s.public_key, s.brand, s.display, s.created_at, s.first_used_at, s.last_used_at, s.retires_at, s.quiet_seconds, r.public_key, r.brand, r.display, r.created_at, r.first_used_at, r.last_used_at, r.retires_at, r.quiet_seconds
FROM seen CROSS JOIN found CROSS JOIN k
CROSS JOIN LATERAL (SELECT * FROM api_key_secrets WHERE key_id = k.id AND retires_at IS NULL LIMIT 1) s
LEFT JOIN LATERAL (SELECT * FROM api_key_secrets WHERE key_id = k.id AND retires_at IS NOT NULL ORDER BY retires_at DESC, id DESC LIMIT 1) r ON true
"""

POSTGRES_ROTATE = """
WITH found AS (
   SELECT id FROM api_keys
   WHERE org_id = $2 AND id = $3 AND deleted_at IS NULL AND version = $13
AND NOT EXISTS (SELECT FROM api_key_secrets WHERE key_id = $3 AND retires_at IS NOT NULL AND retires_at > $5) FOR UPDATE),
       asked AS (SELECT * FROM (SELECT $23::uuid, $24::bytea, $25::bytea, $26::bytea, $27::timestamptz, $28::timestamptz) new (org_id, request_digest, fingerprint, sealed, created_at, expires_at)),
       replay AS (
       INSERT INTO replays AS old (org_id, request_digest, fingerprint, sealed, created_at, expires_at) SELECT org_id, request_digest, fingerprint, sealed, created_at, expires_at FROM asked WHERE request_digest IS NOT NULL AND EXISTS (SELECT FROM found)
       ON CONFLICT (org_id, request_digest) DO UPDATE SET fingerprint = excluded.fingerprint, sealed = excluded.sealed, created_at = excluded.created_at, expires_at = excluded.expires_at WHERE old.expires_at <= excluded.created_at
       RETURNING org_id, request_digest
   ),
       changed AS (
           UPDATE api_keys SET version = version + 1
           WHERE id IN (SELECT id FROM found)
               AND ((SELECT request_digest FROM asked) IS NULL OR EXISTS (SELECT FROM replay))
           RETURNING id
       ),
       replaced AS (
           UPDATE api_key_secrets s SET retires_at = $14, quiet_seconds = $15
           FROM changed WHERE s.key_id = changed.id AND s.retires_at IS NULL
           RETURNING s.key_id
       ),
       added AS (
           INSERT INTO api_key_secrets (id, key_id, public_key, secret_digest, brand, display, created_at) SELECT $16::uuid, $17::uuid, $18::bytea, $19::bytea, $20::text, $21::text, $22::timestamptz FROM replaced
       ),
       noted AS (INSERT INTO events (id, org_id, key_id, type, occurred_at, issuer, subject, client_id, request_id, address, data, digest) SELECT $1::uuid, $2::uuid, $3::uuid, $4::text, $5::timestamptz, $6::text, $7::text, $8::text, $9::text, $10::text, $11::jsonb, $12::bytea FROM changed)
       SELECT id FROM changed
"""

POSTGRES_SET_RETIREMENT = """
WITH found AS (
   SELECT id FROM api_keys
   WHERE org_id = $2 AND id = $3 AND deleted_at IS NULL AND version = $13
FOR UPDATE),
   retired AS (
       UPDATE api_key_secrets s SET retires_at = $14, quiet_seconds = NULL
       FROM found WHERE s.key_id = found.id AND s.retires_at IS NOT NULL AND s.retires_at > $5
       RETURNING s.key_id
   ),
   changed AS (
       UPDATE api_keys SET version = version + 1 WHERE id IN (SELECT key_id FROM retired) RETURNING id
   ),
   noted AS (INSERT INTO events (id, org_id, key_id, type, occurred_at, issuer, subject, client_id, request_id, address, data, digest) SELECT $1::uuid, $2::uuid, $3::uuid, $4::text, $5::timestamptz, $6::text, $7::text, $8::text, $9::text, $10::text, $11::jsonb, $12::bytea FROM changed)
   SELECT id FROM changed
"""

POSTGRES_PURGE = """
WITH expired AS (
    DELETE FROM replays WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM replays WHERE expires_at <= $1 ORDER BY expires_at LIMIT $3 FOR UPDATE SKIP LOCKED
    ))
    RETURNING 1
),
silent AS (
    DELETE FROM usage_reporters WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM usage_reporters WHERE written_at <= $2 ORDER BY written_at
        LIMIT $3 - (SELECT count(*) FROM expired) FOR UPDATE SKIP LOCKED
    ))
    RETURNING 1
)
SELECT * FROM expired UNION ALL SELECT * FROM silent
"""

POSTGRES_FIND = """
SELECT k.id, k.org_id, k.name, k.environment, k.expires_at, k.revoked_at, k.scopes, k.allowed_ips, k.rate_limits, s.retires_at FROM api_key_secrets s JOIN api_keys k ON k.id = s.key_id
WHERE s.secret_digest = $1 AND k.deleted_at IS NULL
"""

POSTGRES_FIND_MANY = """
SELECT place, found.* FROM generate_series(0, length($1::bytea) / 32 - 1) AS place
CROSS JOIN LATERAL (
    SELECT k.id, k.org_id, k.name, k.environment, k.expires_at, k.revoked_at, k.scopes, k.allowed_ips, k.rate_limits, s.retires_at FROM api_key_secrets s JOIN api_keys k ON k.id = s.key_id
    WHERE s.secret_digest = substring($1 FROM place * 32 + 1 FOR 32)
        AND k.deleted_at IS NULL
    LIMIT 1
) found
"""

POSTGRES_NOTE_SESSION = """
INSERT INTO verifier_sessions AS old (id, verifier_id, name, outage_seconds, connected_at, seen_at) VALUES ($1, $2, $3, $4, now(), now())
ON CONFLICT (id) DO UPDATE SET
    name = excluded.name, outage_seconds = excluded.outage_seconds, seen_at = now(), closed_at = NULL
WHERE old.verifier_id IS NOT DISTINCT FROM excluded.verifier_id
"""

POSTGRES_CONFIRM = """
INSERT INTO confirmations (seq, session_id, confirmed_at)
SELECT seq, $1, now() FROM changes WHERE seq = ANY($2::text[]::bigint[]) ORDER BY seq
ON CONFLICT DO NOTHING
"""

POSTGRES_ENDING = """
WITH key AS (
    SELECT coalesce(revoked_at, deleted_at) AS ended_at FROM api_keys
    WHERE org_id = $1 AND id = $2 AND coalesce(revoked_at, deleted_at) IS NOT NULL
),
confirmed AS (
    SELECT f.session_id, min(f.confirmed_at) AS at
    FROM changes c JOIN confirmations f ON f.seq = c.seq
    WHERE c.changed_id = $2 AND c.type IN ('api_key.revoked', 'api_key.deleted')
    GROUP BY f.session_id
),
written AS (SELECT min(noted_at) AS at FROM changes WHERE changed_id = $2 AND type IN ('api_key.revoked', 'api_key.deleted')),
ending AS (
    SELECT ended_at, coalesce(
        (SELECT min(at) FROM confirmed),
        (SELECT least(clock_timestamp(), at + make_interval(secs => 900.0)) FROM written)
    ) AS committed_by FROM key
),
told AS (SELECT s.*, confirmed.at FROM verifier_sessions s LEFT JOIN confirmed ON confirmed.session_id = s.id)
SELECT ending.*, told.at, told.connected_at, told.closed_at, told.id, told.verifier_id, told.name, told.outage_seconds
FROM ending LEFT JOIN told ON told.at IS NOT NULL OR (
    told.connected_at < committed_by AND (told.closed_at IS NULL OR told.closed_at > least(ended_at, committed_by))
    AND told.seen_at + make_interval(secs => told.outage_seconds + 60.0)
        > least(ended_at, committed_by)
)
ORDER BY told.connected_at, told.id
"""

POSTGRES_NOTE_USAGE = """
WITH unwritten AS (
    INSERT INTO usage_reporters AS old (reporter, batch, written_at) VALUES ($10, $11, now())
    ON CONFLICT (reporter) DO UPDATE SET batch = excluded.batch, written_at = excluded.written_at
    WHERE old.batch < excluded.batch
    RETURNING 1
),
told AS MATERIALIZED (
    SELECT key_id::uuid, digest::bytea, hour::timestamptz, network::text, agent::text, verifier::text, first_seen::timestamptz, last_seen::timestamptz, count::bigint FROM unwritten CROSS JOIN unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[]) AS told (key_id, digest, hour, network, agent, verifier, first_seen, last_seen, count)
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
    WHERE r.place > 50 AND s.last_seen = r.last_seen
        AND (s.secret_id, s.network, s.agent, s.verifier) = (r.secret_id, r.network, r.agent, r.verifier)
)
INSERT INTO secret_sources AS old (secret_id, network, agent, verifier, first_seen, last_seen, count)
SELECT secret_id, network, agent, verifier, new.first_seen, new.last_seen, new.count
FROM new JOIN ranked USING (secret_id, network, agent, verifier) WHERE place <= 50
ORDER BY secret_id, network, agent, verifier
ON CONFLICT (secret_id, network, agent, verifier) DO UPDATE SET
    first_seen = least(old.first_seen, excluded.first_seen),
    last_seen = greatest(old.last_seen, excluded.last_seen), count = old.count + excluded.count
"""

POSTGRES_USAGE = """
WITH key AS (SELECT id, environment FROM api_keys WHERE org_id = $1 AND id = $2 AND deleted_at IS NULL),
secret AS (
    SELECT s.* FROM key JOIN api_key_secrets s ON s.key_id = key.id AND s.retires_at IS NULL
    UNION ALL
    SELECT s.* FROM key JOIN api_key_secrets s ON s.key_id = key.id AND s.retires_at IS NOT NULL
)
SELECT 0, s.id, NULL, NULL, NULL, NULL::timestamptz, NULL::timestamptz, NULL::bigint,
    s.public_key, s.brand, s.display, s.created_at, s.first_used_at, s.last_used_at, s.retires_at, s.quiet_seconds, key.environment
FROM key CROSS JOIN secret s
UNION ALL
SELECT 1, NULL, NULL, NULL, NULL, NULL, h.hour, h.count, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM key JOIN key_hours h ON h.key_id = key.id AND h.hour >= $3
UNION ALL
SELECT 2, o.secret_id, o.network, o.agent, o.verifier, o.first_seen, o.last_seen, o.count, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM secret JOIN secret_sources o ON o.secret_id = secret.id
UNION ALL
SELECT 2, o.key_id, o.network, o.agent, o.verifier, o.first_seen, o.last_seen, o.count, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM key JOIN key_sources o ON o.key_id = key.id
"""

POSTGRES_QUIET = """
SELECT k.org_id, k.id, k.version, o.public_key, o.brand, k.environment
FROM api_key_secrets o JOIN api_keys k ON k.id = o.key_id
JOIN api_key_secrets s ON s.key_id = k.id AND s.retires_at IS NULL
WHERE o.quiet_seconds IS NOT NULL AND o.retires_at > $1 AND k.deleted_at IS NULL AND k.revoked_at IS NULL
    AND (k.expires_at IS NULL OR k.expires_at > $1)
    AND s.first_used_at < $1 - make_interval(secs => o.quiet_seconds + $2) AND (o.last_used_at IS NULL OR o.last_used_at < $1 - make_interval(secs => o.quiet_seconds + $2))
ORDER BY o.retires_at LIMIT $3
"""

POSTGRES_REPLAY = """
SELECT request_digest, fingerprint, sealed, created_at, expires_at FROM replays
WHERE org_id = $1 AND request_digest = $2 AND expires_at > $3
"""

SQLITE_GET = """
SELECT k.id, k.org_id, k.name, k.description, k.environment, k.created_at, k.created_by, k.expires_at, k.revoked_at, k.revocation_reason, k.scopes, k.allowed_ips, k.rate_limits, k.external_id, k.metadata, k.version, s.public_key, s.brand, s.display, s.created_at, s.first_used_at, s.last_used_at, s.retires_at, s.quiet_seconds, r.public_key, r.brand, r.display, r.created_at, r.first_used_at, r.last_used_at, r.retires_at, r.quiet_seconds
   FROM api_keys k JOIN api_key_secrets s ON s.key_id = k.id AND s.retires_at IS NULL
   LEFT JOIN api_key_secrets r ON r.id = (SELECT id FROM api_key_secrets WHERE key_id = k.id AND retires_at IS NOT NULL ORDER BY retires_at DESC, id DESC LIMIT 1)
   WHERE k.deleted_at IS NULL AND k.org_id = ?1
AND k.id = ?2
"""

SQLITE_REVOKE = """
UPDATE api_keys SET revoked_at = ?, revoked_by = ?, revocation_reason = ?, version = version + 1
WHERE id = ? AND org_id = ? AND deleted_at IS NULL AND revoked_at IS NULL
"""

SQLITE_BEGIN_ROTATION = """
UPDATE api_keys SET version = version + 1 WHERE id = ? AND org_id = ? AND deleted_at IS NULL AND version = ? AND NOT EXISTS (SELECT 1 FROM api_key_secrets WHERE key_id = api_keys.id AND retires_at IS NOT NULL AND retires_at > ?)
"""

SQLITE_CHANGE_ROTATION = """
UPDATE api_keys SET version = version + 1 WHERE id = ? AND org_id = ? AND deleted_at IS NULL AND version = ? AND EXISTS (SELECT 1 FROM api_key_secrets WHERE key_id = api_keys.id AND retires_at IS NOT NULL AND retires_at > ?)
"""

SQLITE_BEGIN_RETIREMENT = """
UPDATE api_key_secrets SET retires_at = ?, quiet_seconds = ? WHERE key_id = ? AND retires_at IS NULL
"""

SQLITE_SET_RETIREMENT = """
UPDATE api_key_secrets SET retires_at = ?, quiet_seconds = NULL
WHERE key_id = ? AND retires_at IS NOT NULL AND retires_at > ?
"""

SQLITE_CHAIN_HEAD = """
SELECT position, hash FROM event_chain_heads WHERE org_id = ?
"""

SQLITE_SET_CHAIN_HEAD = """
INSERT INTO event_chain_heads (org_id, position, hash) VALUES (?, ?, ?)
ON CONFLICT (org_id) DO UPDATE SET position = excluded.position, hash = excluded.hash
"""

SQLITE_ADD_PLACE = """
INSERT INTO event_chain (org_id, position, event_id, hash) VALUES (?, ?, ?, ?)
"""

SQLITE_IS_REPEATED = """
SELECT 1 FROM replays WHERE org_id = ? AND request_digest = ? AND expires_at > ?
"""

SQLITE_PURGE_REPLAYS = """
DELETE FROM replays WHERE rowid IN (
    SELECT rowid FROM replays WHERE expires_at <= ? ORDER BY expires_at LIMIT ?
)
"""

SQLITE_PURGE_REPORTERS = """
DELETE FROM usage_reporters WHERE rowid IN (
    SELECT rowid FROM usage_reporters WHERE written_at <= ? ORDER BY written_at LIMIT ?
)
"""

SQLITE_ADD_ORGANIZATION = """
INSERT INTO organizations (id, issuer, external_id, created_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING
"""

SQLITE_ADD_KEY = """
INSERT INTO api_keys (id, org_id, name, description, environment, created_at, created_by, expires_at, scopes, allowed_ips, rate_limits, external_id, metadata) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

SQLITE_ADD_SECRET = """
INSERT INTO api_key_secrets (id, key_id, public_key, secret_digest, brand, display, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)
"""

SQLITE_ADD_EVENT = """
INSERT INTO events (id, org_id, key_id, type, occurred_at, issuer, subject, client_id, request_id, address, data, digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

SQLITE_ADD_REPLAY = """
INSERT OR REPLACE INTO replays (org_id, request_digest, fingerprint, sealed, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)
"""

SQLITE_LIST = """
SELECT k.id, k.org_id, k.name, k.description, k.environment, k.created_at, k.created_by, k.expires_at, k.revoked_at, k.revocation_reason, k.scopes, k.allowed_ips, k.rate_limits, k.external_id, k.metadata, k.version, s.public_key, s.brand, s.display, s.created_at, s.first_used_at, s.last_used_at, s.retires_at, s.quiet_seconds, r.public_key, r.brand, r.display, r.created_at, r.first_used_at, r.last_used_at, r.retires_at, r.quiet_seconds
   FROM api_keys k JOIN api_key_secrets s ON s.key_id = k.id AND s.retires_at IS NULL
   LEFT JOIN api_key_secrets r ON r.id = (SELECT id FROM api_key_secrets WHERE key_id = k.id AND retires_at IS NOT NULL ORDER BY retires_at DESC, id DESC LIMIT 1)
   WHERE k.deleted_at IS NULL AND k.org_id = ?1
AND k.id < ?2  ORDER BY k.id DESC LIMIT ?3
"""

SQLITE_FIND = """
SELECT k.id, k.org_id, k.name, k.environment, k.expires_at, k.revoked_at, k.scopes, k.allowed_ips, k.rate_limits, s.retires_at FROM api_key_secrets s JOIN api_keys k ON k.id = s.key_id
WHERE s.secret_digest = ? AND k.deleted_at IS NULL
"""

SQLITE_NOTE_SESSION = """
INSERT INTO verifier_sessions AS old (id, verifier_id, name, outage_seconds, connected_at, seen_at)
SELECT ?, ?, ?, ?, at, at FROM (SELECT now_microseconds() AS at) WHERE true
ON CONFLICT (id) DO UPDATE SET
    name = excluded.name, outage_seconds = excluded.outage_seconds, seen_at = excluded.seen_at, closed_at = NULL
WHERE old.verifier_id IS excluded.verifier_id
"""

SQLITE_CONFIRM = """
INSERT INTO confirmations (seq, session_id, confirmed_at) SELECT seq, ?, now_microseconds() FROM changes WHERE seq = ?
ON CONFLICT DO NOTHING
"""

SQLITE_ENDING = """
WITH key AS (
    SELECT coalesce(revoked_at, deleted_at) AS ended_at FROM api_keys
    WHERE org_id = :org AND id = :key AND coalesce(revoked_at, deleted_at) IS NOT NULL
),
confirmed AS (
    SELECT f.session_id, min(f.confirmed_at) AS at
    FROM changes c JOIN confirmations f ON f.seq = c.seq
    WHERE c.changed_id = :key AND c.type IN ('api_key.revoked', 'api_key.deleted')
    GROUP BY f.session_id
),
written AS (SELECT min(noted_at) AS at FROM changes WHERE changed_id = :key AND type IN ('api_key.revoked', 'api_key.deleted')),
ending AS MATERIALIZED (
    SELECT ended_at, coalesce(
        (SELECT min(at) FROM confirmed),
        (SELECT min(now_microseconds(), at + 900 * 1000000) FROM written),
        now_microseconds()
    ) AS committed_by FROM key
),
told AS (SELECT s.*, confirmed.at FROM verifier_sessions s LEFT JOIN confirmed ON confirmed.session_id = s.id)
SELECT ending.*, told.at, told.connected_at, told.closed_at, told.id, told.verifier_id, told.name, told.outage_seconds
FROM ending LEFT JOIN told ON told.at IS NOT NULL OR (
    told.connected_at < committed_by AND (told.closed_at IS NULL OR told.closed_at > min(ended_at, committed_by))
    AND told.seen_at + (told.outage_seconds + 60.0) * 1000000 > min(ended_at, committed_by)
)
ORDER BY told.connected_at, told.id
"""

SQLITE_BEGIN_BATCH = """
INSERT INTO usage_reporters AS old (reporter, batch, written_at)
VALUES (?, ?, CAST(strftime('%s', 'now') AS INTEGER) * 1000000)
ON CONFLICT (reporter) DO UPDATE SET batch = excluded.batch, written_at = excluded.written_at
WHERE old.batch < excluded.batch
"""

SQLITE_NAMED_BY_DIGEST = """
SELECT s.id FROM api_key_secrets s JOIN api_keys k ON k.id = s.key_id
WHERE s.secret_digest = ? AND k.id = ? AND k.deleted_at IS NULL
"""

SQLITE_USED = """
UPDATE api_key_secrets
SET first_used_at = min(coalesce(first_used_at, ?1), ?1), last_used_at = max(coalesce(last_used_at, ?2), ?2)
WHERE id = ?3 AND (coalesce(first_used_at, ?1 + 1) > ?1 OR coalesce(last_used_at, ?2 - 1) < ?2)
"""

SQLITE_ADD_TO_HOUR = """
INSERT INTO key_hours (key_id, hour, count) VALUES (?, ?, ?)
ON CONFLICT (key_id, hour) DO UPDATE SET count = count + excluded.count
"""

SQLITE_ADD_TO_SOURCE = """
INSERT INTO secret_sources AS old (secret_id, network, agent, verifier, first_seen, last_seen, count)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (secret_id, network, agent, verifier) DO UPDATE SET
    first_seen = min(old.first_seen, excluded.first_seen), last_seen = max(old.last_seen, excluded.last_seen),
    count = old.count + excluded.count
"""

SQLITE_KEEP_LATEST_SOURCES = """
DELETE FROM secret_sources WHERE rowid IN (
    SELECT rowid FROM secret_sources WHERE secret_id = ?
    ORDER BY last_seen DESC, network, agent, verifier LIMIT -1 OFFSET 50
)
"""

SQLITE_USAGE = """
WITH key AS (SELECT id, environment FROM api_keys WHERE org_id = :org AND id = :key AND deleted_at IS NULL),
secret AS (
    SELECT s.* FROM key JOIN api_key_secrets s ON s.key_id = key.id AND s.retires_at IS NULL
    UNION ALL
    SELECT s.* FROM key JOIN api_key_secrets s ON s.key_id = key.id AND s.retires_at IS NOT NULL
)
SELECT 0, s.id, NULL, NULL, NULL, NULL, NULL, NULL, s.public_key, s.brand, s.display, s.created_at, s.first_used_at, s.last_used_at, s.retires_at, s.quiet_seconds, key.environment
FROM key CROSS JOIN secret s
UNION ALL
SELECT 1, NULL, NULL, NULL, NULL, NULL, h.hour, h.count, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM key JOIN key_hours h ON h.key_id = key.id AND h.hour >= :since
UNION ALL
SELECT 2, o.secret_id, o.network, o.agent, o.verifier, o.first_seen, o.last_seen, o.count, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM secret JOIN secret_sources o ON o.secret_id = secret.id
UNION ALL
SELECT 2, o.key_id, o.network, o.agent, o.verifier, o.first_seen, o.last_seen, o.count, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM key JOIN key_sources o ON o.key_id = key.id
"""

SQLITE_QUIET = """
SELECT k.org_id, k.id, k.version, o.public_key, o.brand, k.environment
FROM api_key_secrets o JOIN api_keys k ON k.id = o.key_id
JOIN api_key_secrets s ON s.key_id = k.id AND s.retires_at IS NULL
WHERE o.quiet_seconds IS NOT NULL AND o.retires_at > ?1 AND k.deleted_at IS NULL AND k.revoked_at IS NULL
    AND (k.expires_at IS NULL OR k.expires_at > ?1)
    AND s.first_used_at < ?1 - (o.quiet_seconds + ?2) * 1000000 AND (o.last_used_at IS NULL OR o.last_used_at < ?1 - (o.quiet_seconds + ?2) * 1000000)
ORDER BY o.retires_at LIMIT ?3
"""

SQLITE_REPLAY = """
SELECT request_digest, fingerprint, sealed, created_at, expires_at FROM replays
WHERE org_id = ?1 AND request_digest = ?2 AND expires_at > ?3
"""
