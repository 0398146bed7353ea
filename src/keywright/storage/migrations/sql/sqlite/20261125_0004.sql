-- Running upgrade 20261125_0003 -> 20261125_0004

CREATE INDEX api_keys_external_id_idx ON api_keys (org_id, external_id, id) WHERE external_id IS NOT NULL AND deleted_at IS NULL;

CREATE INDEX api_keys_expires_at_idx ON api_keys (expires_at) WHERE expires_at IS NOT NULL AND revoked_at IS NULL AND deleted_at IS NULL;

CREATE INDEX api_key_secrets_quiet_idx ON api_key_secrets (retires_at) WHERE quiet_seconds IS NOT NULL;

CREATE INDEX events_of_key_idx ON events (key_id, id);

UPDATE alembic_version SET version_num='20261125_0004' WHERE alembic_version.version_num = '20261125_0003';
