-- The verdicts of all processes by minute. Minutes that are over are moved to `verdict_hours`, code by code.
CREATE TABLE verdict_minutes (
    minute INTEGER NOT NULL,
    code TEXT NOT NULL CONSTRAINT verdict_minutes_code_check CHECK (length(code) BETWEEN 1 AND 64),
    count INTEGER NOT NULL,
    PRIMARY KEY (minute, code)
)
STRICT, WITHOUT ROWID;

CREATE TABLE verdict_hours (
    hour INTEGER NOT NULL,
    code TEXT NOT NULL CONSTRAINT verdict_hours_code_check CHECK (length(code) BETWEEN 1 AND 64),
    count INTEGER NOT NULL,
    PRIMARY KEY (hour, code)
)
STRICT;

-- One row: the last count of all keys, and the one under way. A process that counts has a claim, which ends by itself,
-- so that another one goes on where it ended.
CREATE TABLE key_counts (
    id INTEGER PRIMARY KEY CONSTRAINT key_counts_id_check CHECK (id = 1),
    counted_at INTEGER,
    numbers TEXT,
    begun_at INTEGER,
    -- The id of the last key that was counted.
    position BLOB,
    numbers_so_far TEXT,
    worker BLOB,
    claimed_until INTEGER
)
STRICT;

INSERT INTO key_counts (id) VALUES (1);

-- The version of Keywright of the process; NULL where it does not say.
ALTER TABLE verifier_sessions
ADD COLUMN version TEXT CONSTRAINT verifier_sessions_version_check CHECK (length(version) BETWEEN 1 AND 64);

-- Sessions that may be connected: others are kept as long as receipts.
CREATE INDEX verifier_sessions_open_idx ON verifier_sessions (connected_at) WHERE closed_at IS NULL;

UPDATE alembic_version SET version_num = '20261201_0021';
