"""The use cases of management: create, read, list, update, rotate, revoke and delete API keys."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar
from uuid import UUID

from keywright.keys.pair import SEED_BYTES, KeyPair, mint
from keywright.keys.record import ApiKey, RevocationReason, Secret
from keywright.service.faults import OrganizationConflict
from keywright.service.management import commands, rotation
from keywright.service.management.audit_log import Event, EventType, Origin
from keywright.service.management.commands import Changes, Created, NewKey, Policy
from keywright.service.management.idempotency import Answered, Idempotency, IdempotentRequest, Seal
from keywright.service.management.ports import (
    MOST_EXAMINED,
    EventFilter,
    Found,
    KeyFilter,
    Link,
    NewApiKey,
    Outcome,
    Store,
)
from keywright.service.management.refusals import Refused
from keywright.service.ports import Clock, Entropy, NewId
from keywright.service.principal import Principal
from keywright.service.turns import Turns
from keywright.service.verifier_sessions import Receipt

Item = TypeVar("Item")

Matching = Callable[[int], bool]
"""Returns whether a version meets the caller's condition."""

MOST_EXAMINED_FOR_A_PAGE = 20_000
"""How many keys or events a filtered page examines at most."""

_PARTS_OF_A_PAGE = MOST_EXAMINED_FOR_A_PAGE // MOST_EXAMINED
# The usual page of 100 in one part.
_MOST_IN_A_PART = 101

