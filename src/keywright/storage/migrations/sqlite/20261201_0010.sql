-- A key that is disabled for a while; NULL for an enabled one. A process of the version before knows no such column: it
-- accepts a disabled key, and leaves the column as it is.
ALTER TABLE api_keys ADD COLUMN disabled_at INTEGER;

UPDATE alembic_version SET version_num = '20261201_0010';
