"""The statements of the SQLite store."""

from collections.abc import Sequence
from typing import Final

from keywright.storage import audit_rows, filters, rows
from keywright.storage.auditing import Dialect
from keywright.storage.checking_rows import SQLITE

ALIVE: Final = f"""
    SELECT {rows.API_KEY_COLUMNS}
    FROM api_keys k JOIN api_key_secrets s ON s.key_id = k.id AND s.retires_at IS NULL
    LEFT JOIN api_key_secrets r ON r.id = (SELECT id FROM api_key_secrets WHERE key_id = k.id AND {rows.LAST_REPLACED})
    WHERE k.deleted_at IS NULL AND k.org_id = ?1
"""  # noqa: S608 - here and below: names of our own
GET: Final = f"{ALIVE} AND k.id = ?2"
LIST: Final = f"{ALIVE} AND k.id < ?2 {{}} ORDER BY k.id DESC LIMIT ?3"
"""With `{}` where further conditions stand. Values: organisation, the id to begin below, the most rows to give."""

COUNT_ACTIVE: Final = """
    SELECT count(*) FROM (
        SELECT 1 FROM api_keys
        WHERE org_id = ? AND deleted_at IS NULL AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?)
        LIMIT ?
    )
"""
"""Values: organisation, when, the most to count."""

_KEY = "WHERE id = ? AND org_id = ? AND deleted_at IS NULL"
_STILL_WORKS = "SELECT 1 FROM api_key_secrets WHERE key_id = api_keys.id AND retires_at IS NOT NULL AND retires_at > ?"

REVOKE: Final = f"""
    UPDATE api_keys SET revoked_at = ?, revoked_by = ?, revocation_reason = ?, version = version + 1
    {_KEY} AND revoked_at IS NULL
"""  # noqa: S608
DELETE: Final = f"UPDATE api_keys SET deleted_at = ?, deleted_by = ? {_KEY}"  # noqa: S608

UPDATE: Final = f"""
    UPDATE api_keys SET {", ".join(f"{column} = ?" for column in rows.CHANGED_COLUMNS)}, version = version + 1,
        noticed_days = CASE WHEN expires_at IS ? THEN noticed_days END
    {_KEY} AND version = ?
"""  # noqa: S608
"""Values: `rows.CHANGED_COLUMNS`, the expiry once more, the key, its organisation, the version that was read."""

BEGIN_ROTATION: Final = f"""
    UPDATE api_keys SET version = version + 1 {_KEY} AND version = ? AND NOT EXISTS ({_STILL_WORKS})
"""  # noqa: S608
CHANGE_ROTATION: Final = f"UPDATE api_keys SET version = version + 1 {_KEY} AND version = ? AND EXISTS ({_STILL_WORKS})"  # noqa: S608
"""Values, as above: the key, its organisation, the version that was read, now."""

BEGIN_RETIREMENT: Final = """
    UPDATE api_key_secrets SET retires_at = ?, quiet_seconds = ? WHERE key_id = ? AND retires_at IS NULL
"""
SET_RETIREMENT: Final = """
    UPDATE api_key_secrets SET retires_at = ?, quiet_seconds = NULL
    WHERE key_id = ? AND retires_at IS NOT NULL AND retires_at > ?
"""
"""Values: when, the key, now."""

NOTICE: Final = """
    UPDATE api_keys SET noticed_days = ?1
    WHERE id = ?2 AND org_id = ?3 AND deleted_at IS NULL AND revoked_at IS NULL AND expires_at = ?4
        AND (noticed_days IS NULL OR noticed_days > ?1)
"""
"""Values: days, the key, its organisation, when it expires."""

CHAIN_HEAD: Final = "SELECT position, hash FROM event_chain_heads WHERE org_id = ?"
SET_CHAIN_HEAD: Final = """
    INSERT INTO event_chain_heads (org_id, position, hash) VALUES (?, ?, ?)
    ON CONFLICT (org_id) DO UPDATE SET position = excluded.position, hash = excluded.hash
"""
ADD_PLACE: Final = "INSERT INTO event_chain (org_id, position, event_id, hash) VALUES (?, ?, ?, ?)"

IS_REPEATED: Final = "SELECT 1 FROM replays WHERE org_id = ? AND request_digest = ? AND expires_at > ?"

PURGE_REPLAYS: Final = """
    DELETE FROM replays WHERE rowid IN (
        SELECT rowid FROM replays WHERE expires_at <= ? ORDER BY expires_at LIMIT ?
    )
"""
"""Values: when, the most rows to remove."""

PURGE_REPORTERS: Final = """
    DELETE FROM usage_reporters WHERE rowid IN (
        SELECT rowid FROM usage_reporters WHERE written_at <= ? ORDER BY written_at LIMIT ?
    )
"""
"""Values: since when a reporter wrote no uses, the most rows to remove."""


def _insert(table: str, columns: Sequence[str]) -> str:
    marks = ", ".join("?" * len(columns))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608


ADD_ORGANIZATION: Final = _insert("organizations", rows.ORGANIZATION_COLUMNS) + " ON CONFLICT DO NOTHING"
ADD_KEY: Final = _insert("api_keys", rows.KEY_COLUMNS)
ADD_SECRET: Final = _insert("api_key_secrets", rows.SECRET_COLUMNS)
ADD_EVENT: Final = _insert("events", rows.EVENT_COLUMNS)
# In the place of one that has expired, where there is one.
ADD_REPLAY: Final = _insert("replays", rows.REPLAY_COLUMNS).replace("INSERT", "INSERT OR REPLACE", 1)

_EVENTS = f"""
    SELECT c.position, c.hash, {audit_rows.EVENT_READ} FROM events e LEFT JOIN event_chain c ON c.event_id = e.id
    WHERE e.org_id = ?1 AND e.id < ?2 AND e.type IN ({audit_rows.KNOWN_TYPES})
"""  # noqa: S608

DIALECT: Final = Dialect(
    engine=SQLITE,
    words=filters.SQLITE,
    events_of_organization=f"{_EVENTS} {{}} ORDER BY e.id DESC LIMIT ?3",
    events_of_key=f"{_EVENTS} AND e.key_id = ?4 {{}} ORDER BY e.id DESC LIMIT ?3",
    quiet=audit_rows.quiet("$1 - (o.quiet_seconds + $2) * 1000000"),
)
