"""A customer who creates, revokes and deletes keys all the time, through whichever node, and keeps the receipts."""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from tests.history.checker import Change, Deed, Receipt
from tests.history.wire import Broken, Connection, Response

KEYS = "/api/v2/api-keys"
PATIENCE_SECONDS = 4.0
LONGEST_LIFE_SECONDS = 4.0
LASTING_SHARE = 0.15
"""How many keys are never ended."""
DELETED_SHARE = 0.5
"""How many of the others are deleted, some of them without having been revoked."""
_PAUSE_AFTER_TROUBLE_SECONDS = 0.2
_RECEIPTS_AFTER_SECONDS = (0.0, 0.15, 1.0, 6.0)


class Kept(NamedTuple):
    """A key that nobody ends but who asked for it: its number in the history, its text, and where it is managed."""

    number: int
    text: str
    path: str

    @property
    def id(self) -> str:
        """Give its id."""
        return self.path.rpartition("/")[2]


class Customer:
    """
    Leads many keys through their lives at the same time.

    Args:
        nodes: Host and port of every node, by its name.
        token: An access token that may do everything.
        tell: Called with each new key: a line as `child.Keys` reads it.
        in_a_second: How many keys to create, on average, where it goes on by itself.
        idempotent: Whether a creation that was not answered is sent again as the same one.
    """

    def __init__(
        self,
        nodes: Mapping[str, tuple[str, int]],
        token: str,
        tell: Callable[[str], object],
        *,
        in_a_second: float = 1,
        idempotent: bool = False,
    ) -> None:
        self.changes: list[Change] = []
        self.receipts: list[Receipt] = []
        self.oddities: list[str] = []
        self._nodes = nodes
        self._headers = {"Authorization": f"Bearer {token}"}
        self._idle: dict[str, list[Connection]] = {name: [] for name in nodes}
        self._tell = tell
        self._pause = 1 / in_a_second
        self._idempotent = idempotent
        self._lives: set[asyncio.Task[None]] = set()
        self._number = 0

    async def go_on(self) -> None:
        """Create keys, and end them in their time, until cancelled."""
        try:
            while True:
                self._begin(self._live())
                await asyncio.sleep(random.expovariate(1 / self._pause))
        finally:
            await self.leave()

    async def leave(self) -> None:
        """Give up whatever is under way, and close the connections."""
        for life in self._lives:
            life.cancel()
        if self._lives:
            await asyncio.wait(self._lives)
        for connection in (connection for idle in self._idle.values() for connection in idle):
            connection.close()

    async def keep(self, count: int) -> list[Kept]:
        """Create keys, and tell of them as of those that end."""
        return await asyncio.gather(*(self._create("kept") for _ in range(count)))

    async def revoke(self, key: Kept, node: str, *, with_receipts: bool = True) -> None:
        """Revoke a key through one node until that is acknowledged; receipts are collected in the background."""
        await self._do(Deed.REVOKE, key.number, "PUT", f"{key.path}/revoke", nodes=[node])
        if with_receipts:
            self._begin(self._collect_receipts(key.number, key.path))

    def _begin(self, life: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(life)
        self._lives.add(task)
        task.add_done_callback(self._lived)

    def _lived(self, life: "asyncio.Task[None]") -> None:
        self._lives.discard(life)
        if not life.cancelled() and (error := life.exception()) is not None:
            self.oddities.append(repr(error))

    async def _create(self, word: str) -> Kept:
        self._number += 1
        number = self._number
        created = await self._do(Deed.CREATE, number, "POST", KEYS, {"name": f"key {number}"})
        key = Kept(number, created["private_key"], f"{KEYS}/{created['id']}")
        self._tell(f"{word} {number} {key.text}")
        return key

    async def _live(self) -> None:
        lasting = random.random() < LASTING_SHARE
        key, _, path = await self._create("lasting" if lasting else "passing")
        if lasting:
            return
        await asyncio.sleep(random.uniform(0, LONGEST_LIFE_SECONDS))
        deleted = random.random() < DELETED_SHARE
        if not deleted or random.random() < 0.5:
            await self._do(Deed.REVOKE, key, "PUT", f"{path}/revoke")
            await self._collect_receipts(key, path)
        if deleted:
            await asyncio.sleep(random.uniform(0, LONGEST_LIFE_SECONDS))
            await self._do(Deed.DELETE, key, "DELETE", path)
            await self._collect_receipts(key, path)

    async def _do(
        self, deed: Deed, key: int, method: str, path: str, body: Any = None, *, nodes: Sequence[str] | None = None
    ) -> Any:
        """Do it through one node after another, of *nodes* or of all, until it is acknowledged."""
        tried = False
        again = f"{key:032}" if deed is Deed.CREATE and self._idempotent else None
        while True:
            node = random.choice(nodes or list(self._nodes))
            start = time.monotonic()
            response = await self._ask(node, method, path, body, again=again)
            end = time.monotonic()
            # A creation that nobody heard of is another key's.
            number = 0 if deed is Deed.CREATE and response is None else key
            gone = response is not None and response.status == 404 and tried and deed is not Deed.CREATE
            done = gone or (response is not None and response.status in (200, 201, 204))
            self.changes.append(Change(start, end, node, number, deed, acknowledged=done))
            if done:
                return response.json() if response is not None and response.body and not gone else None
            # With 409, the first one of the same creations is not decided yet.
            if response is not None and response.status != (409 if again and response.status == 409 else 503):
                raise AssertionError(f"{deed.name} of key {key} through {node}: {response}")
            tried = True
            await asyncio.sleep(_PAUSE_AFTER_TROUBLE_SECONDS)

    async def _collect_receipts(self, key: int, path: str) -> None:
        for seconds in _RECEIPTS_AFTER_SECONDS:
            await asyncio.sleep(seconds)
            start = time.monotonic()
            node = random.choice(list(self._nodes))
            response = await self._ask(node, "GET", f"{path}/revocation")
            end = time.monotonic()
            if response is None or response.status == 503:
                continue
            if response.status != 200:
                raise AssertionError(f"receipt of key {key} through {node}: {response}")
            self.receipts.append(Receipt(start, end, key, _monotonic(response.json()["may_accept_until"])))

    async def _ask(
        self, node: str, method: str, path: str, body: Any = None, *, again: str | None = None
    ) -> Response | None:
        idle = self._idle[node]
        connection = idle.pop() if idle else Connection(*self._nodes[node], self._headers)
        try:
            return await connection.request(method, path, body, patience=PATIENCE_SECONDS, again=again)
        except Broken:
            return None
        finally:
            idle.append(connection)


def _monotonic(moment: str | None) -> float | None:
    """Put a moment of the wall clock on the monotonic one."""
    if moment is None:
        return None
    return time.monotonic() + datetime.fromisoformat(moment).timestamp() - time.time()
