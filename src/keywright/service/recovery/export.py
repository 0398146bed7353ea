"""What is kept elsewhere of the audit log: the heads of all chains, and the events."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Final
from uuid import UUID

from keywright.service.management.audit import PAGE, Head
from keywright.service.ports import Clock
from keywright.service.recovery.lines import KeptEvent, KeptHead
from keywright.service.recovery.ports import LogStore

HEADS_AT_ONCE: Final = 1000

_BEFORE_ALL: Final = UUID(int=0)


async def heads(store: LogStore, clock: Clock, *, at_once: int = HEADS_AT_ONCE) -> AsyncIterator[KeptHead]:
    """
    Give the end of every chain, in ascending order of organization. The memory does not grow with their number.

    Args:
        at_once: How many are read together.

    Raises:
        StorageUnavailable: The database is unavailable.
    """
    after = _BEFORE_ALL
    while True:
        # Taken first: what was acknowledged by then is in the head.
        at = clock()
        page = await store.chain_heads(after=after, limit=at_once)
        if not page:
            return
        for org_id, head in page:
            yield KeptHead(org_id, head, at)
        after = page[-1].org_id


async def events(
    store: LogStore, clock: Clock, *, since: datetime | None = None, org_id: UUID | None = None
) -> AsyncIterator[KeptEvent]:
    """
    Give the positions of all chains, or of one, each organization's in ascending order up to its end at the beginning.

    Args:
        since: Begin each chain at its first event from this moment or later; None for all that is stored.

    Raises:
        StorageUnavailable: The database is unavailable.
    """
    async for kept in heads(store, clock) if org_id is None else _head_of(store, clock, org_id):
        first = 1 if since is None else await store.first_since(kept.org_id, since)
        if first is not None:
            async for event in chain(store, kept.org_id, first, kept.head.position):
                yield event


async def chain(store: LogStore, org_id: UUID, first: int, last: int) -> AsyncIterator[KeptEvent]:
    """Give the stored positions of one chain from *first* to *last*."""
    after = first - 1
    while after < last:
        page = await store.links(org_id, after=after, limit=min(PAGE, last - after))
        for link in page:
            # One that is missing lets the page reach further.
            if link.position <= last:
                yield KeptEvent(org_id, link)
        after = page[-1].position if page else last


async def _head_of(store: LogStore, clock: Clock, org_id: UUID) -> AsyncIterator[KeptHead]:
    at = clock()
    yield KeptHead(org_id, Head(*await store.chain_end(org_id)), at)
