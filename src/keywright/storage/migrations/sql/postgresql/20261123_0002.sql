-- Running upgrade 20261123_0001 -> 20261123_0002

CREATE TABLE changes (
    seq BIGINT GENERATED ALWAYS AS IDENTITY, 
    changed_id UUID NOT NULL, 
    type TEXT NOT NULL, 
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL, 
    noted_at TIMESTAMP WITH TIME ZONE NOT NULL, 
    PRIMARY KEY (seq)
);

CREATE INDEX changes_changed_id_idx ON changes (changed_id);

CREATE INDEX changes_noted_at_idx ON changes (noted_at, seq);

CREATE TABLE verifiers (
    id UUID NOT NULL, 
    name TEXT COLLATE "C" NOT NULL, 
    credential_digest BYTEA NOT NULL, 
    display TEXT NOT NULL, 
    created_at TIMESTAMP WITH TIME ZONE NOT NULL, 
    revoked_at TIMESTAMP WITH TIME ZONE, 
    CONSTRAINT verifiers_pkey PRIMARY KEY (id), 
    CONSTRAINT verifiers_credential_digest_key UNIQUE (credential_digest), 
    CONSTRAINT verifiers_name_check CHECK (length(name) BETWEEN 1 AND 255), 
    CONSTRAINT verifiers_credential_digest_check CHECK (length(credential_digest) = 32)
);

CREATE UNIQUE INDEX verifiers_name_idx ON verifiers (name) WHERE revoked_at IS NULL;

CREATE TABLE verifier_sessions (
    id UUID NOT NULL, 
    verifier_id UUID, 
    name TEXT NOT NULL, 
    outage_seconds INTEGER NOT NULL, 
    connected_at TIMESTAMP WITH TIME ZONE NOT NULL, 
    seen_at TIMESTAMP WITH TIME ZONE NOT NULL, 
    closed_at TIMESTAMP WITH TIME ZONE, 
    CONSTRAINT verifier_sessions_pkey PRIMARY KEY (id), 
    CONSTRAINT verifier_sessions_verifier_id_fkey FOREIGN KEY(verifier_id) REFERENCES verifiers (id), 
    CONSTRAINT verifier_sessions_name_check CHECK (length(name) BETWEEN 1 AND 255), 
    CONSTRAINT verifier_sessions_outage_seconds_check CHECK (outage_seconds BETWEEN 0 AND 31536000)
);

CREATE TABLE confirmations (
    seq BIGINT NOT NULL, 
    session_id UUID NOT NULL, 
    confirmed_at TIMESTAMP WITH TIME ZONE NOT NULL, 
    CONSTRAINT confirmations_pkey PRIMARY KEY (seq, session_id)
);

CREATE TABLE key_hours (
    key_id UUID NOT NULL, 
    hour TIMESTAMP WITH TIME ZONE NOT NULL, 
    count BIGINT NOT NULL, 
    CONSTRAINT key_hours_pkey PRIMARY KEY (key_id, hour)
);

CREATE TABLE key_sources (
    key_id UUID NOT NULL, 
    network TEXT COLLATE "C" NOT NULL, 
    agent TEXT COLLATE "C" NOT NULL, 
    verifier TEXT COLLATE "C" NOT NULL, 
    first_seen TIMESTAMP WITH TIME ZONE NOT NULL, 
    last_seen TIMESTAMP WITH TIME ZONE NOT NULL, 
    count BIGINT NOT NULL, 
    CONSTRAINT key_sources_pkey PRIMARY KEY (key_id, network, agent, verifier), 
    CONSTRAINT key_sources_network_check CHECK (length(network) <= 64), 
    CONSTRAINT key_sources_agent_check CHECK (length(agent) <= 64), 
    CONSTRAINT key_sources_verifier_check CHECK (length(verifier) <= 255)
);

CREATE INDEX api_key_secrets_retiring_idx ON api_key_secrets (key_id) WHERE retires_at IS NOT NULL;

CREATE FUNCTION events_note_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO changes (changed_id, type, occurred_at, noted_at) VALUES (NEW.key_id, NEW.type, NEW.occurred_at, clock_timestamp()); RETURN NULL; END $$;

CREATE FUNCTION verifiers_note_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO changes (changed_id, type, occurred_at, noted_at) VALUES (NEW.id, 'verifier.revoked', NEW.revoked_at, clock_timestamp()); RETURN NULL; END $$;

CREATE FUNCTION changes_notify() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_notify('keywright_changes', ''); RETURN NULL; END $$;

CREATE TRIGGER events_note_change AFTER INSERT ON events FOR EACH ROW WHEN (NEW.type <> 'api_key.created') EXECUTE FUNCTION events_note_change();

CREATE TRIGGER verifiers_note_change AFTER UPDATE OF revoked_at ON verifiers FOR EACH ROW EXECUTE FUNCTION verifiers_note_change();

CREATE TRIGGER changes_notify AFTER INSERT ON changes FOR EACH STATEMENT EXECUTE FUNCTION changes_notify();

UPDATE alembic_version SET version_num='20261123_0002' WHERE alembic_version.version_num = '20261123_0001';
