"""
Both management clients behind one interface, so that one set of tests holds both to the same contract.

A module of tests has the autouse fixture `kind_of_client`; `new_client` then makes the client of that kind.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from keywright.client import AsyncManagementClient, ManagementClient

BASE = "https://keys.acme.example"


class AwaitedClient:
    """
    The asynchronous client, each call awaited on a loop of its own.

    Args:
        loop: Where the calls are awaited.
        arguments: As for `AsyncManagementClient`, but that *sleep* does not wait.
    """

    def __init__(self, loop: asyncio.Runner, *arguments: Any, sleep: Any = None, **options: Any) -> None:
        async def pause(seconds: float) -> None:
            sleep(seconds)

        self._loop = loop
        self._client = AsyncManagementClient(*arguments, **options, **({} if sleep is None else {"sleep": pause}))

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if name == "service_time":
            return found
        call = self._iterated if name.startswith("iterate") else self._awaited
        return lambda *arguments, **options: call(found(*arguments, **options))

    def __enter__(self) -> "AwaitedClient":
        self._awaited(self._client.__aenter__())
        return self

    def __exit__(self, *error: Any) -> None:
        self._awaited(self._client.__aexit__(*error))

    def _awaited(self, call: Any) -> Any:
        async def outcome() -> Any:
            return await call

        return self._loop.run(outcome())

    def _iterated(self, items: AsyncIterator[Any]) -> Iterator[Any]:
        while (item := self._awaited(anext(items, self))) is not self:
            yield item


def fresh(response: httpx.Response) -> httpx.Response:
    """Copy an answer, because the one that a client has received cannot be given to another."""
    return httpx.Response(response.status_code, headers=response.headers, content=response.content)


_loops: list[asyncio.Runner] = []


@pytest.fixture(params=["sync", "async"], autouse=True)
def kind_of_client(request: pytest.FixtureRequest) -> Iterator[None]:
    """Have `new_client` make clients of one kind."""
    if request.param == "sync":
        yield
        return
    with asyncio.Runner() as loop:
        _loops.append(loop)
        yield
        _loops.pop()


def new_client(*arguments: Any, transport: httpx.MockTransport, **options: Any) -> Any:
    """Make a client of the kind that is tested; see the fixture."""
    if _loops:
        return AwaitedClient(_loops[-1], *arguments, transport=transport, **options)
    return ManagementClient(*arguments, transport=transport, **options)
