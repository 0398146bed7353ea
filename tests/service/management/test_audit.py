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


class TrailStore(FakeStore):
    """A store of which the trail can be altered place by place; `end` is kept apart, as databases do."""

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
        self.end = (self.place(-1).position, self.place(-1).hash)

    def place(self, index: int) -> Link:
        return self.chains[ORG][index]

    def alter(self, position: int, **changes: object) -> None:
        index = next(index for index, place in enumerate(self.chains[ORG]) if place.position == position)
        self.chains[ORG][index] = replace(self.place(index), **changes)  # type: ignore[arg-type]

    def alter_event(self, position: int, **changes: object) -> None:
        event = self.place(position - 1).event
        assert event is not None
        self.alter(position, event=replace(event, **(changes or {"subject": "nobody"})))  # type: ignore[arg-type]

    def rewrite(self, position: int) -> None:
        """Alter an event as somebody does who can compute: its digest and every hash from there on fit again."""
        self.alter_event(position)
        before = CHAIN_BEGINS if position == 1 else self.place(position - 2).hash
        for index in range(position - 1, len(self.chains[ORG])):
            event = self.place(index).event
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


async def found(store: TrailStore, remembered: Head | None = None) -> list[Finding]:
    report = await audit(store, ORG, remembered=remembered)
    assert report.found == len(report.findings)
    return report.findings


async def test_nothing_is_wrong() -> None:
    """A trail as it was written has no findings; the report has its head."""
    store = TrailStore(5)
    report = await audit(store, ORG)
    assert (report.org_id, report.findings, report.found) == (ORG, [], 0)
    assert report.head == Head(5, store.place(4).hash)


async def test_no_trail() -> None:
    """An organisation without events has nothing wrong, and the head of the beginning."""
    report = await audit(TrailStore(1), BOB.organization.id)
    assert (report.findings, report.head) == ([], Head(0, CHAIN_BEGINS))


@pytest.mark.parametrize("position", [1, 3, 5])
async def test_an_altered_event(position: int) -> None:
    """An event that says something else than when it was written is found, and no other with it."""
    store = TrailStore(5)
    store.alter_event(position)
    event = store.place(position - 1).event
    assert event is not None
    assert await found(store) == [Finding(FindingKind.EVENT_ALTERED, position, event.id)]


@pytest.mark.parametrize("position", [1, 3, 5])
async def test_an_event_that_cannot_be_read(position: int) -> None:
    """An event that was made unreadable is one that was altered."""
    store = TrailStore(5)
    store.alter(position, event=None)
    assert await found(store) == [Finding(FindingKind.EVENT_ALTERED, position, None)]


@pytest.mark.parametrize("position", [1, 3, 5])
async def test_an_altered_digest(position: int) -> None:
    """The digest that is kept with an event belongs to it."""
    store = TrailStore(5)
    store.alter(position, digest=b"d" * 32)
    assert await found(store) == [Finding(FindingKind.EVENT_ALTERED, position, UUID(int=position))]


@pytest.mark.parametrize("position", [1, 3])
async def test_an_altered_hash(position: int) -> None:
    """A hash that was altered is found once, not again at the place after it."""
    store = TrailStore(5)
    store.alter(position, hash=b"h" * 32)
    assert await found(store) == [Finding(FindingKind.HASH_ALTERED, position, UUID(int=position))]


async def test_altered_hashes_in_a_row() -> None:
    """Each hash that was altered is found, and the first one after them that was not is right again."""
    store = TrailStore(6)
    for position in (2, 3, 4):
        store.alter(position, hash=bytes([position]) * 32)
    assert await found(store) == [
        Finding(FindingKind.HASH_ALTERED, position, UUID(int=position)) for position in (2, 3, 4)
    ]


async def test_an_altered_last_hash() -> None:
    """The last hash is kept twice; where the two are different both are told."""
    store = TrailStore(5)
    store.alter(5, hash=b"h" * 32)
    assert await found(store) == [
        Finding(FindingKind.HASH_ALTERED, 5, UUID(int=5)),
        Finding(FindingKind.END_ALTERED, 5),
    ]


@pytest.mark.parametrize("position", [1, 3, 5])
async def test_an_event_altered_with_its_digest(position: int) -> None:
    """Whoever alters an event and its digest would have to alter the hash, and every one after it."""
    store = TrailStore(5)
    store.alter_event(position)
    event = store.place(position - 1).event
    assert event is not None
    store.alter(position, digest=event.digest)
    assert await found(store) == [Finding(FindingKind.HASH_ALTERED, position, event.id)]


async def test_an_event_altered_with_its_digest_and_hash() -> None:
    """Who alters one hash too is found at the place after it."""
    store = TrailStore(5)
    store.rewrite(3)
    whole = TrailStore(5)
    store.alter(4, hash=whole.place(3).hash)
    store.alter(5, hash=whole.place(4).hash)
    store.end = whole.end
    assert await found(store) == [Finding(FindingKind.HASH_ALTERED, 4, UUID(int=4))]


