-- Running upgrade 20261125_0004 -> 20261126_0005

CREATE FUNCTION event_chain_next(before bytea, head bytea, digest bytea) RETURNS bytea LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN sha256(coalesce(before, head) || digest);
END $$;

CREATE AGGREGATE event_chain_hash(head bytea, digest bytea) (SFUNC = event_chain_next, STYPE = bytea);

CREATE OR REPLACE FUNCTION events_chain() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT count(*) FROM added) = 1 THEN
        WITH head AS (
            INSERT INTO event_chain_heads AS known (org_id, position, hash)
            SELECT org_id, 1, sha256(decode(repeat('00', 32), 'hex') || digest) FROM added WHERE digest IS NOT NULL
            ON CONFLICT (org_id) DO UPDATE
            SET position = known.position + 1, hash = sha256(known.hash || (SELECT digest FROM added))
            RETURNING org_id, position, hash
        )
        INSERT INTO event_chain (org_id, position, hash, event_id)
        SELECT head.org_id, head.position, head.hash, added.id FROM head CROSS JOIN added;
        RETURN NULL;
    END IF;
    INSERT INTO event_chain_heads (org_id, position, hash)
    SELECT DISTINCT org_id, 0, decode(repeat('00', 32), 'hex') FROM added WHERE digest IS NOT NULL ORDER BY org_id
    ON CONFLICT DO NOTHING;
    WITH head AS MATERIALIZED (
        SELECT org_id, position, hash FROM event_chain_heads
        WHERE org_id IN (SELECT org_id FROM added WHERE digest IS NOT NULL) ORDER BY org_id FOR UPDATE
    ),
    place AS MATERIALIZED (
        SELECT org_id, id, head.position + row_number() OVER chain AS position,
            event_chain_hash(head.hash, added.digest) OVER chain AS hash
        FROM added JOIN head USING (org_id) WHERE digest IS NOT NULL
        WINDOW chain AS (PARTITION BY org_id ORDER BY seq ROWS UNBOUNDED PRECEDING)
    ),
    ended AS (
        UPDATE event_chain_heads SET position = last.position, hash = last.hash
        FROM (SELECT DISTINCT ON (org_id) org_id, position, hash FROM place ORDER BY org_id, position DESC) last
        WHERE event_chain_heads.org_id = last.org_id
    )
    INSERT INTO event_chain (org_id, position, hash, event_id) SELECT org_id, position, hash, id FROM place;
    RETURN NULL;
END $$;

UPDATE alembic_version SET version_num='20261126_0005' WHERE alembic_version.version_num = '20261125_0004';
