"""
The erasure of an organization: its keys are revoked, and what names persons is blanked, in keys and in events.

Keys, digests, positions and hashes stay: a leak can still be traced, no key ever works again, and the audit still
proves the rest.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from keywright.service.management.audit_log import SERVICE, Event
from keywright.service.management.erasure import EVENTS_IN_AN_ERASURE, erase_links, key_erasure
from keywright.service.management.ports import Link
from keywright.service.organization_data.export import ROWS_AT_ONCE, rows
from keywright.service.organization_data.ports import OrganizationDataStore, Part
from keywright.service.ports import Clock, NewId
from keywright.service.recovery.export import chain

_ABOUT_KEYS: Final = "api_key."


@dataclass(slots=True)
class ErasedData:
    """How many keys and events were blanked, and how many sealed answers removed."""

    keys: int = 0
    events: int = 0
    answers: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganizationErasure:
    """
    The erasure of the data of organizations. Its keys have to be revoked before: one that works is left as it is.

    What is done stays done when a call fails half way; a second one erases the rest.

    Args:
        at_once: How many keys are read together.
    """

    store: OrganizationDataStore
    clock: Clock
    new_id: NewId
    at_once: int = ROWS_AT_ONCE

    async def erase(self, org_id: UUID) -> ErasedData:
        """
        Blank what names persons in the keys and events of an organization, and remove its sealed answers.

        Raises:
            NotErasable: An event was altered, so its rest cannot be vouched for; or it was erased meanwhile.
            StorageUnavailable: The database is unavailable.
        """
        erased = ErasedData()
        for part in (Part.KEYS, Part.DELETED_KEYS):
            erased.keys += await self._keys(org_id, part)
        # After the keys, whose events name nobody.
        async for links in self._nameable(org_id):
            await erase_links(self.store, org_id, links, clock=self.clock, new_id=self.new_id)
            erased.events += len(links)
        erased.answers = await self.store.remove_answers(org_id)
        return erased

    async def _keys(self, org_id: UUID, part: Part) -> int:
        erased = 0
        async for key in rows(self.store, part, org_id, at_once=self.at_once):
            erased += await self.store.erase_key(key_erasure(org_id, UUID(key["id"]), self.clock(), self.new_id()))
        return erased

    async def _nameable(self, org_id: UUID) -> AsyncIterator[Sequence[Link]]:
        """Give the links of events that name persons, as many at once as one erasure has."""
        found: list[Link] = []
        end, _ = await self.store.chain_end(org_id)
        async for kept in chain(self.store, org_id, 1, end):
            if _names_persons(kept.link):
                found.append(kept.link)
            if len(found) == EVENTS_IN_AN_ERASURE:
                yield found
                found = []
        if found:
            yield found


def _names_persons(link: Link) -> bool:
    """Tell whether an event has personal fields; one whose content cannot be read is left to the audit."""
    event = link.event
    if event is None or link.erased_by is not None or not event.type.startswith(_ABOUT_KEYS):
        return False
    return not _is_of_service(event) or event.blanked.data != event.data


def _is_of_service(event: Event) -> bool:
    return event.subject == SERVICE and event.client_id is None and event.origin.address is None
