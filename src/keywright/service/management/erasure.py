"""
The erasure of a person from the audit log: the personal fields of all events that the person made become blank. And
that of events and keys by their positions and ids, of which `service.organization_data` and `.recovery` make use.

First comes an event that names their positions, in the same transaction. It has a digest of what is left of each, so
that the audit still proves the rest: which key, what, when.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from keywright.service.management.audit_log import SERVICE, Event, EventType, service_event
from keywright.service.management.audit_ports import AuditStore
from keywright.service.management.ports import Link
from keywright.service.ports import Clock, NewId

EVENTS_IN_AN_ERASURE: Final = 40
"""The most positions that one event names; it stays below 4 KiB."""

ERASED_NAME: Final = "erased"
"""The name of a key whose personal fields were erased."""


class NotErasable(Exception):
    """An event cannot be erased; the message is one sentence."""


class Erased(NamedTuple):
    """How many events were erased, by how many events of erasures."""

    events: int
    erasures: int


async def erase_subject(
    store: AuditStore, org_id: UUID, subject: str, *, clock: Clock, new_id: NewId, dry_run: bool = False
) -> Erased:
    """
    Erase the personal fields of all events of *subject* in one organization.

    What is done stays done when this fails half way; a second run erases the rest.

    Args:
        subject: The `sub` of the person's tokens, exactly.
        dry_run: Only count.

    Raises:
        NotErasable: An event was altered, so its rest cannot be vouched for; an event was erased or removed meanwhile;
            or the subject is no person's.
        StorageUnavailable: The database is unavailable.
    """
    if subject in ("", SERVICE):
        raise NotErasable("Events of the service itself name no person.")
    events = erasures = after = 0
    while links := await store.links_of_subject(org_id, subject, after=after, limit=EVENTS_IN_AN_ERASURE):
        after = links[-1].position
        await erase_links(store, org_id, links, clock=clock, new_id=new_id, dry_run=dry_run)
        events, erasures = events + len(links), erasures + 1
    return Erased(events, erasures)


async def erase_links(
    store: AuditStore, org_id: UUID, links: Sequence[Link], *, clock: Clock, new_id: NewId, dry_run: bool = False
) -> None:
    """
    Erase the personal fields of the events of up to EVENTS_IN_AN_ERASURE links; raise as `erase_subject` does.

    Args:
        dry_run: Only make sure that it can be done.
    """
    erasure = _erasure(org_id, links, clock(), new_id())
    if not dry_run:
        await _store(store, erasure)


async def _store(store: AuditStore, erasure: Event) -> None:
    try:
        await store.erase(erasure)
    except ValueError:
        raise NotErasable("An event was erased or removed meanwhile: run it again for the rest.") from None


def _erasure(org_id: UUID, links: Sequence[Link], at: datetime, id_: UUID) -> Event:
    rests = {str(link.position): _rest(link) for link in links}
    return service_event(EventType.ERASED, org_id, org_id, at, id_, {"events": rests})


def _rest(link: Link) -> str:
    """Give the digest of what an erasure leaves of an event, in hexadecimal."""
    if link.event is None or link.event.digest != link.digest:
        raise NotErasable(f"The event at position {link.position} was altered: run `keywright audit verify`.")
    return link.event.blanked.digest.hex()


def key_erasure(org_id: UUID, key_id: UUID, at: datetime, id_: UUID) -> Event:
    """Make the event of an erasure of the personal fields of a key: an update that names no values."""
    return service_event(
        EventType.UPDATED, org_id, key_id, at, id_, {"before": {}, "after": {}, "erased": True, "operator": True}
    )
