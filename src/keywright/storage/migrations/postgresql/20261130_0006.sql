-- The schema on PostgreSQL. sqlite/20261130_0006.sql is the same for the other engine, and has the same names.
--
-- Ids are UUIDv7. Identifiers are compared byte by byte (COLLATE "C"): an index in a collation of the operating system
-- goes wrong when that system is upgraded. Where no rule stands beside a column, the code that writes it enforces it.

-- The name of the last migration that this database has. It is the name that Alembic gave this table.
CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL CONSTRAINT alembic_version_pkc PRIMARY KEY
);

CREATE TABLE organizations (
    id UUID PRIMARY KEY,
    issuer TEXT COLLATE "C" NOT NULL,
    external_id TEXT COLLATE "C" NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT organizations_issuer_external_id_key UNIQUE (issuer, external_id)
);

-- Rows are never deleted: `deleted_at` makes a tombstone, so that a leaked key can still be traced.
CREATE TABLE api_keys (
    id UUID PRIMARY KEY,
    org_id UUID NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    description TEXT CHECK (length(description) <= 255),
    environment TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    created_by TEXT NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    -- Set once: every statement of the code that sets it asks for a key without it.
    revoked_at TIMESTAMP WITH TIME ZONE,
    revoked_by TEXT,
    deleted_at TIMESTAMP WITH TIME ZONE,
    deleted_by TEXT,
    -- These four are JSON; NULL where there is nothing in it.
    scopes TEXT,
    allowed_ips TEXT,
    rate_limits TEXT,
    metadata TEXT,
    external_id TEXT COLLATE "C",
    -- NULL in rows that were revoked before there were reasons; read as `unspecified`.
    revocation_reason TEXT,
    -- The ETag. The code adds 1 with every change to the key but its use, and refuses a change to an older version.
    version INTEGER DEFAULT 1 NOT NULL,
    -- How many days before its expiry the latest notice of it was given.
    noticed_days INTEGER,
    CONSTRAINT api_keys_revoked_check CHECK ((revoked_at IS NULL) = (revoked_by IS NULL)),
    CONSTRAINT api_keys_deleted_check CHECK ((deleted_at IS NULL) = (deleted_by IS NULL))
);

-- Pages, newest first.
CREATE INDEX api_keys_newest_idx ON api_keys (org_id, id) WHERE deleted_at IS NULL;

CREATE INDEX api_keys_external_id_idx ON api_keys (org_id, external_id, id)
WHERE external_id IS NOT NULL AND deleted_at IS NULL;

-- Notices of expiry; a key without one adds nothing to it.
CREATE INDEX api_keys_expires_at_idx ON api_keys (expires_at)
WHERE expires_at IS NOT NULL AND revoked_at IS NULL AND deleted_at IS NULL;

-- The bound on active keys: true where the organization may have one more. The lock makes callers of one organization
-- wait for each other, so each counts what the one before has committed. Its number is any that nobody else locks.
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

CREATE TABLE api_key_secrets (
    -- The first secret of a key has the key's id, a later one the id of the event of its rotation.
    id UUID PRIMARY KEY,
    key_id UUID NOT NULL REFERENCES api_keys (id),
    public_key BYTEA NOT NULL UNIQUE CHECK (length(public_key) = 32),
    secret_digest BYTEA NOT NULL UNIQUE CHECK (length(secret_digest) = 32),
    brand TEXT NOT NULL,
    display TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    retires_at TIMESTAMP WITH TIME ZONE,
    -- The code that notes uses moves `last_used_at` forward and `first_used_at` back, never the other way.
    last_used_at TIMESTAMP WITH TIME ZONE,
    first_used_at TIMESTAMP WITH TIME ZONE,
    -- A replaced secret that was not used for so long retires before `retires_at`.
    quiet_seconds INTEGER
);

-- A key has one current secret, which is the one without an end: enforced here.
CREATE UNIQUE INDEX api_key_secrets_current_idx ON api_key_secrets (key_id) WHERE retires_at IS NULL;

-- With the index above, all secrets of a key can be found; a creation adds nothing to this one.
CREATE INDEX api_key_secrets_retiring_idx ON api_key_secrets (key_id) WHERE retires_at IS NOT NULL;

CREATE INDEX api_key_secrets_quiet_idx ON api_key_secrets (retires_at) WHERE quiet_seconds IS NOT NULL;

-- The audit log. No foreign keys: it outlives what it is about.
CREATE TABLE events (
    -- Not in the order of commits.
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id UUID NOT NULL UNIQUE,
    org_id UUID NOT NULL,
    key_id UUID NOT NULL,
    type TEXT NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    client_id TEXT,
    request_id TEXT NOT NULL,
    address TEXT,
    data JSONB NOT NULL,
    -- NULL in events from before there was a chain; they have no place in it.
    digest BYTEA
);

