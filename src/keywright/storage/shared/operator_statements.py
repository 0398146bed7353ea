"""The statements of the operator's use cases, over the keys of all organizations; the same on both engines."""

from typing import Final

from keywright.service.operator.ports import KEYS_IN_A_STEP, Target
from keywright.storage.shared import audit_rows, readers
from keywright.storage.shared.operator_rows import STORED_COLUMNS, BulkRow
from keywright.storage.shared.rows import EventRow
from keywright.storage.shared.statements import Dialect

_BULK: Final = ", ".join(BulkRow._fields)
_PAIR: Final = readers.columns(readers.KeyReader.secret, "f")
# As subqueries, so that every plan looks up a place of the page and none reads the chain.
_PLACE: Final = ", ".join(
    f"(SELECT {column} FROM event_chain WHERE event_id = e.id) AS {column}"  # noqa: S608 - here and below: our names
    for column in ("position", "hash")
)
_COUNTED: Final = """
    SELECT o.id, o.issuer, o.external_id, o.created_at,
        coalesce((SELECT active FROM active_keys WHERE org_id = o.id), 0)
    FROM organizations o
"""

ORGANIZATIONS: Final = f"{_COUNTED} WHERE o.id < $1 ORDER BY o.id DESC LIMIT $2"
"""Values: the id to begin below, the most rows to give."""
ORGANIZATION: Final = f"{_COUNTED} WHERE o.id = $1"
"""Values: an id."""
ORGANIZATION_NAMED: Final = f"{_COUNTED} WHERE o.issuer = $1 AND o.external_id = $2"
"""Values: an issuer, an external id."""

ADD_PREVIEW: Final = f"""
    INSERT INTO bulk_revocations ({_BULK}) VALUES ({", ".join(f"${n + 1}" for n in range(len(BulkRow._fields)))})
"""  # noqa: S608
"""Values: a `BulkRow`."""
BULK: Final = f"SELECT {_BULK} FROM bulk_revocations WHERE id = $1"  # noqa: S608
"""Values: an id."""
BULKS: Final = f"SELECT {_BULK} FROM bulk_revocations WHERE id < $1 ORDER BY id DESC LIMIT $2"  # noqa: S608
"""Values: the id to begin below, the most rows to give."""
RUNNING: Final = f"""
    SELECT {_BULK} FROM bulk_revocations WHERE started_at IS NOT NULL AND finished_at IS NULL ORDER BY started_at
"""  # noqa: S608
START: Final = """
    UPDATE bulk_revocations
    SET started_at = $2, issuer = $3, subject = $4, client_id = $5, request_id = $6, address = $7
    WHERE id = $1 AND started_at IS NULL
"""
"""Values: an id, when, the actor."""


def _keys(dialect: Dialect, condition: str) -> str:
    return f"""
        FROM api_keys k JOIN organizations o ON o.id = k.org_id {dialect.with_secrets} WHERE {condition}
    """


def key_by_id(dialect: Dialect) -> str:
    """Find a key, a deleted one, too. Values: its id."""
    return f"SELECT {STORED_COLUMNS} {_keys(dialect, 'k.id = $1')}"


def key_by_secret(dialect: Dialect, column: str) -> str:
    """Find a key by a column of one of its secrets; gives this secret first. Values: the value of the column."""
    return f"""
        SELECT {_PAIR}, {STORED_COLUMNS}
        FROM api_key_secrets f JOIN api_keys k ON k.id = f.key_id
        JOIN organizations o ON o.id = k.org_id {dialect.with_secrets}
        WHERE f.{column} = $1
    """  # noqa: S608


def _some(dialect: Dialect, examined: str, found: str) -> str:
    """Examine rows newest first. Values: the id to begin below, the most rows to give, the most to examine."""
    mark = dialect.mark
    return f"""
        WITH examined AS MATERIALIZED ({examined} LIMIT {mark}3),
        last AS (
            SELECT (SELECT id FROM examined ORDER BY id DESC LIMIT 1 OFFSET CAST({mark}3 AS bigint) - 1) AS last_id
        )
        SELECT last_id, found.* FROM last LEFT JOIN ({found}) found ON true ORDER BY found.id DESC
    """  # noqa: S608


