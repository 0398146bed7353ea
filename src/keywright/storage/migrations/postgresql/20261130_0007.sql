-- The field's own words, for tables and columns. The names before go on working until the next migration, for processes
-- of the version before that still run: as views, and as a column that a trigger keeps the same.

-- `quiet_seconds` becomes `idle_seconds`; its index is made by the migration after this one.
ALTER TABLE api_key_secrets ADD COLUMN idle_seconds INTEGER;

CREATE FUNCTION api_key_secrets_idle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.quiet_seconds IS DISTINCT FROM OLD.quiet_seconds THEN
        NEW.idle_seconds := NEW.quiet_seconds;
    ELSE
        NEW.quiet_seconds := NEW.idle_seconds;
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER api_key_secrets_idle BEFORE UPDATE OF quiet_seconds, idle_seconds ON api_key_secrets
FOR EACH ROW EXECUTE FUNCTION api_key_secrets_idle();

UPDATE api_key_secrets SET idle_seconds = quiet_seconds WHERE quiet_seconds IS NOT NULL;

-- What `key_sources` counted is a source of the key's first secret, which has the key's id.
INSERT INTO secret_sources AS old (secret_id, network, agent, verifier, first_seen, last_seen, count)
SELECT key_id, network, agent, verifier, first_seen, last_seen, count FROM key_sources
ORDER BY key_id, network, agent, verifier
ON CONFLICT (secret_id, network, agent, verifier) DO UPDATE SET
    first_seen = least(old.first_seen, excluded.first_seen),
    last_seen = greatest(old.last_seen, excluded.last_seen), count = old.count + excluded.count;

DROP TABLE key_sources;

-- Empty: its rows would be counted twice.
CREATE VIEW key_sources AS
SELECT secret_id AS key_id, network, agent, verifier, first_seen, last_seen, count FROM secret_sources WHERE false;

ALTER TABLE replays RENAME TO idempotent_answers;
ALTER TABLE idempotent_answers RENAME CONSTRAINT replays_pkey TO idempotent_answers_pkey;
ALTER TABLE idempotent_answers
RENAME CONSTRAINT replays_request_digest_check TO idempotent_answers_request_digest_check;
ALTER TABLE idempotent_answers RENAME CONSTRAINT replays_fingerprint_check TO idempotent_answers_fingerprint_check;
ALTER INDEX replays_expires_at_idx RENAME TO idempotent_answers_expires_at_idx;

-- With the place of each row, by which the version before deletes those that have expired.
CREATE VIEW replays AS
SELECT ctid, org_id, request_digest, fingerprint, sealed, created_at, expires_at FROM idempotent_answers;

ALTER TABLE confirmations RENAME TO acknowledgements;
ALTER TABLE acknowledgements RENAME COLUMN confirmed_at TO acknowledged_at;
ALTER TABLE acknowledgements RENAME CONSTRAINT confirmations_pkey TO acknowledgements_pkey;

CREATE VIEW confirmations AS SELECT seq, session_id, acknowledged_at AS confirmed_at FROM acknowledgements;

UPDATE alembic_version SET version_num = '20261130_0007';
