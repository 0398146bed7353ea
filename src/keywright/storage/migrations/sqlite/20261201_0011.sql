-- Retention and erasure of the audit log. Rows of it go only below a checkpoint, personal fields only where an event of
-- the chain names their positions; the triggers below hold both.

-- Up to which position the chain of an organization was removed. Never removed itself.
CREATE TABLE event_checkpoints (
    org_id BLOB NOT NULL PRIMARY KEY,
    position INTEGER NOT NULL,
    -- That of the chain at this position: the next position follows from it.
    hash BLOB NOT NULL CONSTRAINT event_checkpoints_hash_check CHECK (length(hash) = 32),
    -- How many events were removed; fewer than positions where one was missing before.
    removed INTEGER NOT NULL,
    -- How many of them had no digest, and so no position.
    undigested INTEGER NOT NULL,
    moved_at INTEGER NOT NULL
)
WITHOUT ROWID, STRICT;

-- The event that names the position of this one, whose personal fields are blank.
ALTER TABLE events ADD COLUMN erased_by BLOB;

CREATE TRIGGER events_refuse_undigested BEFORE INSERT ON events WHEN NEW.digest IS NULL
BEGIN SELECT RAISE(ABORT, 'an event has a digest'); END;

CREATE TRIGGER event_checkpoints_refuse_delete BEFORE DELETE ON event_checkpoints
BEGIN SELECT RAISE(ABORT, 'a checkpoint is never removed'); END;

CREATE TRIGGER event_checkpoints_insert BEFORE INSERT ON event_checkpoints
WHEN NEW.hash IS NOT CASE WHEN NEW.position = 0 THEN zeroblob(32)
        ELSE (SELECT hash FROM event_chain WHERE org_id = NEW.org_id AND position = NEW.position) END
    OR EXISTS (
        SELECT 1 FROM event_chain c JOIN events e ON e.id = c.event_id
        WHERE c.org_id = NEW.org_id AND c.position <= NEW.position
            AND e.occurred_at > (CAST(strftime('%s', 'now') AS INTEGER) - 2592000) * 1000000
    )
BEGIN SELECT RAISE(ABORT, 'a checkpoint has the hash of its position, and events of the last 30 days are kept'); END;

CREATE TRIGGER event_checkpoints_update BEFORE UPDATE ON event_checkpoints
WHEN NEW.org_id <> OLD.org_id OR NEW.position < OLD.position
    OR NEW.removed < OLD.removed OR NEW.undigested < OLD.undigested
    OR NEW.hash IS NOT CASE WHEN NEW.position = OLD.position THEN OLD.hash
        ELSE (SELECT hash FROM event_chain WHERE org_id = NEW.org_id AND position = NEW.position) END
    OR EXISTS (
        SELECT 1 FROM event_chain c JOIN events e ON e.id = c.event_id
        WHERE c.org_id = NEW.org_id AND c.position > OLD.position AND c.position <= NEW.position
            AND e.occurred_at > (CAST(strftime('%s', 'now') AS INTEGER) - 2592000) * 1000000
    )
BEGIN SELECT RAISE(ABORT, 'a checkpoint moves forward only, has the hash of its position, and keeps 30 days'); END;

DROP TRIGGER events_refuse_update;

CREATE TRIGGER events_refuse_update BEFORE UPDATE ON events
WHEN OLD.erased_by IS NOT NULL OR OLD.type LIKE 'audit_log.%'
    OR NEW.subject <> '' OR NEW.client_id IS NOT NULL OR NEW.address IS NOT NULL
    OR NEW.data IS NOT json_replace(OLD.data,
        '$.name', NULL, '$.description', NULL, '$.external_id', NULL, '$.metadata', NULL,
        '$.before.name', NULL, '$.before.description', NULL, '$.before.external_id', NULL, '$.before.metadata', NULL,
        '$.after.name', NULL, '$.after.description', NULL, '$.after.external_id', NULL, '$.after.metadata', NULL)
    OR (NEW.seq, NEW.id, NEW.org_id, NEW.key_id, NEW.type, NEW.occurred_at, NEW.issuer, NEW.request_id, NEW.digest)
        IS NOT
        (OLD.seq, OLD.id, OLD.org_id, OLD.key_id, OLD.type, OLD.occurred_at, OLD.issuer, OLD.request_id, OLD.digest)
    OR NOT EXISTS (
        SELECT 1 FROM events e JOIN event_chain c ON c.event_id = OLD.id AND c.org_id = OLD.org_id
        JOIN json_each(e.data, '$.events') named ON named.key = CAST(c.position AS TEXT)
        WHERE e.id = NEW.erased_by AND e.org_id = OLD.org_id AND e.type = 'audit_log.erased'
    )
BEGIN SELECT RAISE(ABORT, 'events are only ever added, removed below a checkpoint, or erased by an event'); END;

DROP TRIGGER events_refuse_delete;

CREATE TRIGGER events_refuse_delete BEFORE DELETE ON events
WHEN NOT EXISTS (
    SELECT 1 FROM event_checkpoints p WHERE p.org_id = OLD.org_id AND CASE
        WHEN OLD.digest IS NULL THEN p.undigested > 0
        ELSE EXISTS (
            SELECT 1 FROM event_chain c
            WHERE c.event_id = OLD.id AND c.org_id = OLD.org_id AND c.position <= p.position
        )
    END
)
BEGIN SELECT RAISE(ABORT, 'events are only ever added, removed below a checkpoint, or erased by an event'); END;

DROP TRIGGER event_chain_refuse_delete;

CREATE TRIGGER event_chain_refuse_delete BEFORE DELETE ON event_chain
WHEN NOT EXISTS (SELECT 1 FROM event_checkpoints p WHERE p.org_id = OLD.org_id AND p.position >= OLD.position)
    OR EXISTS (SELECT 1 FROM events e WHERE e.id = OLD.event_id)
BEGIN SELECT RAISE(ABORT, 'events are only ever added, and their places go after them'); END;

-- Old acknowledgements are removed with their changes.
CREATE TRIGGER acknowledgements_delete INSTEAD OF DELETE ON acknowledgements
BEGIN DELETE FROM confirmations WHERE seq = OLD.seq AND session_id = OLD.session_id; END;

UPDATE alembic_version SET version_num = '20261201_0011';
