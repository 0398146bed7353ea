"""The part of `service.recovery.ports` and `service.organization_data.ports` that is the same on both engines."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from keywright.service.management.audit import Head
from keywright.service.organization_data.ports import Part, Rows
from keywright.service.recovery.ports import ChainHead
from keywright.storage.exports import statements as sql
from keywright.storage.shared.operator_store import SharedOperatorStore
from keywright.storage.shared.rows import EPOCH
from keywright.storage.shared.statements import CLOCKS_APART_SECONDS

_MILLISECOND: Final = timedelta(milliseconds=1)
_BELOW_THE_TIME: Final = 80
"""How many bits of a UUIDv7 follow its time."""


class SharedExportStore(SharedOperatorStore):
    """Reads the chains of all organizations, and all data of one."""

    async def chain_heads(self, *, after: UUID, limit: int) -> Sequence[ChainHead]:
        """See `LogStore.chain_heads`."""
        found = await self._rows(None, sql.CHAIN_HEADS, after, limit)
        return [ChainHead(self._decoding.id(org_id), Head(*head)) for org_id, *head in found]

    async def hashes(self, org_id: UUID, *, after: int, limit: int) -> Sequence[Head]:
        """See `LogStore.hashes`."""
        return [Head(*row) for row in await self._rows(None, sql.HASHES, org_id, after, limit)]

    async def first_since(self, org_id: UUID, since: datetime) -> int | None:
        """See `LogStore.first_since`."""
        ((position,),) = await self._rows(None, sql.FIRST_SINCE, org_id, _lowest_id(since), since)
        return None if position is None else int(position)

    async def data(self, part: Part, owner: UUID, *, after: Sequence[Any] | None, limit: int) -> Rows:
        """See `OrganizationDataStore.data`."""
        selection = sql.PARTS[part]
        statement = sql.page(selection, is_first=after is None)
        found = await self._rows(None, statement, owner, limit, *(after or ()))
        places = len(selection.place)
        rows = [selection.together(self._json(selection, row[places:])) for row in found]
        return Rows(rows, found[-1][:places] if len(found) == limit else None)

    def _json(self, selection: sql.Selection, values: Sequence[Any]) -> dict[str, Any]:
        return {
            column.rpartition(".")[2]: None if value is None else read(self._decoding, value)
            for (column, read), value in zip(selection.columns.items(), values, strict=True)
        }

    async def remove_answers(self, org_id: UUID) -> int:
        """See `OrganizationDataStore.remove_answers`."""
        return len(await self._execute(None, sql.REMOVE_ANSWERS, org_id))


def _lowest_id(since: datetime) -> UUID:
    """Give an id below those of all events from *since* on: an id and its event's time are made one after the other."""
    at = (since - EPOCH) // _MILLISECOND - CLOCKS_APART_SECONDS * 1000
    return UUID(int=max(0, at) << _BELOW_THE_TIME)
