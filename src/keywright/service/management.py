"""The management use cases: a principal creates, reads, revokes and deletes its organisation's API keys."""

from dataclasses import dataclass
from uuid import UUID

from keywright.keys.pair import SEED_BYTES, PrivateKey, mint
from keywright.keys.record import ApiKey, Secret
from keywright.service.events import Event, EventType, Origin
from keywright.service.ports import Clock, Entropy, NewApiKey, NewId, Store
from keywright.service.principal import Principal


@dataclass(frozen=True, slots=True)
class Created:
    """A new key, with the private half that exists nowhere else."""

    api_key: ApiKey
    private_key: PrivateKey


@dataclass(frozen=True, slots=True)
class Page:
    """Keys, newest first; `next` is where the following page begins, None on the last one."""

    api_keys: list[ApiKey]
    next: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Management:
    """
    What a principal may do with its organisation's keys.

    Permissions are asked at the edge; the organisation is enforced here and below, in every call to the store.
    Every method raises `StorageUnavailable` when the store does.
    """

    store: Store
    clock: Clock
    entropy: Entropy
    new_id: NewId
    brand: str
    environment: str

    async def create(self, principal: Principal, origin: Origin, *, name: str, description: str | None) -> Created:
        """
        Mint a pair and store its public half.

        Args:
            name: 1 to `record.NAME_MAX` characters without a flaw (`record.flaw_in_name`).
            description: At most `record.DESCRIPTION_MAX` characters without a flaw, or None.
        """
        now = self.clock()
        pair = mint(self.entropy(SEED_BYTES), brand=self.brand, environment=self.environment)
        api_key = ApiKey(
            id=self.new_id(),
            org_id=principal.organization.id,
            name=name,
            description=description,
            environment=self.environment,
            created_at=now,
            created_by=principal.subject,
            secret=Secret.of(pair, created_at=now),
        )
        event = Event.by(
            principal,
            origin,
            EventType.CREATED,
            id=self.new_id(),
            key_id=api_key.id,
            occurred_at=now,
            data={"name": name, "environment": self.environment, "public_key": pair.public.text},
        )
        await self.store.create(
            NewApiKey(
                organization=principal.organization,
                api_key=api_key,
                secret_digest=pair.private.digest,
                event=event,
            )
        )
        return Created(api_key, pair.private)

    async def get(self, principal: Principal, key_id: UUID) -> ApiKey | None:
        """Read one key of the principal's organisation."""
        return await self.store.get(principal.organization.id, key_id)

    async def list_page(self, principal: Principal, *, limit: int, before: UUID | None) -> Page:
        """Read up to *limit* keys, newest first, beginning below *before*."""
        # One more than asked for tells whether a next page exists, without counting.
        found = await self.store.list_newest(principal.organization.id, limit=limit + 1, before=before)
        shown = found[:limit]
        return Page(shown, shown[-1].id if len(found) > limit else None)

    async def revoke(self, principal: Principal, origin: Origin, key_id: UUID) -> ApiKey | None:
        """Revoke a key for good. Revoking it again answers the same; None when there is no such key."""
        return await self.store.revoke(self._event(principal, origin, EventType.REVOKED, key_id))

    async def delete(self, principal: Principal, origin: Origin, key_id: UUID) -> bool:
        """Delete a key, leaving a tombstone; tell whether there was one."""
        return await self.store.delete(self._event(principal, origin, EventType.DELETED, key_id))

    def _event(self, principal: Principal, origin: Origin, type_: EventType, key_id: UUID) -> Event:
        return Event.by(principal, origin, type_, id=self.new_id(), key_id=key_id, occurred_at=self.clock())
