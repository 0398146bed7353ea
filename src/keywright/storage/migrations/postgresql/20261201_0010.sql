-- A key that is disabled for a while; NULL for an enabled one. A process of the version before knows no such column: it
-- accepts a disabled key, and leaves the column as it is.
ALTER TABLE api_keys ADD COLUMN disabled_at TIMESTAMP WITH TIME ZONE;

-- A disabled key is not active.
CREATE OR REPLACE FUNCTION api_keys_have_room(org uuid, at timestamptz, most integer)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF most IS NULL THEN
        RETURN true;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended(org::text, 7957700361232345964));
    RETURN most > (
        SELECT count(*) FROM (
            SELECT FROM api_keys
            WHERE org_id = org AND deleted_at IS NULL AND revoked_at IS NULL AND disabled_at IS NULL
                AND (expires_at IS NULL OR expires_at > at)
            LIMIT most
        ) active
    );
END $$;

UPDATE alembic_version SET version_num = '20261201_0010';
