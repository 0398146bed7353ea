-- Sessions of the console. What is sealed opens with the cookie of the browser alone, which is stored nowhere.
CREATE TABLE console_sessions (
    -- Of the cookie.
    digest BYTEA PRIMARY KEY CONSTRAINT console_sessions_digest_check CHECK (octet_length(digest) = 32),
    -- A digest, too: all sessions of one subject end together.
    subject BYTEA NOT NULL CONSTRAINT console_sessions_subject_check CHECK (octet_length(subject) = 32),
    sealed BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    used_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL
);

CREATE INDEX console_sessions_subject_idx ON console_sessions (subject);

CREATE INDEX console_sessions_expires_at_idx ON console_sessions (expires_at);

UPDATE alembic_version SET version_num = '20261201_0018';
