"""The statements of the figures for operators, the same on both engines."""

from datetime import timedelta
from typing import Final

from keywright.service.figures.ports import MOST_SESSIONS, RECENT_CHANGES
from keywright.service.verifier_sessions import SESSION_SECONDS
from keywright.storage.shared.statements import ENDS, Dialect

CLAIM_SECONDS: Final = 60
COUNT_EVERY_SECONDS: Final = 3600
COUNT_FEW_EVERY_SECONDS: Final = 60

_AGES: Final = {"day": 1, "week": 7, "month": 30, "quarter": 91, "year": 365}

VERDICT_MINUTES: Final = "SELECT minute, code, count FROM verdict_minutes WHERE minute >= $1"
"""Values: since when."""

VERDICT_HOURS: Final = f"""
    SELECT hour, code, count FROM verdict_hours WHERE hour >= $1 UNION ALL {VERDICT_MINUTES}
"""  # noqa: S608 - here and below: names of our own
"""Values: since when. Gives hours, and the minutes that were not rolled up."""

KEY_COUNT: Final = "SELECT counted_at, numbers FROM key_counts WHERE counted_at IS NOT NULL"

KEEP_KEY_COUNT: Final = """
    UPDATE key_counts SET counted_at = begun_at, numbers = $3, begun_at = NULL, position = NULL, numbers_so_far = NULL,
        worker = NULL, claimed_until = NULL
    WHERE worker = $1 AND position = $2 RETURNING id
"""
"""Values: worker, position, the numbers. Ends a count."""


def keep_slice(dialect: Dialect) -> str:
    """Go on with a count. Values: worker, position, the numbers so far, the next position."""
    return f"""
        UPDATE key_counts SET numbers_so_far = $3, position = $4,
            claimed_until = {dialect.now} + {dialect.seconds(str(CLAIM_SECONDS))}
        WHERE worker = $1 AND position = $2 RETURNING id
    """  # noqa: S608


def _free(dialect: Dialect, few: str) -> str:
    hour, minute = (dialect.seconds(str(each)) for each in (COUNT_EVERY_SECONDS, COUNT_FEW_EVERY_SECONDS))
    return f"""
        (worker IS NULL OR claimed_until <= {dialect.now})
        AND (begun_at IS NOT NULL OR counted_at IS NULL OR counted_at <= {dialect.now} - {hour} OR (
            counted_at <= {dialect.now} - {minute}
            AND NOT EXISTS (SELECT 1 FROM api_keys ORDER BY id LIMIT 1 OFFSET {few})
        ))
    """  # noqa: S608


def key_count_is_due(dialect: Dialect) -> str:
    """Give a row where a count of keys may be claimed. Values: how many keys are few."""
    return f"SELECT id FROM key_counts WHERE {_free(dialect, '$1')}"  # noqa: S608


def claim_key_count(dialect: Dialect) -> str:
    """Begin a count, or go on with one. Values: worker, the position of a count that begins, how many keys are few."""
    return f"""
        UPDATE key_counts SET worker = $1, claimed_until = {dialect.now} + {dialect.seconds(str(CLAIM_SECONDS))},
            begun_at = coalesce(begun_at, {dialect.now}), position = coalesce(position, $2),
            numbers_so_far = coalesce(numbers_so_far, '{{}}')
        WHERE {_free(dialect, "$3")}
        RETURNING begun_at, position, numbers_so_far
    """  # noqa: S608


