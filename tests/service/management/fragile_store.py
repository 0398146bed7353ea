"""A store in memory that waits in every call, and can be made to break before or after one of them."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Literal, NamedTuple
from uuid import UUID

from keywright.keys.record import ApiKey
from keywright.service.management.ports import NewApiKey, Outcome, Rotation, SealedAnswer
from tests.service.fake_store import FakeStore


class Point(NamedTuple):
    """A moment of a test: before or after the call of a number, counted from 0 over all calls."""

    call: int
    side: Literal["before", "after"]


class FragileStore(FakeStore):
    """`at_point` is called at every moment; it may raise, as a store does that goes away, and cancel tasks."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.at_point: Callable[[Point], None] = lambda point: None
        self._changing = False

    def points(self) -> list[Point]:
        """All moments that there were so far."""
        return [Point(call, side) for call in range(len(self.calls)) for side in ("before", "after")]

    async def sealed_answer(self, org_id: UUID, request_digest: bytes, at: datetime) -> SealedAnswer | None:
        call = await self._enter("sealed_answer")
        found = await super().sealed_answer(org_id, request_digest, at)
        await self._leave(call)
        return found

    async def get(self, org_id: UUID, key_id: UUID) -> ApiKey | None:
        if self._changing:
            # Part of a change, which nobody comes in between of.
            return await super().get(org_id, key_id)
        call = await self._enter("get")
        found = await super().get(org_id, key_id)
        await self._leave(call)
        return found

    async def create(self, new: NewApiKey) -> Outcome:
        call = await self._enter("create")
        outcome = await super().create(new)
        await self._leave(call)
        return outcome

    async def rotate(self, rotation: Rotation) -> Outcome:
        call = await self._enter("rotate")
        self._changing = True
        outcome = await super().rotate(rotation)
        self._changing = False
        await self._leave(call)
        return outcome

    async def _enter(self, name: str) -> int:
        self.calls.append(name)
        call = len(self.calls) - 1
        await asyncio.sleep(0)
        self.at_point(Point(call, "before"))
        return call

    async def _leave(self, call: int) -> None:
        self.at_point(Point(call, "after"))
        await asyncio.sleep(0)
