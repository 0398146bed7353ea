"""What the events of the feed mean, event by event, with clocks that a test moves."""

import json
import logging
from typing import Any

import pytest

from keywright.client.verifier._answers import Answer
from keywright.client.verifier._checker import LocalChecker
from keywright.client.verifier._event_stream import StreamBroken, StreamEvent
from keywright.client.verifier._feed import (
    LATE_BY_SECONDS,
    LATE_FROM_THE_START_SECONDS,
    LATE_SECONDS,
    LONGEST_SPREAD_SECONDS,
    Applied,
    FeedReader,
)
from keywright.keys.cache import BOUND_SECONDS, CLOCK_RATE
from keywright.keys.format import digest
from keywright.keys.pair import mint
from keywright.keys.verdict import Code, KeyFacts
from tests.client.clocks import SetClock
from tests.client.deciding import from_memory, request

TEXT = mint(bytes(32), brand="kw", environment="live").private.reveal()
FACTS = KeyFacts(id=b"k" * 16, org_id=b"o" * 16, name="n", environment="live")
REQUEST = request(TEXT)
T0 = 1000.0


class World:
    """A memory, the feed that empties it, and both clocks."""

    def __init__(self) -> None:
        self.clock = SetClock(T0)
        self.wall = SetClock(1_800_000_000.0)
        self.checker = LocalChecker(brand="kw", capacity=10, outage_seconds=300, clock=self.clock, wall=self.wall)
        self.reader = FeedReader(self.checker)

    def send(self, name: str, place: int | None = None, /, **data: Any) -> Applied:
        return self.reader.apply(StreamEvent(name, json.dumps(data), None if place is None else str(place)))

    def greet(self, cursor: str = "5", *, elapsed: float = 0.0) -> None:
        self.send("hello", cursor=cursor, time=self.wall(), elapsed=elapsed, age=0.0, bound=1.0)

    def beat(self, *, elapsed: float, age: float = 0.0, cursor: str = "5") -> None:
        self.send("beat", cursor=cursor, elapsed=elapsed, age=age)

    def hold(self, facts: KeyFacts = FACTS) -> None:
        self.checker.end(self.checker.begin(REQUEST), Answer(code=Code.VALID, facts=facts, complete=True))

    def code(self) -> Code | None:
        verdict = from_memory(self.checker, TEXT)
        return None if verdict is None else verdict.code

    def trusted_until(self) -> float:
        """Find the last time at which the cache is fresh, to the microsecond."""
        at = self.clock.now
        low, high = at - 1000, at + 1000
        while high - low > 1e-6:
            self.clock.now = (low + high) / 2
            low, high = (self.clock.now, high) if self.checker.fresh else (low, self.clock.now)
        self.clock.now = at
        return low


@pytest.fixture
def world() -> World:
    world = World()
    world.reader.begin()
    return world


@pytest.mark.parametrize(
    ("elapsed", "age", "received"),
    [(0.0, 0.0, T0), (10.0, 0.0, T0 + 10.3), (10.0, 0.25, T0 + 30.0), (0.1, 0.5, T0 + 0.2)],
)
def test_how_long_a_beat_is_trusted(world: World, elapsed: float, age: float, received: float) -> None:
    """
    Trust ends the bound after t0 + elapsed - age, less the most that two clocks' rates differ, however late the beat.
    """
    world.greet()
    world.clock.now = received
    world.beat(elapsed=elapsed, age=age)
    expected = T0 + elapsed - age - CLOCK_RATE * max(elapsed, age) + BOUND_SECONDS
    assert world.trusted_until() == pytest.approx(expected, abs=2e-6)


def test_followed_never_later_than_received(world: World) -> None:
    """A service whose clock runs ahead cannot make the cache fresh for longer than the bound from now."""
    world.greet()
    world.clock.now = T0 + 1
    world.beat(elapsed=500.0)
    assert world.trusted_until() == pytest.approx(T0 + 1 + BOUND_SECONDS, abs=2e-6)


def test_a_greeting_is_not_trusted(world: World) -> None:
    """Before the first beat or drop nothing counts: a greeting may come before what was missed."""
    world.hold()
    world.greet()
    world.hold()
    assert world.code() is None
    world.beat(elapsed=0.0)
    assert world.code() is Code.VALID


def test_what_was_looked_up_before_the_stream_began_is_forgotten(world: World) -> None:
    """Keys that were cached before the first `hello` are dropped: they may have changed before the stream."""
    world.hold()
    look_up = world.checker.begin(REQUEST)
    world.greet()
    world.beat(elapsed=0.0)
    assert world.code() is None
    assert world.checker.end(look_up, Answer(code=Code.VALID, facts=FACTS, complete=True)) is True
    assert world.code() is None


