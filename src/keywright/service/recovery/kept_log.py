"""
The kept events of all organizations, as `keywright audit export` wrote them, compared with a database.

A log may be longer than the memory, so it is read twice: here it is checked and compared, with a few numbers for each
organization, before anything is done; `losses` reads what was lost. Its positions ascend for each organization, and
the end of it may be repeated, as exports that overlap do.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from keywright.service.management.audit import BEGIN, Head
from keywright.service.management.audit_log import link as hash_after
from keywright.service.management.ports import Link
from keywright.service.recovery.kept_heads import BadFile, KeptHeads, NumberedLine, read_lines
from keywright.service.recovery.lines import BadLine, KeptEvent, read_event
from keywright.service.recovery.ports import LogStore

MOST_COMPARED_AT_ONCE: Final = 500


@dataclass(slots=True)
class Track:
    """
    What a log has of one organization, and how the database compares.

    `begins` is the first position of those that reach its end, `top`, without a gap; `run` is the line before. `shared`
    is the last position of which the database is known to have the same hash, `differs` the first of which it is known
    to have another.
    """

    begins: int
    top: Head
    run: Head
    shared: int | None = None
    differs: int | None = None

    def agree(self, position: int) -> None:
        """Note that the database has the same hash there."""
        self.shared = max(position, self.shared or 0)

    def disagree(self, position: int) -> None:
        """Note that the database has another hash there."""
        self.differs = position if self.differs is None else min(position, self.differs)


def read_events(lines: Iterable[NumberedLine]) -> Iterator[tuple[int, KeptEvent]]:
    """
    Read a file of events, each with the number of its line. Empty lines are passed over.

    Raises:
        BadFile: A line is not an event, or the event was altered.
    """
    return read_lines(lines, read_event)


async def compare(store: LogStore, lines: Iterable[NumberedLine], heads: Mapping[UUID, KeptHeads]) -> dict[UUID, Track]:
    """
    Check a log line by line, and compare it with the kept heads and with the database.

    Raises:
        BadFile: A line is not an event or was altered, does not follow from the one before it, is out of order, or has
            another hash than a head.
        StorageUnavailable: The database is unavailable.
    """
    tracks: dict[UUID, Track] = {}
    for piece in _pieces(lines, tracks, heads):
        await _compare(store, tracks[piece[0].org_id], piece)
    return tracks


def _pieces(
    lines: Iterable[NumberedLine], tracks: dict[UUID, Track], heads: Mapping[UUID, KeptHeads]
) -> Iterator[list[KeptEvent]]:
    """Give the checked events in pieces of positions that follow each other, of one organization each."""
    piece: list[KeptEvent] = []
    for number, kept in read_events(lines):
        try:
            _follow(tracks, kept)
            _fit(heads.get(kept.org_id), kept.link)
        except BadLine as error:
            raise BadFile(number, error) from None
        if piece and not (len(piece) < MOST_COMPARED_AT_ONCE and _is_next(piece[-1], kept)):
            yield piece
            piece = []
        piece.append(kept)
    if piece:
        yield piece


def _is_next(before: KeptEvent, kept: KeptEvent) -> bool:
    return before.org_id == kept.org_id and before.link.position + 1 == kept.link.position


def _follow(tracks: dict[UUID, Track], kept: KeptEvent) -> None:
    """Go on to the next line of an organization."""
    link = kept.link
    head = Head(link.position, link.hash)
    track = tracks.get(kept.org_id)
    before = BEGIN if head.position == BEGIN.position + 1 or track is None else track.run
    if head.position == before.position + 1 and not _follows(before.hash, link):
        raise BadLine("the hash does not follow from the position before")
    if track is None:
        tracks[kept.org_id] = Track(begins=head.position, top=head, run=head)
        return
    if head.position < track.begins:
        raise BadLine("it is from before the lines above: put the oldest export first")
    if head.position == track.top.position and head != track.top:
        raise BadLine("an earlier line has another hash for this position: the log has two histories")
    if head.position > track.top.position + 1:
        track.begins = head.position
    if head.position > track.top.position:
        track.top = head
    track.run = head


def _fit(heads: KeptHeads | None, link: Link) -> None:
    if heads is not None and heads.hashes.get(link.position, link.hash) != link.hash:
        raise BadLine("the head of this position has another hash: heads and log are of different histories")


def _follows(before: bytes, link: Link) -> bool:
    return link.digest is None or hash_after(before, link.digest) == link.hash


async def _compare(store: LogStore, track: Track, piece: list[KeptEvent]) -> None:
    """Compare events whose positions follow each other with those of the database."""
    org_id, first = piece[0].org_id, piece[0].link
    before = first.position - 1
    stored = await stored_hashes(store, org_id, before, len(piece) + 1)
    for kept in piece:
        _note(track, kept.link.position, stored, same=stored.get(kept.link.position) == kept.link.hash)
    if first.digest is not None and before in stored:
        _note(track, before, stored, same=_follows(stored[before], first))


def _note(track: Track, position: int, stored: Mapping[int, bytes], *, same: bool) -> None:
    if position not in stored:
        return
    if same:
        track.agree(position)
    else:
        track.disagree(position)


async def stored_hashes(store: LogStore, org_id: UUID, first: int, count: int) -> dict[int, bytes]:
    """Give the hashes of *count* positions from *first* on, as far as the database has them; 0 is before the first."""
    found = dict(await store.hashes(org_id, after=first - 1, limit=count))
    checkpoint = await store.checkpoint(org_id)
    edges = [BEGIN] if checkpoint is None else [BEGIN, Head(checkpoint.position, checkpoint.hash)]
    return {**found, **{edge.position: edge.hash for edge in edges if first <= edge.position < first + count}}
