-- Running upgrade 20261126_0005 -> 20261130_0006

CREATE TABLE usage_reporters (
    reporter UUID NOT NULL, 
    batch BIGINT NOT NULL, 
    written_at TIMESTAMP WITH TIME ZONE NOT NULL, 
    CONSTRAINT usage_reporters_pkey PRIMARY KEY (reporter)
);

CREATE INDEX usage_reporters_written_at_idx ON usage_reporters (written_at);

UPDATE alembic_version SET version_num='20261130_0006' WHERE alembic_version.version_num = '20261126_0005';