def test_a_drop(world: World) -> None:
    """A drop forgets the keys, gives what to confirm, moves the cursor, and says how far it was followed."""
    world.greet()
    world.beat(elapsed=0.0)
    world.hold()
    world.clock.go_on(0.5)
    digests = [digest(TEXT).hex(), "ab" * 32]
    dropped = world.send("drop", "9", digests=digests, seqs=[8, 9], elapsed=0.5, age=0.0, within=0.3)
    assert dropped == Applied((8, 9), "9", 0.3, anew=False)
    assert world.code() is None
    assert world.trusted_until() == pytest.approx(T0 + 0.5 * (1 - CLOCK_RATE) + BOUND_SECONDS, abs=2e-6)
    assert world.reader.begin() == {"cursor": "9"}


def test_going_on(world: World) -> None:
    """A later stream goes on at the cursor of what was dropped, which a greeting does not move, and forgets nothing."""
    world.greet(cursor="5")
    world.beat(elapsed=0.0, cursor="7-abc")
    world.hold()
    world.clock.go_on(20)
    assert world.reader.begin() == {"cursor": "7-abc"}
    world.greet(cursor="9")
    assert world.reader.begin() == {"cursor": "7-abc"}
    assert world.code() is None
    assert world.send("drop", "9", digests=["ab" * 32], seqs=[8, 9], elapsed=0.0, age=0.0).seqs == (8, 9)
    assert world.reader.begin() == {"cursor": "9"}
    assert world.code() is Code.VALID


def test_reset_forgets_everything(world: World) -> None:
    """When the service cannot say what was missed, nothing that was known counts, nor what is being looked up."""
    world.greet()
    world.beat(elapsed=0.0)
    world.hold()
    look_up = world.checker.begin(REQUEST)
    assert world.send("reset", elapsed=0.0, age=0.0) == Applied((), None, 0.0, anew=True)
    assert world.checker.end(look_up, None) is True
    assert world.code() is None
    assert world.reader.begin() == {}


def test_after_a_reset_comes_a_greeting(world: World) -> None:
    """After a reset the `hello` has the cursor from which the stream is complete."""
    world.greet()
    world.send("reset", elapsed=0.0, age=0.0)
    with pytest.raises(StreamBroken):
        world.beat(elapsed=0.0, cursor="40")
    world.send("reset", elapsed=0.0, age=0.0)
    world.greet(cursor="40")
    world.beat(elapsed=0.0, cursor="41")
    assert world.reader.begin() == {"cursor": "41"}


def test_unknown_events_are_passed_over(world: World) -> None:
    """A newer service may say more."""
    world.greet()
    assert world.reader.apply(StreamEvent("news", "not even JSON", None)) == Applied((), "5", 0.0, anew=False)


@pytest.mark.parametrize(("told", "kept"), [(-1.0, 0.0), (2.5, 2.5), (1e9, LONGEST_SPREAD_SECONDS)])
def test_no_service_delays_acknowledgements_for_long(world: World, told: float, kept: float) -> None:
    """Whatever a service says, an acknowledgement is sent soon enough for a receipt that people wait for."""
    world.greet()
    assert world.send("drop", "9", digests=[], seqs=[], elapsed=0.0, age=0.0, within=told).within == kept


def test_the_time_of_a_connection_does_not_count(world: World) -> None:
    """A stream is trusted from the moment at which its request was sent over a connection that took long to make."""
    world.clock.go_on(0.6)
    world.reader.sending()
    world.clock.go_on(0.06)
    world.greet()
    world.beat(elapsed=0.0)
    assert world.trusted_until() == pytest.approx(T0 + 0.6 + BOUND_SECONDS, abs=2e-6)


@pytest.mark.parametrize(
    "event",
    [
        StreamEvent("beat", "{", None),
        StreamEvent("beat", "[]", None),
        StreamEvent("beat", "[" * 100_000, None),
        StreamEvent("beat", '{"cursor": "1", "elapsed": NaN, "age": 0}', None),
        StreamEvent("beat", '{"cursor": "1", "elapsed": -1, "age": 0}', None),
        StreamEvent("beat", '{"cursor": "1", "elapsed": 0, "age": -5}', None),
        StreamEvent("beat", '{"cursor": true, "elapsed": 0, "age": 0}', None),
        StreamEvent("beat", '{"cursor": 1, "elapsed": 0, "age": 0}', None),
        StreamEvent("beat", json.dumps({"cursor": "1" * 65, "elapsed": 0, "age": 0}), None),
        StreamEvent("beat", '{"elapsed": 0, "age": 0}', None),
        StreamEvent("drop", '{"digests": [], "seqs": [], "elapsed": 0, "age": 0}', None),
        StreamEvent("drop", '{"digests": ["ab"], "seqs": [1], "elapsed": 0, "age": 0}', "1"),
        StreamEvent("drop", '{"digests": ["zz"], "seqs": [1], "elapsed": 0, "age": 0}', "1"),
        StreamEvent("drop", '{"digests": [1], "seqs": [1], "elapsed": 0, "age": 0}', "1"),
        StreamEvent("drop", '{"digests": [], "seqs": ["1"], "elapsed": 0, "age": 0}', "1"),
        StreamEvent("hello", '{"cursor": "1", "time": "now", "elapsed": 0, "age": 0}', None),
        StreamEvent("reset", "{", None),
    ],
)
def test_broken_events(world: World, event: StreamEvent) -> None:
    """Whatever is not an event of the feed ends the stream: what it would have named is named by the next one."""
    world.greet()
    with pytest.raises(StreamBroken):
        world.reader.apply(event)
    assert world.reader.begin() == {"cursor": "5"}
    assert not world.checker.fresh


