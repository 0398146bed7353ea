"""
The statements of the version before the migrations of 2026-11-25, word for word, as its processes execute them.

For the test that migrates a database under them. Not to be kept up with anything.
"""

# ruff: noqa: E501

POSTGRES_CREATE = """
WITH organization AS (INSERT INTO organizations (id, issuer, external_id, created_at) SELECT new.id::uuid, new.issuer::text, new.external_id::text, new.created_at::timestamptz FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS new (id, issuer, external_id, created_at) ORDER BY new.id ON CONFLICT DO NOTHING),
key AS (INSERT INTO api_keys (id, org_id, name, description, environment, created_at, created_by, expires_at) SELECT new.id::uuid, new.org_id::uuid, new.name::text, new.description::text, new.environment::text, new.created_at::timestamptz, new.created_by::text, new.expires_at::timestamptz FROM unnest($5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[]) AS new (id, org_id, name, description, environment, created_at, created_by, expires_at)),
secret AS (INSERT INTO api_key_secrets (id, key_id, public_key, secret_digest, brand, display, created_at) SELECT new.id::uuid, new.key_id::uuid, new.public_key::bytea, new.secret_digest::bytea, new.brand::text, new.display::text, new.created_at::timestamptz FROM unnest($13::text[], $14::text[], $15::text[], $16::text[], $17::text[], $18::text[], $19::text[]) AS new (id, key_id, public_key, secret_digest, brand, display, created_at))
INSERT INTO events (id, org_id, key_id, type, occurred_at, issuer, subject, client_id, request_id, address, data) SELECT new.id::uuid, new.org_id::uuid, new.key_id::uuid, new.type::text, new.occurred_at::timestamptz, new.issuer::text, new.subject::text, new.client_id::text, new.request_id::text, new.address::text, new.data::jsonb FROM unnest($20::text[], $21::text[], $22::text[], $23::text[], $24::text[], $25::text[], $26::text[], $27::text[], $28::text[], $29::text[], $30::text[]) AS new (id, org_id, key_id, type, occurred_at, issuer, subject, client_id, request_id, address, data)
"""
POSTGRES_GET = """
SELECT
k.id, k.org_id, k.name, k.description, k.environment, k.created_at, k.created_by, k.expires_at, k.revoked_at,
s.public_key, s.brand, s.display, s.created_at, s.last_used_at

FROM api_keys k JOIN api_key_secrets s ON s.key_id = k.id AND s.retires_at IS NULL
WHERE k.org_id = $1 AND k.id = $2 AND k.deleted_at IS NULL
"""
POSTGRES_LIST = """
SELECT
k.id, k.org_id, k.name, k.description, k.environment, k.created_at, k.created_by, k.expires_at, k.revoked_at,
s.public_key, s.brand, s.display, s.created_at, s.last_used_at

FROM (
    SELECT * FROM api_keys
    WHERE (org_id, id) >= ($1, '00000000-0000-0000-0000-000000000000') AND (org_id, id) < ($1, $2)
        AND deleted_at IS NULL
    ORDER BY org_id DESC, id DESC LIMIT $3
) k
CROSS JOIN LATERAL (SELECT * FROM api_key_secrets WHERE key_id = k.id AND retires_at IS NULL LIMIT 1) s
ORDER BY k.org_id DESC, k.id DESC
"""
POSTGRES_REVOKE = """
WITH found AS (
       SELECT * FROM api_keys WHERE org_id = $2 AND id = $3 AND deleted_at IS NULL FOR UPDATE
   ),
   changed AS (
       UPDATE api_keys SET revoked_at = $5, revoked_by = $7
       FROM found WHERE api_keys.id = found.id AND found.revoked_at IS NULL
       RETURNING api_keys.*
   ),
   noted AS (INSERT INTO events (id, org_id, key_id, type, occurred_at, issuer, subject, client_id, request_id, address, data) SELECT $1::uuid, $2::uuid, $3::uuid, $4::text, $5::timestamptz, $6::text, $7::text, $8::text, $9::text, $10::text, $11::jsonb FROM changed),
   k AS (SELECT * FROM changed UNION ALL SELECT * FROM found WHERE revoked_at IS NOT NULL)
   SELECT
   k.id, k.org_id, k.name, k.description, k.environment, k.created_at, k.created_by, k.expires_at, k.revoked_at,
   s.public_key, s.brand, s.display, s.created_at, s.last_used_at
FROM k JOIN api_key_secrets s ON s.key_id = k.id AND s.retires_at IS NULL
"""
POSTGRES_FIND = """
SELECT k.id, k.org_id, k.name, k.environment, k.expires_at, k.revoked_at, s.retires_at FROM api_key_secrets s JOIN api_keys k ON k.id = s.key_id
WHERE s.secret_digest = $1 AND k.deleted_at IS NULL
"""
POSTGRES_NOTE_USAGE = """
WITH told AS MATERIALIZED (SELECT key_id::uuid, digest::bytea, hour::timestamptz, network::text, agent::text, verifier::text, first_seen::timestamptz, last_seen::timestamptz, count::bigint FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[]) AS told (key_id, digest, hour, network, agent, verifier, first_seen, last_seen, count)),
secret AS MATERIALIZED (
    SELECT s.secret_digest, s.key_id FROM api_key_secrets s JOIN api_keys k ON k.id = s.key_id
    WHERE s.secret_digest IN (SELECT digest FROM told) AND k.deleted_at IS NULL
    ORDER BY s.id FOR NO KEY UPDATE OF s
),
seen AS MATERIALIZED (
    SELECT told.* FROM told JOIN secret ON secret.secret_digest = told.digest AND secret.key_id = told.key_id
),
used AS (
    UPDATE api_key_secrets s SET last_used_at = latest.at
    FROM (SELECT digest, max(last_seen) AS at FROM seen GROUP BY digest) latest
    WHERE s.secret_digest = latest.digest AND coalesce(s.last_used_at < latest.at, true)
),
counted AS (
    INSERT INTO key_hours AS old (key_id, hour, count)
    SELECT key_id, hour, sum(count) FROM seen GROUP BY key_id, hour ORDER BY key_id, hour
    ON CONFLICT (key_id, hour) DO UPDATE SET count = old.count + excluded.count
),
new AS MATERIALIZED (
    SELECT key_id, network, agent, verifier, min(first_seen) AS first_seen, max(last_seen) AS last_seen,
        sum(count) AS count
    FROM seen GROUP BY key_id, network, agent, verifier
),
ranked AS MATERIALIZED (
    SELECT key_id, network, agent, verifier, max(last_seen) AS last_seen, row_number() OVER (
        PARTITION BY key_id ORDER BY max(last_seen) DESC, network, agent, verifier
    ) AS place
    FROM (
        SELECT key_id, network, agent, verifier, last_seen FROM new
        UNION ALL
        SELECT key_id, network, agent, verifier, last_seen FROM key_sources
        WHERE key_id IN (SELECT key_id FROM new)
    ) both_of_them
    GROUP BY key_id, network, agent, verifier
),
dropped AS (
    DELETE FROM key_sources s USING ranked r
    WHERE r.place > 50 AND s.last_seen = r.last_seen
        AND (s.key_id, s.network, s.agent, s.verifier) = (r.key_id, r.network, r.agent, r.verifier)
)
INSERT INTO key_sources AS old (key_id, network, agent, verifier, first_seen, last_seen, count)
SELECT key_id, network, agent, verifier, new.first_seen, new.last_seen, new.count
FROM new JOIN ranked USING (key_id, network, agent, verifier) WHERE place <= 50
ORDER BY key_id, network, agent, verifier
ON CONFLICT (key_id, network, agent, verifier) DO UPDATE SET
    first_seen = least(old.first_seen, excluded.first_seen),
    last_seen = greatest(old.last_seen, excluded.last_seen), count = old.count + excluded.count
"""
POSTGRES_USAGE = """
WITH key AS (SELECT id FROM api_keys WHERE org_id = $1 AND id = $2 AND deleted_at IS NULL)
SELECT 0, NULL, NULL, NULL, NULL::timestamptz, (
    SELECT max(last_used_at) FROM (
        SELECT last_used_at FROM api_key_secrets WHERE key_id = key.id AND retires_at IS NULL
        UNION ALL
        SELECT last_used_at FROM api_key_secrets WHERE key_id = key.id AND retires_at IS NOT NULL
    ) all_of_it
), NULL::bigint FROM key
UNION ALL
SELECT 1, NULL, NULL, NULL, NULL, h.hour, h.count
FROM key JOIN key_hours h ON h.key_id = key.id AND h.hour >= $3
UNION ALL
SELECT 2, s.network, s.agent, s.verifier, s.first_seen, s.last_seen, s.count
FROM key JOIN key_sources s ON s.key_id = key.id
"""
SQLITE_GET = """
SELECT
   k.id, k.org_id, k.name, k.description, k.environment, k.created_at, k.created_by, k.expires_at, k.revoked_at,
   s.public_key, s.brand, s.display, s.created_at, s.last_used_at

   FROM api_keys k JOIN api_key_secrets s ON s.key_id = k.id AND s.retires_at IS NULL
   WHERE k.deleted_at IS NULL AND k.org_id = ?
AND k.id = ?
"""
SQLITE_LIST = """
SELECT
   k.id, k.org_id, k.name, k.description, k.environment, k.created_at, k.created_by, k.expires_at, k.revoked_at,
   s.public_key, s.brand, s.display, s.created_at, s.last_used_at

   FROM api_keys k JOIN api_key_secrets s ON s.key_id = k.id AND s.retires_at IS NULL
   WHERE k.deleted_at IS NULL AND k.org_id = ?
AND k.id < ? ORDER BY k.id DESC LIMIT ?
"""
SQLITE_REVOKE = """
UPDATE api_keys SET revoked_at = ?, revoked_by = ?
WHERE id = ? AND org_id = ? AND deleted_at IS NULL AND revoked_at IS NULL
"""
SQLITE_ADD_ORGANIZATION = """
INSERT INTO organizations (id, issuer, external_id, created_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
SQLITE_ADD_KEY = """
INSERT INTO api_keys (id, org_id, name, description, environment, created_at, created_by, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
SQLITE_ADD_SECRET = """
INSERT INTO api_key_secrets (id, key_id, public_key, secret_digest, brand, display, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)
"""
SQLITE_ADD_EVENT = """
INSERT INTO events (id, org_id, key_id, type, occurred_at, issuer, subject, client_id, request_id, address, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
SQLITE_FIND = """
SELECT k.id, k.org_id, k.name, k.environment, k.expires_at, k.revoked_at, s.retires_at FROM api_key_secrets s JOIN api_keys k ON k.id = s.key_id
WHERE s.secret_digest = ? AND k.deleted_at IS NULL
"""
SQLITE_USED = """
UPDATE api_key_secrets SET last_used_at = ?1 WHERE id = ?2 AND coalesce(last_used_at, ?1 - 1) < ?1
"""
SQLITE_ADD_TO_HOUR = """
INSERT INTO key_hours (key_id, hour, count) VALUES (?, ?, ?)
ON CONFLICT (key_id, hour) DO UPDATE SET count = count + excluded.count
"""
SQLITE_ADD_TO_SOURCE = """
INSERT INTO key_sources AS old (key_id, network, agent, verifier, first_seen, last_seen, count)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (key_id, network, agent, verifier) DO UPDATE SET
    first_seen = min(old.first_seen, excluded.first_seen), last_seen = max(old.last_seen, excluded.last_seen),
    count = old.count + excluded.count
"""
