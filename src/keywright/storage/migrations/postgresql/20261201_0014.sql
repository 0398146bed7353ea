-- The indexes by which old rows are found.
DROP INDEX CONCURRENTLY IF EXISTS verifier_sessions_connected_at_idx;

CREATE INDEX CONCURRENTLY verifier_sessions_connected_at_idx ON verifier_sessions (connected_at);

DROP INDEX CONCURRENTLY IF EXISTS key_hours_hour_idx;

CREATE INDEX CONCURRENTLY key_hours_hour_idx ON key_hours (hour);

DROP INDEX CONCURRENTLY IF EXISTS secret_sources_last_seen_idx;

CREATE INDEX CONCURRENTLY secret_sources_last_seen_idx ON secret_sources (last_seen);

UPDATE alembic_version SET version_num = '20261201_0014';
