"""One feed of changes: where it begins, what it sends, and when it ends."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Any
from uuid import UUID

import pytest

from keywright.api.feed_stream import (
    BEGIN_PATIENCE_SECONDS,
    LONGEST_STREAM_SECONDS,
    MOST_EVENT_BYTES,
    FeedParts,
    Stream,
    acknowledge,
    open_stream,
)
from keywright.contract import FeedBeat, FeedDrop, FeedHello, FeedReset, read, written
from keywright.service.change_follower import ChangeFollower
from keywright.service.change_log import ChangeLog, cursor_of
from keywright.service.faults import StorageUnavailable
from keywright.service.feeds import ACKNOWLEDGEMENTS_A_SECOND, SHORTEST_SPREAD_SECONDS
from keywright.service.verifier_sessions import RENEW_EVERY_SECONDS, Session
from tests.api.checking_plane import CREDENTIAL, CheckingPlane
from tests.service.fake_checking_store import NOW
from tests.service.test_change_follower import until

SESSION = Session(id=UUID(int=9), verifier_id=UUID(int=1), name="api-1", outage_seconds=60)
Event = tuple[str, dict[str, Any]]


class Service:
    """A process that follows the changes, with feeds of it."""

    def __init__(self) -> None:
        plane = CheckingPlane()
        self.store, self.time = plane.store, plane.time
        self.follower = ChangeFollower(self.store, [], monotonic=self.time)
        self.parts = FeedParts(
            store=self.store,
            follower=self.follower,
            clock=lambda: NOW,
            monotonic=self.time,
        )

    async def open(self, patience: float = BEGIN_PATIENCE_SECONDS) -> Stream:
        """Open a feed."""
        return await open_stream(self.parts, SESSION, CREDENTIAL.digest, self.time(), patience=patience)

    def cursor(self, seq: int) -> str:
        """Give the cursor of a change."""
        return cursor_of(self.store.changes[seq - 1])


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """Give a process that has begun to follow, after two changes."""
    service = Service()
    service.store.tell(b"a" * 32)
    service.store.tell(b"b" * 32)
    service.follower.start()
    await service.follower.begun()
    yield service
    await service.follower.close()


CONTRACT: dict[str, type] = {"hello": FeedHello, "reset": FeedReset, "drop": FeedDrop, "beat": FeedBeat}


def events(block: bytes) -> list[Event]:
    """Read the events of a piece; each has the members that the contract gives it, and no others."""
    found = []
    for text in block.decode().strip().split("\n\n"):
        name, *id_, data = text.split("\n")
        body = data.removeprefix("data: ").encode()
        fields = json.loads(body)
        assert json.loads(written(read(CONTRACT[name.removeprefix("event: ")], body))) == fields
        if id_:
            fields["id"] = id_[0].removeprefix("id: ")
        found.append((name.removeprefix("event: "), fields))
    return found


async def beginning(stream: AsyncIterator[bytes]) -> list[Event]:
    """Read the events with which a feed begins: up to the first one with changes."""
    found: list[Event] = []
    while not found or found[-1][0] != "drop":
        found += events(await anext(stream))
    return found


async def test_a_feed_that_begins_anew(service: Service) -> None:
    """A verifier without a cursor forgets what it cached, is greeted, and is sent the recent changes to confirm."""
    ((reset, _), (hello, greeting), (drop, recent)) = await beginning((await service.open()).events(None))
    assert (reset, hello, drop) == ("reset", "hello", "drop")
    assert greeting["cursor"] == recent["id"] == service.cursor(2)
    assert (recent["seqs"], recent["digests"]) == ([1, 2], [(b"a" * 32).hex(), (b"b" * 32).hex()])
    assert service.store.sessions == {SESSION.id: SESSION}


async def test_a_feed_that_goes_on(service: Service) -> None:
    """A verifier with a cursor is sent what came after it, and everything from then on in the process's order."""
    stream = (await service.open()).events(service.cursor(1))
    ((hello, _), (drop, missed)) = await beginning(stream)
    assert (hello, drop, missed["seqs"]) == ("hello", "drop", [2])
    service.store.tell(b"c" * 32)
    service.store.tell(b"d" * 32)
    sent: list[str] = []
    while len(sent) < 2:
        ((_, news),) = events(await anext(stream))
        sent += news.get("digests", [])
    assert sent == [(b"c" * 32).hex(), (b"d" * 32).hex()]
    # Acknowledged by the cursor, which passes them.
    assert (news["seqs"], news["id"]) == ([], service.cursor(4))


