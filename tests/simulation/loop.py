"""
An event loop with virtual time: nothing is waited for, and what is ready runs in an order that a seed decides.

Everything that runs belongs to a process of the simulation. A process may be halted, and then none of its callbacks
runs until it goes on, as after SIGSTOP; or killed, and then none ever does. What one process has another one do goes
through `at` with that other one: so whatever follows from it belongs to the other one, too.
"""

import asyncio
from asyncio import events
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from heapq import heappop, heappush
from random import Random
from typing import Any


class Stuck(Exception):
    """A schedule goes on for far longer than any should: something does not wait for anything."""


MOST_STEPS = 400_000


class Process:
    """Whom callbacks belong to. `held` are those that became ready while it was halted."""

    __slots__ = ("dead", "halted", "held", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.halted = False
        self.dead = False
        self.held: list[Handle] = []


class Handle:
    """A callback to come; a timer as well where `time` is set."""

    __slots__ = ("args", "callback", "process", "time")

    def __init__(self, process: Process, callback: Callable[..., object] | None, args: tuple[Any, ...]) -> None:
        self.process = process
        self.callback = callback
        self.args = args
        self.time = 0.0

    def cancel(self) -> None:
        """Have it not run."""
        self.callback = None

    def cancelled(self) -> bool:
        """Tell whether it will not run."""
        return self.callback is None

    def when(self) -> float:
        """Tell when it is due."""
        return self.time


class Loop(asyncio.AbstractEventLoop):
    """
    The loop; see above.

    Args:
        random: Decides the order of what is ready.
    """

    def __init__(self, random: Random) -> None:
        self._random = random.random
        self._ready: list[Handle] = []
        self._timers: list[tuple[float, int, Handle]] = []
        self._count = 0
        self._time = 0.0
        self._running = False
        self._tasks: list[asyncio.Task[Any]] = []
        self.steps = 0
        self.errors: list[str] = []
        self.process = self.world = Process("world")

    # what this simulation needs

    def run(self, until: float) -> None:
        """Run all that is due up to a moment."""
        ready, timers, random, world = self._ready, self._timers, self._random, self.world
        events._set_running_loop(self)  # type: ignore[attr-defined]
        self._running = True
        try:
            while True:
                while timers and timers[0][0] <= self._time:
                    ready.append(heappop(timers)[2])
                count = len(ready)
                if count == 0:
                    if not timers or timers[0][0] > until:
                        break
                    self._time = timers[0][0]
                    continue
                if count == 1:
                    handle = ready.pop()
                else:
                    place = int(random() * count)
                    handle, ready[place] = ready[place], ready[-1]
                    ready.pop()
                callback = handle.callback
                if callback is None:
                    continue
                process = handle.process
                if process.halted or process.dead:
                    if process.halted:
                        process.held.append(handle)
                    continue
                self.process = process
                self.steps += 1
                if self.steps > MOST_STEPS:
                    raise Stuck(f"{process.name}: {callback}")
                callback(*handle.args)
            self._time = until
        finally:
            self.process = world
            self._running = False
            events._set_running_loop(None)  # type: ignore[attr-defined]

    def at(self, process: Process, delay: float, callback: Callable[..., object], *args: Any) -> Handle:
        """Have a process do something after *delay* seconds."""
        handle = Handle(process, callback, args)
        time = handle.time = self._time + delay
        self._count += 1
        heappush(self._timers, (time, self._count, handle))
        return handle

    @contextmanager
    def within(self, process: Process) -> Iterator[None]:
        """Have all that is begun here belong to a process."""
        former, self.process = self.process, process
        running = self._running
        if not running:
            events._set_running_loop(self)  # type: ignore[attr-defined]
        try:
            yield
        finally:
            self.process = former
            if not running:
                events._set_running_loop(None)  # type: ignore[attr-defined]

    def halt(self, process: Process) -> None:
        """Let a process do nothing until it is let go on."""
        process.halted = True

    def go_on(self, process: Process) -> None:
        """Let a halted process do what has become ready meanwhile."""
        process.halted = False
        held, process.held = process.held, []
        self._ready += held

    def kill(self, process: Process) -> None:
        """Let a process never do anything again."""
        process.dead = True
        process.halted = False
        process.held = []

    def lost_errors(self) -> list[str]:
        """Give what nobody caught, also of tasks that nobody waits for."""
        return self.errors + [
            repr(task.exception())
            for task in self._tasks
            if task.done() and task._log_traceback  # type: ignore[attr-defined]
        ]

    def end(self) -> None:
        """Throw away what still waits; whatever its coroutines do at their end is nobody's."""
        self._ready.clear()
        self._timers.clear()
        for task in self._tasks:
            if not task.done():
                # Some wait for something once more, which does not come.
                with suppress(RuntimeError):
                    task.get_coro().close()  # type: ignore[union-attr]
        self._tasks.clear()
        self._ready.clear()
        self._timers.clear()

    # what asyncio needs

    def time(self) -> float:
        """Give the time, in seconds."""
        return self._time

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Any = None) -> Handle:  # type: ignore[override]
        """Have the process that runs do something soon."""
        handle = Handle(self.process, callback, args)
        self._ready.append(handle)
        return handle

    def call_at(self, when: float, callback: Callable[..., object], *args: Any, context: Any = None) -> Handle:  # type: ignore[override]
        """Have the process that runs do something at a time."""
        handle = Handle(self.process, callback, args)
        handle.time = when
        self._count += 1
        heappush(self._timers, (when, self._count, handle))
        return handle

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any, context: Any = None) -> Handle:  # type: ignore[override]
        """Have the process that runs do something later."""
        return self.call_at(self._time + delay, callback, *args)

    def create_future(self) -> "asyncio.Future[Any]":
        """Give a future."""
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: Any = None
    ) -> "asyncio.Task[Any]":
        """Give a task of the process that runs."""
        task = asyncio.Task(coro, loop=self, name=name or "task")
        # Those of a killed process never end.
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        self._tasks.append(task)
        return task

    def get_debug(self) -> bool:
        """Tell that there is nothing to look into."""
        return False

    def is_running(self) -> bool:
        """Tell whether something is running."""
        return self._running

    def is_closed(self) -> bool:
        """Tell that it is not closed."""
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep what nobody caught."""
        self.errors.append(f"{context.get('message')}: {context.get('exception')!r}")

    def _timer_handle_cancelled(self, handle: Any) -> None:
        """Do nothing: a timer that was cancelled goes when it is due."""
