CREATE INDEX api_key_secrets_idle_idx ON api_key_secrets (retires_at) WHERE idle_seconds IS NOT NULL;

UPDATE alembic_version SET version_num = '20261130_0008';
