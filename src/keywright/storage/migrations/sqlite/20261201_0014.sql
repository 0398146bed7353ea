-- The indexes by which old rows are found.
CREATE INDEX verifier_sessions_connected_at_idx ON verifier_sessions (connected_at);

CREATE INDEX key_hours_hour_idx ON key_hours (hour);

CREATE INDEX secret_sources_last_seen_idx ON secret_sources (last_seen);

-- Each step of retention counts the events without a digest; without it, it would read all events of an organization.
CREATE INDEX events_undigested_idx ON events (org_id, id) WHERE digest IS NULL;

UPDATE alembic_version SET version_num = '20261201_0014';
