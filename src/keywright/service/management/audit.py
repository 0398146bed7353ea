"""
The proof of the audit log: no event of an organization was altered or removed.

Each position of the chain has a hash over the hash before it and the event's own digest (`audit_log`). An attacker who
can write to the database can also recompute all hashes from a position on. A head that was stored elsewhere, the
position and hash of the last event, reveals this. So an audit proves only as much as the head that it compares with.
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
"""The most findings that a report lists; more are only counted."""

PAGE = 500
"""The number of positions in one reading."""


class FindingKind(StrEnum):
    """The kinds of findings."""

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
    """One flaw of a chain: its position, counted from 1, and its event, where it has them."""

    kind: FindingKind
    position: int | None = None
    event_id: UUID | None = None


class Head(NamedTuple):
    """The end of a chain at some time; as text `POSITION:HASH`, the hash in 64 hexadecimal digits."""

    position: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.position}:{self.hash.hex()}"

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Read a head; None when *text* is not one."""
        match = _HEAD.fullmatch(text)
        return None if match is None else cls(int(match[1]), bytes.fromhex(match[2]))


_HEAD = re.compile("([1-9][0-9]{0,17}):([0-9a-f]{64})")
_BEGIN = Head(0, CHAIN_BEGINS)


@dataclass(slots=True)
class Report:
    """The result of an audit of one organization; `head` is the end of its chain, `found` the number of findings."""

    org_id: UUID
    head: Head = _BEGIN
    findings: list[Finding] = field(default_factory=list)
    found: int = 0

    def note(self, findings: Iterable[Finding]) -> None:
        """Add findings; above `MOST_FINDINGS` they are only counted."""
        for finding in findings:
            self.found += 1
            if len(self.findings) < MOST_FINDINGS:
                self.findings.append(finding)


async def audit(store: AuditStore, org_id: UUID, *, remembered: Head | None = None) -> Report:
    """
    Read the whole audit log of an organization and report its flaws; other processes may write to it meanwhile.

    The memory does not grow with the length of the log.

    Args:
        remembered: An earlier `Report.head` that was stored elsewhere.

    Raises:
        StorageUnavailable: The database is unavailable.
    """
    report = Report(org_id)
    # Read first: all positions up to this end must exist already, while more may be added.
    promised = Head(*await store.chain_end(org_id))
    chain = _Chain(promised, remembered)
    while page := await store.links(org_id, after=chain.head.position, limit=PAGE):
        report.note(finding for entry in page for finding in chain.read(entry))
    report.note(chain.ended(Head(*await store.chain_end(org_id))))
    loose = await store.unchained_events(org_id)
    report.note(Finding(FindingKind.EVENT_LOOSE, None, event_id) for event_id in loose)
    report.head = chain.head
    return report


class _Chain:
    """
    One walk along a chain.

    After an altered position, the next hash may follow from the stored or from the computed hash. Both are tried, so
    that one alteration is one finding.
    """

    def __init__(self, promised: Head, remembered: Head | None) -> None:
        self.head = _BEGIN
        self._before: tuple[bytes, ...] = (CHAIN_BEGINS,)
        self._promised = promised
        self._remembered = remembered or _BEGIN

    def read(self, entry: Link) -> Iterator[Finding]:
        """Go on to the next stored position, and give its flaws."""
        if entry.position > self.head.position + 1:
            yield Finding(FindingKind.PLACES_REMOVED, self.head.position + 1)
            # The hash before it is gone; the event can still be compared with its digest.
            self._before = ()
        found, instead = self._compare(entry)
        if found is not None:
            yield Finding(found, entry.position, None if entry.event is None else entry.event.id)
        self.head = Head(entry.position, entry.hash)
        self._before = (entry.hash, *instead)
        if self._promised.position == entry.position and self._promised.hash != entry.hash:
            yield Finding(FindingKind.END_ALTERED, entry.position)
        if self._remembered.position == entry.position and self._remembered.hash != entry.hash:
            yield Finding(FindingKind.HEAD_DIFFERS, entry.position)

    def _compare(self, entry: Link) -> tuple[FindingKind | None, list[bytes]]:
        """Give the flaw of a position, and the hash that it may have had before it was altered."""
        if entry.digest is None:
            return FindingKind.EVENT_REMOVED, []
        digest = entry.digest if entry.event is None else entry.event.digest
        computed = [link(before, digest) for before in self._before]
        as_stored = [link(before, entry.digest) for before in self._before]
        if self._before and entry.hash not in (*computed, *as_stored):
            # The last one follows from the last unaltered position, however many in a row were altered.
            return FindingKind.HASH_ALTERED, computed[-1:]
        # The hash fits the digest, the event or both; the two must fit each other.
        return (FindingKind.EVENT_ALTERED if entry.event is None or digest != entry.digest else None), []

    def ended(self, end: Head) -> Iterator[Finding]:
        """Give the flaws of the end, after the last stored position."""
        if self._promised.position > self.head.position:
            yield Finding(FindingKind.END_CUT_OFF, self.head.position + 1)
        elif end.position < self.head.position:
            yield Finding(FindingKind.END_ALTERED, end.position)
        if self._remembered.position > self.head.position:
            yield Finding(FindingKind.HEAD_NOT_REACHED, self.head.position + 1)
