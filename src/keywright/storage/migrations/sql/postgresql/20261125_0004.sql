-- Running upgrade 20261125_0003 -> 20261125_0004

DROP INDEX CONCURRENTLY IF EXISTS api_keys_external_id_idx;

CREATE INDEX CONCURRENTLY api_keys_external_id_idx ON api_keys (org_id, external_id, id) WHERE external_id IS NOT NULL AND deleted_at IS NULL;

DROP INDEX CONCURRENTLY IF EXISTS api_keys_expires_at_idx;

CREATE INDEX CONCURRENTLY api_keys_expires_at_idx ON api_keys (expires_at) WHERE expires_at IS NOT NULL AND revoked_at IS NULL AND deleted_at IS NULL;

DROP INDEX CONCURRENTLY IF EXISTS api_key_secrets_quiet_idx;

CREATE INDEX CONCURRENTLY api_key_secrets_quiet_idx ON api_key_secrets (retires_at) WHERE quiet_seconds IS NOT NULL;

DROP INDEX CONCURRENTLY IF EXISTS events_of_key_idx;

CREATE INDEX CONCURRENTLY events_of_key_idx ON events (key_id, id);

UPDATE alembic_version SET version_num='20261125_0004' WHERE alembic_version.version_num = '20261125_0003';