def keys_of_all(dialect: Dialect) -> str:
    """Give a page of keys of all organizations, with `{}` where further conditions stand; as `Dialect.list_some`."""
    mark = dialect.mark
    # Deleted keys count as examined, so that a row of them is no long work.
    return _some(
        dialect,
        f"SELECT * FROM api_keys WHERE id < {mark}1 ORDER BY id DESC",  # noqa: S608
        f"""
            SELECT {STORED_COLUMNS} FROM examined k JOIN organizations o ON o.id = k.org_id {dialect.with_secrets}
            WHERE k.deleted_at IS NULL {{}} ORDER BY k.id DESC LIMIT {mark}2
        """,  # noqa: S608
    )


def events_of_all(dialect: Dialect) -> str:
    """Give a page of events of all organizations, with `{}` where further conditions stand; as above."""
    mark, row = dialect.mark, ", ".join(f"e.{column}" for column in EventRow._fields)
    return _some(
        dialect,
        f"SELECT * FROM events WHERE id < {mark}1 ORDER BY id DESC",  # noqa: S608
        f"""
            SELECT {_PLACE}, e.erased_by, {row} FROM examined e
            WHERE e.type IN ({audit_rows.KNOWN_TYPES}) {{}} ORDER BY e.id DESC LIMIT {mark}2
        """,  # noqa: S608
    )


def _examined(target: Target) -> tuple[str, str]:
    """Give the keys to examine and the condition for those that match. Values: see `count_revocable`."""
    creator = "$3" if target.org_id is None else "$4"
    # An order by both columns can be had from one index alone. The plan for an unknown LIMIT reads no table to its end.
    above, order = ("id > $1", "id")
    if target.org_id is not None:
        above, order = "(org_id, id) > ($3, $1) AND (org_id, id) <= ($3, {last})", "org_id, id"
    examined = f"""
        SELECT id, org_id, created_by, revoked_at, deleted_at FROM api_keys
        WHERE {above} {"" if target.org_id is None else "AND deleted_at IS NULL"}
        ORDER BY {order} LIMIT $2
    """  # noqa: S608
    matches = "revoked_at IS NULL AND deleted_at IS NULL"
    return examined, matches if target.created_by is None else f"{matches} AND created_by = {creator}"


_LAST: Final = "(SELECT id FROM examined ORDER BY id DESC LIMIT 1)"


def count_revocable(dialect: Dialect, target: Target) -> str:
    """
    Count the keys to revoke of each organization, and then all that were examined, with the last id.

    Values: the id to begin above, the most keys to examine, then the organization and the creator of *target*, as far
    as it has them.
    """
    examined, matches = _examined(target)
    return f"""
        WITH examined AS MATERIALIZED ({examined.format(last=dialect.last_id)})
        SELECT org_id, number, last FROM (
            SELECT 0 AS place, org_id, count(*) AS number, NULL AS last FROM examined WHERE {matches} GROUP BY org_id
            UNION ALL
            SELECT 1, NULL, count(*), {_LAST} FROM examined
        ) counted ORDER BY place
    """  # noqa: S608


def revocable(dialect: Dialect, target: Target) -> str:
    """Give a number, the key and its organization for each key to revoke, then what was examined. Values: as above."""
    examined, matches = _examined(target)
    return f"""
        WITH examined AS MATERIALIZED ({examined.format(last=dialect.last_id)})
        SELECT number, id, org_id FROM (
            SELECT * FROM (
                SELECT 0 AS place, 0 AS number, id, org_id FROM examined WHERE {matches}
                ORDER BY id LIMIT {KEYS_IN_A_STEP}
            ) found
            UNION ALL
            SELECT 1, count(*), {_LAST}, NULL FROM examined
        ) listed ORDER BY place, id
    """  # noqa: S608
