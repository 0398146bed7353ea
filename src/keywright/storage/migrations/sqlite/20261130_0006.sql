-- The schema on SQLite. postgresql/20261130_0006.sql is the same for the other engine, and has the same names.
--
-- An id is the 16 bytes of a UUIDv7, a time is microseconds since 1970 in UTC, a document is JSON text. STRICT has
-- SQLite refuse a value of another type. Foreign keys are enforced by a setting of the connection that writes
-- (sqlite/writer.py). Where no rule stands beside a column, the code that writes it enforces it.

-- The name of the last migration that this database has. It is the name that Alembic gave this table.
CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL CONSTRAINT alembic_version_pkc PRIMARY KEY
);

CREATE TABLE organizations (
    id BLOB NOT NULL PRIMARY KEY,
    issuer TEXT NOT NULL,
    external_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (issuer, external_id)
)
STRICT;

-- Rows are never deleted: `deleted_at` makes a tombstone, so that a leaked key can still be traced.
CREATE TABLE api_keys (
    id BLOB NOT NULL PRIMARY KEY,
    org_id BLOB NOT NULL REFERENCES organizations (id),
    name TEXT NOT NULL CONSTRAINT api_keys_name_check CHECK (length(name) BETWEEN 1 AND 100),
    description TEXT CONSTRAINT api_keys_description_check CHECK (length(description) <= 255),
    environment TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    expires_at INTEGER,
    -- Set once: every statement of the code that sets it asks for a key without it.
    revoked_at INTEGER,
    revoked_by TEXT,
    deleted_at INTEGER,
    deleted_by TEXT,
    -- These four are JSON; NULL where there is nothing in it.
    scopes TEXT,
    allowed_ips TEXT,
    rate_limits TEXT,
    metadata TEXT,
    external_id TEXT,
    -- NULL in rows that were revoked before there were reasons; read as `unspecified`.
    revocation_reason TEXT,
    -- The ETag. The code adds 1 with every change to the key but its use, and refuses a change to an older version.
    version INTEGER DEFAULT 1 NOT NULL,
    -- How many days before its expiry the latest notice of it was given.
    noticed_days INTEGER,
    CONSTRAINT api_keys_revoked_check CHECK ((revoked_at IS NULL) = (revoked_by IS NULL)),
    CONSTRAINT api_keys_deleted_check CHECK ((deleted_at IS NULL) = (deleted_by IS NULL))
)
STRICT;

-- Pages, newest first.
CREATE INDEX api_keys_newest_idx ON api_keys (org_id, id) WHERE deleted_at IS NULL;

CREATE INDEX api_keys_external_id_idx ON api_keys (org_id, external_id, id)
WHERE external_id IS NOT NULL AND deleted_at IS NULL;

-- Notices of expiry; a key without one adds nothing to it.
CREATE INDEX api_keys_expires_at_idx ON api_keys (expires_at)
WHERE expires_at IS NOT NULL AND revoked_at IS NULL AND deleted_at IS NULL;

CREATE TABLE api_key_secrets (
    -- The first secret of a key has the key's id, a later one the id of the event of its rotation.
    id BLOB NOT NULL PRIMARY KEY,
    key_id BLOB NOT NULL REFERENCES api_keys (id),
    public_key BLOB NOT NULL UNIQUE CONSTRAINT api_key_secrets_public_key_check CHECK (length(public_key) = 32),
    secret_digest BLOB NOT NULL UNIQUE
        CONSTRAINT api_key_secrets_secret_digest_check CHECK (length(secret_digest) = 32),
    brand TEXT NOT NULL,
    display TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    retires_at INTEGER,
    -- The code that notes uses moves `last_used_at` forward and `first_used_at` back, never the other way.
    last_used_at INTEGER,
    first_used_at INTEGER,
    -- A replaced secret that was not used for so long retires before `retires_at`.
    quiet_seconds INTEGER
)
STRICT;

-- A key has one current secret, which is the one without an end: enforced here.
CREATE UNIQUE INDEX api_key_secrets_current_idx ON api_key_secrets (key_id) WHERE retires_at IS NULL;

