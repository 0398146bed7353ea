"""What tests of the verifiers share: a service that misbehaves when told to, and the two kinds of verifier."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.client.fake_service import FakeService, eventually_async, fake_service
from tests.client.shells import Kind


@pytest.fixture
def fake() -> Iterator[FakeService]:
    """A service of one's own."""
    with fake_service() as service:
        yield service


@pytest.fixture(params=["async", "threads"])
def kind(request: pytest.FixtureRequest) -> Kind:
    """Both kinds of verifier."""
    kind: Kind = request.param
    return kind


@pytest.fixture
async def nothing_left_running() -> AsyncIterator[None]:
    """Fail when a test leaves a task or a thread behind."""
    threads = set(threading.enumerate())
    yield
    # Whatever runs on this loop now, beside this very function, was left by the test.
    await eventually_async(lambda: asyncio.all_tasks() == {asyncio.current_task()}, "the end of all tasks")
    left = [thread.name for thread in set(threading.enumerate()) - threads if not thread.name.startswith("asyncio_")]
    assert left == []
