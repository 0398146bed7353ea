"""
Revocations of many keys: all of an organization, or all that one token subject created.

A preview counts and is stored; only a stored preview can be started. The work is done in steps of one transaction each,
by the request that starts it and then by the background tasks of every process, so that it goes on after a crash. Keys
are examined in ascending order of id: each key whose creation was acknowledged before the start is reached.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final
from uuid import UUID

from keywright.keys.record import RevocationReason
from keywright.service.background_tasks import BackgroundTasks, Task
from keywright.service.management.audit_log import Event, EventType, Origin
from keywright.service.management.refusals import Refused
from keywright.service.operator.ports import BEGIN, Actor, BulkRevocation, OperatorStore, Target
from keywright.service.ports import Clock, NewId
from keywright.service.principal import Principal
from keywright.service.turns import Turns
from keywright.service.verifier_sessions import Receipt

PREVIEW_LASTS: Final = timedelta(minutes=15)
"""How long after a preview it can be started."""

WORK_EVERY_SECONDS: Final = 1.0
PAUSE_SECONDS: Final = 0.05
"""The pause between two steps, in which requests have the database for themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkRevocations:
    """
    The use cases on revocations of many keys. The edge checks that the principal is an operator.

    Every method raises `StorageUnavailable` when the store does.
    """

    store: OperatorStore
    clock: Clock
    new_id: NewId
    turns: Turns

    async def preview(
        self, principal: Principal, origin: Origin, target: Target, reason: RevocationReason
    ) -> BulkRevocation | Refused:
        """Count the keys of *target*, and store what was counted. Refused: `not_found` without the organization."""
        reader = principal.organization.id
        if target.org_id is not None and await self.store.counted_organization(reader, target.org_id) is None:
            return Refused("not_found")
        counts = await self._count(reader, target)
        preview = BulkRevocation(
            id=self.new_id(),
            target=target,
            reason=reason,
            previewed_at=self.clock(),
            keys=sum(counts.values()),
            organizations=len(counts),
            actor=_actor(principal, origin),
        )
        await self.store.add_preview(preview)
        return preview

    async def start(self, principal: Principal, origin: Origin, id_: UUID) -> BulkRevocation | Refused:
        """
        Start a previewed revocation, and take its first step; one that was started before is given as it is.

        Refused: `not_found`, and `preview_expired` after PREVIEW_LASTS.
        """
        reader = principal.organization.id
        found, now = await self.store.bulk_revocation(reader, id_), self.clock()
        if found is None:
            return Refused("not_found")
        if found.started_at is not None:
            return found
        if now - found.previewed_at > PREVIEW_LASTS:
            return Refused("preview_expired")
        await self.store.start_bulk_revocation(id_, _actor(principal, origin), now)
        return await self._step(await self._read(reader, found), reader)

    async def get(self, principal: Principal, id_: UUID) -> BulkRevocation | None:
        """Read one revocation."""
        return await self.store.bulk_revocation(principal.organization.id, id_)

    async def page(self, principal: Principal, *, limit: int, before: UUID | None) -> list[BulkRevocation]:
        """Read up to *limit* revocations, newest first, below *before*."""
        return [*await self.store.bulk_revocations(principal.organization.id, limit=limit, before=before)]

    async def receipt(self, revocation: BulkRevocation) -> Receipt | None:
        """
        Give the receipt of the key that was revoked last; None where no key was, or the receipt was removed.

        It stands for all: steps follow each other, and a process acknowledges changes in the order of their numbers.
        """
        return None if revocation.last is None else await self.store.receipt(*revocation.last)

    async def work(self, pause: Callable[[], Awaitable[None]]) -> None:
        """
        Take steps until no revocation is under way; several processes may do it at once.

        Raises:
            StorageUnavailable: The database is unavailable; what was done stays done.
        """
        for each in await self.store.running_bulk_revocations():
            revocation = each
            while revocation.finished_at is None:
                revocation = await self._step(revocation, None)
                await pause()

    async def _step(self, revocation: BulkRevocation, reader: UUID | None) -> BulkRevocation:
        """Revoke the next keys, unless another process does; give the revocation as it is then."""
        batch = await self.store.revocable(revocation.target, after=revocation.position)
        # In one order in every process, the order in which the store takes the organizations' locks.
        events = [self._event(revocation, org_id, key_id) for org_id, key_id in sorted(batch.keys)]
        await self.store.revoke_many(
            revocation,
            events,
            position=revocation.position if batch.last is None else batch.last,
            finished_at=self.clock() if batch.last is None else None,
        )
        return await self._read(reader, revocation)

    async def _read(self, reader: UUID | None, revocation: BulkRevocation) -> BulkRevocation:
        return await self.store.bulk_revocation(reader, revocation.id) or revocation

    async def _count(self, reader: UUID, target: Target) -> dict[UUID, int]:
        counts: dict[UUID, int] = {}
        after: UUID | None = BEGIN
        while after is not None:
            async with self.turns.one(reader):
                part = await self.store.count_revocable(reader, target, after=after)
            for org_id, number in part.keys.items():
                counts[org_id] = counts.get(org_id, 0) + number
            after = part.last
        return counts

    def _event(self, revocation: BulkRevocation, org_id: UUID, key_id: UUID) -> Event:
        actor = revocation.actor
        return Event(
            id=self.new_id(),
            type=EventType.REVOKED,
            org_id=org_id,
            key_id=key_id,
            occurred_at=self.clock(),
            issuer=actor.issuer,
            subject=actor.subject,
            client_id=actor.client_id,
            origin=actor.origin,
            data={"reason": revocation.reason.value, "operator": True, "bulk_revocation": str(revocation.id)},
        )


@dataclass(kw_only=True)
class OperatorTasks(BackgroundTasks):
    """
    The task of one process that goes on with revocations of many keys.

    Args:
        revocations: The use cases.
        pause_seconds: The pause between two steps.
    """

    revocations: BulkRevocations
    pause_seconds: float = field(default=PAUSE_SECONDS)

    def tasks(self) -> Iterable[Task]:
        """Give the task."""
        yield Task("revoking many keys", self.work, WORK_EVERY_SECONDS, WORK_EVERY_SECONDS)

    async def work(self) -> None:
        """
        Take steps until no revocation is under way.

        Raises:
            StorageUnavailable: The database is unavailable; what was done stays done.
        """
        await self.revocations.work(lambda: asyncio.sleep(self.pause_seconds))


def _actor(principal: Principal, origin: Origin) -> Actor:
    return Actor(issuer=principal.issuer, subject=principal.subject, client_id=principal.client_id, origin=origin)
