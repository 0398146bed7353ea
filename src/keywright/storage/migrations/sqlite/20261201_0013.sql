-- The number of active keys of each organization, kept by the triggers below. A key whose expiry is at `settled_at` or
-- before does not count; one that expired later still does, until the code that writes counts it out. So the number is
-- never too small, and each expiry is counted once.
CREATE TABLE active_keys (
    org_id BLOB NOT NULL PRIMARY KEY,
    active INTEGER NOT NULL,
    settled_at INTEGER NOT NULL
)
WITHOUT ROWID, STRICT;

INSERT INTO active_keys (org_id, active, settled_at)
SELECT org_id, count(*), 0 FROM api_keys WHERE deleted_at IS NULL AND revoked_at IS NULL GROUP BY org_id;

-- Which keys expired between two moments; a key without an expiry adds nothing to it.
CREATE INDEX api_keys_expiry_idx ON api_keys (org_id, expires_at)
WHERE expires_at IS NOT NULL AND revoked_at IS NULL AND deleted_at IS NULL;

CREATE TRIGGER api_keys_count_added AFTER INSERT ON api_keys
BEGIN
    INSERT INTO active_keys (org_id, active, settled_at) VALUES (NEW.org_id, 1, 0)
    ON CONFLICT (org_id) DO UPDATE SET active = active + (NEW.expires_at IS NULL OR NEW.expires_at > settled_at);
END;

CREATE TRIGGER api_keys_count_changed AFTER UPDATE OF expires_at, revoked_at, deleted_at ON api_keys
BEGIN
    UPDATE active_keys SET active = active + (
        NEW.deleted_at IS NULL AND NEW.revoked_at IS NULL AND (NEW.expires_at IS NULL OR NEW.expires_at > settled_at)
    ) - (
        OLD.deleted_at IS NULL AND OLD.revoked_at IS NULL AND (OLD.expires_at IS NULL OR OLD.expires_at > settled_at)
    ) WHERE org_id = NEW.org_id;
END;

UPDATE alembic_version SET version_num = '20261201_0013';
