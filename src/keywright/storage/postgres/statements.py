"""The statements of the PostgreSQL store. Each is a transaction of its own."""

from collections.abc import Sequence
from itertools import count
from typing import Final, NamedTuple

from keywright.storage.postgres.list_statements import LIST, LIST_SOME, WITH_SECRETS, events
from keywright.storage.shared import readers
from keywright.storage.shared.readers import API_KEY_COLUMNS
from keywright.storage.shared.rows import AnswerRow, ChangedRow, EventRow, KeyRow, OrganizationRow, SecretRow
from keywright.storage.shared.statements import BLANK_KEY, IS_NAMING, SOURCE_TABLES, Dialect, secrets_of

_ID, _TIME, _BYTES = "uuid", "timestamptz", "bytea"
_TYPES: Final = {
    "id": _ID,
    "org_id": _ID,
    "key_id": _ID,
    "created_at": _TIME,
    "expires_at": _TIME,
    "disabled_at": _TIME,
    "occurred_at": _TIME,
    "public_key": _BYTES,
    "secret_digest": _BYTES,
    "digest": _BYTES,
    "request_digest": _BYTES,
    "fingerprint": _BYTES,
    "sealed": _BYTES,
    "data": "jsonb",
}
"""The type of a column that is not text."""


class GuardRow(NamedTuple):
    """
    What decides whether a creation may be done: its organization, and its sealed answer if it has one, as texts.
    """

    key_id: str
    org_id: str
    issuer: str
    external_id: str
    request_digest: str | None = None
    fingerprint: str | None = None
    sealed: str | None = None
    created_at: str | None = None
    expires_at: str | None = None


def arrays(columns: Sequence[str], numbers: "count[int]") -> str:
    """Name rows `new` that come as one array of texts for each column."""
    arrays = ", ".join(f"${next(numbers)}::text[]" for _ in columns)
    return f"unnest({arrays}) AS new ({', '.join(columns)})"


def typed(columns: Sequence[str]) -> str:
    """Name *columns* of such rows, each with its type."""
    return ", ".join(f"new.{column}::{_TYPES.get(column, 'text')}" for column in columns)


def _insert_arrays(table: str, columns: Sequence[str], numbers: "count[int]", only: str = "") -> str:
    """Insert rows that come as arrays, or *only* some of them."""
    return (
        f"INSERT INTO {table} ({', '.join(columns)})"  # noqa: S608
        f" SELECT {typed(columns)} FROM {arrays(columns, numbers)} {only}"
    )


def _bound(number: int) -> str:
    """
    Set the bound on active keys for the triggers of a statement, to be joined to its last part; '' for none.

    See `active_keys_refuse` in the migrations. Triggers run when all parts of the statement are done, and the setting
    ends with the transaction. In a FROM, a call of a volatile function is made whether its value is read or not.
    """
    return f"(SELECT set_config('keywright.most_active', ${number}::text, true)) bound"


_AFTER_KEYS: Final = "CROSS JOIN (SELECT count(*) AS number FROM key) keys WHERE keys.number >= 0"
"""
Has the keys inserted before the events, and so their triggers run before those of the events, as in all statements.

Both lock a row of the organization; in two orders, a creation and a revocation could wait for each other.
"""


def _create() -> str:
    numbers = count(1)
    organizations = _insert_arrays("organizations", OrganizationRow._fields, numbers)
    keys = _insert_arrays("api_keys", KeyRow._fields, numbers)
    secrets = _insert_arrays("api_key_secrets", SecretRow._fields, numbers)
    events = _insert_arrays("events", EventRow._fields, numbers)
    bound = _bound(next(numbers))
    # Foreign keys are checked when all of the statement is done, so the order of its parts is of no consequence.
    return f"""
        WITH organization AS ({organizations} ORDER BY new.id ON CONFLICT DO NOTHING),
        key AS ({keys} RETURNING 1),
        secret AS ({secrets})
        {events} CROSS JOIN {bound} {_AFTER_KEYS}
    """