CREATE INDEX events_newest_idx ON events (org_id, id);

-- Begins with the key, so that the events of new keys are added at one end.
CREATE INDEX events_of_key_idx ON events (key_id, id);

-- Enforced: events and their places are only ever added.
CREATE FUNCTION events_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'events are only ever added' USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER events_refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON events
FOR EACH STATEMENT EXECUTE FUNCTION events_refuse_change();

-- The place of each event in its organization's chain, with the hash over the hash before it and the event's digest.
-- A trigger writes it with the event. No foreign key: a place tells of an event that was removed, too.
CREATE TABLE event_chain (
    org_id UUID NOT NULL,
    position BIGINT NOT NULL,
    event_id UUID NOT NULL UNIQUE,
    hash BYTEA NOT NULL CHECK (length(hash) = 32),
    CONSTRAINT event_chain_pkey PRIMARY KEY (org_id, position)
);

CREATE TRIGGER event_chain_refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON event_chain
FOR EACH STATEMENT EXECUTE FUNCTION events_refuse_change();

-- The last place of each chain, which the next event follows. Locked by the transaction that adds one.
CREATE TABLE event_chain_heads (
    org_id UUID PRIMARY KEY,
    position BIGINT NOT NULL,
    hash BYTEA NOT NULL CHECK (length(hash) = 32)
);

-- Hashes the events of an organization in their order, as a window over an aggregate.
CREATE FUNCTION event_chain_next(before bytea, head bytea, digest bytea) RETURNS bytea LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN sha256(coalesce(before, head) || digest);
END $$;

CREATE AGGREGATE event_chain_hash(head bytea, digest bytea) (SFUNC = event_chain_next, STYPE = bytea);

-- Gives every event with a digest its place. One event alone, as most are, is one statement. Of several, the heads are
-- locked in the order of the organizations, so that transactions wait for each other and never in a ring; nothing is
-- locked after them. A query of this function sees what was committed while it waited.
CREATE FUNCTION events_chain() RETURNS trigger LANGUAGE plpgsql AS $$
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
    WITH head AS MATERIALIZED (
        SELECT org_id, position, hash FROM event_chain_heads
        WHERE org_id IN (SELECT org_id FROM added WHERE digest IS NOT NULL) ORDER BY org_id FOR UPDATE
    ),
    place AS MATERIALIZED (
        SELECT org_id, id, head.position + row_number() OVER chain AS position,
            event_chain_hash(head.hash, added.digest) OVER chain AS hash
        FROM added JOIN head USING (org_id) WHERE digest IS NOT NULL
        WINDOW chain AS (PARTITION BY org_id ORDER BY seq ROWS UNBOUNDED PRECEDING)
    ),
    ended AS (
        UPDATE event_chain_heads SET position = last.position, hash = last.hash
        FROM (SELECT DISTINCT ON (org_id) org_id, position, hash FROM place ORDER BY org_id, position DESC) last
        WHERE event_chain_heads.org_id = last.org_id
    )
    INSERT INTO event_chain (org_id, position, hash, event_id) SELECT org_id, position, hash, id FROM place;
    RETURN NULL;
END $$;

CREATE TRIGGER events_chain AFTER INSERT ON events REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION events_chain();

-- Sealed answers to requests with an Idempotency-Key. The code removes those that have expired.
CREATE TABLE replays (
    org_id UUID NOT NULL,
    request_digest BYTEA NOT NULL CHECK (length(request_digest) = 32),
    fingerprint BYTEA NOT NULL CHECK (length(fingerprint) = 32),
    sealed BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT replays_pkey PRIMARY KEY (org_id, request_digest)
);

CREATE INDEX replays_expires_at_idx ON replays (expires_at);

-- The change feed: every event but a creation, and every revocation of a verifier. Written by the two triggers below.
-- Rows are never removed, and receipts are made from them. The numbers are this table's own, because creations draw
-- none: a number that is missing is a change whose transaction has not ended. They are not in the order of commits.
CREATE TABLE changes (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- A key, or a verifier.
    changed_id UUID NOT NULL,
    type TEXT NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    -- By the database's clock.
    noted_at TIMESTAMP WITH TIME ZONE NOT NULL
);

CREATE INDEX changes_changed_id_idx ON changes (changed_id);

CREATE INDEX changes_noted_at_idx ON changes (noted_at, seq);

-- All types but one: a type of event that is added later is a change without a word here.
CREATE FUNCTION events_note_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO changes (changed_id, type, occurred_at, noted_at)
    VALUES (NEW.key_id, NEW.type, NEW.occurred_at, clock_timestamp());
    RETURN NULL;
