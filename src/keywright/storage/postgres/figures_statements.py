"""The statements of PostgreSQL that add verdicts up. Each is a transaction of its own."""

from typing import Final

ADD_VERDICTS: Final = """
    WITH unwritten AS (
        INSERT INTO usage_reporters AS old (reporter, batch, written_at) VALUES ($4, $5, now())
        ON CONFLICT (reporter) DO UPDATE SET batch = excluded.batch, written_at = excluded.written_at
        WHERE old.batch < excluded.batch
        RETURNING 1
    )
    INSERT INTO verdict_minutes AS old (minute, code, count)
    SELECT minute::timestamptz, code, sum(count::bigint)
    FROM unwritten CROSS JOIN unnest($1::text[], $2::text[], $3::text[]) AS reported (minute, code, count)
    GROUP BY minute::timestamptz, code ORDER BY minute::timestamptz, code
    ON CONFLICT (minute, code) DO UPDATE SET count = old.count + excluded.count
"""
"""
Values: minutes, codes and counts, the reporter, the number of the batch. A repeated batch waits for the row of the
reporter, and then adds nothing; see `checking_statements.ADD_USAGE`.
"""

ROLL_UP: Final = """
    WITH old AS (
        DELETE FROM verdict_minutes WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM verdict_minutes WHERE minute < $1 ORDER BY minute, code LIMIT $2 FOR UPDATE SKIP LOCKED
        ))
        RETURNING date_trunc('hour', minute AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS hour, code, count
    ),
    added AS (
        INSERT INTO verdict_hours AS known (hour, code, count)
        SELECT hour, code, sum(count) FROM old GROUP BY hour, code ORDER BY hour, code
        ON CONFLICT (hour, code) DO UPDATE SET count = known.count + excluded.count
    )
    SELECT count(*) FROM old
"""
"""Values: before when, the most rows to move. Gives how many were moved."""
