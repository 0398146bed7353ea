-- The deleted keys of an organization, for the export and the erasure of all its data. A key that is not deleted adds
-- nothing to it.
DROP INDEX CONCURRENTLY IF EXISTS api_keys_deleted_idx;

CREATE INDEX CONCURRENTLY api_keys_deleted_idx ON api_keys (org_id, id) WHERE deleted_at IS NOT NULL;

UPDATE alembic_version SET version_num = '20261201_0023';
