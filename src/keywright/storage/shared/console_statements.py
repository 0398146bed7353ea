"""The statements about sessions of the console, the same on both engines; `statements` says how values are numbered."""

from typing import Final

from keywright.storage.shared import audit_rows, readers

_COLUMNS: Final = ", ".join(readers.column_names(audit_rows.console_session)[1:])

ADD: Final = f"""
    INSERT INTO console_sessions ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6)
"""  # noqa: S608
"""Values: a row."""

FIND: Final = f"SELECT {_COLUMNS} FROM console_sessions WHERE digest = $1"  # noqa: S608
NOTE: Final = "UPDATE console_sessions SET used_at = $2 WHERE digest = $1 AND used_at < $2"
END: Final = "DELETE FROM console_sessions WHERE digest = $1"
END_ALL: Final = "DELETE FROM console_sessions WHERE subject = $1"
