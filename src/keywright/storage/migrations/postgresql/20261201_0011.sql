-- Retention and erasure of the audit log. Rows of it go only below a checkpoint, personal fields only where an event of
-- the chain names their positions; the triggers below hold both, also against the owner of the tables. The functions
-- that a role without rights on these tables needs run with those of their owner.

-- Up to which position the chain of an organization was removed. Never removed itself.
CREATE TABLE event_checkpoints (
    org_id UUID PRIMARY KEY,
    position BIGINT NOT NULL,
    -- That of the chain at this position: the next position follows from it.
    hash BYTEA NOT NULL CHECK (length(hash) = 32),
    -- How many events were removed; fewer than positions where one was missing before.
    removed BIGINT NOT NULL,
    -- How many of them had no digest, and so no position.
    undigested BIGINT NOT NULL,
    -- By the database's clock.
    moved_at TIMESTAMP WITH TIME ZONE NOT NULL
);

-- The event that names the position of this one, whose personal fields are blank.
ALTER TABLE events ADD COLUMN erased_by UUID;

-- Rows from before there was a chain have none; an event counts them, which a later migration adds.
ALTER TABLE events ADD CONSTRAINT events_digest_check CHECK (digest IS NOT NULL) NOT VALID;

CREATE FUNCTION event_checkpoints_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    from_position bigint := 0;
BEGIN
    IF TG_OP IN ('DELETE', 'TRUNCATE') THEN
        RAISE EXCEPTION 'a checkpoint is never removed' USING ERRCODE = 'restrict_violation';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        from_position := OLD.position;
        IF NEW.org_id <> OLD.org_id OR NEW.position < OLD.position
            OR NEW.removed < OLD.removed OR NEW.undigested < OLD.undigested
        THEN
            RAISE EXCEPTION 'a checkpoint moves forward only' USING ERRCODE = 'restrict_violation';
        END IF;
    END IF;
    IF NEW.hash IS DISTINCT FROM (CASE
        WHEN TG_OP = 'UPDATE' AND NEW.position = from_position THEN OLD.hash
        WHEN NEW.position = 0 THEN decode(repeat('00', 32), 'hex')
        ELSE (SELECT hash FROM event_chain WHERE org_id = NEW.org_id AND position = NEW.position)
    END) THEN
        RAISE EXCEPTION 'a checkpoint has the hash of its position' USING ERRCODE = 'restrict_violation';
    END IF;
    IF EXISTS (
        SELECT FROM event_chain c JOIN events e ON e.id = c.event_id
        WHERE c.org_id = NEW.org_id AND c.position > from_position AND c.position <= NEW.position
            AND e.occurred_at > clock_timestamp() - interval '30 days'
    ) THEN
        RAISE EXCEPTION 'events of the last 30 days are kept' USING ERRCODE = 'restrict_violation';
    END IF;
    NEW.moved_at := clock_timestamp();
    RETURN NEW;
END $$;

CREATE TRIGGER event_checkpoints_guard BEFORE INSERT OR UPDATE OR DELETE ON event_checkpoints
FOR EACH ROW EXECUTE FUNCTION event_checkpoints_guard();

CREATE TRIGGER event_checkpoints_keep BEFORE TRUNCATE ON event_checkpoints
FOR EACH STATEMENT EXECUTE FUNCTION event_checkpoints_guard();

