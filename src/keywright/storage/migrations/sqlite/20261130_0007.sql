-- The field's own words, for tables and columns. The names before go on working until the next migration, for processes
-- of the version before that still run.

-- `quiet_seconds` becomes `idle_seconds`; its index is made by the migration after this one.
ALTER TABLE api_key_secrets ADD COLUMN idle_seconds INTEGER;

UPDATE api_key_secrets SET idle_seconds = quiet_seconds WHERE quiet_seconds IS NOT NULL;

CREATE TRIGGER api_key_secrets_idle AFTER UPDATE OF idle_seconds ON api_key_secrets
WHEN NEW.quiet_seconds IS NOT NEW.idle_seconds
BEGIN UPDATE api_key_secrets SET quiet_seconds = NEW.idle_seconds WHERE id = NEW.id; END;

CREATE TRIGGER api_key_secrets_quiet AFTER UPDATE OF quiet_seconds ON api_key_secrets
WHEN NEW.idle_seconds IS NOT NEW.quiet_seconds
BEGIN UPDATE api_key_secrets SET idle_seconds = NEW.quiet_seconds WHERE id = NEW.id; END;

-- What `key_sources` counted is a source of the key's first secret, which has the key's id.
INSERT INTO secret_sources AS old (secret_id, network, agent, verifier, first_seen, last_seen, count)
SELECT key_id, network, agent, verifier, first_seen, last_seen, count FROM key_sources WHERE true
ON CONFLICT (secret_id, network, agent, verifier) DO UPDATE SET
    first_seen = min(old.first_seen, excluded.first_seen), last_seen = max(old.last_seen, excluded.last_seen),
    count = old.count + excluded.count;

DROP TABLE key_sources;

-- Empty: its rows would be counted twice.
CREATE VIEW key_sources AS
SELECT secret_id AS key_id, network, agent, verifier, first_seen, last_seen, count FROM secret_sources WHERE false;

ALTER TABLE replays RENAME TO idempotent_answers;

DROP INDEX replays_expires_at_idx;

CREATE INDEX idempotent_answers_expires_at_idx ON idempotent_answers (expires_at);

-- With the place of each row, by which the version before deletes those that have expired.
CREATE VIEW replays AS
SELECT rowid AS rowid, org_id, request_digest, fingerprint, sealed, created_at, expires_at FROM idempotent_answers;

CREATE TRIGGER replays_insert INSTEAD OF INSERT ON replays
BEGIN
    INSERT OR REPLACE INTO idempotent_answers (org_id, request_digest, fingerprint, sealed, created_at, expires_at)
    VALUES (NEW.org_id, NEW.request_digest, NEW.fingerprint, NEW.sealed, NEW.created_at, NEW.expires_at);
END;

CREATE TRIGGER replays_delete INSTEAD OF DELETE ON replays
BEGIN DELETE FROM idempotent_answers WHERE rowid = OLD.rowid; END;

-- Here the new name is the view: SQLite refuses a view the ON CONFLICT with which the version before writes. The next
-- migration renames the table.
CREATE VIEW acknowledgements AS SELECT seq, session_id, confirmed_at AS acknowledged_at FROM confirmations;

CREATE TRIGGER acknowledgements_insert INSTEAD OF INSERT ON acknowledgements
BEGIN
    INSERT OR IGNORE INTO confirmations (seq, session_id, confirmed_at)
    VALUES (NEW.seq, NEW.session_id, NEW.acknowledged_at);
END;

UPDATE alembic_version SET version_num = '20261130_0007';
