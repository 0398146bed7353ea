"""The statements of the PostgreSQL store. Each is a transaction of its own."""

from collections.abc import Sequence
from itertools import count
from typing import Final

from keywright.storage import rows

_ID, _TIME, _BYTES = "uuid", "timestamptz", "bytea"
_TYPES: Final = {
    "id": _ID,
    "org_id": _ID,
    "key_id": _ID,
    "created_at": _TIME,
    "expires_at": _TIME,
    "occurred_at": _TIME,
    "public_key": _BYTES,
    "secret_digest": _BYTES,
    "data": "jsonb",
}
"""The type of a column that is not text."""


def _insert_arrays(table: str, columns: Sequence[str], numbers: "count[int]") -> str:
    """Insert rows that come as one array of texts for each column."""
    values = ", ".join(f"new.{column}::{_TYPES.get(column, 'text')}" for column in columns)
    arrays = ", ".join(f"${next(numbers)}::text[]" for _ in columns)
    names = ", ".join(columns)
    return f"INSERT INTO {table} ({names}) SELECT {values} FROM unnest({arrays}) AS new ({names})"  # noqa: S608


def _create() -> str:
    numbers = count(1)
    organizations = _insert_arrays("organizations", rows.ORGANIZATION_COLUMNS, numbers)
    keys = _insert_arrays("api_keys", rows.KEY_COLUMNS, numbers)
    secrets = _insert_arrays("api_key_secrets", rows.SECRET_COLUMNS, numbers)
    events = _insert_arrays("events", rows.EVENT_COLUMNS, numbers)
    # Foreign keys are checked when all of the statement is done, so the order of its parts is of no consequence.
    return f"""
        WITH organization AS ({organizations} ORDER BY new.id ON CONFLICT DO NOTHING),
        key AS ({keys}),
        secret AS ({secrets})
        {events}
    """


def _note(changed: str) -> str:
    """Insert the event whose values are $1 to $11, once for each row of *changed*."""
    values = ", ".join(f"${n}::{_TYPES.get(column, 'text')}" for n, column in enumerate(rows.EVENT_COLUMNS, start=1))
    return f"INSERT INTO events ({', '.join(rows.EVENT_COLUMNS)}) SELECT {values} FROM {changed}"  # noqa: S608


CREATE: Final = _create()
"""Values: for each column of the four tables in `rows`, an array of texts."""

GET: Final = f"""
    SELECT {rows.API_KEY_COLUMNS}
    FROM api_keys k JOIN api_key_secrets s ON s.key_id = k.id AND s.retires_at IS NULL
    WHERE k.org_id = $1 AND k.id = $2 AND k.deleted_at IS NULL
"""  # noqa: S608
"""Values: organisation, key."""

LIST: Final = f"""
    SELECT {rows.API_KEY_COLUMNS}
    FROM (
        SELECT * FROM api_keys
        WHERE (org_id, id) >= ($1, '00000000-0000-0000-0000-000000000000') AND (org_id, id) < ($1, $2)
            AND deleted_at IS NULL
        ORDER BY org_id DESC, id DESC LIMIT $3
    ) k
    CROSS JOIN LATERAL (SELECT * FROM api_key_secrets WHERE key_id = k.id AND retires_at IS NULL LIMIT 1) s
    ORDER BY k.org_id DESC, k.id DESC
"""  # noqa: S608
"""
Values: organisation, the id to begin below, the most rows to give.

Written so that every plan is a good one, whatever the server believes of the tables. An order by both columns can be
had from `api_keys_newest_idx` alone; for one by `id`, the primary key looks as good and walks over everybody's keys.
LATERAL with LIMIT is a look-up for each key of the page; a plain join may read every secret there is, because the plan
of a prepared statement takes an unknown LIMIT for a tenth of the table.
"""

REVOKE: Final = f"""
    WITH found AS (
        SELECT * FROM api_keys WHERE org_id = $2 AND id = $3 AND deleted_at IS NULL FOR UPDATE
    ),
    changed AS (
        UPDATE api_keys SET revoked_at = $5, revoked_by = $7
        FROM found WHERE api_keys.id = found.id AND found.revoked_at IS NULL
        RETURNING api_keys.*
    ),
    noted AS ({_note("changed")}),
    k AS (SELECT * FROM changed UNION ALL SELECT * FROM found WHERE revoked_at IS NOT NULL)
    SELECT {rows.API_KEY_COLUMNS} FROM k JOIN api_key_secrets s ON s.key_id = k.id AND s.retires_at IS NULL
"""  # noqa: S608
"""
Values: the event.

`found` waits for whoever is changing the key and sees it as they left it, so that of two revocations one changes the
key and the other gives the first one's time.
"""

DELETE: Final = f"""
    WITH changed AS (
        UPDATE api_keys SET deleted_at = $5, deleted_by = $7
        WHERE org_id = $2 AND id = $3 AND deleted_at IS NULL
        RETURNING id
    ),
    noted AS ({_note("changed")})
    SELECT id FROM changed
"""  # noqa: S608
"""Values: the event."""

VERSION: Final = "SELECT version_num FROM alembic_version"
HAS_VERSION: Final = "SELECT to_regclass('alembic_version')"

LOCK: Final = "SELECT pg_advisory_xact_lock($1)"
