"""A set whose members come in the order in which they were added, so that a seed always gives the same schedule."""

from collections.abc import Iterator
from typing import Any


class InOrder:
    """As much of a set as is used."""

    __slots__ = ("_members",)

    def __init__(self) -> None:
        self._members: dict[Any, None] = {}

    def add(self, member: Any) -> None:
        """Add a member."""
        self._members[member] = None

    def discard(self, member: Any) -> None:
        """Remove a member, where it is one."""
        self._members.pop(member, None)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, member: Any) -> bool:
        return member in self._members
