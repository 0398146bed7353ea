"""
What a restored database lost, by the heads and the log that were kept elsewhere, and the repetition of what must not
stay lost: revocations, deletions and erasures.

A repeated revocation is an event of the chain as any other, so verifiers learn of it. Its data has the reason of the
lost one and its id, `restored_event`.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, NamedTuple
from uuid import UUID

from keywright.keys.record import ApiKey
from keywright.service.management.audit_log import Event, EventType, service_event
from keywright.service.management.erasure import ERASED_NAME, EVENTS_IN_AN_ERASURE, erase_links, key_erasure
from keywright.service.management.ports import Link
from keywright.service.operator.ports import StoredKey
from keywright.service.ports import Clock, NewId
from keywright.service.recovery.comparison import Comparison, compare_chain
from keywright.service.recovery.export import heads as stored_heads
from keywright.service.recovery.kept_heads import KeptHeads, NumberedLine
from keywright.service.recovery.kept_log import Track, compare
from keywright.service.recovery.losses import End, Losses, LostOfKey, read_losses
from keywright.service.recovery.ports import RestoredStore

Lines = Callable[[], Iterable[NumberedLine]]
"""Opens a file; called once for each reading."""

_NO_HEADS = KeptHeads()


class Effect(StrEnum):
    """What the loss of events means for a key."""

    REVIVED = "revived"
    """It was revoked or deleted, and works again unless it has expired or is disabled."""
    UNDELETED = "undeleted"
    """It was deleted, and is listed again; it does not work, because it was revoked before."""
    LOST = "lost"
    """It was created, and does not exist any more: its holder is refused."""
    ROTATED = "rotated"
    """Its newest private key does not exist any more, and the one before works as if it had not been replaced."""
    OUTDATED = "outdated"
    """It has fields from before a change."""
    UNERASED = "unerased"
    """Its personal fields are there again."""


ENDED: Final = frozenset({Effect.REVIVED, Effect.UNDELETED})
"""The effects that a repeated revocation or deletion undoes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Affected:
    """
    A key that the loss affects.

    `fields` are those that were changed. `name` is that of a lost key; `end` and `is_deleted` say how a revived one had
    ended. `was_repeated` says that this was done again now.
    """

    key_id: UUID
    effect: Effect
    name: str | None = None
    end: End | None = None
    is_deleted: bool = False
    fields: tuple[str, ...] = ()
    was_repeated: bool = False


@dataclass(slots=True)
class Checked:
    """
    The result for one organization: how its chain compares, and, where the log is given, the affected keys.

    `unlogged` counts the lost events that the log does not have, `unerased` those whose personal fields are back again,
    or were until now.
    """

    comparison: Comparison
    keys: list[Affected] = field(default_factory=list)
    unlogged: int = 0
    unerased: int = 0

    @property
    def left(self) -> int:
        """Count what has to be repeated and was not."""
        to_repeat = {*ENDED, Effect.UNERASED}
        return sum(key.effect in to_repeat and not key.was_repeated for key in self.keys)


