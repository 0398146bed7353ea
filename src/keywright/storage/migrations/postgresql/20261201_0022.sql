-- Expiries are counted out by the earlier of two clocks: the process's and that of the server. A process whose clock is
-- ahead counted keys out before they expired, and then its organizations could have more active keys than the bound.
-- Replaces `active_keys_settle` of 0013.
CREATE OR REPLACE FUNCTION active_keys_settle(org uuid, at timestamptz) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    since timestamptz;
    until timestamptz := least(at, statement_timestamp());
BEGIN
    SELECT settled_at INTO since FROM active_keys WHERE org_id = org FOR UPDATE;
    IF since < until THEN
        UPDATE active_keys SET settled_at = until, active = active - (
            SELECT count(*) FROM api_keys
            WHERE org_id = org AND expires_at > since AND expires_at <= until
                AND revoked_at IS NULL AND deleted_at IS NULL
        ) WHERE org_id = org;
    END IF;
    RETURN coalesce((SELECT active FROM active_keys WHERE org_id = org), 0);
END $$;

-- As in 0013, but the first moment of a row is not later than the server's clock.
CREATE OR REPLACE FUNCTION api_keys_count_added() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    over uuid[];
BEGIN
    WITH counted AS (
        INSERT INTO active_keys AS known (org_id, active, settled_at)
        SELECT org_id, count(*),
            least(min(expires_at) - interval '1 microsecond', min(created_at), statement_timestamp())
        FROM added GROUP BY org_id ORDER BY org_id
        ON CONFLICT (org_id) DO UPDATE SET active = known.active + CASE
            WHEN excluded.settled_at >= known.settled_at THEN excluded.active
            ELSE (
                SELECT count(*) FROM added
                WHERE org_id = known.org_id AND (expires_at IS NULL OR expires_at > known.settled_at)
            )
        END
        RETURNING org_id, active
    )
    SELECT array_agg(org_id) INTO over FROM counted WHERE active > active_keys_bound();
    PERFORM active_keys_refuse(org) FROM unnest(over) org;
    RETURN NULL;
END $$;

-- What was counted out too early is counted again. Without such a row nothing is locked.
DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM active_keys WHERE settled_at > statement_timestamp()) THEN
        LOCK TABLE api_keys IN SHARE MODE;
        UPDATE active_keys a SET settled_at = statement_timestamp(), active = active + (
            SELECT count(*) FROM api_keys
            WHERE org_id = a.org_id AND expires_at > statement_timestamp() AND expires_at <= a.settled_at
                AND revoked_at IS NULL AND deleted_at IS NULL
        ) WHERE settled_at > statement_timestamp();
    END IF;
END $$;

UPDATE alembic_version SET version_num = '20261201_0022';
