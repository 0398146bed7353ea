-- Revocations of many keys by an operator. A preview makes the row, `started_at` begins the work. Each transaction of it
-- moves `position` and revokes the keys in between, so any process goes on where another one ended.
CREATE TABLE bulk_revocations (
    id BLOB NOT NULL PRIMARY KEY,
    -- Whose keys: of one organization, of one creator, or of one creator in one organization.
    org_id BLOB,
    created_by TEXT,
    reason TEXT NOT NULL,
    previewed_at INTEGER NOT NULL,
    previewed_keys INTEGER NOT NULL,
    previewed_organizations INTEGER NOT NULL,
    started_at INTEGER,
    finished_at INTEGER,
    -- The actor of the events: the operator that started it, in place of the one that previewed it.
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    client_id TEXT,
    request_id TEXT NOT NULL,
    address TEXT,
    -- The id of the last key that was examined.
    position BLOB NOT NULL,
    revoked INTEGER NOT NULL DEFAULT 0,
    -- The key whose change has the highest number: a process that acknowledged it has acknowledged all before it.
    last_org_id BLOB,
    last_key_id BLOB,
    CONSTRAINT bulk_revocations_target_check CHECK (org_id IS NOT NULL OR created_by IS NOT NULL),
    CONSTRAINT bulk_revocations_finished_check CHECK (finished_at IS NULL OR started_at IS NOT NULL)
)
STRICT;

CREATE INDEX bulk_revocations_running_idx ON bulk_revocations (started_at)
WHERE started_at IS NOT NULL AND finished_at IS NULL;

UPDATE alembic_version SET version_num = '20261201_0019';
