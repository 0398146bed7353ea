-- The indexes by which old rows are found, and those of 0009 and 0013.
DROP INDEX CONCURRENTLY IF EXISTS verifier_sessions_connected_at_idx;

CREATE INDEX CONCURRENTLY verifier_sessions_connected_at_idx ON verifier_sessions (connected_at);

DROP INDEX CONCURRENTLY IF EXISTS key_hours_hour_idx;

CREATE INDEX CONCURRENTLY key_hours_hour_idx ON key_hours (hour);

DROP INDEX CONCURRENTLY IF EXISTS secret_sources_last_seen_idx;

CREATE INDEX CONCURRENTLY secret_sources_last_seen_idx ON secret_sources (last_seen);

-- Each step of retention counts the events without a digest; without it, it would read all events of an organization.
DROP INDEX CONCURRENTLY IF EXISTS events_undigested_idx;

CREATE INDEX CONCURRENTLY events_undigested_idx ON events (org_id, id) WHERE digest IS NULL;

-- In the order in which secrets are replaced: the last one and the count of the newest are found without the others.
DROP INDEX CONCURRENTLY IF EXISTS api_key_secrets_replaced_idx;

CREATE INDEX CONCURRENTLY api_key_secrets_replaced_idx ON api_key_secrets (key_id, retires_at, id)
WHERE retires_at IS NOT NULL;

DROP INDEX CONCURRENTLY IF EXISTS api_key_secrets_retiring_idx;

-- Which keys expired between two moments; a key without an expiry adds nothing to it.
DROP INDEX CONCURRENTLY IF EXISTS api_keys_expiry_idx;

CREATE INDEX CONCURRENTLY api_keys_expiry_idx ON api_keys (org_id, expires_at)
WHERE expires_at IS NOT NULL AND revoked_at IS NULL AND deleted_at IS NULL;

UPDATE alembic_version SET version_num = '20261201_0014';
