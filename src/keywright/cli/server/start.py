"""The start of a service: its time limit and its log lines, and its imports without the garbage collector."""

import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

MENTION_EVERY_SECONDS = 5
"""The pause between two log lines about a start in progress."""

# The number of new objects that leads to a collection. Objects of requests in progress are no garbage, and with
# Python's default of 700 the collector visits them again and again: a twentieth of the time of a creation.
_COLLECT_AFTER = 20_000


class StartLog(Protocol):
    """The log of a start; `telemetry.Log` implements it."""

    def warning(self, event: str, **fields: Any) -> object:
        """Write a line about a start that takes long."""
        ...

    def error(self, event: str, **fields: Any) -> object:
        """Write a line about a start that took too long."""
        ...


class StartClock:
    """
    The times of a start: of its next log line, and of its end by the limit. Reads no clock of its own.

    Args:
        began: The begin of the start, by `time.monotonic`, like all times here.
        limit: The most seconds of the start.
    """

    def __init__(self, began: float, limit: float) -> None:
        self.limit = limit
        self._began = began
        self._deadline = began + limit
        self._next_mention = began + MENTION_EVERY_SECONDS

    def age(self, now: float) -> float:
        """Return the age of the start in seconds."""
        return now - self._began

    def seconds_to_mention(self, now: float) -> int | None:
        """Return the start's age in whole seconds if a log line is due; the next is due 5 s from *now*."""
        if now < self._next_mention:
            return None
        self._next_mention = now + MENTION_EVERY_SECONDS
        return int(self.age(now))

    def is_over(self, now: float) -> bool:
        """Return whether the limit has passed."""
        return now >= self._deadline

    def extend(self, now: float) -> None:
        """Restart the limit from *now* on, after a part of the start without a limit."""
        self._deadline = now + self.limit

    def wait(self, now: float) -> float:
        """Return the seconds until a log line or the end is due."""
        return max(0.0, min(self._next_mention, self._deadline) - now)


class Start:
    """
    A start in progress. A thread logs it every 5 s, and ends it at the limit.

    Args:
        clock: The times of the start.
        log: Gets the log lines.
        on_overdue: Called once, by the thread, after the line about the limit.
    """

    def __init__(self, clock: StartClock, log: StartLog, on_overdue: Callable[[], object]) -> None:
        self.on_overdue = on_overdue
        self.took_too_long = False
        self._clock = clock
        self._log = log
        self._waiting_for: tuple[str, ...] = ()
        self._is_limited = True
        # Its owner decides whether the start succeeded or took too long.
        self._deciding = threading.Lock()
        self._ended = threading.Event()

    def waits_for(self, *names: str) -> None:
        """Set what the start waits for, for the log."""
        self._waiting_for = names
        if not self._is_limited:
            self._clock.extend(time.monotonic())
            self._is_limited = True

    def migrates(self, step: str) -> None:
        """Name the running migration. It has no limit, because a migration that is ended must begin again."""
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
        """Log nothing from now on, and apply no limit."""
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
    Switch the garbage collector off in the block, for imports.

    The collector never visits the objects that exist at the end of the block, and runs seldom from then on. A block
    inside another one does nothing.
    """
    if not gc.isenabled():
        yield
        return
    # It would visit modules and classes again and again, and none is garbage: a sixth of the time of a start.
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(_COLLECT_AFTER)
        gc.enable()