-- The details of a change without those that may name a person.
CREATE FUNCTION events_blank(data jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(jsonb_object_agg(name, CASE
        WHEN name IN ('name', 'description', 'external_id', 'metadata') THEN 'null'::jsonb
        WHEN name IN ('before', 'after') AND jsonb_typeof(value) = 'object' THEN (
            SELECT coalesce(jsonb_object_agg(inner_name, CASE
                WHEN inner_name IN ('name', 'description', 'external_id', 'metadata') THEN 'null'::jsonb
                ELSE inner_value
            END), '{}') FROM jsonb_each(value) AS part (inner_name, inner_value)
        )
        ELSE value
    END), '{}') FROM jsonb_each(data) AS member (name, value)
$$;

CREATE FUNCTION events_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND EXISTS (
        SELECT FROM event_checkpoints p WHERE p.org_id = OLD.org_id AND CASE
            WHEN OLD.digest IS NULL THEN p.undigested > 0
            ELSE EXISTS (
                SELECT FROM event_chain c
                WHERE c.event_id = OLD.id AND c.org_id = OLD.org_id AND c.position <= p.position
            )
        END
    ) THEN
        RETURN OLD;
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.erased_by IS NULL AND OLD.type NOT LIKE 'audit_log.%'
        AND NEW.subject = '' AND NEW.client_id IS NULL AND NEW.address IS NULL AND NEW.data = events_blank(OLD.data)
        AND ROW(
            NEW.seq, NEW.id, NEW.org_id, NEW.key_id, NEW.type, NEW.occurred_at, NEW.issuer, NEW.request_id, NEW.digest
        ) IS NOT DISTINCT FROM ROW(
            OLD.seq, OLD.id, OLD.org_id, OLD.key_id, OLD.type, OLD.occurred_at, OLD.issuer, OLD.request_id, OLD.digest
        )
        AND EXISTS (
            SELECT FROM events e JOIN event_chain c ON c.event_id = OLD.id AND c.org_id = OLD.org_id
            WHERE e.id = NEW.erased_by AND e.org_id = OLD.org_id AND e.type = 'audit_log.erased'
                AND e.data -> 'events' ? c.position::text
        )
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'events are only ever added, removed below a checkpoint, or erased by an event that names them'
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER events_guard BEFORE UPDATE OR DELETE ON events FOR EACH ROW EXECUTE FUNCTION events_guard();

DROP TRIGGER events_refuse_change ON events;

CREATE TRIGGER events_refuse_change BEFORE TRUNCATE ON events
FOR EACH STATEMENT EXECUTE FUNCTION events_refuse_change();

CREATE FUNCTION event_chain_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE'
        AND EXISTS (SELECT FROM event_checkpoints p WHERE p.org_id = OLD.org_id AND p.position >= OLD.position)
        AND NOT EXISTS (SELECT FROM events e WHERE e.id = OLD.event_id)
    THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'events are only ever added, and their places go after them'
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER event_chain_guard BEFORE UPDATE OR DELETE ON event_chain
FOR EACH ROW EXECUTE FUNCTION event_chain_guard();

DROP TRIGGER event_chain_refuse_change ON event_chain;

CREATE TRIGGER event_chain_refuse_change BEFORE TRUNCATE ON event_chain
FOR EACH STATEMENT EXECUTE FUNCTION events_refuse_change();

-- Moves the checkpoint of an organization and removes what is below it, with up to *most* events without a digest from
-- before *before*. Gives how many events were removed; 0 where another process was there first.
CREATE FUNCTION events_prune(org uuid, upto bigint, head bytea, before timestamptz, most integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    former bigint := 0;
    old uuid[];
    doomed uuid[];
BEGIN
    -- Others wait here, and then find the new position.
    PERFORM pg_advisory_xact_lock(hashtextextended(org::text, 7957700361232345965));
    SELECT p.position INTO former FROM event_checkpoints p WHERE p.org_id = org;
    former := coalesce(former, 0);
    old := ARRAY(
        SELECT e.id FROM (SELECT * FROM events WHERE org_id = org ORDER BY id LIMIT most) e
        WHERE e.digest IS NULL AND e.occurred_at < least(before, clock_timestamp() - interval '30 days')
    );
    IF upto < former OR (upto = former AND cardinality(old) = 0) THEN
        RETURN 0;
    END IF;
    doomed := old || ARRAY(
        SELECT e.id FROM event_chain c JOIN events e ON e.id = c.event_id
        WHERE c.org_id = org AND c.position > former AND c.position <= upto
    );
    -- Not as an insertion that gives way to an update: the guard of insertions knows no position where the chain begins.
    UPDATE event_checkpoints p SET position = upto, hash = head,
        removed = p.removed + cardinality(doomed), undigested = p.undigested + cardinality(old)
    WHERE p.org_id = org;
    IF NOT FOUND THEN
        INSERT INTO event_checkpoints (org_id, position, hash, removed, undigested, moved_at)
        VALUES (org, upto, head, cardinality(doomed), cardinality(old), clock_timestamp());
    END IF;
    DELETE FROM events WHERE id = ANY(doomed);
    DELETE FROM event_chain WHERE org_id = org AND position > former AND position <= upto;
    RETURN cardinality(doomed);
END $$;

-- Adds the event of an erasure and blanks the personal fields of the events whose positions it names.
CREATE FUNCTION events_erase(event uuid, org uuid, at timestamptz, content jsonb, event_digest bytea) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    erased bigint;
BEGIN
    INSERT INTO events (id, org_id, key_id, type, occurred_at, issuer, subject, request_id, data, digest)
    VALUES (event, org, org, 'audit_log.erased', at, 'keywright', 'keywright', event::text, content, event_digest);
    UPDATE events e SET subject = '', client_id = NULL, address = NULL, data = events_blank(e.data), erased_by = event
    FROM event_chain c
    WHERE c.org_id = org AND c.position IN (SELECT name::bigint FROM jsonb_object_keys(content -> 'events') AS name)
        AND e.id = c.event_id AND e.erased_by IS NULL;
    GET DIAGNOSTICS erased = ROW_COUNT;
    IF erased <> (SELECT count(*) FROM jsonb_object_keys(content -> 'events')) THEN
        RAISE EXCEPTION 'an event was erased or removed meanwhile' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN erased;
END $$;

-- A role that may only add events cannot write the chain by itself. The path of names is fixed for what runs with the
-- rights of another, so that no name means something else to it.
ALTER FUNCTION events_chain() SECURITY DEFINER;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'events_chain()', 'events_prune(uuid, bigint, bytea, timestamptz, integer)',
        'events_erase(uuid, uuid, timestamptz, jsonb, bytea)'
    ] LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', name, current_schema());
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', name);
    END LOOP;
END $$;

UPDATE alembic_version SET version_num = '20261201_0011';
