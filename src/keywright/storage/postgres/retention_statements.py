"""
The statements of PostgreSQL that remove and erase rows. Each is a transaction of its own.

Rows that another transaction is changing are left to it, so that several processes may purge at once.
"""

from collections.abc import Mapping
from typing import Final

from keywright.service.management.task_ports import Removable
from keywright.storage.postgres.statements import DIALECT
from keywright.storage.shared.statements import NEWEST_OF_OLD, old_rows


def _delete_by(table: str, column: str, condition: str) -> str:
    # By the places of the rows, which are read once: a condition on the table might be planned without the index.
    return f"""
        DELETE FROM {table} WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM {table} WHERE {column} <= $1 {condition} ORDER BY {column}
            LIMIT $2 FOR UPDATE SKIP LOCKED
        ))
        RETURNING 1
    """  # noqa: S608 - here and below: names of our own


PURGE: Final[Mapping[Removable, str]] = {
    **{kind: _delete_by(*old) for kind, old in old_rows(DIALECT).items()},
    Removable.RECEIPTS: f"""
        WITH last AS MATERIALIZED (
            SELECT noted_at, seq FROM changes WHERE noted_at <= $1
            ORDER BY noted_at DESC, seq DESC LIMIT 1 OFFSET {NEWEST_OF_OLD}
        ),
        old AS MATERIALIZED (
            SELECT seq, ctid AS place FROM changes
            WHERE (noted_at, seq) <= ((SELECT noted_at FROM last), (SELECT seq FROM last))
            ORDER BY noted_at, seq LIMIT $2 FOR UPDATE SKIP LOCKED
        ),
        acknowledged AS (
            DELETE FROM acknowledgements WHERE ctid = ANY(ARRAY(
                SELECT a.ctid FROM old CROSS JOIN LATERAL (
                    SELECT ctid FROM acknowledgements WHERE seq = old.seq LIMIT $2
                ) a LIMIT $2
            ))
            RETURNING 1
        ),
        removed AS (
            DELETE FROM changes WHERE ctid = ANY(ARRAY(SELECT place FROM old))
                AND (SELECT count(*) FROM acknowledged) < $2
            RETURNING 1
        )
        SELECT 1 FROM acknowledged UNION ALL SELECT 1 FROM removed LIMIT $2
    """,  # noqa: S608
}
"""
Values: until when, the most rows to remove. Gives a row for each. Of receipts, a change goes after its
acknowledgements, of which there may be many.
"""

PRUNE: Final = "SELECT events_prune($1, $2, $3, $4, $5)"
"""Values: organization, position, its hash, before when, the most events without a digest to remove."""

ERASE: Final = "SELECT events_erase($1, $2, $3, $4, $5)"
"""Values: the event, its organization, its time, its data, its digest."""
