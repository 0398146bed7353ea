"""
How long the processes of a run were ready to run and did not, because other processes had all cores.

Linux counts that for each thread, in `/proc/PID/task/TID/schedstat`: the nanoseconds that it ran, and those that it
waited for a core. Elsewhere nothing is recorded, and so every error is judged.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil

from tests.history.checker import Delay

SAMPLE_SECONDS = 0.25
"""Far below the patience of any client; and a reading takes a few milliseconds."""
_NANOSECOND = 1e-9


class Watched(NamedTuple):
    """Processes, looked up at every reading, and the names in the history of those whose requests pass them."""

    names: frozenset[str]
    pids: Callable[[], Iterable[int]]


class Times(NamedTuple):
    """The nanoseconds that a thread ran, and that it waited for a core."""

    ran: int
    waited: int


Threads = Mapping[tuple[int, int], Times]
"""The times of threads, by the numbers of the process and of the thread."""
_NONE = Times(0, 0)


class Delays:
    """
    Records the delays of processes, while `go_on` runs.

    Args:
        watched: The processes, in groups; the delay of a group is that of the thread that waited longest, because a
            request is in one thread at a time.
    """

    def __init__(self, watched: Sequence[Watched]) -> None:
        self.recorded: list[Delay] = []
        self._watched = watched
        self._own_seconds = 0.0
        self._began, self._busy_before = time.monotonic(), _busy_seconds()

    def share_of_others(self) -> float:
        """Give the share of the time of all cores, 0 to 1, that processes took which are not watched."""
        seconds = (time.monotonic() - self._began) * (os.cpu_count() or 1)
        return max(0.0, _busy_seconds() - self._busy_before - self._own_seconds) / seconds

    async def go_on(self) -> None:
        """Record until cancelled."""
        start, before = time.monotonic(), await asyncio.to_thread(self._read)
        while True:
            await asyncio.sleep(SAMPLE_SECONDS)
            end, after = time.monotonic(), await asyncio.to_thread(self._read)
            for watched, earlier, later in zip(self._watched, before, after, strict=True):
                spent = list(_spent(earlier, later))
                self._own_seconds += sum(times.ran for times in spent) * _NANOSECOND
                waited = max((times.waited for times in spent), default=0) * _NANOSECOND
                # What a process waited before it was watched is not of this time.
                self.recorded.append(Delay(start, end, watched.names, min(waited, end - start)))
            start, before = end, after

    def _read(self) -> list[Threads]:
        return [{name: times for pid in watched.pids() for name, times in _threads(pid)} for watched in self._watched]


def family(pid: int) -> list[int]:
    """Give a process and its children; nothing when it has ended."""
    try:
        return [pid, *(child.pid for child in psutil.Process(pid).children())]
    except psutil.Error:
        return []


def _spent(before: Threads, after: Threads) -> Iterator[Times]:
    for name, (ran, waited) in after.items():
        earlier = before.get(name, _NONE)
        # Counts that went back are those of a new thread with the number of one that ended.
        earlier = earlier if earlier.ran <= ran and earlier.waited <= waited else _NONE
        yield Times(ran - earlier.ran, waited - earlier.waited)


def _threads(pid: int) -> Iterator[tuple[tuple[int, int], Times]]:
    tasks = Path(f"/proc/{pid}/task")
    try:
        for task in tasks.iterdir():
            ran, waited, _ = (task / "schedstat").read_text().split()
            yield (pid, int(task.name)), Times(int(ran), int(waited))
    except OSError:
        # It ended meanwhile, or the kernel does not count.
        return


def _busy_seconds() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system)