@pytest.mark.parametrize("position", [1, 3, 5])
async def test_a_removed_event(position: int) -> None:
    """An event that was taken out leaves its place."""
    store = TrailStore(5)
    store.alter(position, event=None, digest=None)
    assert await found(store) == [Finding(FindingKind.EVENT_REMOVED, position)]


@pytest.mark.parametrize("positions", [(1,), (3,), (2, 3), (1, 2, 3, 4)])
async def test_removed_places(positions: tuple[int, ...]) -> None:
    """Places that were taken out, events and all, are missing."""
    store = TrailStore(5)
    store.chains[ORG] = [place for place in store.chains[ORG] if place.position not in positions]
    assert await found(store) == [Finding(FindingKind.PLACES_REMOVED, positions[0])]


async def test_an_altered_event_after_removed_places() -> None:
    """After a gap an event still has to be what it was."""
    store = TrailStore(5)
    store.alter_event(3)
    del store.chains[ORG][1]
    assert await found(store) == [
        Finding(FindingKind.PLACES_REMOVED, 2),
        Finding(FindingKind.EVENT_ALTERED, 3, UUID(int=3)),
    ]


async def test_a_loose_event() -> None:
    """An event that has no place in the chain was put there by somebody."""
    store = TrailStore(5)
    store.loose = [UUID(int=99)]
    assert await found(store) == [Finding(FindingKind.EVENT_LOOSE, None, UUID(int=99))]


@pytest.mark.parametrize("left", [0, 2, 4])
async def test_a_cut_off_end(left: int) -> None:
    """An end that was cut off is missed, because what the next event is chained to is kept apart."""
    store = TrailStore(5)
    del store.chains[ORG][left:]
    assert await found(store) == [Finding(FindingKind.END_CUT_OFF, left + 1)]


async def test_an_altered_end() -> None:
    """What the next event is to be chained to is the last one there is."""
    store = TrailStore(5)
    store.end = (3, store.place(2).hash)
    assert await found(store) == [Finding(FindingKind.END_ALTERED, 3)]
    store.end = (5, b"h" * 32)
    assert await found(store) == [Finding(FindingKind.END_ALTERED, 5)]


async def test_whoever_computes_everything_anew() -> None:
    """A trail that was written anew, or cut off with what is kept of its end, is caught by an earlier head alone."""
    remembered = (await audit(TrailStore(5), ORG)).head
    rewritten, cut_off = TrailStore(7), TrailStore(3)
    rewritten.rewrite(2)
    assert await found(rewritten) == []
    assert await found(rewritten, remembered) == [Finding(FindingKind.HEAD_DIFFERS, 5)]
    assert await found(cut_off) == []
    assert await found(cut_off, remembered) == [Finding(FindingKind.HEAD_NOT_REACHED, 4)]
    assert await found(TrailStore(7), remembered) == []
    assert await found(TrailStore(5), remembered) == []


@pytest.mark.parametrize("positions", list(combinations(range(1, 6), 2)), ids=str)
async def test_two_alterations_are_two_findings(positions: tuple[int, int]) -> None:
    """Each altered event is told, whether or not they are neighbours."""
    store = TrailStore(5)
    for position in positions:
        store.alter_event(position)
    assert [(kind, position) for kind, position, _ in await found(store)] == [
        (FindingKind.EVENT_ALTERED, position) for position in positions
    ]


async def test_no_tampering_goes_unnoticed() -> None:
    """Of 1000 random tamperings, one to three at a time, none leaves a trail in which nothing is wrong."""
    chance = random.Random(15)
    for _ in range(1000):
        store = TrailStore(8)
        as_it_was = (list(store.chains[ORG]), store.end)
        for _ in range(chance.randint(1, 3)):
            tamper(store, chance)
        # Whoever alters something and alters it back has done nothing.
        assert bool(await found(store)) is ((store.chains[ORG], store.end) != as_it_was)


def tamper(store: TrailStore, chance: random.Random) -> None:
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
    """However long a trail is, so many places are held at once; findings beyond a number are counted."""
    length = 3 * PAGE + 1
    store = TrailStore(length)
    for position in range(1, length + 1):
        store.alter_event(position)
    report = await audit(store, ORG)
    assert (report.found, len(report.findings), report.head.position) == (length, MOST_FINDINGS, length)
    assert (store.largest, store.reads) == (PAGE, 5)


async def test_what_is_written_meanwhile() -> None:
    """A trail that grows while it is read has nothing wrong."""

    class Growing(TrailStore):
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
    """A head is read back as it was told."""
    head = Head(12, bytes(range(32)))
    assert str(head).startswith("12:000102")
    assert Head.read(str(head)) == head
