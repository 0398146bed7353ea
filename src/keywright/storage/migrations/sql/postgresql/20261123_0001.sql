CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL, 
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

-- Running upgrade  -> 20261123_0001

CREATE TABLE organizations (
    id UUID NOT NULL, 
    issuer TEXT COLLATE "C" NOT NULL, 
    external_id TEXT COLLATE "C" NOT NULL, 
    created_at TIMESTAMP WITH TIME ZONE NOT NULL, 
    CONSTRAINT organizations_pkey PRIMARY KEY (id), 
    CONSTRAINT organizations_issuer_external_id_key UNIQUE (issuer, external_id)
);

CREATE TABLE api_keys (
    id UUID NOT NULL, 
    org_id UUID NOT NULL, 
    name TEXT NOT NULL, 
    description TEXT, 
    environment TEXT NOT NULL, 
    created_at TIMESTAMP WITH TIME ZONE NOT NULL, 
    created_by TEXT NOT NULL, 
    expires_at TIMESTAMP WITH TIME ZONE, 
    revoked_at TIMESTAMP WITH TIME ZONE, 
    revoked_by TEXT, 
    deleted_at TIMESTAMP WITH TIME ZONE, 
    deleted_by TEXT, 
    CONSTRAINT api_keys_pkey PRIMARY KEY (id), 
    CONSTRAINT api_keys_org_id_fkey FOREIGN KEY(org_id) REFERENCES organizations (id), 
    CONSTRAINT api_keys_name_check CHECK (length(name) BETWEEN 1 AND 100), 
    CONSTRAINT api_keys_description_check CHECK (length(description) <= 255), 
    CONSTRAINT api_keys_revoked_check CHECK ((revoked_at IS NULL) = (revoked_by IS NULL)), 
    CONSTRAINT api_keys_deleted_check CHECK ((deleted_at IS NULL) = (deleted_by IS NULL))
);

CREATE INDEX api_keys_newest_idx ON api_keys (org_id, id) WHERE deleted_at IS NULL;

CREATE TABLE api_key_secrets (
    id UUID NOT NULL, 
    key_id UUID NOT NULL, 
    public_key BYTEA NOT NULL, 
    secret_digest BYTEA NOT NULL, 
    brand TEXT NOT NULL, 
    display TEXT NOT NULL, 
    created_at TIMESTAMP WITH TIME ZONE NOT NULL, 
    retires_at TIMESTAMP WITH TIME ZONE, 
    last_used_at TIMESTAMP WITH TIME ZONE, 
    CONSTRAINT api_key_secrets_pkey PRIMARY KEY (id), 
    CONSTRAINT api_key_secrets_key_id_fkey FOREIGN KEY(key_id) REFERENCES api_keys (id), 
    CONSTRAINT api_key_secrets_public_key_key UNIQUE (public_key), 
    CONSTRAINT api_key_secrets_secret_digest_key UNIQUE (secret_digest), 
    CONSTRAINT api_key_secrets_public_key_check CHECK (length(public_key) = 32), 
    CONSTRAINT api_key_secrets_secret_digest_check CHECK (length(secret_digest) = 32)
);

CREATE UNIQUE INDEX api_key_secrets_current_idx ON api_key_secrets (key_id) WHERE retires_at IS NULL;

CREATE TABLE events (
    seq BIGINT GENERATED ALWAYS AS IDENTITY, 
    id UUID NOT NULL, 
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
    CONSTRAINT events_pkey PRIMARY KEY (seq), 
    CONSTRAINT events_id_key UNIQUE (id)
);

CREATE INDEX events_newest_idx ON events (org_id, id);

CREATE FUNCTION events_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'events are only ever added' USING ERRCODE = 'restrict_violation'; END $$;

CREATE TRIGGER events_refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON events FOR EACH STATEMENT EXECUTE FUNCTION events_refuse_change();

INSERT INTO alembic_version (version_num) VALUES ('20261123_0001') RETURNING alembic_version.version_num;
