"""The start of a service: its time limit and its log lines, and its imports without the garbage collector."""

import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

MENTION_EVERY_SECONDS = 5
"""The pause between two log lines about a start that is not over."""

# How many new objects lead to a collection. The objects of the requests under way are no garbage, and with Python's own
# 700 the collector visits them again and again: a twentieth of the time of a creation.
_COLLECT_AFTER = 20_000


class StartLog(Protocol):
    """Where a start is mentioned; such as a `telemetry.Log`."""

    def warning(self, event: str, **fields: Any) -> object:
        """Write a line about a start that takes long."""
        ...

    def error(self, event: str, **fields: Any) -> object:
        """Write a line about a start that took too long."""
        ...


class StartClock:
    """
    Tells when a start that takes long is due for a mention, and when its time is over. Reads no clock of its own.

    Args:
        began: When the start began, as `time.monotonic` tells it; so are all moments here.
        limit: Seconds that it may take.
    """

    def __init__(self, began: float, limit: float) -> None:
        self.limit = limit
        self._began = began
        self._deadline = began + limit
        self._next_mention = began + MENTION_EVERY_SECONDS

    def age(self, now: float) -> float:
        """Say how long ago the start began, in seconds."""
        return now - self._began

    def seconds_to_mention(self, now: float) -> int | None:
        """Give the age of the start, in whole seconds, where a mention is due; the next one is due 5 s from *now*."""
        if now < self._next_mention:
            return None
        self._next_mention = now + MENTION_EVERY_SECONDS
        return int(self.age(now))

    def is_over(self, now: float) -> bool:
        """Tell whether the time is over."""
        return now >= self._deadline

    def extend(self, now: float) -> None:
        """Give the whole limit again from *now* on: what came before had no limit."""
        self._deadline = now + self.limit

    def wait(self, now: float) -> float:
        """Say for how many seconds nothing is due."""
        return max(0.0, min(self._next_mention, self._deadline) - now)


class Start:
    """
    A start under way: watched by a thread, which mentions it every 5 s and ends it when its time is over.

    Args:
        clock: How long it may take.
        log: Where it is mentioned.
        on_overdue: Called once, by the thread, when the time is over and that is logged.
    """

    def __init__(self, clock: StartClock, log: StartLog, on_overdue: Callable[[], object]) -> None:
        self.on_overdue = on_overdue
        self.took_too_long = False
        self._clock = clock
        self._log = log
        self._waiting_for: tuple[str, ...] = ()
        self._is_limited = True
        # Whoever has it decides whether the start succeeded or took too long.
        self._deciding = threading.Lock()
        self._ended = threading.Event()

    def waits_for(self, *names: str) -> None:
        """Name what the start waits for from now on; the log shows it."""
        self._waiting_for = names
        if not self._is_limited:
            self._clock.extend(time.monotonic())
            self._is_limited = True

    def migrates(self, step: str) -> None:
        """Name a migration that runs: no limit applies, because one that is ended has to begin again."""
        self._is_limited = False
        self._waiting_for = (f"migration {step}",)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch the start until the block ends."""
        threading.Thread(target=self._watch, daemon=True, name="start watch").start()
        try:
            yield
        finally:
            self.end()

    def end(self) -> None:
        """Mention nothing from now on, and set no limit."""
        with self._deciding:
            self._ended.set()

    def _watch(self) -> None:
        while not self._ended.wait(self._clock.wait(time.monotonic())):
            with self._deciding:
                if not self._ended.is_set():
                    self._look(time.monotonic())

    def _look(self, now: float) -> None:
        seconds = self._clock.seconds_to_mention(now)
        if seconds is not None:
            self._log.warning("still starting", waiting_for=self._waiting_for, seconds=seconds)
        if not self._is_limited:
            self._clock.extend(now)
        elif self._clock.is_over(now):
            self._log.error("the start took too long", waiting_for=self._waiting_for, limit=self._clock.limit)
            self.took_too_long = True
            self._ended.set()
            self.on_overdue()


@contextmanager
def collector_off() -> Iterator[None]:
    """
    Import and build in the block without the garbage collector.

    The collector never visits what is there at the end of the block, and runs seldom from then on. A block inside
    another one does nothing.
    """
    if not gc.isenabled():
        yield
        return
    # It would visit modules and classes again and again, of which none is garbage: a sixth of the time.
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(_COLLECT_AFTER)
        gc.enable()