-- With the index above, all secrets of a key can be found; a creation adds nothing to this one.
CREATE INDEX api_key_secrets_retiring_idx ON api_key_secrets (key_id) WHERE retires_at IS NOT NULL;

CREATE INDEX api_key_secrets_quiet_idx ON api_key_secrets (retires_at) WHERE quiet_seconds IS NOT NULL;

-- The audit log. No foreign keys: it outlives what it is about.
CREATE TABLE events (
    seq INTEGER NOT NULL PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    org_id BLOB NOT NULL,
    key_id BLOB NOT NULL,
    type TEXT NOT NULL,
    occurred_at INTEGER NOT NULL,
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    client_id TEXT,
    request_id TEXT NOT NULL,
    address TEXT,
    data TEXT NOT NULL,
    -- NULL in events from before there was a chain; they have no place in it.
    digest BLOB
)
STRICT;

CREATE INDEX events_newest_idx ON events (org_id, id);

-- Begins with the key, so that the events of new keys are added at one end.
CREATE INDEX events_of_key_idx ON events (key_id, id);

CREATE TRIGGER events_refuse_update BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'events are only ever added'); END;

CREATE TRIGGER events_refuse_delete BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'events are only ever added'); END;

-- The place of each event in its organization's chain, with the hash over the hash before it and the event's digest.
-- The code that writes an event writes its place in the same transaction. No foreign key: a place tells of an event
-- that was removed, too.
CREATE TABLE event_chain (
    org_id BLOB NOT NULL,
    position INTEGER NOT NULL,
    event_id BLOB NOT NULL,
    hash BLOB NOT NULL CONSTRAINT event_chain_hash_check CHECK (length(hash) = 32),
    PRIMARY KEY (org_id, position),
    UNIQUE (event_id)
)
WITHOUT ROWID, STRICT;

CREATE TRIGGER event_chain_refuse_update BEFORE UPDATE ON event_chain
BEGIN SELECT RAISE(ABORT, 'events are only ever added'); END;

CREATE TRIGGER event_chain_refuse_delete BEFORE DELETE ON event_chain
BEGIN SELECT RAISE(ABORT, 'events are only ever added'); END;

-- The last place of each chain, which the next event follows.
CREATE TABLE event_chain_heads (
    org_id BLOB NOT NULL PRIMARY KEY,
    position INTEGER NOT NULL,
    hash BLOB NOT NULL CONSTRAINT event_chain_heads_hash_check CHECK (length(hash) = 32)
)
WITHOUT ROWID, STRICT;

-- Sealed answers to requests with an Idempotency-Key. The code removes those that have expired.
CREATE TABLE replays (
    org_id BLOB NOT NULL,
    request_digest BLOB NOT NULL CONSTRAINT replays_request_digest_check CHECK (length(request_digest) = 32),
    fingerprint BLOB NOT NULL CONSTRAINT replays_fingerprint_check CHECK (length(fingerprint) = 32),
    sealed BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, request_digest)
)
STRICT;

CREATE INDEX replays_expires_at_idx ON replays (expires_at);

-- The change feed: every event but a creation, and every revocation of a verifier. Written by the two triggers below.
-- Rows are never removed, and receipts are made from them. One process writes at a time, so the numbers are in the
-- order of commits; AUTOINCREMENT gives none of them twice.
CREATE TABLE changes (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    -- A key, or a verifier.
    changed_id BLOB NOT NULL,
    type TEXT NOT NULL,
    occurred_at INTEGER NOT NULL,
    -- By the database's clock.
    noted_at INTEGER NOT NULL
)
STRICT;

CREATE INDEX changes_changed_id_idx ON changes (changed_id);

CREATE INDEX changes_noted_at_idx ON changes (noted_at, seq);

-- All types but one: a type of event that is added later is a change without a word here.
CREATE TRIGGER events_note_change AFTER INSERT ON events WHEN NEW.type <> 'api_key.created'
BEGIN INSERT INTO changes (changed_id, type, occurred_at, noted_at) VALUES (NEW.key_id, NEW.type, NEW.occurred_at,
    CAST(strftime('%s', 'now') AS INTEGER) * 1000000 + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER) * 1000); END;

