"""
The connections of a process: how many there may be, and how many bytes of answers wait for slow clients.

A connection costs memory and a file. So their number is bounded, and past the bound only the probes and the feed are
served: without them, a flood of connections would have the process restarted and its verifiers cut off. An answer that
its client does not read costs its size. So the bytes that wait are bounded for the process, and the clients that read
least are given up first.
"""

from enum import Enum, auto
from typing import Protocol

# Connections past the bound, each with little time, on which a probe or a feed may begin.
SURPLUS = 256
# All unread answers of a process. 16 answers of 1 MB; of 1000 slow clients each costs 16 KiB of it.
MOST_UNREAD_BYTES = 16 * 1024 * 1024


class Place(Enum):
    """The place of a connection: among those that may do anything, past the bound, on the feed, or none."""

    ORDINARY = auto()
    SURPLUS = auto()
    FEED = auto()
    NONE = auto()


class SlowConnection(Protocol):
    """A connection whose client reads slowly."""

    def unread_bytes(self) -> int:
        """Return how many bytes of answers wait."""
        ...

    def give_up(self) -> None:
        """End the connection, and free the bytes that wait."""
        ...


class Connections:
    """
    Counts the connections of a process, and bounds their unread answers.

    Args:
        most: Connections that are neither past the bound nor on the feed.
        files: All connections, those of the feed included: the process can open no more files.
        unread: Bytes of answers that may wait for clients.
    """

    def __init__(self, most: int, *, files: int | None = None, unread: int = MOST_UNREAD_BYTES) -> None:
        self._most = most
        self._files = files
        self._most_unread = unread
        self._numbers = dict.fromkeys(Place, 0)
        # In the order of the last progress that was seen.
        self._slow: dict[SlowConnection, int] = {}
        self._unread = 0

    def number(self, *places: Place) -> int:
        """Return how many connections have one of *places*; of any place without an argument."""
        return sum(self._numbers[place] for place in places or Place)

    @property
    def unread(self) -> int:
        """The bytes of answers that wait, as they were counted last."""
        return self._unread

    def enter(self) -> Place:
        """Give a new connection its place; one without a place is not counted."""
        if self._files is not None and self.number() >= self._files:
            return Place.NONE
        if self._numbers[Place.ORDINARY] < self._most:
            place = Place.ORDINARY
        elif self._numbers[Place.SURPLUS] < SURPLUS:
            place = Place.SURPLUS
        else:
            return Place.NONE
        self._numbers[place] += 1
        return place

    def move(self, former: Place, place: Place) -> None:
        """Change the place of a connection; to `NONE` when it ends."""
        if former is not Place.NONE:
            self._numbers[former] -= 1
        if place is not Place.NONE:
            self._numbers[place] += 1

    def hold(self, connection: SlowConnection) -> None:
        """Count the unread bytes of a connection; give up those that read least, where all wait for too many."""
        self.release(connection)
        size = self._slow[connection] = connection.unread_bytes()
        self._unread += size
        if self._unread > self._most_unread:
            self._relieve()

    def release(self, connection: SlowConnection) -> None:
        """Count a connection no longer: its client has read, or it has ended."""
        self._unread -= self._slow.pop(connection, 0)

    def _relieve(self) -> None:
        for connection, counted in list(self._slow.items()):
            size = connection.unread_bytes()
            if size != counted:
                self._unread += size - counted
                # To the end: it has read since.
                del self._slow[connection]
                self._slow[connection] = size
        # The one that read last stays: its answer may be larger than the bound by itself.
        while self._unread > self._most_unread and len(self._slow) > 1:
            connection = next(iter(self._slow))
            self.release(connection)
            connection.give_up()