@pytest.mark.parametrize("cursor", [1, None])
async def test_many_changes(service: Service, cursor: int | None) -> None:
    """
    Many changes are several events of at most 4 KiB; each change is in one of them.

    All but the last have the cursor and the promise of the event before, so that a verifier that has not read them to
    the end lacks nothing when it goes on.
    """
    for seq in range(3, 300):
        service.store.tell(*[bytes([seq % 256, n] * 16) for n in range(seq % 14)])
    await until(lambda: service.follower.log.end == 299)
    stream = (await service.open()).events(None if cursor is None else service.cursor(cursor))
    blocks: list[bytes] = []
    sent: list[dict[str, Any]] = []
    while not sent or sent[-1]["seqs"][-1:] != [299]:
        blocks.append(await anext(stream))
        sent += [fields for name, fields in events(blocks[-1]) if name == "drop"]
    assert max(map(len, blocks)) <= MOST_EVENT_BYTES
    told = service.store.changes[cursor or 0 :]
    assert [text for fields in sent for text in fields["digests"]] == [
        digest.hex() for change in told for digest in change.digests
    ]
    assert [seq for fields in sent for seq in fields["seqs"]] == [change.seq for change in told]
    *first, last = sent
    assert len(first) > 10
    assert {fields["id"] for fields in first} == {service.cursor(cursor or 299)}
    assert (last["id"], last["elapsed"], last["age"]) == (service.cursor(299), 0.0, 0.0)
    assert min(fields["age"] for fields in first) >= LONGEST_STREAM_SECONDS


async def test_a_beat_covers_what_was_read(service: Service) -> None:
    """A feed covers the changes up to the process's last complete reading, not up to the time of the event."""
    stream = (await service.open()).events(service.cursor(2))
    await beginning(stream)
    service.store.away = True
    service.time.seconds += 5.0
    ((beat, fields),) = events(await anext(stream))
    assert (beat, fields["cursor"], fields["elapsed"], fields["age"]) == ("beat", service.cursor(2), 5.0, 5.0)


@pytest.mark.parametrize("cursor", ["1", "7-00000000", "0-00000000"])
async def test_a_cursor_that_names_nothing(service: Service, cursor: str) -> None:
    """A verifier whose cursor this process does not know forgets what it cached."""
    assert events(await anext((await service.open()).events(cursor)))[0][0] == "reset"


async def test_a_process_that_does_not_follow() -> None:
    """A feed is not opened, and its session not stored, while its process does not follow the changes."""
    service = Service()
    with pytest.raises(StorageUnavailable):
        await service.open(patience=0.01)
    assert service.store.sessions == {}


async def test_a_verifier_that_is_revoked(service: Service) -> None:
    """A feed ends when its verifier is revoked, and does not begin when that happened while it was being opened."""
    stream = (await service.open()).events(None)
    await beginning(stream)
    late = await service.open()
    service.store.tell(CREDENTIAL.digest)
    await until(lambda: service.follower.log.end == 3)
    assert [event async for event in late.events(None)] == []
    assert [event async for event in stream] == []


