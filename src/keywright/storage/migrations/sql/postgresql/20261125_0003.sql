-- Running upgrade 20261123_0002 -> 20261125_0003

ALTER TABLE api_keys ADD COLUMN scopes TEXT;

ALTER TABLE api_keys ADD COLUMN allowed_ips TEXT;

ALTER TABLE api_keys ADD COLUMN rate_limits TEXT;

ALTER TABLE api_keys ADD COLUMN metadata TEXT;

ALTER TABLE api_keys ADD COLUMN external_id TEXT COLLATE "C";

ALTER TABLE api_keys ADD COLUMN revocation_reason TEXT;

ALTER TABLE api_keys ADD COLUMN version INTEGER DEFAULT 1 NOT NULL;

ALTER TABLE api_keys ADD COLUMN noticed_days INTEGER;

ALTER TABLE api_key_secrets ADD COLUMN first_used_at TIMESTAMP WITH TIME ZONE;

ALTER TABLE api_key_secrets ADD COLUMN quiet_seconds INTEGER;

ALTER TABLE events ADD COLUMN digest BYTEA;

CREATE TABLE event_chain (
    org_id UUID NOT NULL, 
    position BIGINT NOT NULL, 
    event_id UUID NOT NULL, 
    hash BYTEA NOT NULL, 
    CONSTRAINT event_chain_pkey PRIMARY KEY (org_id, position), 
    CONSTRAINT event_chain_event_id_key UNIQUE (event_id), 
    CONSTRAINT event_chain_hash_check CHECK (length(hash) = 32)
);

CREATE TABLE event_chain_heads (
    org_id UUID NOT NULL, 
    position BIGINT NOT NULL, 
    hash BYTEA NOT NULL, 
    CONSTRAINT event_chain_heads_pkey PRIMARY KEY (org_id), 
    CONSTRAINT event_chain_heads_hash_check CHECK (length(hash) = 32)
);

CREATE TABLE replays (
    org_id UUID NOT NULL, 
    request_digest BYTEA NOT NULL, 
    fingerprint BYTEA NOT NULL, 
    sealed BYTEA NOT NULL, 
    created_at TIMESTAMP WITH TIME ZONE NOT NULL, 
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL, 
    CONSTRAINT replays_pkey PRIMARY KEY (org_id, request_digest), 
    CONSTRAINT replays_request_digest_check CHECK (length(request_digest) = 32), 
    CONSTRAINT replays_fingerprint_check CHECK (length(fingerprint) = 32)
);

CREATE INDEX replays_expires_at_idx ON replays (expires_at);

CREATE TABLE secret_sources (
    secret_id UUID NOT NULL, 
    network TEXT COLLATE "C" NOT NULL, 
    agent TEXT COLLATE "C" NOT NULL, 
    verifier TEXT COLLATE "C" NOT NULL, 
    first_seen TIMESTAMP WITH TIME ZONE NOT NULL, 
    last_seen TIMESTAMP WITH TIME ZONE NOT NULL, 
    count BIGINT NOT NULL, 
    CONSTRAINT secret_sources_pkey PRIMARY KEY (secret_id, network, agent, verifier), 
    CONSTRAINT secret_sources_network_check CHECK (length(network) <= 64), 
    CONSTRAINT secret_sources_agent_check CHECK (length(agent) <= 64), 
    CONSTRAINT secret_sources_verifier_check CHECK (length(verifier) <= 255)
);

CREATE FUNCTION api_keys_have_room(org uuid, at timestamptz, most integer) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF most IS NULL THEN
        RETURN true;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended(org::text, 7957700361232345964));
    RETURN most > (
        SELECT count(*) FROM (
            SELECT FROM api_keys
            WHERE org_id = org AND deleted_at IS NULL AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > at)
            LIMIT most
        ) active
    );
END $$;

CREATE FUNCTION events_chain() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    event record;
    org uuid;
    place bigint;
    link bytea;
    orgs uuid[];
    places bigint[];
    links bytea[];
    ids uuid[];
BEGIN
    IF (SELECT count(*) FROM added) = 1 THEN
        WITH head AS (
            INSERT INTO event_chain_heads AS known (org_id, position, hash)
            SELECT org_id, 1, sha256(decode(repeat('00', 32), 'hex') || digest) FROM added WHERE digest IS NOT NULL
            ON CONFLICT (org_id) DO UPDATE
            SET position = known.position + 1, hash = sha256(known.hash || (SELECT digest FROM added))
            RETURNING org_id, position, hash
        )
        INSERT INTO event_chain (org_id, position, hash, event_id)
        SELECT head.org_id, head.position, head.hash, added.id FROM head CROSS JOIN added;
        RETURN NULL;
    END IF;
    INSERT INTO event_chain_heads (org_id, position, hash)
    SELECT DISTINCT org_id, 0, decode(repeat('00', 32), 'hex') FROM added WHERE digest IS NOT NULL ORDER BY org_id
    ON CONFLICT DO NOTHING;
    FOR event IN
        WITH head AS MATERIALIZED (
            SELECT org_id, position, hash FROM event_chain_heads
            WHERE org_id IN (SELECT org_id FROM added WHERE digest IS NOT NULL) ORDER BY org_id FOR UPDATE
        )
        SELECT org_id, id, digest, position, hash FROM added JOIN head USING (org_id)
        WHERE digest IS NOT NULL ORDER BY org_id, seq
    LOOP
        IF org IS DISTINCT FROM event.org_id THEN
            org := event.org_id;
            place := event.position;
            link := event.hash;
        END IF;
        place := place + 1;
        link := sha256(link || event.digest);
        orgs := orgs || org;
        places := places || place;
        links := links || link;
        ids := ids || event.id;
    END LOOP;
    INSERT INTO event_chain (org_id, position, hash, event_id)
    SELECT * FROM unnest(orgs, places, links, ids);
    UPDATE event_chain_heads SET position = ended.position, hash = ended.hash
    FROM (
        SELECT DISTINCT ON (org_id) * FROM unnest(orgs, places, links) AS chained (org_id, position, hash)
        ORDER BY org_id, position DESC
    ) ended
    WHERE event_chain_heads.org_id = ended.org_id;
    RETURN NULL;
END $$;

CREATE TRIGGER events_chain AFTER INSERT ON events REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION events_chain();

CREATE TRIGGER event_chain_refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON event_chain FOR EACH STATEMENT EXECUTE FUNCTION events_refuse_change();

UPDATE alembic_version SET version_num='20261125_0003' WHERE alembic_version.version_num = '20261123_0002';
