"""Turns: how many are taken at once, and who is next."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from keywright.service.faults import Overloaded
from keywright.service.turns import ALONE_AFTER_SECONDS, Turns


class Scene:
    """Turns on a clock that is moved by hand, and what takes them."""

    def __init__(self, **bounds: int) -> None:
        self.now = 100.0
        self.waits: list[float] = []
        given: dict[str, Any] = {"most": 10, "alone": 4, "together": 2, "longest": 100, "longest_of_share": 50}
        self.turns = Turns(lambda: self.now, **{**given, **bounds}, on_wait=self.waits.append)
        self.served: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []
        self._ends: dict[str, asyncio.Event] = {}

    async def ask(self, *names: str) -> None:
        """Have each name take a turn of the share with its first letter, and keep it until `end`."""
        for name in names:
            self._ends[name] = asyncio.Event()
            self.tasks.append(asyncio.ensure_future(self._take(name)))
        await settled()

    async def end(self, *names: str) -> None:
        """Give turns back."""
        for name in names:
            self._ends[name].set()
        await settled()

    def pass_by(self) -> None:
        """Let so much time pass that the latest share counts as alone."""
        self.now += ALONE_AFTER_SECONDS

    async def _take(self, name: str) -> None:
        async with self.turns.one(name[0]):
            self.served.append(name)
            await self._ends[name].wait()


async def settled() -> None:
    """Let every task run until it waits."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    """Give turns for ten in all: four of a share that is alone, two of one that is not."""
    scene = Scene()
    yield scene
    for task in scene.tasks:
        task.cancel()
    await asyncio.gather(*scene.tasks, return_exceptions=True)


async def test_free_turns(scene: Scene) -> None:
    """A turn that is free is taken without waiting, and nothing is observed."""
    scene.pass_by()
    assert scene.turns.take_now("a")
    scene.turns.give_back("a")
    assert (scene.turns.taken, scene.turns.waiting, scene.waits) == (0, 0, [])


async def test_a_lone_share_takes_more(scene: Scene) -> None:
    """A share takes its larger number of turns once no other has taken one for a while; the rest waits in order."""
    await scene.ask("a1")
    scene.pass_by()
    await scene.ask("a2", "a3", "a4", "a5", "a6")
    assert scene.served == ["a1", "a2", "a3", "a4"]
    assert (scene.turns.taken, scene.turns.waiting) == (4, 2)
    await scene.end("a2")
    assert scene.served[4:] == ["a5"]


async def test_a_second_share_is_served_at_once(scene: Scene) -> None:
    """While one share waits for its own turns, another one takes its own, and the first has fewer from then on."""
    await scene.ask("a1")
    scene.pass_by()
    await scene.ask("a2", "a3", "a4", "a5", "a6", "b1", "b2", "b3")
    assert scene.served == ["a1", "a2", "a3", "a4", "b1", "b2"]
    await scene.end("a1", "a2")
    assert scene.turns.taken == 4
    await scene.end("a3", "b1")
    assert scene.served[6:] == ["a5", "b3"]


async def test_a_share_that_is_alone_again(scene: Scene) -> None:
    """The items of a share that was held are served to its larger number, once it is alone."""
    await scene.ask("b1", "a1", "a2", "a3", "a4", "a5")
    assert scene.served == ["b1", "a1", "a2"]
    scene.pass_by()
    await scene.end("a1")
    assert scene.served[3:] == ["a3", "a4", "a5"]


async def test_the_bound_of_all() -> None:
    """Shares that wait for the bound of all take turns, whatever each of them has waiting."""
    scene = Scene(most=2)
    await scene.ask("a1", "b1", "a2", "a3", "b2", "c1")
    assert scene.served == ["a1", "b1"]
    for name in ("a1", "b1", "a2", "b2"):
        await scene.end(name)
    assert scene.served[2:] == ["a2", "b2", "c1", "a3"]
    await scene.end("c1", "a3")
    assert scene.turns.taken == 0


async def test_waits_are_observed(scene: Scene) -> None:
    """A turn that was waited for tells its seconds."""
    await scene.ask("b1", "a1", "a2", "a3")
    scene.now += 0.25
    await scene.end("a1")
    assert scene.waits == [0.25]


async def test_a_full_queue_refuses_its_own_share() -> None:
    """A request above the queue of its share is refused; another share is served."""
    scene = Scene(longest_of_share=1)
    await scene.ask("b1", "a1", "a2", "a3", "a4")
    assert (scene.served, scene.turns.waiting) == (["b1", "a1", "a2"], 1)
    with pytest.raises(Overloaded):
        await scene.tasks[-1]
    await scene.ask("b2")
    assert scene.served[3:] == ["b2"]


async def test_one_that_waits_is_cancelled(scene: Scene) -> None:
    """A request that is cancelled while it waits leaves the queue, and no turn is lost."""
    await scene.ask("b1", "a1", "a2", "a3", "a4")
    scene.tasks[3].cancel()
    await settled()
    assert scene.turns.waiting == 1
    await scene.end("a1")
    assert scene.served == ["b1", "a1", "a2", "a4"]


@pytest.mark.parametrize("first", ["cancelled", "granted"])
async def test_cancelled_in_the_moment_of_its_turn(scene: Scene, first: str) -> None:
    """A request that is cancelled while it is granted a turn, before or after, passes the turn on."""
    await scene.ask("b1", "a1", "a2", "a3", "a4")
    if first == "cancelled":
        scene.tasks[3].cancel()
    scene.turns.give_back("a")
    scene.tasks[3].cancel()
    await settled()
    assert scene.served == ["b1", "a1", "a2", "a4"]
    assert (scene.turns.taken, scene.turns.waiting) == (3, 0)
    # The one whose turn was given back above has another one to give.
    assert scene.turns.take_now("c")
