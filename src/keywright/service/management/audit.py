"""
The proof of the audit log: every event of an organization is what it was when it was written, and none is missing.

Each place of the chain has a hash over the hash before it and the event's own digest (`events`). Whoever can write to
the database can also compute all hashes anew from a place on; what cannot be changed is a head, the position and hash
of the last event, that was kept elsewhere. So an audit is worth as much as the head it is given.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Self
from uuid import UUID

from keywright.service.management.audit_log import CHAIN_BEGINS, link
from keywright.service.management.ports import AuditStore, Link

MOST_FINDINGS = 100
"""How many findings are kept of one organization; more are counted."""

PAGE = 500
"""How many places are read at once."""


class FindingKind(StrEnum):
    """What is wrong."""

    EVENT_ALTERED = "event_altered"
    HASH_ALTERED = "hash_altered"
    EVENT_REMOVED = "event_removed"
    PLACES_REMOVED = "places_removed"
    EVENT_LOOSE = "event_loose"
    END_CUT_OFF = "end_cut_off"
    END_ALTERED = "end_altered"
    HEAD_NOT_REACHED = "head_not_reached"
    HEAD_DIFFERS = "head_differs"


class Finding(NamedTuple):
    """One thing that is wrong: where in the chain, counting from 1, and with which event, as far as it has one."""

    kind: FindingKind
    position: int | None = None
    event_id: UUID | None = None


class Head(NamedTuple):
    """The end of a chain at some time. As text it is `POSITION:HASH`, the hash in 64 hexadecimal digits."""

    position: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.position}:{self.hash.hex()}"

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Read a head; None when *text* is not exactly one."""
        match = _HEAD.fullmatch(text)
        return None if match is None else cls(int(match[1]), bytes.fromhex(match[2]))


_HEAD = re.compile("([1-9][0-9]{0,17}):([0-9a-f]{64})")
_BEGIN = Head(0, CHAIN_BEGINS)


@dataclass(slots=True)
class Report:
    """What an audit of one organization came to; `head` is the end of its chain as it was read."""

    org_id: UUID
    head: Head = _BEGIN
    findings: list[Finding] = field(default_factory=list)
    found: int = 0

    def note(self, findings: Iterable[Finding]) -> None:
        """Keep findings, or count them when there are too many."""
        for finding in findings:
            self.found += 1
            if len(self.findings) < MOST_FINDINGS:
                self.findings.append(finding)


async def audit(store: AuditStore, org_id: UUID, *, remembered: Head | None = None) -> Report:
    """
    Read the whole audit log of an organization and say what is wrong with it; it may be written to meanwhile.

    Memory stays the same however long the log is.

    Args:
        remembered: An earlier head, from `Report.head`, that was kept elsewhere.

    Raises:
        StorageUnavailable: The database is unavailable.
    """
    report = Report(org_id)
    # Before anything else is read: whatever it promises has to be there already, while more may come.
    promised = Head(*await store.chain_end(org_id))
    chain = _Chain(promised, remembered)
    while page := await store.links(org_id, after=chain.head.position, limit=PAGE):
        report.note(finding for place in page for finding in chain.read(place))
    report.note(chain.ended(Head(*await store.chain_end(org_id))))
    loose = await store.unchained_events(org_id)
    report.note(Finding(FindingKind.EVENT_LOOSE, None, event_id) for event_id in loose)
    report.head = chain.head
    return report


class _Chain:
    """
    One walk along a chain.

    After a place that is not right, two hashes may have been there when the next one was written: the one that is
    stored, and the one that is computed. The next place tells; so one alteration is one finding.
    """

    def __init__(self, promised: Head, remembered: Head | None) -> None:
        self.head = _BEGIN
        self._before: tuple[bytes, ...] = (CHAIN_BEGINS,)
        self._promised = promised
        self._remembered = remembered or _BEGIN

    def read(self, place: Link) -> Iterator[Finding]:
        """Go on to the next place that there is, and say what is wrong there."""
        if place.position > self.head.position + 1:
            yield Finding(FindingKind.PLACES_REMOVED, self.head.position + 1)
            # What it was chained to is gone; whether the event is what it was can still be decided.
            self._before = ()
        found, instead = self._compare(place)
        if found is not None:
            yield Finding(found, place.position, None if place.event is None else place.event.id)
        self.head = Head(place.position, place.hash)
        self._before = (place.hash, *instead)
        if self._promised.position == place.position and self._promised.hash != place.hash:
            yield Finding(FindingKind.END_ALTERED, place.position)
        if self._remembered.position == place.position and self._remembered.hash != place.hash:
            yield Finding(FindingKind.HEAD_DIFFERS, place.position)

    def _compare(self, place: Link) -> tuple[FindingKind | None, list[bytes]]:
        """Say what is wrong with a place, and which hash it may have had before it was altered, if it was."""
        if place.digest is None:
            return FindingKind.EVENT_REMOVED, []
        digest = place.digest if place.event is None else place.event.digest
        computed = [link(before, digest) for before in self._before]
        as_stored = [link(before, place.digest) for before in self._before]
        if self._before and place.hash not in (*computed, *as_stored):
            # The last one follows from what was right before, however many in a row were altered.
            return FindingKind.HASH_ALTERED, computed[-1:]
        # The hash is right for the digest, the event or both; these two belong to each other.
        return (FindingKind.EVENT_ALTERED if place.event is None or digest != place.digest else None), []

    def ended(self, end: Head) -> Iterator[Finding]:
        """Say what is wrong with the end, after the last place that there is."""
        if self._promised.position > self.head.position:
            yield Finding(FindingKind.END_CUT_OFF, self.head.position + 1)
        elif end.position < self.head.position:
            yield Finding(FindingKind.END_ALTERED, end.position)
        if self._remembered.position > self.head.position:
            yield Finding(FindingKind.HEAD_NOT_REACHED, self.head.position + 1)