END $$;

CREATE TRIGGER events_note_change AFTER INSERT ON events
FOR EACH ROW WHEN (NEW.type <> 'api_key.created') EXECUTE FUNCTION events_note_change();

-- Wakes the readers of the feed; they poll, too.
CREATE FUNCTION changes_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('keywright_changes', '');
    RETURN NULL;
END $$;

CREATE TRIGGER changes_notify AFTER INSERT ON changes
FOR EACH STATEMENT EXECUTE FUNCTION changes_notify();

CREATE TABLE verifiers (
    id UUID PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    credential_digest BYTEA NOT NULL UNIQUE CHECK (length(credential_digest) = 32),
    display TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    revoked_at TIMESTAMP WITH TIME ZONE
);

-- A name is unique among the verifiers that are not revoked: enforced here.
CREATE UNIQUE INDEX verifiers_name_idx ON verifiers (name) WHERE revoked_at IS NULL;

CREATE FUNCTION verifiers_note_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO changes (changed_id, type, occurred_at, noted_at)
    VALUES (NEW.id, 'verifier.revoked', NEW.revoked_at, clock_timestamp());
    RETURN NULL;
END $$;

CREATE TRIGGER verifiers_note_change AFTER UPDATE OF revoked_at ON verifiers
FOR EACH ROW EXECUTE FUNCTION verifiers_note_change();

CREATE TABLE verifier_sessions (
    id UUID PRIMARY KEY,
    -- NULL for a process of the service.
    verifier_id UUID REFERENCES verifiers (id),
    name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    -- A year at most; a receipt reckons with it.
    outage_seconds INTEGER NOT NULL CHECK (outage_seconds BETWEEN 0 AND 31536000),
    -- By the database's clock, like the two below.
    connected_at TIMESTAMP WITH TIME ZONE NOT NULL,
    seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
    closed_at TIMESTAMP WITH TIME ZONE
);

-- Which session dropped what a change made wrong, and when. No foreign keys: a session may confirm before it could be
-- stored.
CREATE TABLE confirmations (
    seq BIGINT NOT NULL,
    session_id UUID NOT NULL,
    confirmed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT confirmations_pkey PRIMARY KEY (seq, session_id)
);

-- Usage. No foreign keys: they would make a usage report wait for a revocation of the same key.
CREATE TABLE key_hours (
    key_id UUID NOT NULL,
    hour TIMESTAMP WITH TIME ZONE NOT NULL,
    count BIGINT NOT NULL,
    CONSTRAINT key_hours_pkey PRIMARY KEY (key_id, hour)
);

-- Sources of each key's first secret, from before a key could have two; read and not written any more.
CREATE TABLE key_sources (
    key_id UUID NOT NULL,
    network TEXT COLLATE "C" NOT NULL CHECK (length(network) <= 64),
    agent TEXT COLLATE "C" NOT NULL CHECK (length(agent) <= 64),
    verifier TEXT COLLATE "C" NOT NULL CHECK (length(verifier) <= 255),
    first_seen TIMESTAMP WITH TIME ZONE NOT NULL,
    last_seen TIMESTAMP WITH TIME ZONE NOT NULL,
    count BIGINT NOT NULL,
    CONSTRAINT key_sources_pkey PRIMARY KEY (key_id, network, agent, verifier)
);

-- The code keeps the latest 50 of a secret. Network and agent are empty where they are not known: NULL is not equal to
-- itself, so one source could be here twice.
CREATE TABLE secret_sources (
    secret_id UUID NOT NULL,
    network TEXT COLLATE "C" NOT NULL CHECK (length(network) <= 64),
    agent TEXT COLLATE "C" NOT NULL CHECK (length(agent) <= 64),
    verifier TEXT COLLATE "C" NOT NULL CHECK (length(verifier) <= 255),
    first_seen TIMESTAMP WITH TIME ZONE NOT NULL,
    last_seen TIMESTAMP WITH TIME ZONE NOT NULL,
    count BIGINT NOT NULL,
    CONSTRAINT secret_sources_pkey PRIMARY KEY (secret_id, network, agent, verifier)
);

-- The number of the last batch of uses that each session wrote: a batch that is sent again is counted once. The session
-- may not be stored yet. The code removes a row a week after its last batch.
CREATE TABLE usage_reporters (
    reporter UUID PRIMARY KEY,
    batch BIGINT NOT NULL,
    -- By the database's clock.
    written_at TIMESTAMP WITH TIME ZONE NOT NULL
);

CREATE INDEX usage_reporters_written_at_idx ON usage_reporters (written_at);

INSERT INTO alembic_version (version_num) VALUES ('20261130_0006');
