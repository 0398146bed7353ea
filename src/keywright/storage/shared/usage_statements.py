"""The statement that reads the usage of a key, for both engines."""

from typing import Final

from keywright.service.management.ports import SECRETS_PER_PAGE
from keywright.storage.shared import readers
from keywright.storage.shared.checking_rows import MOST_SOURCES
from keywright.storage.shared.statements import HAS_KEY, Dialect

_SECRET: Final = readers.columns(readers.KeyReader.secret, "s")
# In the place of what only a secret has, and of its key's environment.
_NO_SECRET: Final = ", ".join(["NULL"] * (_SECRET.count(",") + 2))

_HOURS: Final = """
    SELECT NULL AS code, h.hour AS since, h.count FROM key JOIN key_hours h ON h.key_id = key.id AND h.hour >= $3
    UNION ALL
    SELECT h.code, h.hour, h.count FROM key JOIN key_refusals h ON h.key_id = key.id AND h.hour >= $3
"""


def _days(dialect: Dialect) -> str:
    day = dialect.day("counted.since")
    return f"""
        SELECT code, {day} AS since, CAST(sum(count) AS bigint) AS count FROM ({_HOURS}) counted GROUP BY code, {day}
    """  # noqa: S608


def _sources(table: str, code: str) -> str:
    # Up to two secrets beyond the page are read, which show that there is a next one. A third is left for the page.
    return f"""
        SELECT o.secret_id, {code} AS code, o.network, o.agent, o.verifier, o.first_seen, o.last_seen, o.count
        FROM secret JOIN {table} o ON o.secret_id = secret.id
        ORDER BY o.last_seen DESC LIMIT {3 * MOST_SOURCES}
    """  # noqa: S608


def usage(dialect: Dialect, *, by_day: bool, below: bool) -> str:
    """
    Give rows of `UsageRow`. Values: organization, key, since when, the most former secrets to give.

    Args:
        dialect: The engine.
        by_day: Whether there is a count for each day, and not for each hour.
        below: Whether there is a fifth value: the secret below which the page begins.
    """
    start = """
        AND (s.retires_at, s.id) < (
            (SELECT coalesce(retires_at, {latest}) FROM api_key_secrets WHERE id = $5 AND key_id = $2), $5
        )
    """
    current = """
        SELECT s.* FROM key JOIN api_key_secrets s ON s.key_id = key.id AND s.retires_at IS NULL UNION ALL
    """
    return f"""
        WITH key AS (SELECT k.id, k.environment {HAS_KEY}),
        secret AS (
            {"" if below else current}
            SELECT * FROM (
                SELECT s.* FROM api_key_secrets s
                WHERE s.key_id = $2 AND s.retires_at IS NOT NULL AND EXISTS (SELECT 1 FROM key)
                {start.format(latest=dialect.latest) if below else ""}
                ORDER BY s.retires_at DESC, s.id DESC LIMIT $4
            ) replaced
        ),
        lately AS (
            SELECT s.last_used_at FROM key JOIN api_key_secrets s ON s.key_id = key.id AND s.retires_at IS NULL
            UNION ALL
            SELECT last_used_at FROM (
                SELECT s.last_used_at FROM api_key_secrets s
                WHERE s.key_id = $2 AND s.retires_at IS NOT NULL AND EXISTS (SELECT 1 FROM key)
                ORDER BY s.retires_at DESC, s.id DESC LIMIT {SECRETS_PER_PAGE}
            ) replaced
        )
        SELECT NULL, NULL, NULL, NULL, NULL, CAST(NULL AS timestamptz), (SELECT max(last_used_at) FROM lately),
            CAST(NULL AS bigint), {_NO_SECRET}
        FROM key
        UNION ALL
        SELECT s.id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, {_SECRET}, key.environment FROM key CROSS JOIN secret s
        UNION ALL
        SELECT NULL, counted.code, NULL, NULL, NULL, counted.since, NULL, counted.count, {_NO_SECRET}
        FROM ({_days(dialect) if by_day else _HOURS}) counted
        UNION ALL
        SELECT o.*, {_NO_SECRET} FROM ({_sources("secret_sources", "NULL")}) o
        UNION ALL
        SELECT o.*, {_NO_SECRET} FROM ({_sources("secret_refusals", "o.code")}) o
    """  # noqa: S608