async def test_a_feed_that_falls_behind(service: Service) -> None:
    """A feed ends when the change log has dropped unsent changes; no change is skipped silently."""
    service.follower.log = ChangeLog(2)
    stream = (await service.open()).events(None)
    await beginning(stream)
    for _ in range(3):
        service.store.tell(b"x" * 32)
    await until(lambda: service.follower.log.end >= 3)
    assert [event async for event in stream] == []


async def test_streams_send_the_same_changes(service: Service) -> None:
    """Streams at different positions have each change once, in the order of the process."""
    early = (await service.open()).events(service.cursor(2))
    await beginning(early)
    sent: dict[str, list[str]] = {"early": [], "late": []}
    for number in range(3, 30):
        service.store.tell(bytes([number]) * 32)
        await until(lambda number=number: service.follower.log.end == number)  # type: ignore[misc]
        if number == 10:
            late = (await service.open()).events(service.cursor(9))
            await beginning(late)
        if number % 3 == 0:
            sent["early"] += events(await anext(early))[0][1]["digests"]
        if number > 10:
            sent["late"] += events(await anext(late))[0][1]["digests"]
    told = [change.digests[0].hex() for change in service.store.changes]
    assert sent["early"] == told[2:27]
    assert sent["late"] == told[10:]


async def test_a_position_is_acknowledged(service: Service) -> None:
    """An acknowledgement of a position stands for every change that it passed, and for the numbers beside it."""
    for number in range(3, 9):
        service.store.tell(bytes([number]) * 32)
    await until(lambda: service.follower.log.end == 8)
    await acknowledge(service.parts, SESSION.id, [1], service.cursor(3), service.cursor(6))
    await acknowledge(service.parts, SESSION.id, [8, 8])
    await acknowledge(service.parts, SESSION.id, [], service.cursor(6), service.cursor(6))
    assert service.store.confirmed == [(SESSION.id, (1, 4, 5, 6)), (SESSION.id, (8,))]


async def test_a_position_that_this_process_has_not_read(service: Service) -> None:
    """An acknowledgement that arrives at another process than the change waits until that process has read it."""
    service.store.away = True
    service.store.tell(b"c" * 32)
    waiting = asyncio.create_task(acknowledge(service.parts, SESSION.id, [], service.cursor(2), service.cursor(3)))
    await asyncio.sleep(0.01)
    assert service.store.confirmed == []
    service.store.away = False
    await waiting
    assert service.store.confirmed == [(SESSION.id, (3,))]


async def test_a_position_that_is_never_read(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A position that no reading reaches is our trouble, and nothing is stored: the verifier sends it again."""
    monkeypatch.setattr("keywright.api.feed_stream.ACK_PATIENCE_SECONDS", 0.01)
    with pytest.raises(StorageUnavailable):
        await acknowledge(service.parts, SESSION.id, [1], service.cursor(2), "9-00000000")
    assert service.store.confirmed == []


async def test_many_streams_acknowledge_slowly(service: Service) -> None:
    """The more streams are open, the longer the time over which their verifiers acknowledge a change."""
    stream = (await service.open()).events(service.cursor(2))
    await beginning(stream)
    within = []
    with ExitStack() as streams:
        for number in range(3, 5):
            service.store.tell(bytes([number]) * 32)
            within.append(events(await anext(stream))[0][1]["within"])
            for _ in range(3 * ACKNOWLEDGEMENTS_A_SECOND):
                streams.enter_context(service.parts.fanout.counted())
    assert within == [SHORTEST_SPREAD_SECONDS, pytest.approx(3.0, abs=0.01)]


async def test_a_session_is_renewed_while_its_feed_lasts(service: Service) -> None:
    """A feed renews its session, so that receipts can tell it from one that is gone."""
    stream = (await service.open()).events(None)
    await beginning(stream)
    del service.store.sessions[SESSION.id]
    service.time.seconds += RENEW_EVERY_SECONDS
    await anext(stream)
    async with asyncio.timeout(60):
        await anext(stream)
    assert SESSION.id in service.store.sessions