class Known(NamedTuple):
    """What was kept, read and compared: nothing was changed by then."""

    comparisons: Mapping[UUID, Comparison]
    losses: Mapping[UUID, Losses]
    newer: int
    """The number of organizations in the database of which nothing was kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreCheck:
    """
    The check of a restored database.

    Every method raises `StorageUnavailable` when the store does. What was repeated by then stays so, and a second run
    repeats the rest.

    Args:
        repeats: Whether revocations, deletions and erasures are done again; otherwise nothing is changed.
    """

    store: RestoredStore
    clock: Clock
    new_id: NewId
    repeats: bool = False

    async def read(self, heads: Mapping[UUID, KeptHeads], log: Lines | None) -> Known:
        """
        Read all that was kept, and compare it with the database.

        Raises:
            BadFile: The log cannot be used; see `kept_log.compare`.
        """
        tracks: Mapping[UUID, Track] = {} if log is None else await compare(self.store, log(), heads)
        comparisons = {
            org_id: await compare_chain(self.store, org_id, heads.get(org_id, _NO_HEADS), tracks.get(org_id))
            for org_id in sorted({*heads, *tracks})
        }
        losses = {} if log is None else read_losses(log(), comparisons)
        newer = [org_id async for org_id, _, _ in stored_heads(self.store, self.clock) if org_id not in comparisons]
        return Known(comparisons, losses, len(newer))

    async def results(self, known: Known) -> AsyncIterator[Checked]:
        """
        Give the result for each organization, in ascending order, as soon as what it lost was repeated.

        Raises:
            NotErasable: An event that has to be erased again was altered.
        """
        for org_id, comparison in known.comparisons.items():
            losses = known.losses.get(org_id, Losses())
            checked = Checked(comparison, unlogged=comparison.lost - losses.logged)
            for lost in losses.keys.values():
                checked.keys += [found async for found in self._affected(org_id, lost)]
            checked.unerased = await self._erase_again(org_id, sorted(losses.erased))
            yield checked

    async def _affected(self, org_id: UUID, lost: LostOfKey) -> AsyncIterator[Affected]:
        stored = await self.store.find_by_id(org_id, lost.key_id)
        if (found := _effect(stored, lost)) is not None:
            yield await self._repeat_end(org_id, lost, found) if found.effect in ENDED else found
        if lost.erased and stored is not None and stored.api_key.name != ERASED_NAME:
            event = key_erasure(org_id, lost.key_id, self.clock(), self.new_id())
            done = self.repeats and await self.store.erase_key(event)
            yield Affected(key_id=lost.key_id, effect=Effect.UNERASED, was_repeated=done)

    async def _repeat_end(self, org_id: UUID, lost: LostOfKey, found: Affected) -> Affected:
        if not self.repeats:
            return found
        if lost.revoked is not None:
            event = self._event(EventType.REVOKED, org_id, lost.key_id, lost.revoked)
            await self.store.revoke(event, lost.revoked.reason)
        if lost.deleted is not None:
            await self.store.delete(self._event(EventType.DELETED, org_id, lost.key_id, lost.deleted))
        return replace(found, was_repeated=True)

    def _event(self, type_: EventType, org_id: UUID, key_id: UUID, end: End) -> Event:
        data: dict[str, Any] = {"operator": True, "restored_event": str(end.event_id)}
        if type_ is EventType.REVOKED:
            data["reason"] = end.reason.value
        return service_event(type_, org_id, key_id, self.clock(), self.new_id(), data)

    async def _erase_again(self, org_id: UUID, positions: Sequence[int]) -> int:
        """Erase the events at these positions that are not erased, and count them."""
        links = [link for position in positions if (link := await self._erasable(org_id, position)) is not None]
        for start in range(0, len(links), EVENTS_IN_AN_ERASURE):
            part = links[start : start + EVENTS_IN_AN_ERASURE]
            await erase_links(self.store, org_id, part, clock=self.clock, new_id=self.new_id, dry_run=not self.repeats)
        return len(links)

    async def _erasable(self, org_id: UUID, position: int) -> Link | None:
        found = await self.store.links(org_id, after=position - 1, limit=1)
        return next((link for link in found if link.position == position and link.erased_by is None), None)


def _effect(stored: StoredKey | None, lost: LostOfKey) -> Affected | None:
    """Say what the loss means for a key that is stored as *stored*; None where it means nothing, or no longer."""
    if stored is None:
        if lost.created is None or lost.is_ended:
            return None
        name = lost.created.get("name")
        return Affected(key_id=lost.key_id, effect=Effect.LOST, name=name if isinstance(name, str) else None)
    if stored.deleted_at is not None:
        return None
    if lost.is_ended:
        return _revival(stored.api_key, lost)
    if lost.rotated or lost.fields:
        effect = Effect.ROTATED if lost.rotated else Effect.OUTDATED
        return Affected(key_id=lost.key_id, effect=effect, fields=tuple(sorted(lost.fields)))
    return None


def _revival(key: ApiKey, lost: LostOfKey) -> Affected | None:
    if key.revoked_at is None:
        effect = Effect.REVIVED
    elif lost.deleted is not None:
        effect = Effect.UNDELETED
    else:
        return None
    return Affected(
        key_id=lost.key_id, effect=effect, end=lost.revoked or lost.deleted, is_deleted=lost.deleted is not None
    )
