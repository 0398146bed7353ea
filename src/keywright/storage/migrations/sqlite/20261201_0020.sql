-- Refusals of keys whose secret was right, apart from uses: a process of the version before reads every row of
-- `key_hours` and `secret_sources` as uses, and goes on writing them. `code` is that of the verdict.
CREATE TABLE key_refusals (
    key_id BLOB NOT NULL,
    hour INTEGER NOT NULL,
    code TEXT NOT NULL CONSTRAINT key_refusals_code_check CHECK (length(code) BETWEEN 1 AND 32),
    count INTEGER NOT NULL,
    PRIMARY KEY (key_id, hour, code)
)
STRICT;

-- The code keeps the latest 50 of a secret, as of `secret_sources`.
CREATE TABLE secret_refusals (
    secret_id BLOB NOT NULL,
    code TEXT NOT NULL CONSTRAINT secret_refusals_code_check CHECK (length(code) BETWEEN 1 AND 32),
    network TEXT NOT NULL CONSTRAINT secret_refusals_network_check CHECK (length(network) <= 64),
    agent TEXT NOT NULL CONSTRAINT secret_refusals_agent_check CHECK (length(agent) <= 64),
    verifier TEXT NOT NULL CONSTRAINT secret_refusals_verifier_check CHECK (length(verifier) <= 255),
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (secret_id, code, network, agent, verifier)
)
STRICT;

-- The indexes by which old rows are found.
CREATE INDEX key_refusals_latest_idx ON key_refusals (hour, key_id);

CREATE INDEX secret_refusals_last_seen_idx ON secret_refusals (last_seen);

UPDATE alembic_version SET version_num = '20261201_0020';
