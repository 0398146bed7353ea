-- Work per change is constant. A process of the version before goes on working: it reads all secrets of a key with each
-- change, and what it writes passes the triggers.

-- The digests that a change announces, one after another: written with it, so that no reader has to look for them. NULL
-- in rows from before, whose readers look for the same digests (statements.py).
ALTER TABLE changes ADD COLUMN digests BYTEA;

-- Announced are the secrets that have not ended, and those that ended in the ten minutes before: clocks of processes may
-- be apart by as much. The earlier of two clocks counts. At most 12 replaced ones, of which at most one has not ended.
CREATE OR REPLACE FUNCTION events_note_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO changes (changed_id, type, occurred_at, noted_at, digests)
    SELECT NEW.key_id, NEW.type, NEW.occurred_at, clock_timestamp(), string_agg(secret_digest, ''::bytea)
    FROM (
        SELECT secret_digest FROM api_key_secrets WHERE key_id = NEW.key_id AND retires_at IS NULL
        UNION ALL
        (
            SELECT secret_digest FROM api_key_secrets
            WHERE key_id = NEW.key_id AND retires_at IS NOT NULL
                AND retires_at > least(NEW.occurred_at, clock_timestamp()) - interval '10 minutes'
            ORDER BY retires_at DESC, id DESC LIMIT 12
        )
    ) announced;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION verifiers_note_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO changes (changed_id, type, occurred_at, noted_at, digests)
    VALUES (NEW.id, 'verifier.revoked', NEW.revoked_at, clock_timestamp(), NEW.credential_digest);
    RETURN NULL;
END $$;

UPDATE alembic_version SET version_num = '20261201_0009';
