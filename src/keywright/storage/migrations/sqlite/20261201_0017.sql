-- The keys that were used last, page by page: a process caches them after its start (service/checking/warm_up.py). In
-- the place of the index by which old rows are found, which it serves as well.
CREATE INDEX key_hours_latest_idx ON key_hours (hour, key_id);

DROP INDEX key_hours_hour_idx;

UPDATE alembic_version SET version_num = '20261201_0017';
