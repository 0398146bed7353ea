"""The kept heads of all organizations: one of each, or many, as a file has them to which every run adds."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar
from uuid import UUID

from keywright.service.management.audit import Head
from keywright.service.recovery.lines import BadLine, read_head

NumberedLine = tuple[int, bytes]
"""A line of a file and its number, from 1."""

Kept = TypeVar("Kept")

_TWO_HISTORIES: Final = "an earlier line has another hash for this position: the file has two histories"


class BadFile(Exception):
    """A file cannot be used; the message names the line."""

    def __init__(self, number: int, reason: BadLine) -> None:
        super().__init__(f"line {number}: {reason}")


@dataclass(slots=True)
class KeptHeads:
    """The heads of one organization: the hash of each position."""

    hashes: dict[int, bytes] = field(default_factory=dict)

    @property
    def top(self) -> int:
        """The highest position; 0 without any."""
        return max(self.hashes, default=0)

    def newest_first(self) -> Iterator[Head]:
        """Give the heads in descending order of position."""
        return (Head(position, self.hashes[position]) for position in sorted(self.hashes, reverse=True))


def read_heads(lines: Iterable[NumberedLine]) -> Mapping[UUID, KeptHeads]:
    """
    Read a file of heads. Empty lines are passed over; an organization may have many heads, in any order.

    Raises:
        BadFile: A line is not a head, or two give a position different hashes.
    """
    found: dict[UUID, KeptHeads] = {}
    for number, kept in read_lines(lines, read_head):
        if found.setdefault(kept.org_id, KeptHeads()).hashes.setdefault(*kept.head) != kept.head.hash:
            raise BadFile(number, BadLine(_TWO_HISTORIES))
    return found


def read_lines(lines: Iterable[NumberedLine], read: Callable[[bytes], Kept]) -> Iterator[tuple[int, Kept]]:
    """
    Read the lines of a file, each with its number. Empty lines are passed over.

    Args:
        read: Reads a line, or raises `BadLine`.

    Raises:
        BadFile: A line cannot be read.
    """
    for number, line in lines:
        if not line.strip():
            continue
        try:
            yield number, read(line)
        except BadLine as error:
            raise BadFile(number, error) from None
