-- Running upgrade 20261123_0002 -> 20261125_0003

ALTER TABLE api_keys ADD COLUMN scopes TEXT;

ALTER TABLE api_keys ADD COLUMN allowed_ips TEXT;

ALTER TABLE api_keys ADD COLUMN rate_limits TEXT;

ALTER TABLE api_keys ADD COLUMN metadata TEXT;

ALTER TABLE api_keys ADD COLUMN external_id TEXT;

ALTER TABLE api_keys ADD COLUMN revocation_reason TEXT;

ALTER TABLE api_keys ADD COLUMN version INTEGER DEFAULT 1 NOT NULL;

ALTER TABLE api_keys ADD COLUMN noticed_days INTEGER;

ALTER TABLE api_key_secrets ADD COLUMN first_used_at INTEGER;

ALTER TABLE api_key_secrets ADD COLUMN quiet_seconds INTEGER;

ALTER TABLE events ADD COLUMN digest BLOB;

CREATE TABLE event_chain (
    org_id BLOB NOT NULL, 
    position INTEGER NOT NULL, 
    event_id BLOB NOT NULL, 
    hash BLOB NOT NULL, 
    CONSTRAINT event_chain_pkey PRIMARY KEY (org_id, position), 
    CONSTRAINT event_chain_event_id_key UNIQUE (event_id), 
    CONSTRAINT event_chain_hash_check CHECK (length(hash) = 32)
)
 WITHOUT ROWID,
 STRICT;

CREATE TABLE event_chain_heads (
    org_id BLOB NOT NULL, 
    position INTEGER NOT NULL, 
    hash BLOB NOT NULL, 
    CONSTRAINT event_chain_heads_pkey PRIMARY KEY (org_id), 
    CONSTRAINT event_chain_heads_hash_check CHECK (length(hash) = 32)
)
 WITHOUT ROWID,
 STRICT;

CREATE TABLE replays (
    org_id BLOB NOT NULL, 
    request_digest BLOB NOT NULL, 
    fingerprint BLOB NOT NULL, 
    sealed BLOB NOT NULL, 
    created_at INTEGER NOT NULL, 
    expires_at INTEGER NOT NULL, 
    CONSTRAINT replays_pkey PRIMARY KEY (org_id, request_digest), 
    CONSTRAINT replays_request_digest_check CHECK (length(request_digest) = 32), 
    CONSTRAINT replays_fingerprint_check CHECK (length(fingerprint) = 32)
)
 STRICT;

CREATE INDEX replays_expires_at_idx ON replays (expires_at);

CREATE TABLE secret_sources (
    secret_id BLOB NOT NULL, 
    network TEXT NOT NULL, 
    agent TEXT NOT NULL, 
    verifier TEXT NOT NULL, 
    first_seen INTEGER NOT NULL, 
    last_seen INTEGER NOT NULL, 
    count INTEGER NOT NULL, 
    CONSTRAINT secret_sources_pkey PRIMARY KEY (secret_id, network, agent, verifier), 
    CONSTRAINT secret_sources_network_check CHECK (length(network) <= 64), 
    CONSTRAINT secret_sources_agent_check CHECK (length(agent) <= 64), 
    CONSTRAINT secret_sources_verifier_check CHECK (length(verifier) <= 255)
)
 STRICT;

CREATE TRIGGER event_chain_refuse_update BEFORE UPDATE ON event_chain BEGIN SELECT RAISE(ABORT, 'events are only ever added'); END;

CREATE TRIGGER event_chain_refuse_delete BEFORE DELETE ON event_chain BEGIN SELECT RAISE(ABORT, 'events are only ever added'); END;

UPDATE alembic_version SET version_num='20261125_0003' WHERE alembic_version.version_num = '20261123_0002';
