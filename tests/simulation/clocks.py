"""The clocks of one process: one that runs a little too fast or too slow, and one that people set."""

from datetime import datetime, timedelta

from tests.simulation.database import EPOCH, EPOCH_SECONDS
from tests.simulation.loop import Loop


class Clocks:
    """
    Reads the clocks of a process.

    Args:
        loop: Has the time of the simulation.
        rate: How fast they run; 1 is right.
        began: What the monotonic one shows at the beginning.
        off: By how much the other one is off at the beginning; it may be set later.
    """

    __slots__ = ("_began", "_loop", "_rate", "off")

    def __init__(self, loop: Loop, *, rate: float, began: float, off: float) -> None:
        self._loop = loop
        self._rate = rate
        self._began = began
        self.off = off

    def monotonic(self) -> float:
        """Read the one that is never set."""
        return self._began + self._loop._time * self._rate

    def seconds(self) -> float:
        """Read the one that people set, in seconds of the epoch."""
        return EPOCH_SECONDS + self.off + self._loop._time * self._rate

    def time(self) -> datetime:
        """Read the one that people set."""
        return EPOCH + timedelta(seconds=self.off + self._loop._time * self._rate)
