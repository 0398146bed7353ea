"""The proof of the trail."""

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from uuid import UUID

import pytest

from keywright.service.management.audit import MOST_FINDINGS, PAGE, Finding, FindingKind, Head, audit
from keywright.service.management.audit_log import CHAIN_BEGINS, EventType, link
from keywright.service.management.ports import Link
from tests.service.fake_store import FakeStore
from tests.service.managing import ALICE, BOB, an_event

ORG = ALICE.organization.id


class ChainStore(FakeStore):
    """A store whose chain can be altered at each position; `end` is stored apart, as databases do."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.end = (0, CHAIN_BEGINS)
        self.loose: list[UUID] = []
        self.reads = 0
        self.largest = 0
        for _ in range(length):
            self.append()

    def append(self) -> None:
        number = len(self.trail) + 1
        event = an_event(EventType.CREATED, number)
        self._note(event)
        self.end = (self.link_at(-1).position, self.link_at(-1).hash)

    def link_at(self, index: int) -> Link:
        return self.chains[ORG][index]

    def alter(self, position: int, **changes: object) -> None:
        index = next(index for index, place in enumerate(self.chains[ORG]) if place.position == position)
        self.chains[ORG][index] = replace(self.link_at(index), **changes)  # type: ignore[arg-type]

    def alter_event(self, position: int, **changes: object) -> None:
        event = self.link_at(position - 1).event
        assert event is not None
        self.alter(position, event=replace(event, **(changes or {"subject": "nobody"})))  # type: ignore[arg-type]

    def rewrite(self, position: int) -> None:
        """Alter an event as somebody does who can compute: its digest and every hash from there on fit again."""
        self.alter_event(position)
        before = CHAIN_BEGINS if position == 1 else self.link_at(position - 2).hash
        for index in range(position - 1, len(self.chains[ORG])):
            event = self.link_at(index).event
            assert event is not None
            before = link(before, event.digest)
            self.alter(index + 1, digest=event.digest, hash=before)
        self.end = (self.end[0], before)

    async def links(self, org_id: UUID, *, after: int, limit: int) -> Sequence[Link]:
        self.reads += 1
        page = await super().links(org_id, after=after, limit=limit)
        self.largest = max(self.largest, len(page))
        return page

    async def unchained_events(self, org_id: UUID) -> Sequence[UUID]:
        return self.loose

    async def chain_end(self, org_id: UUID) -> tuple[int, bytes]:
        return self.end if org_id == ORG else (0, CHAIN_BEGINS)


async def found(store: ChainStore, remembered: Head | None = None) -> list[Finding]:
    report = await audit(store, ORG, remembered=remembered)
    assert report.found == len(report.findings)
    return report.findings


async def test_nothing_is_wrong() -> None:
    """A trail as it was written has no findings; the report has its head."""
    store = ChainStore(5)
    report = await audit(store, ORG)
    assert (report.org_id, report.findings, report.found) == (ORG, [], 0)
    assert report.head == Head(5, store.link_at(4).hash)


async def test_no_trail() -> None:
    """An organisation without events has nothing wrong, and the head of the beginning."""
    report = await audit(ChainStore(1), BOB.organization.id)
    assert (report.findings, report.head) == ([], Head(0, CHAIN_BEGINS))


@pytest.mark.parametrize("position", [1, 3, 5])
async def test_an_altered_event(position: int) -> None:
    """An altered event is found, and no other with it."""
    store = ChainStore(5)
    store.alter_event(position)
    event = store.link_at(position - 1).event
    assert event is not None
    assert await found(store) == [Finding(FindingKind.EVENT_ALTERED, position, event.id)]


@pytest.mark.parametrize("position", [1, 3, 5])
async def test_an_event_that_cannot_be_read(position: int) -> None:
    """An event that was made unreadable is one that was altered."""
    store = ChainStore(5)
    store.alter(position, event=None)
    assert await found(store) == [Finding(FindingKind.EVENT_ALTERED, position, None)]


@pytest.mark.parametrize("position", [1, 3, 5])
async def test_an_altered_digest(position: int) -> None:
    """The digest that is kept with an event belongs to it."""
    store = ChainStore(5)
    store.alter(position, digest=b"d" * 32)
    assert await found(store) == [Finding(FindingKind.EVENT_ALTERED, position, UUID(int=position))]


@pytest.mark.parametrize("position", [1, 3])
async def test_an_altered_hash(position: int) -> None:
    """An altered hash is found once, not again at the next position."""
    store = ChainStore(5)
    store.alter(position, hash=b"h" * 32)
    assert await found(store) == [Finding(FindingKind.HASH_ALTERED, position, UUID(int=position))]


async def test_altered_hashes_in_a_row() -> None:
    """Each hash that was altered is found, and the first one after them that was not is right again."""
    store = ChainStore(6)
    for position in (2, 3, 4):
        store.alter(position, hash=bytes([position]) * 32)
    assert await found(store) == [
        Finding(FindingKind.HASH_ALTERED, position, UUID(int=position)) for position in (2, 3, 4)
    ]


async def test_an_altered_last_hash() -> None:
    """The last hash is stored twice; where the two differ, both are findings."""
    store = ChainStore(5)
    store.alter(5, hash=b"h" * 32)
    assert await found(store) == [
        Finding(FindingKind.HASH_ALTERED, 5, UUID(int=5)),
        Finding(FindingKind.END_ALTERED, 5),
    ]


@pytest.mark.parametrize("position", [1, 3, 5])
async def test_an_event_altered_with_its_digest(position: int) -> None:
    """An event that was altered together with its digest is found by its hash."""
    store = ChainStore(5)
    store.alter_event(position)
    event = store.link_at(position - 1).event
    assert event is not None
    store.alter(position, digest=event.digest)
    assert await found(store) == [Finding(FindingKind.HASH_ALTERED, position, event.id)]


async def test_an_event_altered_with_its_digest_and_hash() -> None:
    """An event that was altered with its digest and hash is found at the next position."""
    store = ChainStore(5)
    store.rewrite(3)
    whole = ChainStore(5)
    store.alter(4, hash=whole.link_at(3).hash)
    store.alter(5, hash=whole.link_at(4).hash)
    store.end = whole.end
    assert await found(store) == [Finding(FindingKind.HASH_ALTERED, 4, UUID(int=4))]


@pytest.mark.parametrize("position", [1, 3, 5])
async def test_a_removed_event(position: int) -> None:
    """A removed event is found by its position."""
    store = ChainStore(5)
    store.alter(position, event=None, digest=None)
    assert await found(store) == [Finding(FindingKind.EVENT_REMOVED, position)]


@pytest.mark.parametrize("positions", [(1,), (3,), (2, 3), (1, 2, 3, 4)])
async def test_removed_places(positions: tuple[int, ...]) -> None:
    """Positions that were removed with their events are found."""
    store = ChainStore(5)
    store.chains[ORG] = [place for place in store.chains[ORG] if place.position not in positions]
    assert await found(store) == [Finding(FindingKind.PLACES_REMOVED, positions[0])]


async def test_an_altered_event_after_removed_places() -> None:
    """After a gap an event still has to be what it was."""
    store = ChainStore(5)
    store.alter_event(3)
    del store.chains[ORG][1]
    assert await found(store) == [
        Finding(FindingKind.PLACES_REMOVED, 2),
        Finding(FindingKind.EVENT_ALTERED, 3, UUID(int=3)),
    ]


async def test_a_loose_event() -> None:
    """An inserted event without a position in the chain is found."""
    store = ChainStore(5)
    store.loose = [UUID(int=99)]
    assert await found(store) == [Finding(FindingKind.EVENT_LOOSE, None, UUID(int=99))]


@pytest.mark.parametrize("left", [0, 2, 4])
async def test_a_cut_off_end(left: int) -> None:
    """An end that was cut off is missed, because what the next event is chained to is kept apart."""
    store = ChainStore(5)
    del store.chains[ORG][left:]
    assert await found(store) == [Finding(FindingKind.END_CUT_OFF, left + 1)]


async def test_an_altered_end() -> None:
    """What the next event is to be chained to is the last one there is."""
    store = ChainStore(5)
    store.end = (3, store.link_at(2).hash)
    assert await found(store) == [Finding(FindingKind.END_ALTERED, 3)]
    store.end = (5, b"h" * 32)
    assert await found(store) == [Finding(FindingKind.END_ALTERED, 5)]


async def test_whoever_computes_everything_anew() -> None:
    """A trail that was written anew, or cut off with what is kept of its end, is caught by an earlier head alone."""
    remembered = (await audit(ChainStore(5), ORG)).head
    rewritten, cut_off = ChainStore(7), ChainStore(3)
    rewritten.rewrite(2)
    assert await found(rewritten) == []
    assert await found(rewritten, remembered) == [Finding(FindingKind.HEAD_DIFFERS, 5)]
    assert await found(cut_off) == []
    assert await found(cut_off, remembered) == [Finding(FindingKind.HEAD_NOT_REACHED, 4)]
    assert await found(ChainStore(7), remembered) == []
    assert await found(ChainStore(5), remembered) == []


@pytest.mark.parametrize("positions", list(combinations(range(1, 6), 2)), ids=str)
async def test_two_alterations_are_two_findings(positions: tuple[int, int]) -> None:
    """Each altered event is found, also when they are neighbours."""
    store = ChainStore(5)
    for position in positions:
        store.alter_event(position)
    assert [(kind, position) for kind, position, _ in await found(store)] == [
        (FindingKind.EVENT_ALTERED, position) for position in positions
    ]


async def test_no_tampering_goes_unnoticed() -> None:
    """Of 1000 random tamperings, one to three at a time, none leaves a trail in which nothing is wrong."""
    chance = random.Random(15)
    for _ in range(1000):
        store = ChainStore(8)
        as_it_was = (list(store.chains[ORG]), store.end)
        for _ in range(chance.randint(1, 3)):
            tamper(store, chance)
        # Whoever alters something and alters it back has done nothing.
        assert bool(await found(store)) is ((store.chains[ORG], store.end) != as_it_was)


def tamper(store: ChainStore, chance: random.Random) -> None:
    """Do something to a trail that does not take computing hashes."""
    chain = store.chains[ORG]
    place, other = chance.sample(chain, 2) if len(chain) > 1 else (chain[0], chain[0])
    index = chain.index(place)
    match chance.randrange(7):
        case 0:
            chain[index] = replace(place, event=place.event and replace(place.event, subject=chance.choice("ab")))
        case 1:
            chain[index] = replace(place, event=other.event, digest=other.digest)
        case 2:
            chain[index] = replace(place, hash=other.hash)
        case 3:
            chain[index] = replace(place, event=None, digest=None)
        case 4 if len(chain) > 1:
            del chain[index]
        case 5:
            chain[index], chain[chain.index(other)] = (
                replace(other, position=place.position),
                replace(place, position=other.position),
            )
        case _:
            store.end = (other.position, place.hash)


async def test_a_long_trail_is_read_in_pages() -> None:
    """However long a chain is, only one page of it is in memory; findings beyond the most are counted."""
    length = 3 * PAGE + 1
    store = ChainStore(length)
    for position in range(1, length + 1):
        store.alter_event(position)
    report = await audit(store, ORG)
    assert (report.found, len(report.findings), report.head.position) == (length, MOST_FINDINGS, length)
    assert (store.largest, store.reads) == (PAGE, 5)


async def test_what_is_written_meanwhile() -> None:
    """A trail that grows while it is read has nothing wrong."""

    class Growing(ChainStore):
        async def chain_end(self, org_id: UUID) -> tuple[int, bytes]:
            end = await super().chain_end(org_id)
            self.append()
            return end

        async def links(self, org_id: UUID, *, after: int, limit: int) -> Sequence[Link]:
            if len(self.trail) < 20:
                self.append()
            return await super().links(org_id, after=after, limit=limit)

    store = Growing(5)
    report = await audit(store, ORG)
    assert report.findings == []
    assert report.head.position == 20


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "5:",
        f"0:{'0' * 64}",
        f"-5:{'0' * 64}",
        f"5:{'0' * 63}",
        f"5:{'g' * 64}",
        f"5:{'0' * 65}",
        f"٥:{'0' * 64}",
    ],
)
def test_no_head(text: str) -> None:
    """What is not exactly a head is none."""
    assert Head.read(text) is None


def test_a_head_as_text() -> None:
    """The text of a head is read back as the same head."""
    head = Head(12, bytes(range(32)))
    assert str(head).startswith("12:000102")
    assert Head.read(str(head)) == head
