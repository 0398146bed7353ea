CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL, 
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

-- Running upgrade  -> 20261123_0001

CREATE TABLE organizations (
    id BLOB NOT NULL, 
    issuer TEXT NOT NULL, 
    external_id TEXT NOT NULL, 
    created_at INTEGER NOT NULL, 
    CONSTRAINT organizations_pkey PRIMARY KEY (id), 
    CONSTRAINT organizations_issuer_external_id_key UNIQUE (issuer, external_id)
)
 STRICT;

CREATE TABLE api_keys (
    id BLOB NOT NULL, 
    org_id BLOB NOT NULL, 
    name TEXT NOT NULL, 
    description TEXT, 
    environment TEXT NOT NULL, 
    created_at INTEGER NOT NULL, 
    created_by TEXT NOT NULL, 
    expires_at INTEGER, 
    revoked_at INTEGER, 
    revoked_by TEXT, 
    deleted_at INTEGER, 
    deleted_by TEXT, 
    CONSTRAINT api_keys_pkey PRIMARY KEY (id), 
    CONSTRAINT api_keys_org_id_fkey FOREIGN KEY(org_id) REFERENCES organizations (id), 
    CONSTRAINT api_keys_name_check CHECK (length(name) BETWEEN 1 AND 100), 
    CONSTRAINT api_keys_description_check CHECK (length(description) <= 255), 
    CONSTRAINT api_keys_revoked_check CHECK ((revoked_at IS NULL) = (revoked_by IS NULL)), 
    CONSTRAINT api_keys_deleted_check CHECK ((deleted_at IS NULL) = (deleted_by IS NULL))
)
 STRICT;

CREATE INDEX api_keys_newest_idx ON api_keys (org_id, id) WHERE deleted_at IS NULL;

CREATE TABLE api_key_secrets (
    id BLOB NOT NULL, 
    key_id BLOB NOT NULL, 
    public_key BLOB NOT NULL, 
    secret_digest BLOB NOT NULL, 
    brand TEXT NOT NULL, 
    display TEXT NOT NULL, 
    created_at INTEGER NOT NULL, 
    retires_at INTEGER, 
    last_used_at INTEGER, 
    CONSTRAINT api_key_secrets_pkey PRIMARY KEY (id), 
    CONSTRAINT api_key_secrets_key_id_fkey FOREIGN KEY(key_id) REFERENCES api_keys (id), 
    CONSTRAINT api_key_secrets_public_key_key UNIQUE (public_key), 
    CONSTRAINT api_key_secrets_secret_digest_key UNIQUE (secret_digest), 
    CONSTRAINT api_key_secrets_public_key_check CHECK (length(public_key) = 32), 
    CONSTRAINT api_key_secrets_secret_digest_check CHECK (length(secret_digest) = 32)
)
 STRICT;

CREATE UNIQUE INDEX api_key_secrets_current_idx ON api_key_secrets (key_id) WHERE retires_at IS NULL;

CREATE TABLE events (
    seq INTEGER NOT NULL, 
    id BLOB NOT NULL, 
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
    CONSTRAINT events_pkey PRIMARY KEY (seq), 
    CONSTRAINT events_id_key UNIQUE (id)
)
 STRICT;

CREATE INDEX events_newest_idx ON events (org_id, id);

CREATE TRIGGER events_refuse_update BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'events are only ever added'); END;

CREATE TRIGGER events_refuse_delete BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'events are only ever added'); END;

INSERT INTO alembic_version (version_num) VALUES ('20261123_0001') RETURNING version_num;
