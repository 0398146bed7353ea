"""A queue that is shared fairly: each share has a queue of its own, and they are served in turn."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Share = Hashable
"""An organization, or a caller of checks."""

Item = TypeVar("Item", bound=Hashable)


class FairQueue(Generic[Item]):
    """
    Items in a queue for each share. One item of every share is taken before a second one of any.

    A share may have as many items as there are free places. So those that fill the queue leave places for the next one:
    of n shares that send without end, each has one part of n + 1, and one part is free (dynamic thresholds, Choudhury
    and Hahne, 1998). Every method takes the same time, however many items and shares there are.

    Args:
        longest: How many items may wait.
        longest_of_share: How many of them may be of one share at most.
    """

    def __init__(self, *, longest: int, longest_of_share: int) -> None:
        self._longest = longest
        self._longest_of_share = longest_of_share
        # A `dict` would take ever longer to find its first entry while entries are taken out in front.
        self._next: OrderedDict[Share, OrderedDict[Item, None]] = OrderedDict()
        self._held: dict[Share, OrderedDict[Item, None]] = {}
        self._length = 0

    def __len__(self) -> int:
        return self._length

    @property
    def ready(self) -> bool:
        """Whether `pop` has an item: one of a share that is not held."""
        return bool(self._next)

    @property
    def turn(self) -> Share:
        """The share whose item `pop` takes; there has to be one."""
        return next(iter(self._next))

    def push(self, share: Share, item: Item) -> bool:
        """Append an item, which no two of a share may equal; return False where there is no place for the share."""
        items = self._next.get(share) or self._held.get(share)
        waiting = len(items) if items else 0
        if waiting >= self._longest_of_share or waiting >= self._longest - self._length:
            return False
        if items is None:
            items = self._next[share] = OrderedDict()
        items[item] = None
        self._length += 1
        return True

    def pop(self) -> Item:
        """Take the oldest item of the share whose turn it is; there has to be one."""
        share = self.turn
        items = self._next[share]
        item, _ = items.popitem(last=False)
        self._length -= 1
        if items:
            self._next.move_to_end(share)
        else:
            del self._next[share]
        return item

    def remove(self, share: Share, item: Item) -> None:
        """Take an item out, if it waits."""
        queue = self._next if share in self._next else self._held
        items = queue.get(share)
        if items is not None and item in items:
            del items[item]
            self._length -= 1
            if not items:
                del queue[share]

    def hold(self, share: Share) -> None:
        """Pass a share over until `resume`; without items there is nothing to hold."""
        if (items := self._next.pop(share, None)) is not None:
            self._held[share] = items

    def resume(self, share: Share) -> None:
        """Serve a share again, after all others."""
        if (items := self._held.pop(share, None)) is not None:
            self._next[share] = items
