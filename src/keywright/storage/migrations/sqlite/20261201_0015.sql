-- The functions `sha256` and `unhex` are those of the connection that migrates (storage/migrate.py).
-- Seals the events from before there was a chain: an event counts them, so that one more or less is found. Its digest
-- is over the text that the service writes (service/management/audit_log.py).
CREATE TEMP TABLE sealed AS
WITH counted AS (
    SELECT org_id, lower(hex(org_id)) AS org, count(*) AS n, CAST(strftime('%s', 'now') AS INTEGER) * 1000 AS at,
        lower(hex(randomblob(16))) AS random
    FROM events WHERE digest IS NULL GROUP BY org_id
),
named AS (
    SELECT *, printf('%012x', at) || '7' || substr(random, 1, 3) || '8' || substr(random, 4, 15) AS id FROM counted
),
spelled AS (
    SELECT org_id, n, at, id, strftime('%Y-%m-%dT%H:%M:%S', at / 1000, 'unixepoch') || '.000000+00:00' AS moment,
        substr(id, 1, 8) || '-' || substr(id, 9, 4) || '-' || substr(id, 13, 4) || '-' || substr(id, 17, 4) || '-'
            || substr(id, 21) AS event,
        substr(org, 1, 8) || '-' || substr(org, 9, 4) || '-' || substr(org, 13, 4) || '-' || substr(org, 17, 4) || '-'
            || substr(org, 21) AS org
    FROM named
)
SELECT org_id, n, at * 1000 AS at, unhex(id) AS id, event, sha256(CAST(
    '{"address":null,"client_id":null,"data":{"events":' || n || '},"id":"' || event || '","issuer":"keywright",'
    || '"key_id":"' || org || '","occurred_at":"' || moment || '","org_id":"' || org || '","request_id":"' || event
    || '","subject":"keywright","type":"audit_log.sealed"}' AS BLOB)) AS digest
FROM spelled;

INSERT INTO events (id, org_id, key_id, type, occurred_at, issuer, subject, request_id, data, digest)
SELECT id, org_id, org_id, 'audit_log.sealed', at, 'keywright', 'keywright', event, '{"events":' || n || '}', digest
FROM sealed;

INSERT INTO event_chain_heads (org_id, position, hash)
SELECT org_id, 1, sha256(CAST(zeroblob(32) || digest AS BLOB)) FROM sealed WHERE true
ON CONFLICT (org_id) DO UPDATE SET position = event_chain_heads.position + 1, hash = (
    SELECT sha256(CAST(event_chain_heads.hash || sealed.digest AS BLOB)) FROM sealed
    WHERE sealed.org_id = event_chain_heads.org_id
);

INSERT INTO event_chain (org_id, position, event_id, hash)
SELECT org_id, position, sealed.id, hash FROM event_chain_heads JOIN sealed USING (org_id);

DROP TABLE sealed;

UPDATE alembic_version SET version_num = '20261201_0015';