def _create_guarded() -> str:
    numbers = count(1)
    fresh = "(SELECT key_id FROM fresh)"
    owner = "org_id, issuer, external_id"
    claimed = "(new.id::uuid, new.issuer, new.external_id)"
    organizations = _insert_arrays(
        "organizations",
        OrganizationRow._fields,
        numbers,
        f"WHERE {claimed} IN (SELECT {owner} FROM asked) AND {claimed} NOT IN (SELECT {owner} FROM known)",  # noqa: S608
    )
    keys = _insert_arrays("api_keys", KeyRow._fields, numbers, f"WHERE new.id::uuid IN {fresh}")
    secrets = _insert_arrays("api_key_secrets", SecretRow._fields, numbers, f"WHERE new.key_id::uuid IN {fresh}")
    events = _insert_arrays("events", EventRow._fields, numbers, f"{_AFTER_KEYS} AND new.key_id::uuid IN {fresh}")
    asked = f"SELECT {typed(GuardRow._fields)} FROM {arrays(GuardRow._fields, numbers)}"  # noqa: S608
    return f"""
        WITH asked AS MATERIALIZED ({asked}),
        known AS MATERIALIZED (
            SELECT r.org_id, r.issuer, r.external_id FROM asked r
            JOIN organizations o ON o.id = r.org_id AND o.issuer = r.issuer AND o.external_id = r.external_id
        ),
        organization AS (
            {organizations} ORDER BY new.id ON CONFLICT DO NOTHING RETURNING id AS org_id, issuer, external_id
        ),
        owned AS MATERIALIZED (SELECT * FROM known UNION SELECT * FROM organization),
        allowed AS MATERIALIZED (SELECT * FROM asked JOIN owned USING ({owner})),
        answered AS ({_add_answer("allowed WHERE request_digest IS NOT NULL ORDER BY org_id, request_digest")}),
        fresh AS MATERIALIZED (
            SELECT key_id, org_id FROM allowed
            WHERE request_digest IS NULL OR (org_id, request_digest) IN (SELECT org_id, request_digest FROM answered)
        ),
        key AS ({keys} RETURNING 1),
        secret AS ({secrets}),
        event AS ({events})
        SELECT key_id FROM fresh CROSS JOIN {_bound(next(numbers))}
    """  # noqa: S608


def _add_answer(source: str) -> str:
    """Insert the answers of *source*, in the place of those that have expired; requests that have one are left out."""
    columns = ", ".join(AnswerRow._fields)
    renewed = ", ".join(f"{column} = excluded.{column}" for column in AnswerRow._fields[2:])
    return f"""
        INSERT INTO idempotent_answers AS old ({columns}) SELECT {columns} FROM {source}
        ON CONFLICT (org_id, request_digest) DO UPDATE SET {renewed} WHERE old.expires_at <= excluded.created_at
        RETURNING org_id, request_digest
    """  # noqa: S608


def _values(columns: Sequence[str], first: int) -> str:
    """Write the values of one row, numbered from *first*."""
    return ", ".join(f"${n}::{_TYPES.get(column, 'text')}" for n, column in enumerate(columns, start=first))


def _note(changed: str) -> str:
    """Insert the event whose values are $1 to $12, once for each row of *changed*."""
    columns = ", ".join(EventRow._fields)
    return f"INSERT INTO events ({columns}) SELECT {_values(EventRow._fields, 1)} FROM {changed}"  # noqa: S608


_NEXT: Final = len(EventRow._fields) + 1
"""The number of the first value after those of an event."""

CREATE: Final = _create()
"""Values: for each column of the four tables in `rows`, an array of texts; then the bound on active keys."""

CREATE_GUARDED: Final = _create_guarded()
"""
Values: as for `CREATE`, but before the bound for each of `GuardRow` an array of texts. Gives the created keys.

A key is created only if its organization is stored with its issuer and external id. A transaction that adds an
organization which another one has just added waits for that one, and then creates nothing, although the organization
may be the same: what another transaction committed meanwhile is not seen.

A transaction that adds a sealed answer which another one has just added waits for that one, and then adds nothing.
"""

SETTLE: Final = "SELECT org, active_keys_settle(org::uuid, $2) FROM unnest($1::text[]) AS org ORDER BY org"
"""Values: organizations as texts, when. Gives each of them, and the number of its active keys at that time."""

