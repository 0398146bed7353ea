"""Clocks that a test moves."""

import time

from keywright.client.verifier import _clocks as clocks


class SetClock:
    """Shows what it was set to."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def go_on(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


class JumpingClock:
    """Runs like the real clock, and jumps on demand, as for a process that was stopped meanwhile."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return clocks.monotonic() + self.ahead

    def jump(self, seconds: float) -> None:
        """Let time have passed."""
        self.ahead += seconds


class WrongClock:
    """A machine's clock that is off by some seconds."""

    def __init__(self, off: float) -> None:
        self.off = off

    def __call__(self) -> float:
        return time.time() + self.off
