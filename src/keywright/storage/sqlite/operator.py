"""One step of a revocation of many keys, within a transaction of the writer. Ids and times are SQLite's."""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from keywright.storage.shared.rows import EventRow
from keywright.storage.sqlite import statements as sql

_MOVE: Final = """
    UPDATE bulk_revocations SET position = ?, finished_at = ?
    WHERE id = ? AND position = ? AND started_at IS NOT NULL AND finished_at IS NULL
"""
_COUNT: Final = "UPDATE bulk_revocations SET revoked = revoked + ?, last_org_id = ?, last_key_id = ? WHERE id = ?"


class Step(NamedTuple):
    """
    One step. `events` are in the order in which keys are revoked; `position` is expected, and becomes `next_position`.
    """

    id: bytes
    position: bytes
    next_position: bytes
    finished_at: int | None
    reason: str
    events: Sequence[EventRow]


def revoke(connection: sqlite3.Connection, step: Step, add_events: Callable[[list[EventRow]], None]) -> None:
    """See `OperatorStore.revoke_many`."""
    moved = (step.next_position, step.finished_at, step.id, step.position)
    if not connection.execute(_MOVE, moved).rowcount:
        return
    done = [event for event in step.events if _revoke(connection, event, step.reason)]
    add_events(done)
    if done:
        connection.execute(_COUNT, (len(done), done[-1].org_id, done[-1].key_id, step.id))


def _revoke(connection: sqlite3.Connection, event: EventRow, reason: str) -> bool:
    values = (event.occurred_at, event.subject, reason, event.key_id, event.org_id)
    return connection.execute(sql.REVOKE, values).rowcount > 0
