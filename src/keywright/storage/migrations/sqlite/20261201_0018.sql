-- Sessions of the console. What is sealed opens with the cookie of the browser alone, which is stored nowhere.
CREATE TABLE console_sessions (
    -- Of the cookie.
    digest BLOB NOT NULL PRIMARY KEY CONSTRAINT console_sessions_digest_check CHECK (length(digest) = 32),
    -- A digest, too: all sessions of one subject end together.
    subject BLOB NOT NULL CONSTRAINT console_sessions_subject_check CHECK (length(subject) = 32),
    sealed BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    used_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
)
STRICT;

CREATE INDEX console_sessions_subject_idx ON console_sessions (subject);

CREATE INDEX console_sessions_expires_at_idx ON console_sessions (expires_at);

UPDATE alembic_version SET version_num = '20261201_0018';
