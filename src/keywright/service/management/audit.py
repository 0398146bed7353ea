"""
The proof of the audit log: no event of an organization was altered, and none removed but by retention.

Each position of the chain has a hash over the hash before it and the event's own digest (`audit_log`). An attacker who
can write to the database can also recompute all hashes from a position on. A head that was stored elsewhere, the
position and hash of the last event, reveals this. So an audit proves only as much as the head that it compares with.

Retention removes the oldest events and leaves a checkpoint, from which the rest of the chain follows. An erasure blanks
the personal fields of events; an event of the chain names their positions, with a digest of the rest of each.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Self
from uuid import UUID

from keywright.service.management.audit_log import CHAIN_BEGINS, Event, EventType, link
from keywright.service.management.audit_ports import AuditStore, Checkpoint
from keywright.service.management.ports import Link

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
    EVENTS_UNSEALED = "events_unsealed"
    CHECKPOINT_DIFFERS = "checkpoint_differs"
    END_CUT_OFF = "end_cut_off"
    END_ALTERED = "end_altered"
    HEAD_NOT_REACHED = "head_not_reached"
    HEAD_DIFFERS = "head_differs"
    HEAD_PRUNED = "head_pruned"


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
BEGIN = Head(0, CHAIN_BEGINS)
"""The head of an empty chain."""


@dataclass(slots=True)
class Report:
    """
    The result of an audit of one organization.

    `head` is the end of its chain, `found` the number of findings, `erased` the number of events without personal
    fields. `undigested` counts the events from before the chain, which are counted but not proven.
    """

    org_id: UUID
    head: Head = BEGIN
    checkpoint: Checkpoint | None = None
    erased: int = 0
    undigested: int = 0
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
    walk = Walk(BEGIN, Erasures(store, org_id), promised=promised, remembered=remembered or BEGIN)
    while page := await _page(store, walk, report):
        for entry in page:
            report.note(await walk.read(entry))
    report.note(walk.ended(Head(*await store.chain_end(org_id))))
    loose = await store.unchained_events(org_id)
    report.note(Finding(FindingKind.EVENT_LOOSE, None, event_id) for event_id in loose)
    report.undigested, removed = await store.undigested_events(org_id)
    report.note(_sealed(walk, report, removed))
    report.head, report.erased = walk.head, walk.erased
    return report


async def _page(store: AuditStore, walk: "Walk", report: Report) -> Sequence[Link]:
    """Read the next links; where the ones before them were pruned, maybe just now, go on from the checkpoint."""
    while True:
        page = await store.links(report.org_id, after=walk.head.position, limit=PAGE)
        if page and page[0].position == walk.head.position + 1:
            return page
        checkpoint = await store.checkpoint(report.org_id)
        if checkpoint is None or checkpoint.position <= walk.head.position:
            report.checkpoint = report.checkpoint or checkpoint
            return page
        report.checkpoint = checkpoint
        report.note(walk.skip_to(checkpoint))


def _sealed(walk: "Walk", report: Report, removed: int) -> Iterator[Finding]:
    """Compare the events without a digest with their number when they were sealed; *removed* of them were pruned."""
    # The event that counts them goes after the last of them.
    if report.undigested + removed != (removed if walk.sealed is None else walk.sealed):
        yield Finding(FindingKind.EVENTS_UNSEALED)


class Erasures:
    """The erasures of an organization, read when an erased event is met; the latest is remembered."""

    def __init__(self, store: AuditStore, org_id: UUID) -> None:
        self._store = store
        self._org_id = org_id
        self._latest: tuple[UUID | None, Link | None] = (None, None)

    async def rest_of(self, link: Link, erased_by: UUID) -> str | None:
        """Give the digest, in hexadecimal, of the rest of an erased event; None where no later event names it."""
        if self._latest[0] != erased_by:
            self._latest = (erased_by, await self._store.link_of(self._org_id, erased_by))
        _, erasure = self._latest
        if erasure is None or erasure.event is None or erasure.position <= link.position:
            return None
        if erasure.event.type is not EventType.ERASED or erasure.event.digest != erasure.digest:
            return None
        rest: str | None = erasure.event.data.get("events", {}).get(str(link.position))
        return rest


class Walk:
    """
    One walk along a chain.

    After an altered position, the next hash may follow from the stored or from the computed hash. Both are tried, so
    that one alteration is one finding.

    Args:
        head: Where it begins.
        erasures: Those of the organization.
        promised: The stored end of the chain.
        remembered: A head that was stored elsewhere.
    """

    def __init__(self, head: Head, erasures: Erasures, *, promised: Head = BEGIN, remembered: Head = BEGIN) -> None:
        self.head = head
        self.erased = 0
        # What the first event counts that seals those without a digest.
        self.sealed: int | None = None
        self._before: tuple[bytes, ...] = (head.hash,)
        self._erasures = erasures
        self._promised = promised
        self._remembered = remembered

    async def read(self, entry: Link) -> list[Finding]:
        """Go on to the next stored position, and give its flaws."""
        findings = []
        if entry.position > self.head.position + 1:
            findings.append(Finding(FindingKind.PLACES_REMOVED, self.head.position + 1))
            # The hash before it is gone; the event can still be compared with its digest.
            self._before = ()
        found, instead = self._compare(entry, await self._content(entry))
        if found is not None:
            findings.append(Finding(found, entry.position, None if entry.event is None else entry.event.id))
        self._before = (entry.hash, *instead)
        return [*findings, *self._reach(Head(entry.position, entry.hash))]

    def skip_to(self, checkpoint: Checkpoint) -> Iterator[Finding]:
        """Go on to a checkpoint, below which nothing is stored, and give its flaws."""
        if checkpoint.removed != checkpoint.position + checkpoint.undigested:
            yield Finding(FindingKind.CHECKPOINT_DIFFERS, checkpoint.position)
        if self.head.position < self._remembered.position < checkpoint.position:
            yield Finding(FindingKind.HEAD_PRUNED, self._remembered.position)
        self._before = (checkpoint.hash,)
        yield from self._reach(Head(checkpoint.position, checkpoint.hash))

    def _reach(self, head: Head) -> Iterator[Finding]:
        self.head = head
        if self._promised.position == head.position and self._promised.hash != head.hash:
            yield Finding(FindingKind.END_ALTERED, head.position)
        if self._remembered.position == head.position and self._remembered.hash != head.hash:
            yield Finding(FindingKind.HEAD_DIFFERS, head.position)

    async def _content(self, entry: Link) -> bytes | None:
        """Give the digest of the event as it was written; None where it cannot be, or is not the rest of it."""
        if entry.event is None:
            return None
        if entry.erased_by is None:
            self._note_seal(entry.event)
            return entry.event.digest
        self.erased += 1
        rest = await self._erasures.rest_of(entry, entry.erased_by)
        return entry.digest if entry.event.digest.hex() == rest else None

    def _note_seal(self, event: Event) -> None:
        if event.type is EventType.SEALED and self.sealed is None:
            self.sealed = event.data.get("events")

    def _compare(self, entry: Link, content: bytes | None) -> tuple[FindingKind | None, list[bytes]]:
        """Give the flaw of a position, and the hash that it may have had before it was altered."""
        if entry.digest is None:
            return FindingKind.EVENT_REMOVED, []
        digest = entry.digest if content is None else content
        computed = [link(before, digest) for before in self._before]
        as_stored = [link(before, entry.digest) for before in self._before]
        if self._before and entry.hash not in (*computed, *as_stored):
            # The last one follows from the last unaltered position, however many in a row were altered.
            return FindingKind.HASH_ALTERED, computed[-1:]
        # The hash fits the digest, the event or both; the two must fit each other.
        return (None if content == entry.digest else FindingKind.EVENT_ALTERED), []

    def ended(self, end: Head) -> Iterator[Finding]:
        """Give the flaws of the end, after the last stored position."""
        if self._promised.position > self.head.position:
            yield Finding(FindingKind.END_CUT_OFF, self.head.position + 1)
        elif end.position < self.head.position:
            yield Finding(FindingKind.END_ALTERED, end.position)
        if self._remembered.position > self.head.position:
            yield Finding(FindingKind.HEAD_NOT_REACHED, self.head.position + 1)
