"""What adds verdicts up in a SQLite file, within a transaction of the writer. Times are SQLite's."""

import sqlite3
from collections.abc import Sequence
from typing import Final

from keywright.storage.shared.rows import Row
from keywright.storage.sqlite import statements as sql

_HOUR: Final = 3_600_000_000

_ADD: Final = """
    INSERT INTO verdict_minutes (minute, code, count) VALUES (?, ?, ?)
    ON CONFLICT (minute, code) DO UPDATE SET count = count + excluded.count
"""
_OLD: Final = "SELECT minute, code, count FROM verdict_minutes WHERE minute < ? ORDER BY minute, code LIMIT ?"
_ADD_TO_HOUR: Final = f"""
    INSERT INTO verdict_hours (hour, code, count) VALUES (?1 - ?1 % {_HOUR}, ?2, ?3)
    ON CONFLICT (hour, code) DO UPDATE SET count = count + excluded.count
"""  # noqa: S608 - a number of our own
_REMOVE: Final = "DELETE FROM verdict_minutes WHERE minute = ? AND code = ?"


def add(connection: sqlite3.Connection, counts: Sequence[Row], batch: Row) -> None:
    """See `VerdictStore.add_verdicts`; the rows have a minute, a code and a count."""
    if connection.execute(sql.BEGIN_BATCH, batch).rowcount:
        connection.executemany(_ADD, counts)


def roll_up(connection: sqlite3.Connection, before: int, limit: int) -> int:
    """See `FiguresStore.roll_up_verdicts`."""
    old = connection.execute(_OLD, (before, limit)).fetchall()
    connection.executemany(_ADD_TO_HOUR, old)
    connection.executemany(_REMOVE, [(minute, code) for minute, code, _ in old])
    return len(old)
