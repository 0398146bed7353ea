-- Beside the changes to the tables, which others wait for: counting takes as long as the log is.
-- Seals the events from before there was a chain: an event counts them, so that one more or less is found.
WITH counted AS (
    SELECT org_id, count(*) AS n FROM events WHERE digest IS NULL GROUP BY org_id
),
named AS (
    SELECT org_id, n, date_trunc('milliseconds', clock_timestamp()) AS at, (
        lpad(to_hex(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') || '7'
        || substr(md5(random()::text), 1, 3) || '8' || substr(md5(random()::text || org_id), 1, 15)
    )::uuid AS id
    FROM counted
)
INSERT INTO events (id, org_id, key_id, type, occurred_at, issuer, subject, request_id, data, digest)
SELECT id, org_id, org_id, 'audit_log.sealed', at, 'keywright', 'keywright', id::text, jsonb_build_object('events', n),
    -- As the service writes it: service/management/audit_log.py.
    sha256(convert_to(format(
        '{"address":null,"client_id":null,"data":{"events":%s},"id":"%s","issuer":"keywright","key_id":"%s",'
        || '"occurred_at":"%s+00:00","org_id":"%s","request_id":"%s","subject":"keywright","type":"audit_log.sealed"}',
        n, id, org_id, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'), org_id, id
    ), 'UTF8'))
FROM named;

UPDATE alembic_version SET version_num = '20261201_0015';