def count_keys(dialect: Dialect) -> str:
    """
    Count the next keys. Values: the id to begin above, the most keys, when they are judged.

    Gives rows of a kind, a name, a day and a number; the last one has how many were examined, and their last id.
    """
    used = """
        CASE WHEN r.last_used_at IS NULL OR r.last_used_at <= s.last_used_at THEN s.last_used_at ELSE r.last_used_at END
    """
    ages = " ".join(
        f"WHEN used_at > $3 - {dialect.seconds(str(int(timedelta(days=days).total_seconds())))} THEN '{age}'"
        for age, days in _AGES.items()
    )
    no_name, no_day, no_id = (f"CAST(NULL AS {type_})" for type_ in ("text", "timestamptz", "uuid"))
    return f"""
        WITH examined AS MATERIALIZED (
            SELECT id, org_id, expires_at, revoked_at, disabled_at, deleted_at FROM api_keys
            WHERE id > $1 ORDER BY id LIMIT $2
        ),
        judged AS MATERIALIZED (
            SELECT k.expires_at, {used} AS used_at, CASE
                WHEN k.revoked_at IS NOT NULL THEN 'revoked' WHEN k.disabled_at IS NOT NULL THEN 'disabled'
                WHEN k.expires_at <= $3 THEN 'expired' ELSE 'active' END AS state
            FROM examined k {dialect.with_secrets} WHERE k.deleted_at IS NULL
        ),
        aged AS (
            SELECT CASE WHEN used_at IS NULL THEN 'never' {ages} ELSE 'longer' END AS age
            FROM judged WHERE state = 'active'
        ),
        days AS (
            SELECT {dialect.day("expires_at")} AS day FROM judged
            WHERE state = 'active' AND expires_at < $3 + {dialect.seconds(str(31 * 86400))}
        )
        SELECT 0 AS place, 'state' AS kind, state AS name, {no_day} AS day, count(*) AS number, {no_id} AS last
        FROM judged GROUP BY state
        UNION ALL SELECT 0, 'age', age, {no_day}, count(*), {no_id} FROM aged GROUP BY age
        UNION ALL SELECT 0, 'day', {no_name}, day, count(*), {no_id} FROM days GROUP BY day
        UNION ALL SELECT 1, 'examined', {no_name}, {no_day}, count(*),
            (SELECT id FROM examined ORDER BY id DESC LIMIT 1)
        FROM examined ORDER BY place
    """  # noqa: S608


KEY_HOURS: Final = """
    WITH used AS MATERIALIZED (
        SELECT hour, key_id, count AS uses, 0 AS refusals FROM key_hours
        WHERE hour >= $1 AND (hour, key_id) < ($2, $3) ORDER BY hour DESC, key_id DESC LIMIT $4
    ),
    refused AS MATERIALIZED (
        SELECT hour, key_id, 0 AS uses, CAST(sum(count) AS bigint) AS refusals FROM key_refusals
        WHERE hour >= $1 AND (hour, key_id) < ($2, $3) GROUP BY hour, key_id ORDER BY hour DESC, key_id DESC LIMIT $4
    ),
    slice AS MATERIALIZED (
        SELECT hour, key_id, CAST(sum(uses) AS bigint) AS uses, CAST(sum(refusals) AS bigint) AS refusals
        FROM (SELECT * FROM used UNION ALL SELECT * FROM refused) counted
        GROUP BY hour, key_id ORDER BY hour DESC, key_id DESC LIMIT $4
    )
    SELECT hour, key_id, (SELECT org_id FROM api_keys WHERE id = slice.key_id), uses, refusals FROM slice
    ORDER BY hour DESC, key_id DESC
"""
"""
Values: since when, the hour and the key to begin below, the most rows. Gives rows of a `KeyHour`.

Each of the first two has whole keys of an hour, and as many as are given; so what is given of an hour and key is whole.
"""


def _named(table: str, name: str, ids: int) -> str:
    places = ", ".join(f"${number + 1}" for number in range(ids))
    return f"SELECT id, {name} FROM {table} WHERE id IN ({places})"  # noqa: S608


def key_names(ids: int) -> str:
    """Give the names of so many keys. Values: their ids."""
    return _named("api_keys", "name", ids)


def organization_names(ids: int) -> str:
    """Give the external ids of so many organizations. Values: their ids."""
    return _named("organizations", "external_id", ids)


