"""
What adds usage up in a SQLite file, within a transaction of the writer.

A statement is for all records of a batch, in the order of their keys, whose rows are beside each other.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

from keywright.keys.verdict import Code
from keywright.storage.shared.checking_rows import DIGEST_BYTES, MOST_SOURCES, REFUSED_SOURCE, SOURCE, HourlyUsageRow
from keywright.storage.shared.rows import Row
from keywright.storage.sqlite import statements as sql

_NAMED: Final = f"""
    SELECT s.key_id, s.secret_digest, s.id FROM json_each(?1) place
    CROSS JOIN api_key_secrets s ON s.secret_digest = substr(?2, place.value, {DIGEST_BYTES})
    JOIN api_keys k ON k.id = s.key_id
    WHERE k.deleted_at IS NULL
"""  # noqa: S608 - here and below: names of our own
"""Values: `statements.places` of so many digests, and these, one after another."""

_USED: Final = """
    UPDATE api_key_secrets
    SET first_used_at = min(coalesce(first_used_at, ?1), ?1), last_used_at = max(coalesce(last_used_at, ?2), ?2)
    WHERE id = ?3 AND (coalesce(first_used_at, ?1 + 1) > ?1 OR coalesce(last_used_at, ?2 - 1) < ?2)
"""
"""Values: from when, until when, which secret."""

_ADD_TO_HOUR: Final = """
    INSERT INTO key_hours (key_id, hour, count) VALUES (?, ?, ?)
    ON CONFLICT (key_id, hour) DO UPDATE SET count = count + excluded.count
"""

_ADD_REFUSALS_TO_HOUR: Final = """
    INSERT INTO key_refusals (key_id, hour, code, count) VALUES (?, ?, ?, ?)
    ON CONFLICT (key_id, hour, code) DO UPDATE SET count = count + excluded.count
"""


def _add_to_source(table: str, source: str) -> str:
    return f"""
        INSERT INTO {table} AS old (secret_id, {source}, first_seen, last_seen, count)
        VALUES (?, {", ".join("?" for _ in source.split(","))}, ?, ?, ?)
        ON CONFLICT (secret_id, {source}) DO UPDATE SET
            first_seen = min(old.first_seen, excluded.first_seen), last_seen = max(old.last_seen, excluded.last_seen),
            count = old.count + excluded.count
    """  # noqa: S608


def _keep_latest(table: str, source: str) -> str:
    # Sources are put in order only where a secret has too many: they are counted in an index, without their rows.
    return f"""
        DELETE FROM {table} WHERE rowid IN (
            SELECT rowid FROM (
                SELECT rowid, row_number() OVER (PARTITION BY secret_id ORDER BY last_seen DESC, {source}) AS place
                FROM {table} WHERE secret_id IN (
                    SELECT secret_id FROM {table} WHERE secret_id IN (
                        SELECT s.id FROM json_each(?1) place
                        CROSS JOIN api_key_secrets s ON s.secret_digest = substr(?2, place.value, {DIGEST_BYTES})
                    )
                    GROUP BY secret_id HAVING count(*) > {MOST_SOURCES}
                )
            )
            WHERE place > {MOST_SOURCES}
        )
    """  # noqa: S608


_ADD_TO_SOURCE: Final = _add_to_source("secret_sources", SOURCE)
_ADD_TO_REFUSED_SOURCE: Final = _add_to_source("secret_refusals", REFUSED_SOURCE)
_KEEP_LATEST_SOURCES: Final = _keep_latest("secret_sources", SOURCE)
"""Values: as for `_NAMED`."""
_KEEP_LATEST_REFUSED_SOURCES: Final = _keep_latest("secret_refusals", REFUSED_SOURCE)
"""Values: as for `_NAMED`."""

_Named = tuple[Any, HourlyUsageRow]
"""A secret, and a record of it."""


def add(connection: sqlite3.Connection, records: Sequence[HourlyUsageRow], batch: Row) -> None:
    """See `CheckingStore.add_usage`."""
    if not connection.execute(sql.BEGIN_BATCH, batch).rowcount:
        return
    # SQLite cuts digests out of one value: one of another length would shift the others.
    digests = list({record.digest for record in records if len(record.digest) == DIGEST_BYTES})
    asked = (sql.places(len(digests)), b"".join(digests))
    secrets = {(key_id, digest): id_ for key_id, digest, id_ in connection.execute(_NAMED, asked).fetchall()}
    named = [(secrets[record[:2]], record) for record in sorted(records) if record[:2] in secrets]
    uses = [each for each in named if each[1].code == Code.VALID]
    if uses:
        _add_uses(connection, uses)
        connection.execute(_KEEP_LATEST_SOURCES, asked)
    if len(uses) < len(named):
        _add_refusals(connection, [each for each in named if each[1].code != Code.VALID])
        connection.execute(_KEEP_LATEST_REFUSED_SOURCES, asked)


def _add_uses(connection: sqlite3.Connection, uses: Sequence[_Named]) -> None:
    times: dict[Any, tuple[Any, Any]] = {}
    hours: defaultdict[tuple[Any, Any], int] = defaultdict(int)
    for secret_id, use in uses:
        since, until = times.get(secret_id, use[6:8])
        times[secret_id] = min(since, use.first_seen), max(until, use.last_seen)
        hours[use.key_id, use.hour] += use.count
    connection.executemany(_USED, [(*span, secret_id) for secret_id, span in times.items()])
    connection.executemany(_ADD_TO_HOUR, [(*hour, count) for hour, count in hours.items()])
    # All columns from `network` to `count`.
    connection.executemany(_ADD_TO_SOURCE, [(secret_id, *use[3:9]) for secret_id, use in uses])


def _add_refusals(connection: sqlite3.Connection, refusals: Sequence[_Named]) -> None:
    hours = [(row.key_id, row.hour, row.code, row.count) for _, row in refusals]
    connection.executemany(_ADD_REFUSALS_TO_HOUR, hours)
    sources = [(secret_id, row.code, *row[3:9]) for secret_id, row in refusals]
    connection.executemany(_ADD_TO_REFUSED_SOURCE, sources)
