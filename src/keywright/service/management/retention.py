"""
Retention: how long rows are kept, and the pruning of the audit log.

An event goes only with all events of its organization before it. The checkpoint that stays has the position and the
hash from which the rest of the chain follows. An event that does not verify is never removed, nor is any after it:
`keywright audit verify` has to find it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Self
from uuid import UUID

from keywright.service.management.audit import BEGIN, Erasures, Head, Walk
from keywright.service.management.audit_log import EventType
from keywright.service.management.ports import Link
from keywright.service.management.task_ports import KeyTaskStore, Removable

REPORTERS_KEPT: Final = timedelta(days=7)
"""How long after its last batch of uses the number of a reporter is kept."""

PREVIEWS_KEPT: Final = timedelta(days=1)
"""How long a preview of a revocation of many keys is kept that was never started."""

VERDICTS_KEPT: Final = timedelta(days=90)

EVENTS_IN_A_STEP: Final = 100
"""The most events in one step: they are read and verified before."""

ROWS_IN_A_STEP: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long rows are kept; None for ever. Sessions are kept at least as long as receipts, which name them."""

    events: timedelta | None = None
    usage: timedelta | None = None
    sources: timedelta | None = None
    receipts: timedelta | None = None
    sessions: timedelta | None = None

    @classmethod
    def of_days(cls, **days: int) -> Self:
        """Give the retention with these numbers of days by kind; 0 for ever."""
        return cls(**{kind: timedelta(days=number) if number else None for kind, number in days.items()})

    def due(self, at: datetime) -> Iterator[tuple[Removable, datetime]]:
        """Give each kind of rows but events, with the time up to which its rows go at *at*."""
        kept = {
            Removable.ANSWERS: timedelta(),
            Removable.CONSOLE_SESSIONS: timedelta(),
            Removable.REPORTERS: REPORTERS_KEPT,
            Removable.USAGE: self.usage,
            Removable.SOURCES: self.sources,
            Removable.REFUSALS: self.usage,
            Removable.REFUSED_SOURCES: self.sources,
            Removable.RECEIPTS: self.receipts,
            Removable.VERDICTS: VERDICTS_KEPT,
            Removable.PREVIEWS: PREVIEWS_KEPT,
            Removable.BULK_REVOCATIONS: self.receipts,
            Removable.SESSIONS: self.sessions,
        }
        return ((kind, at - age) for kind, age in kept.items() if age is not None)


async def prune(store: KeyTaskStore, org_id: UUID, before: datetime) -> int:
    """
    Remove the oldest events of an organization that are from before *before*: one step.

    Returns:
        How many were removed; 0 when none is left to remove.

    Raises:
        StorageUnavailable: The database is unavailable.
        ValueError: The database refuses it: an event is from the last 30 days by its clock.
    """
    checkpoint = await store.checkpoint(org_id)
    begin = BEGIN if checkpoint is None else Head(checkpoint.position, checkpoint.hash)
    undigested, _ = await store.undigested_events(org_id)
    links = await store.links(org_id, after=begin.position, limit=EVENTS_IN_A_STEP)
    end = await _end(store, org_id, begin, _due(links, before, sealed_may_go=not undigested))
    if end == begin and not undigested:
        return 0
    return await store.prune(org_id, end.position, end.hash, before, limit=EVENTS_IN_A_STEP)


def _due(links: Sequence[Link], before: datetime, *, sealed_may_go: bool) -> Iterator[Link]:
    for link in links:
        if link.event is None or link.event.occurred_at >= before:
            return
        # It counts the events without a digest, so it goes after them.
        if link.event.type is EventType.SEALED and not sealed_may_go:
            return
        yield link


async def _end(store: KeyTaskStore, org_id: UUID, begin: Head, links: Iterator[Link]) -> Head:
    """Give the last of *links* before the first that does not verify."""
    walk = Walk(begin, Erasures(store, org_id))
    end = begin
    for link in links:
        if await walk.read(link):
            break
        end = walk.head
    return end