def revocation_delays(dialect: Dialect) -> str:
    """
    Give the delays of acknowledgements, in milliseconds, with their numbers.

    Values: since how many seconds, the most changes and the most acknowledgements to read. First comes a row with the
    number of revocations, when the report begins, and the time of the database's clock.

    Acknowledgements are read by the numbers of their changes, from the newest on, whatever they are of. `cut` is the
    oldest of these changes where not all fit: others of it may be unread.
    """
    delay = dialect.milliseconds("a.acknowledged_at - ended.noted_at")
    return f"""
        WITH clock AS MATERIALIZED (SELECT {dialect.now} AS at),
        examined AS MATERIALIZED (
            SELECT seq, type, noted_at FROM changes
            WHERE noted_at >= (SELECT at - {dialect.seconds("$1")} FROM clock) AND noted_at <= {dialect.latest}
            ORDER BY noted_at DESC, seq DESC LIMIT $2
        ),
        acknowledged AS MATERIALIZED (
            SELECT seq, acknowledged_at FROM acknowledgements
            WHERE seq >= (SELECT min(seq) FROM examined) AND seq <= (SELECT max(seq) FROM examined)
            ORDER BY seq DESC LIMIT $3
        ),
        cut AS MATERIALIZED (
            SELECT seq FROM (SELECT min(seq) AS seq, count(*) AS number FROM acknowledged) read WHERE number = $3
        ),
        ended AS MATERIALIZED (
            SELECT seq, noted_at FROM examined
            WHERE type IN ({ENDS}) AND seq > coalesce((SELECT seq FROM cut), 0)
        ),
        begins AS (
            SELECT at - {dialect.seconds("$1")} AS at FROM clock
            UNION ALL
            SELECT at FROM (SELECT min(noted_at) AS at, count(*) AS number FROM examined) read WHERE number = $2
            UNION ALL SELECT examined.noted_at FROM cut JOIN examined ON examined.seq = cut.seq
        ),
        delays AS (SELECT {delay} AS ms FROM ended JOIN acknowledged a ON a.seq = ended.seq)
        SELECT 0 AS place, CAST(NULL AS bigint) AS ms, (SELECT count(*) FROM ended) AS number,
            (SELECT max(at) FROM begins) AS since, at
        FROM clock
        UNION ALL
        SELECT 1, ms, count(*), CAST(NULL AS timestamptz), CAST(NULL AS timestamptz) FROM delays GROUP BY ms
        ORDER BY place
    """  # noqa: S608


def connected_sessions(dialect: Dialect) -> str:
    """
    Give the sessions that use their caches, the latest first, with the time of the database's clock in each row.

    A look-up for each session and recent change: what others have acknowledged is not read.
    """
    return f"""
        WITH recent AS MATERIALIZED (SELECT seq, noted_at FROM changes ORDER BY seq DESC LIMIT {RECENT_CHANGES}),
        connected AS MATERIALIZED (
            SELECT id, verifier_id, name, outage_seconds, version, connected_at, seen_at FROM verifier_sessions
            WHERE closed_at IS NULL AND seen_at > {dialect.now} - {dialect.seconds(f"{SESSION_SECONDS:.0f}")}
            ORDER BY connected_at DESC, id DESC LIMIT {MOST_SESSIONS + 1}
        ),
        missing AS (
            SELECT s.id, count(*) AS number, min(recent.noted_at) AS since
            FROM connected s JOIN recent ON recent.noted_at >= s.connected_at
            WHERE (SELECT seq FROM acknowledgements WHERE seq = recent.seq AND session_id = s.id) IS NULL
            GROUP BY s.id
        )
        SELECT clock.at, s.id, s.verifier_id, s.name, s.outage_seconds, s.version, v.name AS verifier, s.connected_at,
            s.seen_at, coalesce(missing.number, 0), missing.since
        FROM (SELECT {dialect.clock} AS at) clock LEFT JOIN connected s ON true
        LEFT JOIN verifiers v ON v.id = s.verifier_id LEFT JOIN missing ON missing.id = s.id
        ORDER BY s.connected_at DESC, s.id DESC
    """  # noqa: S608
