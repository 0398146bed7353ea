"""
What the one who writes to a SQLite file does in a transaction: changes, their events, and the chain of these.

The chain is what a trigger does on PostgreSQL. Here one process writes at a time and nobody else adds to it meanwhile.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from keywright.keys.record import ApiKey
from keywright.service.management.audit_log import CHAIN_BEGINS, link
from keywright.service.management.ports import Outcome
from keywright.storage import rows
from keywright.storage import sqlite_sql as sql
from keywright.storage.rows import NewRows, Row

_BEFORE_THE_FIRST = (0, CHAIN_BEGINS)


@dataclass(frozen=True, slots=True)
class Creation:
    """One creation, in SQLite's types; see `ports.NewApiKey`."""

    rows: NewRows
    replay: Row | None
    most_active: int | None


@dataclass(frozen=True, slots=True)
class Replacement:
    """One rotation, in SQLite's types; see `ports.Rotation`."""

    version: int
    secret: Row
    retires_at: int
    quiet_seconds: int | None
    event: Row
    replay: Row | None


@dataclass(slots=True, eq=False)
class Writing:
    """
    What is done in one transaction of the writer. Whoever opened it calls `chain` last, and commits.

    Rows, ids and times are in SQLite's types.
    """

    connection: sqlite3.Connection
    _noted: list[Row] = field(default_factory=list)

    def create(self, creations: Sequence[Creation]) -> list[Outcome]:
        """See `Store.create`; the keys that other changes of this transaction make room for are not reckoned with."""
        added: Counter[bytes] = Counter()
        outcomes = []
        for creation in creations:
            outcome = self._admit(creation, added)
            outcomes.append(outcome)
            if outcome is Outcome.DONE:
                added[creation.rows.event[1]] += 1
        fresh = [each.rows for each, outcome in zip(creations, outcomes, strict=True) if outcome is Outcome.DONE]
        organizations: dict[bytes, Row] = {new.organization[0]: new.organization for new in fresh}
        self.connection.executemany(sql.ADD_ORGANIZATION, organizations.values())
        self.connection.executemany(sql.ADD_KEY, [new.key for new in fresh])
        self.connection.executemany(sql.ADD_SECRET, [new.secret for new in fresh])
        self._note([new.event for new in fresh])
        return outcomes

    def revoke(self, event: Row, reason: str) -> ApiKey | None:
        """See `Store.revoke`."""
        _, org_id, key_id, _, at, _, by, *_ = event
        if self._execute(sql.REVOKE, at, by, reason, key_id, org_id):
            self._note([event])
        found = keys(self.connection, sql.GET, org_id, key_id)
        return found[0] if found else None

    def delete(self, event: Row) -> bool:
        """See `Store.delete`."""
        _, org_id, key_id, _, at, _, by, *_ = event
        return self._noting(event, self._execute(sql.DELETE, at, by, key_id, org_id))

    def update(self, changed: Row, version: int, event: Row) -> Outcome:
        """See `Store.update`; *changed* is a `rows.changed_row`."""
        _, org_id, key_id, *_ = event
        expires_at = changed[rows.CHANGED_COLUMNS.index("expires_at")]
        done = self._noting(event, self._execute(sql.UPDATE, *changed, expires_at, key_id, org_id, version))
        return Outcome.DONE if done else Outcome.OUTDATED

    def rotate(self, new: Replacement) -> Outcome:
        """See `Store.rotate`."""
        _, org_id, key_id, _, at, *_ = new.event
        if new.replay is not None and self._is_repeated(new.replay):
            return Outcome.REPEATED
        if not self._execute(sql.BEGIN_ROTATION, key_id, org_id, new.version, at):
            return Outcome.OUTDATED
        self._execute(sql.BEGIN_RETIREMENT, new.retires_at, new.quiet_seconds, key_id)
        self._execute(sql.ADD_SECRET, *new.secret)
        if new.replay is not None:
            self._execute(sql.ADD_REPLAY, *new.replay)
        self._note([new.event])
        return Outcome.DONE

    def set_retirement(self, event: Row, version: int, retires_at: int) -> Outcome:
        """See `Store.set_retirement`."""
        _, org_id, key_id, _, at, *_ = event
        if not self._execute(sql.CHANGE_ROTATION, key_id, org_id, version, at):
            return Outcome.OUTDATED
        self._execute(sql.SET_RETIREMENT, retires_at, key_id, at)
        self._note([event])
        return Outcome.DONE

    def note_expiring(self, event: Row, expires_at: int, days: int) -> bool:
        """See `KeyTaskStore.note_expiring`."""
        _, org_id, key_id, *_ = event
        return self._noting(event, self._execute(sql.NOTICE, days, key_id, org_id, expires_at))

    def purge(self, at: int, silent_since: int, limit: int) -> int:
        """See `KeyTaskStore.purge`; *silent_since* is since when a reporter wrote no uses."""
        expired = self._execute(sql.PURGE_REPLAYS, at, limit)
        return expired + self._execute(sql.PURGE_REPORTERS, silent_since, limit - expired)

    def chain(self) -> None:
        """Give the events of this transaction their places, in the order in which they were noted."""
        heads: dict[bytes, tuple[int, bytes]] = {}
        places = []
        for event_id, org_id, *_, digest in self._noted:
            position, before = heads.get(org_id) or self._head(org_id)
            heads[org_id] = position + 1, link(before, digest)
            places.append((org_id, position + 1, event_id, heads[org_id][1]))
        self.connection.executemany(sql.ADD_PLACE, places)
        self.connection.executemany(sql.SET_CHAIN_HEAD, [(org_id, *head) for org_id, head in heads.items()])

    def _admit(self, creation: Creation, added: Counter[bytes]) -> Outcome:
        """Say what is to become of a creation, and store its replay if it is to be done."""
        _, org_id, _, _, _, at, *_ = creation.rows.key
        if creation.replay is not None and self._is_repeated(creation.replay):
            return Outcome.REPEATED
        if creation.most_active is not None:
            asked = self.connection.execute(sql.COUNT_ACTIVE, (org_id, at, creation.most_active))
            if asked.fetchone()[0] + added[org_id] >= creation.most_active:
                return Outcome.TOO_MANY
        if creation.replay is not None:
            self._execute(sql.ADD_REPLAY, *creation.replay)
        return Outcome.DONE

    def _is_repeated(self, replay: Row) -> bool:
        org_id, request_digest, _, _, created_at, _ = replay
        found = self.connection.execute(sql.IS_REPEATED, (org_id, request_digest, created_at))
        return found.fetchone() is not None

    def _head(self, org_id: bytes) -> tuple[int, bytes]:
        return self.connection.execute(sql.CHAIN_HEAD, (org_id,)).fetchone() or _BEFORE_THE_FIRST

    def _noting(self, event: Row, changed: int) -> bool:
        if changed:
            self._note([event])
        return changed > 0

    def _note(self, events: list[Row]) -> None:
        self.connection.executemany(sql.ADD_EVENT, events)
        self._noted += events

    def _execute(self, statement: str, *values: Any) -> int:
        """Execute a statement, and say how many rows it changed."""
        return self.connection.execute(statement, values).rowcount


Work = Callable[[Writing], Any]


def carry_out(connection: sqlite3.Connection, changes: Sequence[Creation | Work]) -> list[Any]:
    """
    Carry out changes in the transaction that is open, and give what each of them gives.

    Creations go first, for they are done together. None of the others can depend on one, whose id nobody knows yet.
    """
    writing = Writing(connection)
    outcomes = iter(writing.create([change for change in changes if isinstance(change, Creation)]))
    results = [next(outcomes) if isinstance(change, Creation) else change(writing) for change in changes]
    writing.chain()
    return results


def keys(connection: sqlite3.Connection, query: str, *values: Any) -> list[ApiKey]:
    """Read keys by a query for `rows.API_KEY_COLUMNS`."""
    return [rows.sqlite_api_key(row) for row in connection.execute(query, values)]
