"""The statements of PostgreSQL that list keys and events. Each examines a bounded number of rows."""

from collections.abc import Sequence
from typing import Final

from keywright.storage.shared import audit_rows
from keywright.storage.shared.readers import API_KEY_COLUMNS, LAST_REPLACED

WITH_SECRETS: Final = f"""
    CROSS JOIN LATERAL (SELECT * FROM api_key_secrets WHERE key_id = k.id AND retires_at IS NULL LIMIT 1) s
    LEFT JOIN LATERAL (SELECT * FROM api_key_secrets WHERE key_id = k.id AND {LAST_REPLACED}) r ON true
"""  # noqa: S608

_NO_ID: Final = "'00000000-0000-0000-0000-000000000000'"

_LAST_ID: Final = "'ffffffff-ffff-ffff-ffff-ffffffffffff'"
_NEWEST_FIRST: Final = "ORDER BY k.org_id DESC, k.id DESC"


def _page(columns: Sequence[str], values: str, *, oldest_first: bool = False, and_: str = "") -> str:
    """Give the keys of a page in their order; the last column is the id, and $2 where the page begins."""
    row, after, until, end = ", ".join(columns), "<", ">=", _NO_ID
    if oldest_first:
        after, until, end = ">", "<=", _LAST_ID
    order = ", ".join(f"{column} {'ASC' if oldest_first else 'DESC'}" for column in columns)
    return f"""
        SELECT * FROM api_keys k
        WHERE ({row}) {after} ({values}, $2) AND ({row}) {until} ({values}, {end}) {and_} AND k.deleted_at IS NULL
        ORDER BY {order}
    """  # noqa: S608


_NEWEST: Final = _page(("k.org_id", "k.id"), "$1")

LIST: Final = f"""
    SELECT {API_KEY_COLUMNS} FROM ({_NEWEST} LIMIT $3) k {WITH_SECRETS} {_NEWEST_FIRST}
"""  # noqa: S608
"""
Values: organization, the id to begin below, the most rows to give.

Written so that every plan is a good one, whatever the server's statistics are. An order by both columns can be had from
`api_keys_newest_idx` alone; for one by `id`, the primary key looks as good and walks over keys of all organizations.
LATERAL with LIMIT is a look-up for each key of the page; a plain join may read every secret there is, because the plan
of a prepared statement takes an unknown LIMIT for a tenth of the table.
"""


def _examined(page: str, last: str = "", *, oldest_first: bool = False) -> str:
    """Examine $4 rows of *page*, and give the last of them; NULL where there are no more of them."""
    order = "id" if oldest_first else "id DESC"
    return f"""
        examined AS MATERIALIZED ({page} LIMIT $4),
        last AS (SELECT (SELECT id FROM examined {last} ORDER BY {order} LIMIT 1 OFFSET $4::bigint - 1) AS last_id)
    """  # noqa: S608


def _list_some(*, of_external_id: bool, oldest_first: bool) -> str:
    columns: Sequence[str] = ("k.org_id", "k.id")
    values, only = "$1", ""
    if of_external_id:
        columns, values = ("k.org_id", "k.external_id", "k.id"), "$1, $5"
        # An equation would let the planner take `id` alone for the order, and another index for it.
        only = "AND k.external_id BETWEEN $5 AND $5"
    page = _page(columns, values, oldest_first=oldest_first, and_=only)
    order = "" if oldest_first else "DESC"
    return f"""
        WITH {_examined(page, oldest_first=oldest_first)}
        SELECT last_id, found.* FROM last LEFT JOIN (
            SELECT {API_KEY_COLUMNS} FROM examined k {WITH_SECRETS} WHERE true {{}} ORDER BY k.id {order} LIMIT $3
        ) found ON true
        ORDER BY found.id {order}
    """  # noqa: S608


LIST_SOME: Final = {
    (of_external_id, oldest_first): _list_some(of_external_id=of_external_id, oldest_first=oldest_first)
    for of_external_id in (False, True)
    for oldest_first in (False, True)
}
"""See `Dialect.list_some`."""


def events(of: str, value: str, *, which: str = "") -> str:
    """Give events newest first; as for `LIST`, an order by both columns can be had from one index alone."""
    columns = f"e.{of}, e.id"
    newest = f"""
        SELECT * FROM events e WHERE ({columns}) >= ({value}, {_NO_ID}) AND ({columns}) < ({value}, $2)
        ORDER BY e.{of} DESC, e.id DESC
    """  # noqa: S608
    return f"""
        WITH {_examined(newest, which)}
        SELECT last_id, found.* FROM last LEFT JOIN (
            SELECT {audit_rows.LINK_COLUMNS}
            FROM (
                SELECT * FROM examined e WHERE e.org_id = $1 AND e.type IN ({audit_rows.KNOWN_TYPES}) {{}}
                ORDER BY e.id DESC LIMIT $3
            ) e
            LEFT JOIN LATERAL (SELECT position, hash FROM event_chain WHERE event_id = e.id LIMIT 1) c ON true
        ) found ON true
        ORDER BY found.id DESC
    """  # noqa: S608
