"""The ports of the audit log's proof and of erasure. An adapter promises every sentence written here."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from keywright.service.management.audit_log import Event
from keywright.service.management.ports import Link


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """
    Up to which position the chain of an organization was removed, and the hash from which the rest follows.

    `removed` counts the removed events, `undigested` those of them without a digest, which had no position. `moved_at`
    is by the database's clock.
    """

    position: int
    hash: bytes
    removed: int
    undigested: int
    moved_at: datetime


class AuditStore(Protocol):
    """Reads the audit log for its proof. The rules of `Store` hold, but it sees every organization."""

    async def chained_organizations(self) -> Sequence[UUID]:
        """Give every organization that has events, or had some that retention removed, in ascending order."""
        ...

    async def links(self, org_id: UUID, *, after: int, limit: int) -> Sequence[Link]:
        """Read up to *limit* links of a chain in ascending order of position, beginning above *after*."""
        ...

    async def chain_end(self, org_id: UUID) -> tuple[int, bytes]:
        """Give the position and hash before the next event; 0 and `CHAIN_BEGINS` for an empty chain."""
        ...

    async def unchained_events(self, org_id: UUID) -> Sequence[UUID]:
        """Give up to 100 ids of events with a digest but without a position in the chain: the service wrote none."""
        ...

    async def checkpoint(self, org_id: UUID) -> Checkpoint | None:
        """Give the checkpoint of a chain; None where nothing was removed."""
        ...

    async def undigested_events(self, org_id: UUID) -> tuple[int, int]:
        """Count the events without a digest: how many there are, and how many were removed, at one moment."""
        ...

    async def link_of(self, org_id: UUID, event_id: UUID) -> Link | None:
        """Give the link of one event; None where it has none."""
        ...

    async def links_of_subject(self, org_id: UUID, subject: str, *, after: int, limit: int) -> Sequence[Link]:
        """Give links as `links` does, of the events with this subject alone."""
        ...

    async def erase(self, erasure: Event) -> None:
        """
        Store the event of an erasure and blank the events at the positions that it names, as `Event.blanked` does.

        Raises:
            ValueError: One of them is gone or was erased before; nothing is stored.
        """
        ...


class KeyEraser(Protocol):
    """Erases the personal fields of keys. The rules of `Store` hold."""

    async def erase_key(self, event: Event) -> bool:
        """
        Blank the personal fields of the key of *event*, and remove the sources of its uses and refusals.

        The name becomes `erased`; `created_by`, `revoked_by` and `deleted_by` become empty; description, external
        id, metadata and networks are removed. A key that is neither revoked nor deleted is not changed. The event is
        stored if anything was changed.

        Returns:
            Whether anything was changed.
        """
        ...