def test_nothing_counts_before_the_greeting(world: World) -> None:
    """A stream that was asked for without a place to go on from has to say where it begins."""
    with pytest.raises(StreamBroken):
        world.beat(elapsed=0.0)


def test_a_stream_that_falls_behind_is_given_up(world: World) -> None:
    """When one machine was halted with its clocks, a new stream is opened; a moment's delay does not matter."""
    world.greet()
    world.clock.go_on(30)
    world.beat(elapsed=0.2)
    world.clock.go_on(LATE_SECONDS / 2)
    world.beat(elapsed=30 + LATE_SECONDS / 2)
    world.clock.go_on(30)
    world.beat(elapsed=0.4)
    world.clock.go_on(LATE_SECONDS + 0.1)
    with pytest.raises(StreamBroken, match="fallen behind"):
        world.beat(elapsed=0.6)


def test_a_stream_that_took_long_to_open_is_given_up(world: World) -> None:
    """A stream that stays late by so much that what is cached counts only now and then is opened anew."""
    world.greet()
    world.clock.go_on(LATE_BY_SECONDS + 0.1)
    world.beat(elapsed=0.0)
    world.clock.go_on(LATE_SECONDS + 0.1)
    with pytest.raises(StreamBroken, match="fallen behind"):
        world.beat(elapsed=LATE_SECONDS + 0.1)


def test_a_stream_that_is_late_from_the_start_is_given_up_sooner(world: World) -> None:
    """A stream whose request took long is opened anew soon, one that was in time before has more patience."""
    for in_time, patience in ((False, LATE_FROM_THE_START_SECONDS), (True, LATE_SECONDS)):
        world.reader.begin()
        began = world.clock.now
        world.greet()
        if in_time:
            world.beat(elapsed=0.0)
        world.clock.go_on(LATE_BY_SECONDS + 0.1)
        world.beat(elapsed=0.0)
        late_since = world.clock.now
        world.clock.go_on(patience - 0.1)
        world.beat(elapsed=world.clock.now - late_since)
        world.clock.go_on(0.2)
        with pytest.raises(StreamBroken, match="fallen behind"):
            world.beat(elapsed=world.clock.now - late_since)
        assert world.clock.now - began == pytest.approx(LATE_BY_SECONDS + patience + 0.2)


# Time of day.


def held_until(world: World, expires_at: float) -> None:
    world.beat(elapsed=world.clock.now - T0)
    world.hold(KeyFacts(id=b"k" * 16, org_id=b"o" * 16, name="n", environment="live", expires_at=expires_at))


@pytest.mark.parametrize("off", [-600.0, -2.0, 0.0, 2.0, 600.0])
def test_keys_expire_by_the_services_clock(world: World, off: float) -> None:
    """Whatever this machine's clock shows, before and after, a key expires when the service's clock says so."""
    now = 1_700_000_000.0
    world.wall.now = now + off
    world.clock.go_on(0.02)
    world.send("hello", cursor="5", time=now, elapsed=0.01, age=0.0, bound=1.0)
    held_until(world, now + 50)
    assert world.code() is Code.VALID
    world.wall.now -= 3600
    world.clock.go_on(49.9)
    world.beat(elapsed=world.clock.now - T0)
    assert world.code() is Code.VALID
    world.clock.go_on(0.2)
    world.beat(elapsed=world.clock.now - T0)
    assert world.code() is Code.EXPIRED


def test_a_clock_that_is_off_is_warned_of_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """An operator learns that the machine's clock is off, once for as long as it is."""
    caplog.set_level(logging.WARNING, "keywright.client")
    for off, warnings in [(0.5, 0), (-600.0, 1), (-600.0, 1), (0.0, 1), (601.0, 2)]:
        world.send("hello", cursor="5", time=world.wall() - off, elapsed=0.0, age=0.0, bound=1.0)
        assert len(caplog.records) == warnings
    assert "601" in caplog.text


def test_a_late_greeting_moves_the_clock_no_further_than_it_proves(world: World) -> None:
    """A greeting that took 30 s to arrive leaves a clock alone that is right, and moves one that cannot be right."""
    now = world.wall.now
    world.clock.go_on(30)
    world.wall.now = now + 30
    assert world.checker.set_time(now + 1, 29.5, world.clock.now) == 0.0
    assert world.checker.set_time(now - 60, 29.5, world.clock.now) == pytest.approx(60.5)
    assert world.checker.set_time(now + 90, 29.5, world.clock.now) == pytest.approx(-60.0)
