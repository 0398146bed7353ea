-- Beside the migrations of other tables: each locks one table that writers use, so that none waits in a ring with them.

-- The number of active keys of each organization, kept by the triggers below. A key whose expiry is at `settled_at` or
-- before does not count; one that expired later still does, until `active_keys_settle` counts it out. So the number is
-- never too small, and each expiry is counted once.
CREATE TABLE active_keys (
    org_id UUID PRIMARY KEY,
    active BIGINT NOT NULL,
    settled_at TIMESTAMP WITH TIME ZONE NOT NULL
);

CREATE FUNCTION api_keys_is_active(key api_keys, at timestamptz) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT key.deleted_at IS NULL AND key.revoked_at IS NULL AND (key.expires_at IS NULL OR key.expires_at > at)
$$;

-- Counts out the keys that have expired by *at*, and gives the number of those left. The lock comes before the count:
-- whoever changes a key of the organization takes it after the change, and then sees the new `settled_at`.
CREATE FUNCTION active_keys_settle(org uuid, at timestamptz) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    since timestamptz;
BEGIN
    SELECT settled_at INTO since FROM active_keys WHERE org_id = org FOR UPDATE;
    IF since < at THEN
        UPDATE active_keys SET settled_at = at, active = active - (
            SELECT count(*) FROM api_keys
            WHERE org_id = org AND expires_at > since AND expires_at <= at AND revoked_at IS NULL AND deleted_at IS NULL
        ) WHERE org_id = org;
    END IF;
    RETURN coalesce((SELECT active FROM active_keys WHERE org_id = org), 0);
END $$;

-- How many active keys an organization may have, by the statement that runs: it sets `keywright.most_active` to that
-- number, `@` and its time. NULL for any number, as for processes of the version before.
CREATE FUNCTION active_keys_bound() RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT nullif(split_part(current_setting('keywright.most_active', true), '@', 1), '')::bigint
$$;

-- Refuses the statement that runs where an organization has more active keys than it may have.
CREATE FUNCTION active_keys_refuse(org uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF active_keys_settle(org, split_part(current_setting('keywright.most_active'), '@', 2)::timestamptz)
        > active_keys_bound()
    THEN
        RAISE EXCEPTION 'the organization has as many active keys as it may have' USING ERRCODE = 'KW001', DETAIL = org;
    END IF;
END $$;

-- One row for each organization of the statement, in one order: transactions wait for each other, never in a ring, and
-- for the chain of events after that. Its first moment shows whether each of the new keys expires after `settled_at`; it
-- is not later than their creation, so that no key which expires before them is taken for one that is counted out.
CREATE FUNCTION api_keys_count_added() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    over uuid[];
BEGIN
    WITH counted AS (
        INSERT INTO active_keys AS known (org_id, active, settled_at)
        SELECT org_id, count(*), least(min(expires_at) - interval '1 microsecond', min(created_at))
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

CREATE TRIGGER api_keys_count_added AFTER INSERT ON api_keys REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION api_keys_count_added();

CREATE FUNCTION api_keys_count_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    now_active bigint;
    settled timestamptz;
BEGIN
    UPDATE active_keys SET active = active
        + api_keys_is_active(NEW, settled_at)::integer - api_keys_is_active(OLD, settled_at)::integer
    WHERE org_id = NEW.org_id RETURNING active, settled_at INTO now_active, settled;
    IF now_active > active_keys_bound()
        AND api_keys_is_active(NEW, settled) AND NOT api_keys_is_active(OLD, settled)
    THEN
        PERFORM active_keys_refuse(NEW.org_id);
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER api_keys_count_changed AFTER UPDATE ON api_keys FOR EACH ROW WHEN (
    OLD.expires_at IS DISTINCT FROM NEW.expires_at OR OLD.revoked_at IS DISTINCT FROM NEW.revoked_at
    OR OLD.deleted_at IS DISTINCT FROM NEW.deleted_at
) EXECUTE FUNCTION api_keys_count_changed();

-- The triggers above have locked the table, so that no key is missed.
INSERT INTO active_keys (org_id, active, settled_at)
SELECT org_id, count(*), '-infinity' FROM api_keys WHERE deleted_at IS NULL AND revoked_at IS NULL GROUP BY org_id;

UPDATE alembic_version SET version_num = '20261201_0013';