CREATE TABLE verifiers (
    id BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL CONSTRAINT verifiers_name_check CHECK (length(name) BETWEEN 1 AND 255),
    credential_digest BLOB NOT NULL UNIQUE
        CONSTRAINT verifiers_credential_digest_check CHECK (length(credential_digest) = 32),
    display TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
)
STRICT;

-- A name is unique among the verifiers that are not revoked: enforced here.
CREATE UNIQUE INDEX verifiers_name_idx ON verifiers (name) WHERE revoked_at IS NULL;

CREATE TRIGGER verifiers_note_change AFTER UPDATE OF revoked_at ON verifiers
BEGIN INSERT INTO changes (changed_id, type, occurred_at, noted_at) VALUES (NEW.id, 'verifier.revoked', NEW.revoked_at,
    CAST(strftime('%s', 'now') AS INTEGER) * 1000000 + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER) * 1000); END;

CREATE TABLE verifier_sessions (
    id BLOB NOT NULL PRIMARY KEY,
    -- NULL for a process of the service.
    verifier_id BLOB REFERENCES verifiers (id),
    name TEXT NOT NULL CONSTRAINT verifier_sessions_name_check CHECK (length(name) BETWEEN 1 AND 255),
    -- A year at most; a receipt reckons with it.
    outage_seconds INTEGER NOT NULL
        CONSTRAINT verifier_sessions_outage_seconds_check CHECK (outage_seconds BETWEEN 0 AND 31536000),
    -- By the database's clock, like the two below.
    connected_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    closed_at INTEGER
)
STRICT;

-- Which session dropped what a change made wrong, and when. No foreign keys: a session may confirm before it could be
-- stored.
CREATE TABLE confirmations (
    seq INTEGER NOT NULL,
    session_id BLOB NOT NULL,
    confirmed_at INTEGER NOT NULL,
    PRIMARY KEY (seq, session_id)
)
STRICT;

-- Usage. No foreign keys: they would make a usage report wait for a revocation of the same key.
CREATE TABLE key_hours (
    key_id BLOB NOT NULL,
    hour INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (key_id, hour)
)
STRICT;

-- Sources of each key's first secret, from before a key could have two; read and not written any more.
CREATE TABLE key_sources (
    key_id BLOB NOT NULL,
    network TEXT NOT NULL CONSTRAINT key_sources_network_check CHECK (length(network) <= 64),
    agent TEXT NOT NULL CONSTRAINT key_sources_agent_check CHECK (length(agent) <= 64),
    verifier TEXT NOT NULL CONSTRAINT key_sources_verifier_check CHECK (length(verifier) <= 255),
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (key_id, network, agent, verifier)
)
STRICT;

-- The code keeps the latest 50 of a secret. Network and agent are empty where they are not known: NULL is not equal to
-- itself, so one source could be here twice.
CREATE TABLE secret_sources (
    secret_id BLOB NOT NULL,
    network TEXT NOT NULL CONSTRAINT secret_sources_network_check CHECK (length(network) <= 64),
    agent TEXT NOT NULL CONSTRAINT secret_sources_agent_check CHECK (length(agent) <= 64),
    verifier TEXT NOT NULL CONSTRAINT secret_sources_verifier_check CHECK (length(verifier) <= 255),
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (secret_id, network, agent, verifier)
)
STRICT;

-- The number of the last batch of uses that each session wrote: a batch that is sent again is counted once. The session
-- may not be stored yet. The code removes a row a week after its last batch.
CREATE TABLE usage_reporters (
    reporter BLOB NOT NULL PRIMARY KEY,
    batch INTEGER NOT NULL,
    -- By the database's clock.
    written_at INTEGER NOT NULL
)
STRICT;

CREATE INDEX usage_reporters_written_at_idx ON usage_reporters (written_at);

INSERT INTO alembic_version (version_num) VALUES ('20261130_0006');