GET: Final = f"""
    SELECT {API_KEY_COLUMNS} FROM api_keys k {WITH_SECRETS}
    WHERE k.org_id = $1 AND k.id = $2 AND k.deleted_at IS NULL
"""  # noqa: S608
"""Values: organization, key."""

REVOKE: Final = f"""
    WITH seen AS (SELECT max(version) AS version FROM api_keys WHERE id = $3),
    found AS (
        SELECT * FROM api_keys WHERE org_id = $2 AND id = $3 AND deleted_at IS NULL FOR UPDATE
    ),
    changed AS (
        UPDATE api_keys SET revoked_at = $5, revoked_by = $7, revocation_reason = ${_NEXT},
            version = found.version + 1
        FROM found WHERE api_keys.id = found.id AND found.revoked_at IS NULL
        RETURNING api_keys.*
    ),
    noted AS ({_note("changed")}),
    k AS (SELECT * FROM changed UNION ALL SELECT * FROM found WHERE revoked_at IS NOT NULL)
    SELECT found.version IS DISTINCT FROM seen.version, {API_KEY_COLUMNS}
    FROM seen CROSS JOIN found CROSS JOIN k {WITH_SECRETS}
"""  # noqa: S608
"""
Values: the event, the reason. Gives first whether the key was changed while this waited.

`found` waits for a transaction that is changing the key and sees the result, so that of two revocations one changes the
key and the other gives the first one's time. Secrets are seen as they were before the waiting.
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

ERASE_KEY: Final = f"""
    WITH found AS MATERIALIZED (
        SELECT id FROM api_keys
        WHERE org_id = $2 AND id = $3 AND (revoked_at IS NOT NULL OR deleted_at IS NOT NULL) FOR UPDATE
    ),
    pair AS MATERIALIZED (
        SELECT s.id FROM ({secrets_of("$3", "id")}) s WHERE EXISTS (SELECT FROM found)
    ),
    used AS (DELETE FROM {SOURCE_TABLES[0]} WHERE secret_id IN (SELECT id FROM pair) RETURNING 1),
    refused AS (DELETE FROM {SOURCE_TABLES[1]} WHERE secret_id IN (SELECT id FROM pair) RETURNING 1),
    blanked AS (UPDATE api_keys SET {BLANK_KEY} WHERE id IN (SELECT id FROM found) AND {IS_NAMING} RETURNING 1),
    changed AS (
        SELECT id FROM found
        WHERE EXISTS (SELECT FROM blanked) OR EXISTS (SELECT FROM used) OR EXISTS (SELECT FROM refused)
    ),
    noted AS ({_note("changed")})
    SELECT id FROM changed
"""  # noqa: S608
"""Values: the event."""

UPDATE: Final = f"""
    WITH changed AS (
        UPDATE api_keys SET ({", ".join(ChangedRow._fields)}) = ROW({_values(ChangedRow._fields, _NEXT + 1)}),
            version = version + 1,
            noticed_days = CASE WHEN expires_at IS NOT DISTINCT FROM ${_NEXT + 3} THEN noticed_days END
        WHERE org_id = $2 AND id = $3 AND deleted_at IS NULL AND version = ${_NEXT}
        RETURNING id
    ),
    noted AS ({_note("changed")})
    SELECT id FROM changed CROSS JOIN {_bound(_NEXT + 1 + len(ChangedRow._fields))}
"""  # noqa: S608
"""Values: the event, the version that was read, `ChangedRow._fields`, and the bound on active keys."""

_FOUND: Final = f"""
    SELECT id FROM api_keys
    WHERE org_id = $2 AND id = $3 AND deleted_at IS NULL AND version = ${_NEXT}
