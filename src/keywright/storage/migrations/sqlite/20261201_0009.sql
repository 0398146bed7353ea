-- Work per change is constant. A process of the version before goes on working: it reads all secrets of a key with each
-- change, and what it writes passes the triggers. postgresql/20261201_0009.sql is the same for the other engine.

-- The digests that a change announces, in hexadecimal, one after another: written with it, so that no reader has to look
-- for them. NULL in rows from before, whose readers look for the same digests (statements.py).
ALTER TABLE changes ADD COLUMN digests TEXT;

-- In the order in which secrets are replaced: the last one and the count of the newest are found without the others.
CREATE INDEX api_key_secrets_replaced_idx ON api_key_secrets (key_id, retires_at, id) WHERE retires_at IS NOT NULL;

DROP INDEX api_key_secrets_retiring_idx;

DROP TRIGGER events_note_change;

-- Announced are the secrets that have not ended, and those that ended in the ten minutes before: clocks of processes may
-- be apart by as much. The earlier of two clocks counts. At most 12 replaced ones, of which at most one has not ended.
CREATE TRIGGER events_note_change AFTER INSERT ON events WHEN NEW.type <> 'api_key.created'
BEGIN
    INSERT INTO changes (changed_id, type, occurred_at, noted_at, digests) VALUES (NEW.key_id, NEW.type, NEW.occurred_at,
        CAST(strftime('%s', 'now') AS INTEGER) * 1000000 + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER) * 1000,
        (
            SELECT group_concat(hex(secret_digest), '') FROM (
                SELECT secret_digest FROM api_key_secrets WHERE key_id = NEW.key_id AND retires_at IS NULL
                UNION ALL
                SELECT secret_digest FROM (
                    SELECT secret_digest FROM api_key_secrets
                    WHERE key_id = NEW.key_id AND retires_at IS NOT NULL AND retires_at
                        > min(NEW.occurred_at, CAST(strftime('%s', 'now') AS INTEGER) * 1000000) - 600000000
                    ORDER BY retires_at DESC, id DESC LIMIT 12
                )
            )
        )
    );
END;

DROP TRIGGER verifiers_note_change;

CREATE TRIGGER verifiers_note_change AFTER UPDATE OF revoked_at ON verifiers
BEGIN
    INSERT INTO changes (changed_id, type, occurred_at, noted_at, digests) VALUES (
        NEW.id, 'verifier.revoked', NEW.revoked_at,
        CAST(strftime('%s', 'now') AS INTEGER) * 1000000 + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER) * 1000,
        hex(NEW.credential_digest)
    );
END;

UPDATE alembic_version SET version_num = '20261201_0009';
