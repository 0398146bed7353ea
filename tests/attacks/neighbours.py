"""
The service in this process with an attacker and a victim, each an organization with tokens of its own.

`Watched` is the real store. It notes what its callers have under way, and holds the attacker's calls back where a test
says so.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast
from uuid import UUID

import httpx

from keywright.app import create_app
from keywright.config import Settings
from keywright.keys.verdict import KeyFacts
from keywright.plugs import Plugs
from keywright.service.faults import InvalidToken
from keywright.service.management.ports import Found
from keywright.service.principal import Organization, Permission, Principal
from keywright.service.verifiers import Verifier
from keywright.storage.engine import RunningStore
from keywright.storage.migrate import migrate
from tests.live import PATIENCE_SECONDS
from tests.storage.making import new_key

ISSUER = "https://issuer.example/"
KEYS = "/api/v2/api-keys"
CONNECTIONS = 48
ATTACKER, VICTIM = (Organization.named(ISSUER, name) for name in ("attacker", "victim"))


class Tokens:
    """Takes the name of an organization for a token with every permission."""

    async def authenticate(self, token: str) -> Principal:
        """Give the principal of an organization: `attacker`, another one whose name begins so, or `victim`."""
        if token != "victim" and not token.startswith("attacker"):
            raise InvalidToken("The token is none of this test.")
        organization = Organization.named(ISSUER, token)
        granted = frozenset(Permission)
        return Principal(issuer=ISSUER, subject="s", client_id=None, organization=organization, granted=granted)


@dataclass
class Calls:
    """The calls of one kind: how many are under way, were at most, and have ended."""

    under_way: int = 0
    most: int = 0
    ended: int = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Count a call."""
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            yield
        finally:
            self.under_way -= 1
            self.ended += 1


@dataclass
class Watched:
    """A store whose lists, readings and look-ups are counted; see the module."""

    store: RunningStore
    attackers: Calls = field(default_factory=Calls)
    limits: Counter[int] = field(default_factory=Counter)
    attacked: asyncio.Event = field(default_factory=asyncio.Event)
    hold: asyncio.Event = field(default_factory=asyncio.Event)
    # How many keys each query looked up.
    queries: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.hold.set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    async def get(self, org_id: UUID, key_id: UUID) -> Any:
        """Read one key."""
        return await self._counted(org_id, self.store.get(org_id, key_id))

    async def list_newest(self, org_id: UUID, *, limit: int, before: UUID | None, which: Any = None) -> Found[Any]:
        """Read a part of a list of keys."""
        self.limits[limit] += 1
        part = self.store.list_newest(org_id, limit=limit, before=before, which=which)
        return cast("Found[Any]", await self._counted(org_id, part))

    async def events(self, org_id: UUID, *, limit: int, before: UUID | None, which: Any) -> Found[Any]:
        """Read a part of a list of events."""
        self.limits[limit] += 1
        part = self.store.events(org_id, limit=limit, before=before, which=which)
        return cast("Found[Any]", await self._counted(org_id, part))

    async def find_keys(self, digests: Sequence[bytes]) -> Mapping[bytes, KeyFacts]:
        """Look keys up by one query, which counts as the attacker's."""
        self.attacked.set()
        self.queries.append(len(digests))
        with self.attackers.one():
            return await self.store.find_keys(digests)

    async def find_verifier(self, credential_digest: bytes) -> Verifier | None:
        """Look a verifier up; an unknown one is the attacker's."""
        self.attacked.set()
        with self.attackers.one():
            return await self.store.find_verifier(credential_digest)

    async def _counted(self, org_id: UUID, call: Any) -> Any:
        if org_id == VICTIM.id:
            return await call
        self.attacked.set()
        with self.attackers.one():
            await self.hold.wait()
            return await call


class Neighbourhood:
    """Both organizations, before one process of the service."""

    def __init__(self, http: httpx.AsyncClient, watched: Watched) -> None:
        self.watched = watched
        self._http = http

    async def ask(
        self, name: str, method: str, path: str, *, credential: str | None = None, **request: Any
    ) -> httpx.Response:
        """Send a request with the token of an organization, or with another credential."""
        headers = {"Authorization": f"Bearer {credential or name}"}
        return await self._http.request(method, path, headers=headers, **request)

    async def made(self, owner: str, many: int = 1, **fields: Any) -> list[dict[str, Any]]:
        """Create keys of an organization."""
        body = {"name": "key", **fields}
        answers = await asyncio.gather(*(self.ask(owner, "POST", KEYS, json=body) for _ in range(many)))
        assert {answer.status_code for answer in answers} == {201}
        return [answer.json() for answer in answers]

    async def filled(self, many: int) -> None:
        """Store keys of the attacker, without a request for each."""
        await asyncio.gather(*(self.watched.store.create(new_key(ATTACKER)) for _ in range(many)))

    @asynccontextmanager
    async def under_attack(self, *requests: dict[str, Any]) -> AsyncIterator[list[int]]:
        """
        Have the attacker send one of *requests* after another on each of its connections; give the statuses.

        The block begins once the store is at work for one of them.
        """
        statuses: list[int] = []
        self.watched.attacked.clear()
        ended = asyncio.Event()

        async def connection(first: int) -> None:
            number = first
            while not ended.is_set():
                answer = await self.ask("attacker", **requests[number % len(requests)])
                statuses.append(answer.status_code)
                number += CONNECTIONS

        tasks = [asyncio.ensure_future(connection(first)) for first in range(CONNECTIONS)]
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.watched.attacked.wait()
            try:
                yield statuses
            finally:
                ended.set()
                await asyncio.gather(*tasks)


@asynccontextmanager
async def neighbourhood(url: str, **settings: Any) -> AsyncIterator[Neighbourhood]:
    """Run the service on a database."""
    await asyncio.to_thread(migrate, url)
    chosen: list[Watched] = []

    def change(plugs: Plugs) -> Plugs:
        chosen.append(Watched(plugs.store))
        return replace(plugs, authenticator=Tokens(), store=cast("RunningStore", chosen[0]))

    app = create_app(Settings(issuer=ISSUER, audience="urn:acme", database_url=url, **settings), change=change)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://keywright", timeout=PATIENCE_SECONDS) as http:
        try:
            yield Neighbourhood(http, chosen[0])
        finally:
            await chosen[0].store.close()