"""  # noqa: S608
_STILL_WORKS: Final = "SELECT FROM api_key_secrets WHERE key_id = $3 AND retires_at IS NOT NULL AND retires_at > $5"


def _rotate() -> str:
    secret = _NEXT + 3
    answer = secret + len(SecretRow._fields)
    values = _values(SecretRow._fields, secret)
    # The new secret comes from the row of the old one, which therefore has its end before: a key has one without.
    return f"""
        WITH found AS ({_FOUND} AND NOT EXISTS ({_STILL_WORKS}) FOR UPDATE),
        asked AS (SELECT * FROM (SELECT {_values(AnswerRow._fields, answer)}) new ({", ".join(AnswerRow._fields)})),
        answered AS ({_add_answer("asked WHERE request_digest IS NOT NULL AND EXISTS (SELECT FROM found)")}),
        changed AS (
            UPDATE api_keys SET version = version + 1
            WHERE id IN (SELECT id FROM found)
                AND ((SELECT request_digest FROM asked) IS NULL OR EXISTS (SELECT FROM answered))
            RETURNING id
        ),
        replaced AS (
            UPDATE api_key_secrets s SET retires_at = ${_NEXT + 1}, idle_seconds = ${_NEXT + 2}
            FROM changed WHERE s.key_id = changed.id AND s.retires_at IS NULL
            RETURNING s.key_id
        ),
        added AS (
            INSERT INTO api_key_secrets ({", ".join(SecretRow._fields)}) SELECT {values} FROM replaced
        ),
        noted AS ({_note("changed")})
        SELECT id FROM changed
    """  # noqa: S608


ROTATE: Final = _rotate()
"""
Values: the event, the version that was read, the end of the current secret and its idle seconds, then
`SecretRow._fields` of the new one, and `AnswerRow._fields`, absent where there is no sealed answer.
"""

SET_RETIREMENT: Final = f"""
    WITH found AS ({_FOUND} FOR UPDATE),
    retired AS (
        UPDATE api_key_secrets s SET retires_at = ${_NEXT + 1}, idle_seconds = NULL
        FROM found WHERE s.key_id = found.id AND s.retires_at IS NOT NULL AND s.retires_at > $5
        RETURNING s.key_id
    ),
    changed AS (
        UPDATE api_keys SET version = version + 1 WHERE id IN (SELECT key_id FROM retired) RETURNING id
    ),
    noted AS ({_note("changed")})
    SELECT id FROM changed
"""  # noqa: S608
"""Values: the event, the version that was read, the end."""

ADD_EXPIRY_NOTICE: Final = f"""
    WITH changed AS (
        UPDATE api_keys SET noticed_days = ${_NEXT + 1}
        WHERE org_id = $2 AND id = $3 AND deleted_at IS NULL AND revoked_at IS NULL AND expires_at = ${_NEXT}
            AND (noticed_days IS NULL OR noticed_days > ${_NEXT + 1})
        RETURNING id
    ),
    noted AS ({_note("changed")})
    SELECT id FROM changed
"""  # noqa: S608
"""Values: the event, when the key expires, days."""


DIALECT: Final = Dialect(
    decoding=readers.POSTGRES,
    mark="$",
    now="now()",
    clock="clock_timestamp()",
    least="least",
    same="IS NOT DISTINCT FROM",
    seconds=lambda span: f"make_interval(secs => {span})",
    day=lambda time: f"date_trunc('day', {time} AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'",
    milliseconds=lambda span: f"greatest(ceil(extract(epoch FROM {span}) * 1000), 0)::bigint",
    uuid_text=lambda column: f"{column}::text",
    latest="'infinity'",
    # Letters of ASCII only, as SQLite's lower() does by itself.
    contains=lambda column: f'strpos(lower({column} COLLATE "C"), {{0}}) > 0',
    ends=lambda column: f"right({column}, length({{0}})) = {{0}}",
    includes=lambda column: f"strpos({column}, {{}}) > 0",
    digests="string_agg(digest, ''::bytea)",
    with_secrets=WITH_SECRETS,
    last_id="'ffffffff-ffff-ffff-ffff-ffffffffffff'",
    list_newest=LIST,
    list_some=LIST_SOME,
    events_of_organization=events("org_id", "$1"),
    # The number of events of another organization's key stays hidden.
    events_of_key=events("key_id", "$5", which="WHERE org_id = $1"),
)

VERSION: Final = "SELECT version_num FROM alembic_version"
HAS_VERSION: Final = "SELECT to_regclass('alembic_version')"

TRY_LOCK: Final = "SELECT pg_try_advisory_xact_lock($1)"

GIVE_WAY: Final = "SET LOCAL lock_timeout = '200ms'"
"""Less than the second after which the server ends one transaction of a deadlock: it is always this one."""
