"""What the lost events of an organization did: which keys they ended, made and changed, and what they erased."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from keywright.keys.record import RevocationReason
from keywright.service.management.audit_log import Event, EventType
from keywright.service.recovery.comparison import Comparison
from keywright.service.recovery.kept_heads import NumberedLine
from keywright.service.recovery.kept_log import read_events


@dataclass(frozen=True, slots=True)
class End:
    """A revocation or deletion that was lost: its event, when it was, and why."""

    event_id: UUID
    at: datetime
    reason: RevocationReason


@dataclass(slots=True)
class LostOfKey:
    """
    What was lost of one key.

    `created` has the data of its creation. `rotated` says that it got a new pair; `fields` are those that were changed,
    `rotation` if the end of a replaced pair was. `erased` says that its personal fields were erased.
    """

    key_id: UUID
    created: Mapping[str, Any] | None = None
    revoked: End | None = None
    deleted: End | None = None
    rotated: bool = False
    fields: set[str] = field(default_factory=set)
    erased: bool = False

    @property
    def is_ended(self) -> bool:
        """Tell whether a revocation or deletion was lost."""
        return self.revoked is not None or self.deleted is not None


@dataclass(slots=True)
class Losses:
    """
    What was lost of one organization, by key; `erased` are shared positions whose personal fields were erased.

    `logged` counts the lost events that the log has; `read` is the position up to which it was read.
    """

    keys: dict[UUID, LostOfKey] = field(default_factory=dict)
    erased: set[int] = field(default_factory=set)
    logged: int = 0
    read: int = 0

    def note(self, event: Event, *, shared: int) -> None:
        """Add a lost event of a chain that has all positions up to *shared*."""
        if event.type is EventType.ERASED:
            self.erased.update(position for position in _positions(event) if position <= shared)
        elif event.type is not EventType.SEALED:
            _note(self.keys.setdefault(event.key_id, LostOfKey(event.key_id)), event)


def read_losses(lines: Iterable[NumberedLine], comparisons: Mapping[UUID, Comparison]) -> dict[UUID, Losses]:
    """
    Read the lost events of a log that was checked. The memory grows with the number of keys that they concern.

    Raises:
        BadFile: The file was changed since.
    """
    found: dict[UUID, Losses] = {}
    for event in _once(lines, found, comparisons):
        if event is not None:
            found[event.org_id].note(event, shared=comparisons[event.org_id].shared_at_most)
    return found


def _once(
    lines: Iterable[NumberedLine], found: dict[UUID, Losses], comparisons: Mapping[UUID, Comparison]
) -> Iterator[Event | None]:
    """Give each lost event once: exports may overlap."""
    for _, (org_id, link) in read_events(lines):
        losses = found.setdefault(org_id, Losses(read=comparisons[org_id].shared_at_most))
        if link.position > losses.read:
            losses.read = link.position
            losses.logged += 1
            yield link.event


def _note(key: LostOfKey, event: Event) -> None:
    match event.type:
        case EventType.CREATED:
            key.created = event.data
        case EventType.REVOKED:
            key.revoked = _end(event)
        case EventType.DELETED:
            key.deleted = _end(event)
        case EventType.ROTATED:
            key.rotated = True
        case EventType.ROTATION_CHANGED | EventType.SECRET_RETIRED:
            key.fields.add("rotation")
        case EventType.UPDATED:
            key.erased = key.erased or event.data.get("erased") is True
            key.fields.update(_members(event, "after"))


def _positions(event: Event) -> Iterator[int]:
    return (int(position) for position in _members(event, "events") if position.isdecimal())


def _members(event: Event, name: str) -> Mapping[str, Any]:
    """Give the members of a member of an event's data; none where a file has something else there."""
    found = event.data.get(name)
    return found if isinstance(found, Mapping) else {}


def _end(event: Event) -> End:
    try:
        reason = RevocationReason(event.data.get("reason", RevocationReason.UNSPECIFIED))
    except ValueError:
        reason = RevocationReason.UNSPECIFIED
    return End(event.id, event.occurred_at, reason)
