"""A store in memory, for tests of use cases alone; tests/storage holds the real ones to the port, and to this one."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from keywright.keys.record import ApiKey, RevocationReason, Status
from keywright.service.management.audit_log import CHAIN_BEGINS, Event, link
from keywright.service.management.audit_ports import Checkpoint
from keywright.service.management.ports import (
    MOST_EXAMINED,
    EventFilter,
    Found,
    KeyFilter,
    Link,
    NewApiKey,
    Outcome,
    Rotation,
    Rotations,
    SealedAnswer,
    Usage,
)
from keywright.service.management.task_ports import AgedEvent, Due, Removable
from keywright.service.principal import Organization
from keywright.service.verifier_sessions import Receipt

_ASCII_LOWER: Final = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


class FakeStore:
    """
    Keeps what it is given, in plain containers anybody may look into and change; nothing of it waits.

    `trail` has the events of all organisations in the order they came, `chains` the same by organisation with their
    places. `meanwhile` is called before each change to a key that was read, to play whoever comes first.
    """

    def __init__(self) -> None:
        self.organizations: list[Organization] = []
        self.keys: dict[UUID, ApiKey] = {}
        self.new: list[NewApiKey] = []
        self.rotations: list[Rotation] = []
        self.trail: list[Event] = []
        self.chains: dict[UUID, list[Link]] = {}
        self.sealed_answers: dict[tuple[UUID, bytes], SealedAnswer] = {}
        self.noticed: dict[UUID, int] = {}
        self.receipts: dict[tuple[UUID, UUID], Receipt] = {}
        self.checkpoints: dict[UUID, Checkpoint] = {}
        self.undigested: list[Event] = []
        # Whether another process erases first.
        self.overtaken = False
        self.removed: list[Event] = []
        self.purged: list[tuple[Removable, datetime]] = []
        self.meanwhile: Callable[[], None] = lambda: None
        self.most_examined = MOST_EXAMINED

    # Store

    async def receipt(self, org_id: UUID, key_id: UUID) -> Receipt | None:
        return self.receipts.get((org_id, key_id))

    async def usage(
        self, org_id: UUID, key_id: UUID, *, since: datetime, by_day: bool = False, **page: Any
    ) -> Usage | None:
        return None

    async def past_rotations(self, org_id: UUID, key_id: UUID, *, latest: int, most: int) -> Rotations:
        times = [each.event.occurred_at for each in reversed(self.rotations) if each.event.key_id == key_id]
        return Rotations(pairs=min(len(times) + 1, max(most, 1)), latest=times[:latest])

    async def daily_counts(
        self, org_id: UUID, key_ids: Sequence[UUID], *, since: datetime
    ) -> dict[UUID, dict[datetime, int]]:
        return {}

    async def create(self, new: NewApiKey) -> Outcome:
        key = new.api_key
        if not self._owns(new.organization):
            return Outcome.OTHER_OWNER
        if self._is_repeated(key.org_id, new.sealed_answer):
            return Outcome.REPEATED
        if new.most_active is not None and len(self._active(key.org_id, key.created_at)) >= new.most_active:
            return Outcome.TOO_MANY
        self.keys[key.id] = key
        self.new.append(new)
        self._note(new.event, new.sealed_answer)
        return Outcome.DONE

    async def sealed_answer(self, org_id: UUID, request_digest: bytes, at: datetime) -> SealedAnswer | None:
        found = self.sealed_answers.get((org_id, request_digest))
        return found if found is not None and found.expires_at > at else None

    async def get(self, org_id: UUID, key_id: UUID) -> ApiKey | None:
        key = self.keys.get(key_id)
        return key if key is not None and key.org_id == org_id else None

    async def list_newest(
        self, org_id: UUID, *, limit: int, before: UUID | None, which: KeyFilter | None = None
    ) -> Found[ApiKey]:
        up = which is not None and which.oldest_first
        in_order = sorted(self._of(org_id), key=lambda key: key.id, reverse=not up)
        shown = [key for key in in_order if before is None or (key.id > before if up else key.id < before)]
        examined = shown if which is None else shown[: self.most_examined]
        fitting = [key for key in examined if which is None or fits(key, which)][:limit]
        rest = examined[-1].id if len(examined) < len(shown) else None
        return Found(fitting, fitting[-1].id if len(fitting) == limit else rest)

    async def update(self, api_key: ApiKey, event: Event, *, most_active: int | None = None) -> Outcome:
        self.meanwhile()
        stored = await self.get(event.org_id, api_key.id)
        if stored is None or stored.version != api_key.version:
            return Outcome.OUTDATED
        at = event.occurred_at
        revives = api_key.status_at(at) is Status.ACTIVE is not stored.status_at(at)
        if revives and most_active is not None and len(self._active(event.org_id, at)) >= most_active:
            return Outcome.TOO_MANY
        if stored.expires_at != api_key.expires_at:
            self.noticed.pop(stored.id, None)
        self.keys[stored.id] = replace(
            stored,
            name=api_key.name,
            description=api_key.description,
            expires_at=api_key.expires_at,
            disabled_at=api_key.disabled_at,
            scopes=api_key.scopes,
            allowed_ips=api_key.allowed_ips,
            rate_limits=api_key.rate_limits,
            external_id=api_key.external_id,
            metadata=api_key.metadata,
            version=stored.version + 1,
        )
        self._note(event)
        return Outcome.DONE

    async def rotate(self, rotation: Rotation) -> Outcome:
        self.meanwhile()
        event = rotation.event
        if self._is_repeated(event.org_id, rotation.sealed_answer):
            return Outcome.REPEATED
        stored = await self.get(event.org_id, event.key_id)
        if stored is None or stored.version != rotation.version or stored.retiring_at(event.occurred_at) is not None:
            return Outcome.OUTDATED
        retiring = replace(stored.secret, retires_at=rotation.retires_at, idle_seconds=rotation.idle_seconds)
        self.keys[stored.id] = replace(stored, secret=rotation.secret, retiring=retiring, version=stored.version + 1)
        self.rotations.append(rotation)
        self._note(event, rotation.sealed_answer)
        return Outcome.DONE

    async def set_retirement(self, event: Event, *, version: int, retires_at: datetime) -> Outcome:
        self.meanwhile()
        stored = await self.get(event.org_id, event.key_id)
        retiring = None if stored is None else stored.retiring_at(event.occurred_at)
        if stored is None or stored.version != version or retiring is None:
            return Outcome.OUTDATED
        retiring = replace(retiring, retires_at=retires_at, idle_seconds=None)
        self.keys[stored.id] = replace(stored, retiring=retiring, version=version + 1)
        self._note(event)
        return Outcome.DONE

    async def revoke(self, event: Event, reason: RevocationReason) -> ApiKey | None:
        key = await self.get(event.org_id, event.key_id)
        if key is not None and key.revoked_at is None:
            key = replace(
                key,
                revoked_at=event.occurred_at,
                revoked_by=event.subject,
                revocation_reason=reason,
                version=key.version + 1,
            )
            self.keys[key.id] = key
            self._note(event)
        return key

    async def delete(self, event: Event) -> bool:
        key = await self.get(event.org_id, event.key_id)
        if key is not None:
            del self.keys[key.id]
            self._note(event)
        return key is not None

    async def events(
        self, org_id: UUID, *, limit: int, before: UUID | None, which: EventFilter
    ) -> Found[tuple[Event, Link | None]]:
        places = {place.event.id: place for place in self.chains.get(org_id, []) if place.event is not None}
        newest_first = sorted(
            (event for event in self.trail if event.org_id == org_id), key=lambda event: event.id, reverse=True
        )
        shown = [event for event in newest_first if before is None or event.id < before]
        told = [(event, places.get(event.id)) for event in shown if _tells(event, which)]
        return Found(told[:limit], told[limit - 1][0].id if len(told) >= limit else None)

    async def check(self) -> None:
        return

    # AuditStore

    async def chained_organizations(self) -> Sequence[UUID]:
        return sorted({event.org_id for event in self.trail} | set(self.chains))

    async def links(self, org_id: UUID, *, after: int, limit: int) -> Sequence[Link]:
        return [place for place in self.chains.get(org_id, []) if place.position > after][:limit]

    async def chain_end(self, org_id: UUID) -> tuple[int, bytes]:
        return self._end_of(org_id)

    async def unchained_events(self, org_id: UUID) -> Sequence[UUID]:
        chained = {place.event.id for place in self.chains.get(org_id, []) if place.event is not None}
        known = chained | {event.id for event in self.removed}
        return [event.id for event in self.trail if event.org_id == org_id and event.id not in known][:100]

    async def checkpoint(self, org_id: UUID) -> Checkpoint | None:
        return self.checkpoints.get(org_id)

    async def undigested_events(self, org_id: UUID) -> tuple[int, int]:
        stored = sum(event.org_id == org_id for event in self.undigested)
        checkpoint = self.checkpoints.get(org_id)
        return stored, 0 if checkpoint is None else checkpoint.undigested

    async def link_of(self, org_id: UUID, event_id: UUID) -> Link | None:
        return next((place for place in self.chains.get(org_id, []) if _event_id(place) == event_id), None)

    async def links_of_subject(self, org_id: UUID, subject: str, *, after: int, limit: int) -> Sequence[Link]:
        chain = self.chains.get(org_id, [])
        theirs = [place for place in chain if place.event is not None and place.event.subject == subject]
        return [place for place in theirs if place.position > after][:limit]

    async def erase(self, erasure: Event) -> None:
        if self.overtaken:
            raise ValueError("an event was erased or removed meanwhile")
        self._note(erasure)
        self.chains[erasure.org_id] = [
            _erased(place, erasure) if str(place.position) in erasure.data["events"] else place
            for place in self.chains[erasure.org_id]
        ]

    # KeyTaskStore

    async def idle_secrets(self, at: datetime, *, lag_seconds: float, limit: int) -> Sequence[Due]:
        return [
            Due(org_id=key.org_id, key_id=key.id, version=key.version, public_key=key.retiring.public_key.text)
            for key in self.keys.values()
            if key.retiring is not None and _is_quiet(key, at, lag_seconds)
        ][:limit]

    async def expiring(self, at: datetime, *, within_days: int, limit: int) -> Sequence[Due]:
        until = at + timedelta(days=within_days)
        return [
            Due(org_id=key.org_id, key_id=key.id, version=key.version, expires_at=key.expires_at)
            for key in self.keys.values()
            if key.status_at(at) is Status.ACTIVE
            and key.expires_at is not None
            and key.expires_at <= until
            and self.noticed.get(key.id, within_days + 1) > within_days
        ][:limit]

    async def add_expiry_notice(self, event: Event, *, expires_at: datetime, days: int) -> bool:
        self.meanwhile()
        key = await self.get(event.org_id, event.key_id)
        if key is None or key.revoked_at is not None or key.expires_at != expires_at:
            return False
        if self.noticed.get(key.id, days + 1) <= days:
            return False
        self.noticed[key.id] = days
        self._note(event)
        return True

    async def aged_events(self, before: datetime, *, after: int, limit: int) -> Sequence[AgedEvent]:
        numbered = list(enumerate(self.trail, start=1))[after:]
        stored = [(seq, event) for seq, event in numbered if event not in self.removed]
        return [AgedEvent(seq, event.org_id) for seq, event in stored[:limit] if event.occurred_at < before]

    async def prune(self, org_id: UUID, position: int, hash_: bytes, before: datetime, *, limit: int) -> int:
        chain = self.chains.get(org_id, [])
        undigested = [event for event in self.undigested if event.org_id == org_id and event.occurred_at < before]
        undigested = undigested[:limit]
        below = [place.event for place in chain if place.position <= position and place.event is not None]
        old = self.checkpoints.get(org_id) or Checkpoint(
            position=0, hash=CHAIN_BEGINS, removed=0, undigested=0, moved_at=before
        )
        self.chains[org_id] = [place for place in chain if place.position > position]
        self.undigested = [event for event in self.undigested if event not in undigested]
        self.removed += below
        self.checkpoints[org_id] = Checkpoint(
            position=position,
            hash=hash_,
            removed=old.removed + len(below) + len(undigested),
            undigested=old.undigested + len(undigested),
            moved_at=before,
        )
        return len(below) + len(undigested)

    async def purge(self, kind: Removable, until: datetime, *, limit: int) -> int:
        self.purged.append((kind, until))
        if kind is not Removable.ANSWERS:
            return 0
        over = [place for place, answer in self.sealed_answers.items() if answer.expires_at <= until][:limit]
        for place in over:
            del self.sealed_answers[place]
        return len(over)

    def _owns(self, organization: Organization) -> bool:
        if organization in self.organizations:
            return True
        name = (organization.issuer, organization.external_id)
        if any(each.id == organization.id or (each.issuer, each.external_id) == name for each in self.organizations):
            return False
        self.organizations.append(organization)
        return True

    def _active(self, org_id: UUID, at: datetime) -> list[ApiKey]:
        return [
            each
            for each in self._of(org_id)
            if each.revoked_at is None and (each.expires_at is None or each.expires_at > at)
        ]

    def _of(self, org_id: UUID) -> list[ApiKey]:
        return [key for key in self.keys.values() if key.org_id == org_id]

    def _end_of(self, org_id: UUID) -> tuple[int, bytes]:
        chain = self.chains.get(org_id)
        last = chain[-1] if chain else self.checkpoints.get(org_id)
        return (0, CHAIN_BEGINS) if last is None else (last.position, last.hash)

    def _is_repeated(self, org_id: UUID, sealed_answer: SealedAnswer | None) -> bool:
        if sealed_answer is None:
            return False
        found = self.sealed_answers.get((org_id, sealed_answer.request_digest))
        return found is not None and found.expires_at > sealed_answer.created_at

    def _note(self, event: Event, sealed_answer: SealedAnswer | None = None) -> None:
        position, before = self._end_of(event.org_id)
        place = Link(position=position + 1, hash=link(before, event.digest), digest=event.digest, event=event)
        self.chains.setdefault(event.org_id, []).append(place)
        self.trail.append(event)
        if sealed_answer is not None:
            self.sealed_answers[event.org_id, sealed_answer.request_digest] = sealed_answer


def fits(key: ApiKey, which: KeyFilter) -> bool:
    """Tell whether a list of what *which* wants holds *key*."""
    if which.status is not None and key.status_at(which.at) is not which.status:
        return False
    if which.expires_before is not None and (key.expires_at is None or key.expires_at > which.expires_before):
        return False
    if which.unused_since is not None and not _is_unused(key, which.unused_since):
        return False
    if which.environment is not None and key.environment != which.environment:
        return False
    if which.external_id is not None and key.external_id != which.external_id:
        return False
    if which.created_by is not None and key.created_by != which.created_by:
        return False
    if which.scope is not None and which.scope not in key.scopes:
        return False
    if which.created_since is not None and key.created_at < which.created_since:
        return False
    if which.created_before is not None and key.created_at >= which.created_before:
        return False
    return which.text is None or _says(key, which.text)


def _is_unused(key: ApiKey, since: datetime) -> bool:
    return key.created_at <= since if key.last_used_at is None else key.last_used_at < since


def _says(key: ApiKey, text: str) -> bool:
    part = text.translate(_ASCII_LOWER)
    if any(part in text.translate(_ASCII_LOWER) for text in (key.name, key.description or "")):
        return True
    secrets = [key.secret] if key.retiring is None else [key.secret, key.retiring]
    return any(each.public_key.text.startswith(text) or each.display.endswith(text) for each in secrets)


def _event_id(place: Link) -> UUID | None:
    return None if place.event is None else place.event.id


def _erased(place: Link, erasure: Event) -> Link:
    assert place.event is not None
    return replace(place, event=place.event.blanked, erased_by=erasure.id)


def _tells(event: Event, which: EventFilter) -> bool:
    return (
        (which.key_id is None or event.key_id == which.key_id)
        and (which.type is None or event.type is which.type)
        and (which.subject is None or event.subject == which.subject)
        and (which.since is None or event.occurred_at >= which.since)
        and (which.until is None or event.occurred_at < which.until)
    )


def _is_quiet(key: ApiKey, at: datetime, lag_seconds: float) -> bool:
    old, first_used_at = key.retiring_at(at), key.secret.first_used_at
    if old is None or old.idle_seconds is None or first_used_at is None or key.status_at(at) is not Status.ACTIVE:
        return False
    before = at - timedelta(seconds=old.idle_seconds + lag_seconds)
    return first_used_at < before and (old.last_used_at is None or old.last_used_at < before)
