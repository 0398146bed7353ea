"""A store in memory, for tests of the use cases alone; tests/storage holds the real ones to the port."""

from dataclasses import replace
from uuid import UUID

from keywright.keys.record import ApiKey
from keywright.service.events import Event
from keywright.service.ports import NewApiKey


class FakeStore:
    """Keeps what it is given, in plain containers anybody may look into."""

    def __init__(self) -> None:
        self.keys: dict[UUID, ApiKey] = {}
        self.new: list[NewApiKey] = []
        self.events: list[Event] = []

    async def create(self, new: NewApiKey) -> None:
        self.keys[new.api_key.id] = new.api_key
        self.new.append(new)
        self.events.append(new.event)

    async def get(self, org_id: UUID, key_id: UUID) -> ApiKey | None:
        key = self.keys.get(key_id)
        return key if key is not None and key.org_id == org_id else None

    async def list_newest(self, org_id: UUID, *, limit: int, before: UUID | None) -> list[ApiKey]:
        ids = sorted((id_ for id_ in self.keys if before is None or id_ < before), reverse=True)
        return [self.keys[id_] for id_ in ids if self.keys[id_].org_id == org_id][:limit]

    async def revoke(self, event: Event) -> ApiKey | None:
        key = await self.get(event.org_id, event.key_id)
        if key is not None and key.revoked_at is None:
            key = self.keys[key.id] = replace(key, revoked_at=event.occurred_at)
            self.events.append(event)
        return key

    async def delete(self, event: Event) -> bool:
        key = await self.get(event.org_id, event.key_id)
        if key is not None:
            del self.keys[key.id]
            self.events.append(event)
        return key is not None

    async def check(self) -> None:
        return
