"""The loop of the simulation: time that is not waited for, an order that a seed decides, processes that stop."""

import asyncio
from random import Random

import pytest

from tests.simulation.loop import Loop, Process, Stuck
from tests.simulation.plans import plan_of
from tests.simulation.world import run, simulating


def test_time_passes_without_being_waited_for() -> None:
    """Who sleeps for a day is woken when the time of the loop is a day later."""
    loop = Loop(Random(1))
    woken: list[float] = []

    async def sleeper() -> None:
        await asyncio.sleep(86_400)
        woken.append(loop.time())

    loop.create_task(sleeper())
    loop.run(100_000)
    assert woken == [86_400]


def test_a_timeout_ends_what_takes_too_long() -> None:
    """The timeouts of asyncio work on this loop."""
    loop = Loop(Random(1))
    ended: list[float] = []

    async def impatient() -> None:
        try:
            async with asyncio.timeout(2):
                await loop.create_future()
        except TimeoutError:
            ended.append(loop.time())

    loop.create_task(impatient())
    loop.run(10)
    assert ended == [2]


def test_the_order_of_what_is_ready_depends_on_the_seed_alone() -> None:
    """Of what is ready at the same time each order comes with some seed, and always with the same one."""

    def order(seed: int) -> tuple[int, ...]:
        loop = Loop(Random(seed))
        done: list[int] = []
        for number in range(3):
            loop.call_soon(done.append, number)
        loop.run(0)
        return tuple(done)

    assert len({order(seed) for seed in range(100)}) == 6
    assert all(order(seed) == order(seed) for seed in range(100))


def test_a_halted_process_does_nothing_until_it_goes_on() -> None:
    """What becomes ready while a process is halted runs when it goes on, and others are not held up."""
    loop, halted, other = Loop(Random(1)), Process("halted"), Process("other")
    done: list[tuple[str, float]] = []

    async def work(name: str) -> None:
        await asyncio.sleep(1)
        done.append((name, loop.time()))

    for process in (halted, other):
        with loop.within(process):
            loop.create_task(work(process.name))
    loop.at(loop.world, 0.5, loop.halt, halted)
    loop.at(loop.world, 3.0, loop.go_on, halted)
    loop.run(5)
    assert done == [("other", 1), ("halted", 3)]


def test_a_killed_process_never_does_anything_again() -> None:
    """What a killed process was about to do does not happen."""
    loop, process = Loop(Random(1)), Process("killed")
    done: list[int] = []
    loop.at(process, 1, done.append, 1)
    loop.at(process, 3, done.append, 3)
    loop.at(loop.world, 2, loop.kill, process)
    loop.run(5)
    assert done == [1]


def test_what_goes_on_for_ever_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A schedule in which something waits for nothing ends with an error, not never."""
    monkeypatch.setattr("tests.simulation.loop.MOST_STEPS", 100)
    loop = Loop(Random(1))

    def again() -> None:
        loop.call_soon(again)

    again()
    with pytest.raises(Stuck):
        loop.run(1)


def test_a_seed_always_gives_the_same_schedule() -> None:
    """Two runs of a plan leave the same trace, to the last line."""
    with simulating():
        for seed in range(60):
            first: list[str] = []
            second: list[str] = []
            run(plan_of(seed), first)
            run(plan_of(seed), second)
            assert first == second