_ATTEMPTS = 5
"""The most attempts at a change of a key that other requests change meanwhile."""


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Keys or events, newest first; `next` is the id below which the following page begins, None on the last one."""

    items: list[Item]
    next: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Management:
    """
    The use cases on the keys of the principal's organization.

    The edge checks permissions. Every call to the store names the organization. Every method raises
    `StorageUnavailable` when the store does. Long reads are done in steps, each with one of `turns`, and raise
    `Overloaded` when too many wait.
    """

    store: Store
    clock: Clock
    entropy: Entropy
    new_id: NewId
    brand: str
    policy: Policy
    idempotency: Idempotency
    turns: Turns

    async def create(
        self, principal: Principal, origin: Origin, new: NewKey, idempotent: IdempotentRequest | None = None
    ) -> Created | Answered | Refused:
        """
        Mint a pair and store its public half.

        Returns:
            `Created`, or `Answered` for an idempotent request. Refused: `validation_failed` (policy),
            `scopes_not_grantable`, `too_many_keys`, `idempotency_key_reused`, `idempotency_key_in_use`.

        Raises:
            OrganizationConflict: Another organization owns the id of the principal's.
        """

        async def attempt(seal: Seal) -> Created | Refused | None:
            now = self.clock()
            if flaws := commands.flaws(new, self.policy, now):
                return Refused("validation_failed", tuple(flaws))
            if lacking := principal.not_grantable(new.scopes):
                return Refused("scopes_not_grantable", scopes=lacking)
            pair = self._mint(self.policy.environment_of(new.environment))
            key = commands.created(principal, new, self.policy, id=self.new_id(), pair=pair, now=now)
            created = Created(key, pair.private)
            data = commands.creation_event_data(key)
            outcome = await self.store.create(
                NewApiKey(
                    organization=principal.organization,
                    api_key=key,
                    secret_digest=pair.private.digest,
                    event=self._event(principal, origin, EventType.CREATED, key.id, now, data),
                    sealed_answer=seal(created, now),
                    most_active=self.policy.max_active,
                )
            )
            if outcome is Outcome.OTHER_OWNER:
                raise OrganizationConflict(str(principal.organization.id))
            if outcome is Outcome.TOO_MANY:
                return Refused("too_many_keys")
            return created if outcome is Outcome.DONE else None

        return await self.idempotency.once(principal, idempotent, attempt)

    async def get(self, principal: Principal, key_id: UUID) -> ApiKey | None:
        """Read one key of the principal's organization."""
        return await self.store.get(principal.organization.id, key_id)

    async def list_page(
        self, principal: Principal, *, limit: int, before: UUID | None, which: KeyFilter | None = None
    ) -> Page[ApiKey]:
        """
        Read up to *limit* keys, newest first, beginning below *before*.

        With a filter the page may be short or empty and have a next one: it examines MOST_EXAMINED_FOR_A_PAGE keys.
        """
        org_id = principal.organization.id

        async def part(most: int, below: UUID | None) -> Found[ApiKey]:
            return await self.store.list_newest(org_id, limit=most, before=below, which=which)

        return await page_in_parts(self.turns, org_id, part, limit, before, lambda key: key.id)

    async def events_page(
        self, principal: Principal, *, limit: int, before: UUID | None, which: EventFilter
    ) -> Page[tuple[Event, Link | None]]:
        """
        Read up to *limit* events, newest first, beginning below *before*, each with its link of the chain.

        With a filter the page may be short or empty and have a next one, as that of keys.
        """
        org_id = principal.organization.id

        async def part(most: int, below: UUID | None) -> Found[tuple[Event, Link | None]]:
            return await self.store.events(org_id, limit=most, before=below, which=which)

        return await page_in_parts(self.turns, org_id, part, limit, before, lambda found: found[0].id)

    async def receipt(self, principal: Principal, key_id: UUID) -> Receipt | None:
        """Read the receipt of a key's revocation or deletion; None without either, or without such a key."""
        return await self.store.receipt(principal.organization.id, key_id)

    async def update(
        self,
        principal: Principal,
        origin: Origin,
        key_id: UUID,
        changes: Changes,
        *,
        matching: Matching | None = None,
    ) -> ApiKey | Refused:
        """
        Change fields of a key; without a difference nothing is stored.

        Args:
            changes: Each given field replaces the old value. `environment` may be given only with its present value.
            matching: Decides on the version of the key; None accepts any.

        Returns:
            The key after the call. Refused: `not_found`, `key_revoked`, `validation_failed`, `precondition_failed`,
            `scopes_not_grantable` for scopes that the key did not grant before, or has again after its expiry,
            `too_many_keys` when it would become active again, and `changed_meanwhile` when other requests changed it at
            every attempt.
        """
        for _ in range(_ATTEMPTS):
            old = await self.store.get(principal.organization.id, key_id)
            if old is None:
                return Refused("not_found")
            if old.revoked_at is not None:
                return Refused("key_revoked")
            now = self.clock()
            new = commands.updated(old, changes, self.policy, now)
            if isinstance(new, Refused):
                return new
            if matching is not None and not matching(old.version):
                return Refused("precondition_failed")
            if lacking := principal.not_grantable(commands.given_scopes(old, new, now)):
                return Refused("scopes_not_grantable", scopes=lacking)
            data = commands.update_event_data(old, new)
            if not data:
                return old
            event = self._event(principal, origin, EventType.UPDATED, key_id, now, data)
            outcome = await self.store.update(new, event, most_active=self.policy.max_active)
            if outcome is Outcome.TOO_MANY:
                return Refused("too_many_keys")
            if outcome is Outcome.DONE:
                return replace(new, version=old.version + 1)
        return Refused("changed_meanwhile")

    async def rotate(
        self,
        principal: Principal,
        origin: Origin,
        key_id: UUID,
        *,
        overlap_seconds: int | None,
        idle_seconds: int | None,
        matching: Matching | None = None,
        idempotent: IdempotentRequest | None = None,
    ) -> Created | Answered | Refused:
        """
        Give a key a new pair, and set the end of the old one.

        Args:
            overlap_seconds: How long the old pair still works, at most for its longest life; None for the default of
                `rotation`.
            idle_seconds: Retire the old pair sooner, when it was idle for this long; None for no earlier end.
            matching: As for `update`.

        Returns:
            `Created`, or `Answered` for an idempotent request. Refused: `not_found`, `key_revoked`,
            `key_expired`, `rotation_under_way`, `rotated_too_often`, `too_many_pairs`, `precondition_failed`,
            `scopes_not_grantable` for any scope of the key,
            `changed_meanwhile`, `idempotency_key_reused`, `idempotency_key_in_use`.
        """

        async def attempt(seal: Seal) -> Created | Refused | None:
            for _ in range(_ATTEMPTS):
                old = await self.store.get(principal.organization.id, key_id)
                now = self.clock()
                if old is None:
                    return Refused("not_found")
                if (refused := await self._refused_rotation(principal, old, matching, now)) is not None:
                    return refused
                pair = self._mint(old.environment)
                retirement = rotation.Retirement.of(old.secret, self.policy, now, overlap_seconds, idle_seconds)
                new = rotation.rotated(old, Secret.of(pair, created_at=now), retirement)
                data = rotation.rotation_event_data(old, new, retirement)
                event = self._event(principal, origin, EventType.ROTATED, key_id, now, data)
                created = Created(new, pair.private)
                outcome = await self.store.rotate(rotation.stored(old, created, retirement, event, seal(created, now)))
                if outcome is not Outcome.OUTDATED:
                    return created if outcome is Outcome.DONE else None
            return Refused("changed_meanwhile")

        return await self.idempotency.once(principal, idempotent, attempt)

    async def _refused_rotation(
        self, principal: Principal, api_key: ApiKey, matching: Matching | None, now: datetime
    ) -> Refused | None:
        if (code := rotation.obstacle(api_key, now)) is not None:
            return Refused(code)
        if matching is not None and not matching(api_key.version):
            return Refused("precondition_failed")
        if lacking := principal.not_grantable(api_key.scopes):
            return Refused("scopes_not_grantable", scopes=lacking)
        return await rotation.limit_reached(self.store, api_key, self.policy, now)

    async def set_overlap(
        self, principal: Principal, origin: Origin, key_id: UUID, *, overlap_seconds: int
    ) -> ApiKey | Refused:
        """
        Set another end for the retiring pair, counted from now, at most for its longest life; 0 ends it at once.

        Returns:
            The key after the call. Refused: `not_found`, `key_revoked`, `no_rotation_under_way`, `changed_meanwhile`.
        """
        for _ in range(_ATTEMPTS):
            old, now = await self.store.get(principal.organization.id, key_id), self.clock()
            if old is None:
                return Refused("not_found")
            if old.revoked_at is not None:
                return Refused("key_revoked")
            retiring = old.retiring_at(now)
            if retiring is None:
                return Refused("no_rotation_under_way")
            end = self.policy.end(now + timedelta(seconds=overlap_seconds), secret=retiring, now=now)
            data = rotation.rescheduling_event_data(retiring, end)
            event = self._event(principal, origin, EventType.ROTATION_CHANGED, key_id, now, data)
            if await self.store.set_retirement(event, version=old.version, retires_at=end) is Outcome.DONE:
                return rotation.rescheduled(old, retiring, end)
        return Refused("changed_meanwhile")

    async def revoke(
        self,
        principal: Principal,
        origin: Origin,
        key_id: UUID,
        reason: RevocationReason = RevocationReason.UNSPECIFIED,
    ) -> ApiKey | None:
        """Revoke a key for good. Revoking it again gives the same result; None without such a key."""
        data = {"reason": reason.value}
        event = self._event(principal, origin, EventType.REVOKED, key_id, self.clock(), data)
        return await self.store.revoke(event, reason)

    async def delete(self, principal: Principal, origin: Origin, key_id: UUID) -> bool:
        """Delete a key, leaving a tombstone; return whether there was such a key."""
        return await self.store.delete(self._event(principal, origin, EventType.DELETED, key_id, self.clock(), {}))

    def _mint(self, environment: str) -> KeyPair:
        return mint(self.entropy(SEED_BYTES), brand=self.brand, environment=environment)

    def _event(
        self,
        principal: Principal,
        origin: Origin,
        type_: EventType,
        key_id: UUID,
        now: datetime,
        data: Mapping[str, Any],
    ) -> Event:
        return Event(
            id=self.new_id(),
            type=type_,
            org_id=principal.organization.id,
            key_id=key_id,
            occurred_at=now,
            issuer=principal.issuer,
            subject=principal.subject,
            client_id=principal.client_id,
            origin=origin,
            # The owner sees that it was none of its own people.
            data={**data, "operator": True} if principal.is_visiting else data,
        )


async def page_in_parts(
    turns: Turns,
    org_id: UUID,
    part: Callable[[int, UUID | None], Awaitable[Found[Item]]],
    limit: int,
    before: UUID | None,
    id_of: Callable[[Item], UUID],
) -> Page[Item]:
    """
    Read a page in parts; between two of them other organizations have their turn.

    Args:
        turns: The turns of the parts.
        org_id: The organization that takes them.
        part: Reads up to a number of items below an id.
        limit: The most items of the page.
        before: The id below which it begins; None for the newest.
        id_of: Gives the id of an item.
    """
    items: list[Item] = []
    for _ in range(_PARTS_OF_A_PAGE):
        # One more than *limit* shows whether a next page exists, without counting.
        most = min(limit + 1 - len(items), _MOST_IN_A_PART)
        async with turns.one(org_id):
            found = await part(most, before)
        items += found.items
        before = found.next
        if before is None or len(items) > limit:
            break
    return Page(items[:limit], id_of(items[limit - 1])) if len(items) > limit else Page(items, before)
