"""What removes and erases rows of a SQLite file, within a transaction of the writer. Ids and times are SQLite's."""

import json
import sqlite3
from collections.abc import Callable
from typing import Final

from keywright.service.management.audit_log import PERSONAL
from keywright.service.management.task_ports import Removable
from keywright.storage.shared.rows import EventRow
from keywright.storage.shared.statements import BLANK_KEY, IS_NAMING, NEWEST_OF_OLD, SOURCE_TABLES, old_rows, secrets_of
from keywright.storage.sqlite.file import NOW
from keywright.storage.sqlite.statements import DIALECT


def _delete_by(table: str, column: str, condition: str) -> str:
    return f"""
        DELETE FROM {table} WHERE rowid IN (
            SELECT rowid FROM {table} WHERE {column} <= ?1 {condition} ORDER BY {column} LIMIT ?2
        )
    """  # noqa: S608 - here and below: names of our own


PURGE: Final = {kind: _delete_by(*old) for kind, old in old_rows(DIALECT).items()}
"""Values: until when, the most rows to remove."""

OLD_CHANGES: Final = f"""
    SELECT c.seq FROM changes c JOIN (
        SELECT noted_at, seq FROM changes WHERE noted_at <= ?1
        ORDER BY noted_at DESC, seq DESC LIMIT 1 OFFSET {NEWEST_OF_OLD}
    ) last ON (c.noted_at, c.seq) <= (last.noted_at, last.seq)
    ORDER BY c.noted_at, c.seq LIMIT ?2
"""  # noqa: S608
"""Values: until when, the most rows to give."""

ACKNOWLEDGEMENTS: Final = "SELECT seq, session_id FROM acknowledgements WHERE seq = ? LIMIT ?"

_CHECKPOINT: Final = "SELECT position FROM event_checkpoints WHERE org_id = ?"

_UNDIGESTED: Final = """
    SELECT id FROM (SELECT id, digest, occurred_at FROM events WHERE org_id = ?1 ORDER BY id LIMIT ?3)
    WHERE digest IS NULL AND occurred_at < ?2
"""
_BELOW: Final = """
    SELECT e.id FROM event_chain c JOIN events e ON e.id = c.event_id
    WHERE c.org_id = ? AND c.position > ? AND c.position <= ?
"""
_MOVE: Final = f"""
    UPDATE event_checkpoints SET position = ?2, hash = ?3, removed = removed + ?4, undigested = undigested + ?5,
        moved_at = {NOW}
    WHERE org_id = ?1
"""  # noqa: S608
_BEGIN: Final = f"""
    INSERT INTO event_checkpoints (org_id, position, hash, removed, undigested, moved_at)
    VALUES (?1, ?2, ?3, ?4, ?5, {NOW})
"""  # noqa: S608
"""
Values: organization, position, its hash, how many events were removed, how many of them without a digest.

Two statements: of one that inserts or updates, the trigger for insertions runs, too, and finds the position gone.
"""

_BLANK: Final = ", ".join(f"'$.{within}{name}', NULL" for within in ("", "before.", "after.") for name in PERSONAL)
_ERASE: Final = f"""
    UPDATE events SET subject = '', client_id = NULL, address = NULL, data = json_replace(data, {_BLANK}), erased_by = ?
    WHERE id = (SELECT event_id FROM event_chain WHERE org_id = ? AND position = ?) AND erased_by IS NULL
"""  # noqa: S608

_IS_ENDED: Final = "SELECT 1 FROM api_keys WHERE id = ? AND org_id = ? AND coalesce(revoked_at, deleted_at) IS NOT NULL"
"""Values: the key, its organization."""
_BLANK_KEY: Final = f"UPDATE api_keys SET {BLANK_KEY} WHERE id = ?1 AND {IS_NAMING}"  # noqa: S608
_REMOVE_SOURCES: Final = [
    f"DELETE FROM {table} WHERE secret_id IN ({secrets_of('?1', 'id')})"  # noqa: S608
    for table in SOURCE_TABLES
]
"""Values, as above: the key."""


def purge(connection: sqlite3.Connection, kind: Removable, until: int, limit: int) -> int:
    """See `KeyTaskStore.purge`."""
    if kind is Removable.RECEIPTS:
        return _purge_receipts(connection, until, limit)
    return connection.execute(PURGE[kind], (until, limit)).rowcount


def _purge_receipts(connection: sqlite3.Connection, until: int, limit: int) -> int:
    """Remove old changes, each after its acknowledgements, of which there may be many."""
    removed, left = 0, limit
    for change in connection.execute(OLD_CHANGES, (until, limit)).fetchall():
        acknowledged = connection.execute(ACKNOWLEDGEMENTS, (*change, left)).fetchall()
        connection.executemany("DELETE FROM acknowledgements WHERE seq = ? AND session_id = ?", acknowledged)
        left -= len(acknowledged)
        if left <= 0:
            return limit
        removed += connection.execute("DELETE FROM changes WHERE seq = ?", change).rowcount
    return removed


def prune(connection: sqlite3.Connection, org_id: bytes, position: int, hash_: bytes, before: int, limit: int) -> int:
    """See `KeyTaskStore.prune`."""
    (former,) = connection.execute(_CHECKPOINT, (org_id,)).fetchone() or (0,)
    undigested = connection.execute(_UNDIGESTED, (org_id, before, limit)).fetchall()
    if position < former or (position == former and not undigested):
        return 0
    below = connection.execute(_BELOW, (org_id, former, position)).fetchall()
    removed = [*undigested, *below]
    checkpoint = (org_id, position, hash_, len(removed), len(undigested))
    if not connection.execute(_MOVE, checkpoint).rowcount:
        connection.execute(_BEGIN, checkpoint)
    connection.executemany("DELETE FROM events WHERE id = ?", removed)
    connection.execute(
        "DELETE FROM event_chain WHERE org_id = ? AND position > ? AND position <= ?", (org_id, former, position)
    )
    return len(removed)


def erase(connection: sqlite3.Connection, erasure: EventRow, add: Callable[[list[EventRow]], None]) -> None:
    """See `AuditStore.erase`; *add* adds the event of the erasure."""
    add([erasure])
    for position in json.loads(erasure.data)["events"]:
        if not connection.execute(_ERASE, (erasure.id, erasure.org_id, int(position))).rowcount:
            raise sqlite3.IntegrityError("an event was erased or removed meanwhile")


def erase_key(connection: sqlite3.Connection, event: EventRow) -> bool:
    """See `KeyEraser.erase_key`; the event is not stored here."""
    if connection.execute(_IS_ENDED, (event.key_id, event.org_id)).fetchone() is None:
        return False
    statements = (_BLANK_KEY, *_REMOVE_SOURCES)
    return sum([connection.execute(statement, (event.key_id,)).rowcount for statement in statements]) > 0
