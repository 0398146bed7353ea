-- The indexes by which old rows are found.
CREATE INDEX verifier_sessions_connected_at_idx ON verifier_sessions (connected_at);

CREATE INDEX key_hours_hour_idx ON key_hours (hour);

CREATE INDEX secret_sources_last_seen_idx ON secret_sources (last_seen);

UPDATE alembic_version SET version_num = '20261201_0014';
