-- Refusals of keys whose secret was right, apart from uses: a process of the version before reads every row of
-- `key_hours` and `secret_sources` as uses, and goes on writing them. `code` is that of the verdict.
CREATE TABLE key_refusals (
    key_id UUID NOT NULL,
    hour TIMESTAMP WITH TIME ZONE NOT NULL,
    code TEXT COLLATE "C" NOT NULL CHECK (length(code) BETWEEN 1 AND 32),
    count BIGINT NOT NULL,
    CONSTRAINT key_refusals_pkey PRIMARY KEY (key_id, hour, code)
);

-- The code keeps the latest 50 of a secret, as of `secret_sources`.
CREATE TABLE secret_refusals (
    secret_id UUID NOT NULL,
    code TEXT COLLATE "C" NOT NULL CHECK (length(code) BETWEEN 1 AND 32),
    network TEXT COLLATE "C" NOT NULL CHECK (length(network) <= 64),
    agent TEXT COLLATE "C" NOT NULL CHECK (length(agent) <= 64),
    verifier TEXT COLLATE "C" NOT NULL CHECK (length(verifier) <= 255),
    first_seen TIMESTAMP WITH TIME ZONE NOT NULL,
    last_seen TIMESTAMP WITH TIME ZONE NOT NULL,
    count BIGINT NOT NULL,
    CONSTRAINT secret_refusals_pkey PRIMARY KEY (secret_id, code, network, agent, verifier)
);

-- The indexes by which old rows are found.
CREATE INDEX key_refusals_latest_idx ON key_refusals (hour, key_id);

CREATE INDEX secret_refusals_last_seen_idx ON secret_refusals (last_seen);

UPDATE alembic_version SET version_num = '20261201_0020';
