-- The verdicts of all processes by minute. Minutes that are over are moved to `verdict_hours`, code by code.
CREATE TABLE verdict_minutes (
    minute TIMESTAMP WITH TIME ZONE NOT NULL,
    code TEXT NOT NULL CONSTRAINT verdict_minutes_code_check CHECK (length(code) BETWEEN 1 AND 64),
    count BIGINT NOT NULL,
    PRIMARY KEY (minute, code)
);

CREATE TABLE verdict_hours (
    hour TIMESTAMP WITH TIME ZONE NOT NULL,
    code TEXT NOT NULL CONSTRAINT verdict_hours_code_check CHECK (length(code) BETWEEN 1 AND 64),
    count BIGINT NOT NULL,
    PRIMARY KEY (hour, code)
);

-- One row: the last count of all keys, and the one under way. A process that counts has a claim, which ends by itself,
-- so that another one goes on where it ended.
CREATE TABLE key_counts (
    id INTEGER PRIMARY KEY CONSTRAINT key_counts_id_check CHECK (id = 1),
    counted_at TIMESTAMP WITH TIME ZONE,
    numbers TEXT,
    begun_at TIMESTAMP WITH TIME ZONE,
    -- The id of the last key that was counted.
    position UUID,
    numbers_so_far TEXT,
    worker UUID,
    claimed_until TIMESTAMP WITH TIME ZONE
);

INSERT INTO key_counts (id) VALUES (1);

-- The version of Keywright of the process; NULL where it does not say.
ALTER TABLE verifier_sessions
ADD COLUMN version TEXT CONSTRAINT verifier_sessions_version_check CHECK (length(version) BETWEEN 1 AND 64);

-- Sessions that may be connected: others are kept as long as receipts.
CREATE INDEX verifier_sessions_open_idx ON verifier_sessions (connected_at) WHERE closed_at IS NULL;

UPDATE alembic_version SET version_num = '20261201_0021';
