-- Running upgrade 20261123_0001 -> 20261123_0002

CREATE TABLE changes (
    seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
    changed_id BLOB NOT NULL, 
    type TEXT NOT NULL, 
    occurred_at INTEGER NOT NULL, 
    noted_at INTEGER NOT NULL
)
 STRICT;

CREATE INDEX changes_changed_id_idx ON changes (changed_id);

CREATE INDEX changes_noted_at_idx ON changes (noted_at, seq);

CREATE TABLE verifiers (
    id BLOB NOT NULL, 
    name TEXT NOT NULL, 
    credential_digest BLOB NOT NULL, 
    display TEXT NOT NULL, 
    created_at INTEGER NOT NULL, 
    revoked_at INTEGER, 
    CONSTRAINT verifiers_pkey PRIMARY KEY (id), 
    CONSTRAINT verifiers_credential_digest_key UNIQUE (credential_digest), 
    CONSTRAINT verifiers_name_check CHECK (length(name) BETWEEN 1 AND 255), 
    CONSTRAINT verifiers_credential_digest_check CHECK (length(credential_digest) = 32)
)
 STRICT;

CREATE UNIQUE INDEX verifiers_name_idx ON verifiers (name) WHERE revoked_at IS NULL;

CREATE TABLE verifier_sessions (
    id BLOB NOT NULL, 
    verifier_id BLOB, 
    name TEXT NOT NULL, 
    outage_seconds INTEGER NOT NULL, 
    connected_at INTEGER NOT NULL, 
    seen_at INTEGER NOT NULL, 
    closed_at INTEGER, 
    CONSTRAINT verifier_sessions_pkey PRIMARY KEY (id), 
    CONSTRAINT verifier_sessions_verifier_id_fkey FOREIGN KEY(verifier_id) REFERENCES verifiers (id), 
    CONSTRAINT verifier_sessions_name_check CHECK (length(name) BETWEEN 1 AND 255), 
    CONSTRAINT verifier_sessions_outage_seconds_check CHECK (outage_seconds BETWEEN 0 AND 31536000)
)
 STRICT;

CREATE TABLE confirmations (
    seq INTEGER NOT NULL, 
    session_id BLOB NOT NULL, 
    confirmed_at INTEGER NOT NULL, 
    CONSTRAINT confirmations_pkey PRIMARY KEY (seq, session_id)
)
 STRICT;

CREATE TABLE key_hours (
    key_id BLOB NOT NULL, 
    hour INTEGER NOT NULL, 
    count INTEGER NOT NULL, 
    CONSTRAINT key_hours_pkey PRIMARY KEY (key_id, hour)
)
 STRICT;

CREATE TABLE key_sources (
    key_id BLOB NOT NULL, 
    network TEXT NOT NULL, 
    agent TEXT NOT NULL, 
    verifier TEXT NOT NULL, 
    first_seen INTEGER NOT NULL, 
    last_seen INTEGER NOT NULL, 
    count INTEGER NOT NULL, 
    CONSTRAINT key_sources_pkey PRIMARY KEY (key_id, network, agent, verifier), 
    CONSTRAINT key_sources_network_check CHECK (length(network) <= 64), 
    CONSTRAINT key_sources_agent_check CHECK (length(agent) <= 64), 
    CONSTRAINT key_sources_verifier_check CHECK (length(verifier) <= 255)
)
 STRICT;

CREATE INDEX api_key_secrets_retiring_idx ON api_key_secrets (key_id) WHERE retires_at IS NOT NULL;

CREATE TRIGGER events_note_change AFTER INSERT ON events WHEN NEW.type <> 'api_key.created' BEGIN INSERT INTO changes (changed_id, type, occurred_at, noted_at) VALUES (NEW.key_id, NEW.type, NEW.occurred_at, CAST(strftime('%s', 'now') AS INTEGER) * 1000000 + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER) * 1000); END;

CREATE TRIGGER verifiers_note_change AFTER UPDATE OF revoked_at ON verifiers BEGIN INSERT INTO changes (changed_id, type, occurred_at, noted_at) VALUES (NEW.id, 'verifier.revoked', NEW.revoked_at, CAST(strftime('%s', 'now') AS INTEGER) * 1000000 + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER) * 1000); END;

UPDATE alembic_version SET version_num='20261123_0002' WHERE alembic_version.version_num = '20261123_0001';
