"""
The creations of keys in PostgreSQL: those that wait at the same time are one statement, whatever their organizations.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from itertools import compress
from typing import Any

from keywright.service.faults import StorageUnavailable
from keywright.service.management.ports import NewApiKey, Outcome
from keywright.service.principal import Organization
from keywright.storage.postgres import statements as sql
from keywright.storage.postgres.faults import NoRoom
from keywright.storage.shared import rows
from keywright.storage.shared.group_commit import MOST_IN_A_BATCH, GroupCommit, OnBatch
from keywright.storage.shared.rows import POSTGRES_TEXTS, NewRows, Row

Execute = Callable[..., Awaitable[Sequence[Any]]]
"""Executes a statement for a share, with its values, and gives the rows."""

LANES = 2
"""Batches of creations under way at once: while one waits for the disk, the next is on its way."""

MOST_FULL = 10_000
"""The most organizations that a process remembers to be near their bound."""

_SHARE = "creations"
_MOST_OWNED = 10_000
_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class _Creation:
    """A creation as texts; `guard` is None where there is no answer to store. `at` is its time."""

    rows: NewRows
    guard: sql.GuardRow | None
    at: datetime


class Creations:
    """
    The queues of creations, one for each bound on active keys, to be closed after use.

    Args:
        execute: Executes a statement.
        patience: Seconds after which a caller has an answer or a fault.
        on_batch: Called for each commit.
    """

    def __init__(self, execute: Execute, *, patience: float, on_batch: OnBatch | None) -> None:
        self._execute = execute
        self._patience = patience
        self._on_batch = on_batch
        # By the bound on active keys, which is the same for all creations of a service.
        self._queues: dict[int | None, GroupCommit[_Creation, Outcome | None]] = {}
        # The organizations that had no room lately, in hexadecimal digits: there is a look before their creations.
        self._full: set[str] = set()
        self._owned: dict[Organization, None] = {}

    async def close(self) -> None:
        """Finish what was accepted."""
        for queue in self._queues.values():
            await queue.close()

    def owns(self, organization: Organization) -> bool:
        """Tell whether an organization is known to be stored with this issuer and external id."""
        return organization in self._owned

    async def submit(self, new: NewApiKey) -> Outcome:
        """
        Create a key together with those that wait.

        Returns:
            `DONE`, `TOO_MANY`, or `REPEATED`. One that is `REPEATED` was sent before, or, where the organization is not
            known to be stored, it has another owner or was stored meanwhile.
        """
        added = rows.new_rows(new, POSTGRES_TEXTS)
        is_plain = new.sealed_answer is None and self.owns(new.organization)
        creation = _Creation(added, None if is_plain else _guard(new, added), new.api_key.created_at)
        outcome = None
        while outcome is None:
            outcome = await self._queue(new.most_active).submit(creation, new.api_key.org_id.int)
        if outcome is Outcome.DONE:
            self._remember(new.organization)
        return outcome

    def _remember(self, organization: Organization) -> None:
        """Note that an organization is stored; it never changes, so no later creation needs to look."""
        if organization not in self._owned:
            while len(self._owned) >= _MOST_OWNED:
                del self._owned[next(iter(self._owned))]
            self._owned[organization] = None

    def _queue(self, most_active: int | None) -> GroupCommit[_Creation, Outcome | None]:
        """Give the queue of the creations with a bound."""
        found = self._queues.get(most_active)
        if found is None:
            found = self._queues[most_active] = GroupCommit(
                lambda new: self._create(new, most_active),
                lanes=LANES,
                patience=self._patience,
                on_batch=self._on_batch,
            )
        return found

    async def _create(self, new: Sequence[_Creation], most_active: int | None) -> list[Outcome | None]:
        """Create keys in one transaction, as many as have room; None for one that is to be tried again."""
        near = self._full & _organizations(new)
        for _ in range(_ATTEMPTS):
            room = await self._room(near, new, most_active)
            admitted = _admitted(new, room)
            try:
                outcomes = await self._insert(list(compress(new, admitted)), most_active)
            except NoRoom as error:
                # Nothing was done. From now on there is a look at this organization before, and this time at all: the
                # server names one, and a batch with many full ones would use up its attempts, for its others, too.
                self._full.add(error.org_id)
                near = _organizations(new)
            else:
                return _outcomes(new, admitted, outcomes)
        raise StorageUnavailable("other processes take the room of the organization")

    async def _room(self, near: AbstractSet[str], new: Sequence[_Creation], most_active: int | None) -> dict[str, int]:
        """Give how many keys may be added to each organization of *near*, those that may be near their bound."""
        if most_active is None or not near:
            return {}
        at = max(creation.at for creation in new)
        room = {org: most_active - active for org, active in await self._execute(_SHARE, sql.SETTLE, sorted(near), at)}
        self._full |= {org for org, left in room.items() if left <= 0}
        self._full -= {org for org, left in room.items() if left > MOST_IN_A_BATCH}
        if len(self._full) > MOST_FULL:
            self._full.clear()
        return room

    async def _insert(self, new: Sequence[_Creation], most_active: int | None) -> list[Outcome]:
        if not new:
            return []
        bound = bound_of(most_active, max(creation.at for creation in new))
        if all(creation.guard is None for creation in new):
            await self._execute(_SHARE, sql.CREATE, *_columns_of([creation.rows for creation in new]), bound)
            return [Outcome.DONE] * len(new)
        # The same request twice in one statement would be an error of the server's; the first of them is done.
        firsts = {_request_of(creation): creation for creation in reversed(new)}
        unique = [creation for creation in new if firsts[_request_of(creation)] is creation]
        guards = [creation.guard or _unconditional(creation.rows) for creation in unique]
        columns = _columns_of([creation.rows for creation in unique])
        created = await self._execute(_SHARE, sql.CREATE_GUARDED, *columns, *zip(*guards, strict=True), bound)
        done = {key_id.hex for (key_id,) in created}
        return [
            Outcome.DONE
            if creation.rows.key.id in done and firsts[_request_of(creation)] is creation
            else Outcome.REPEATED
            for creation in new
        ]


def _organizations(new: Sequence[_Creation]) -> set[str]:
    return {creation.rows.key.org_id for creation in new}


def bound_of(most_active: int | None, at: datetime) -> str:
    """Write the bound on active keys for the triggers; see `active_keys_refuse` in the migrations."""
    return "" if most_active is None else f"{most_active}@{at.isoformat()}"


def _columns_of(new: Sequence[NewRows]) -> list[Sequence[Any]]:
    """Give the columns of the four tables, an array for each."""
    # In one order in every batch: two batches that add the same organizations wait for each other, never in a ring.
    organizations = sorted({added.organization for added in new})
    keys, secrets, events = ([getattr(added, table) for added in new] for table in ("key", "secret", "event"))
    return [column for table in (organizations, keys, secrets, events) for column in zip(*table, strict=True)]


def _admitted(new: Sequence[_Creation], room: Mapping[str, int]) -> list[bool]:
    """Say of each creation whether its organization has room for it, after those before it."""
    left = dict(room)
    admitted = []
    for creation in new:
        org_id = creation.rows.key.org_id
        left[org_id] = left.get(org_id, len(new)) - 1
        admitted.append(left[org_id] >= 0)
    return admitted


def _outcomes(new: Sequence[_Creation], admitted: Sequence[bool], inserted: Sequence[Outcome]) -> list[Outcome | None]:
    """
    Give the outcome of each creation from those of the admitted ones.

    One that was not admitted is refused, unless a repeated request left its room: then it is to be tried again.
    """
    found = iter(inserted)
    outcomes = [next(found) if given else None for given in admitted]
    left = {each.rows.key.org_id for each, outcome in zip(new, outcomes, strict=True) if outcome is Outcome.REPEATED}
    return [
        Outcome.TOO_MANY if outcome is None and creation.rows.key.org_id not in left else outcome
        for creation, outcome in zip(new, outcomes, strict=True)
    ]


def _guard(new: NewApiKey, added: NewRows) -> sql.GuardRow:
    guard = _unconditional(added)
    if new.sealed_answer is None:
        return guard
    answer = rows.answer_row(new.api_key.org_id, new.sealed_answer, POSTGRES_TEXTS)
    return guard._replace(**answer._asdict())


def _unconditional(added: NewRows) -> sql.GuardRow:
    organization = added.organization
    return sql.GuardRow(added.key.id, added.key.org_id, organization.issuer, organization.external_id)


def _request_of(creation: _Creation) -> Row:
    """Give what identifies a request: organization and request, or the key where it has no answer to repeat."""
    if creation.guard is None or creation.guard.request_digest is None:
        return (creation.rows.key.id,)
    return (creation.guard.org_id, creation.guard.request_digest)
