"""The decisions of an in-process verifier, with clocks that a test moves and no service at all."""

import threading
from functools import partial
from itertools import chain
from math import inf
from typing import Any

import pytest

from keywright.client.verifier._answers import Answer
from keywright.client.verifier._checker import LocalChecker
from keywright.client.verifier._verdicts import NOT_FOUND, Verdict
from keywright.keys.addresses import read_networks
from keywright.keys.format import digest
from keywright.keys.pair import mint, mint_credential
from keywright.keys.rate_limits import RateLimit
from keywright.keys.usage import LONGEST_AGENT, MOST_SOURCES_OF_A_KEY
from keywright.keys.usage_records import UsageRecord
from keywright.keys.verdict import Code, KeyFacts
from tests.client.clocks import SetClock
from tests.client.deciding import from_memory, request

PAIR = mint(bytes(32), brand="kw", environment="live")
TEXT = PAIR.private.reveal()
OTHER = mint(b"o" * 32, brand="kw", environment="live").private.reveal()
NOW = 1_800_000_000.0


def facts(**changes: Any) -> KeyFacts:
    return KeyFacts(**{"id": b"k" * 16, "org_id": b"o" * 16, "name": "n", "environment": "live", **changes})


class World:
    """A checker and its clocks; synced by default."""

    def __init__(self, *, outage_seconds: int = 300) -> None:
        self.clock = SetClock()
        self.checker = LocalChecker(
            brand="kw", capacity=10, outage_seconds=outage_seconds, clock=self.clock, wall=SetClock(NOW)
        )
        self.follow()

    def follow(self) -> None:
        self.checker.synced(self.clock.now)

    def verify_now(self, text: str = TEXT, *, explain: bool = False, **asked: Any) -> Verdict | None:
        return from_memory(self.checker, text, with_explanation=explain, **asked)

    def hold(self, found: KeyFacts | None = None, text: str = TEXT) -> None:
        self.answer(Answer(code=Code.VALID, facts=found or facts(), complete=True), text)

    def answer(self, answer: Answer, text: str = TEXT, **asked: Any) -> Verdict | None:
        asking = request(text, **asked)
        self.checker.end(self.checker.begin(asking), answer)
        return self.checker.answered(asking, answer)

    def sightings(self) -> list[UsageRecord]:
        return [*chain.from_iterable(iter(partial(self.checker.take_usage, 1000), []))]


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        TEXT[:-1],
        TEXT + "\n",
        " " + TEXT,
        TEXT[:-1] + ("0" if TEXT[-1] != "0" else "1"),
        "kw_sk_live_" + "ä" * 49,
        "\ud800",
        "x" * 1_000_000,
        PAIR.public.text,
        mint(bytes(32), brand="other", environment="live").private.reveal(),
        mint_credential(bytes(32), brand="kw").reveal(),
    ],
)
def test_what_is_no_key_of_ours_is_refused_without_asking(world: World, text: str) -> None:
    """A text that cannot be a private key of the brand is not known, whether the service is heard or not."""
    assert world.verify_now(text) == NOT_FOUND
    world.clock.go_on(100)
    assert world.verify_now(text) == NOT_FOUND


def test_an_unknown_key_is_asked_for(world: World) -> None:
    """A well-formed key that is not cached takes the service."""
    assert world.verify_now() is None


def test_a_held_key_is_judged_here(world: World) -> None:
    """A cached key gets its verdict from memory, the same each time, with all its facts."""
    world.hold(facts(scopes=("a:read",), expires_at=NOW + 10))
    first, second = world.verify_now(), world.verify_now()
    assert first is not None
    assert first.valid
    assert bool(first)
    assert first.key is not None
    assert (first.key.id.bytes, first.key.org_id.bytes) == (b"k" * 16, b"o" * 16)
    assert (first.key.name, first.key.environment, first.key.scopes) == ("n", "live", ("a:read",))
    assert first.key.expires_at is not None
    assert first.key.expires_at.timestamp() == NOW + 10
    assert second == first


@pytest.mark.parametrize(
    ("found", "asked", "code"),
    [
        (facts(revoked=True), {}, Code.REVOKED),
        (facts(expires_at=NOW - 1), {}, Code.EXPIRED),
        (facts(), {"environment": "sandbox"}, Code.WRONG_ENVIRONMENT),
        (facts(scopes=("a:read",)), {"scopes": ("a:read", "b:read")}, Code.INSUFFICIENT_SCOPE),
        (facts(scopes=("a:read", "b:read")), {"scopes": ("a:read", "b:read"), "environment": "live"}, Code.VALID),
    ],
)
def test_rules(world: World, found: KeyFacts, asked: dict[str, Any], code: Code) -> None:
    """Each rule refuses, from memory and by a fresh answer alike, and a refusal is explained when that is asked for."""
    fresh = code if code in (Code.REVOKED, Code.EXPIRED) else Code.VALID
    answered = world.answer(Answer(code=fresh, facts=found, complete=True), **asked)
    from_memory = world.verify_now(**asked)
    assert answered is not None
    assert from_memory is not None
    assert (answered.code, answered.key) == (from_memory.code, from_memory.key)
    assert from_memory.code is code
    assert bool(from_memory) is (code is Code.VALID)
    assert from_memory.explanation is None
    explained = world.verify_now(**asked, explain=True)
    assert explained is not None
    assert (explained.explanation is None) is (code is Code.VALID)


def test_not_found_is_not_held(world: World) -> None:
    """A key that the service does not know is asked for again: it may have been created since."""
    assert world.answer(Answer(code=Code.NOT_FOUND)) == NOT_FOUND
    assert world.verify_now() is None


def test_trust_lapses(world: World) -> None:
    """A second after the feed was last followed, every key is asked for, and none before that without need."""
    world.hold()
    assert world.verify_now()
    world.clock.go_on(1.0)
    assert world.verify_now()
    world.clock.go_on(0.001)
    assert not world.checker.fresh
    assert world.verify_now() is None
    world.follow()
    assert world.verify_now()


def test_a_dropped_key_is_asked_for(world: World) -> None:
    """After a drop nothing of the key is left, not even a verdict that was kept ready; other keys stay."""
    world.hold()
    world.hold(text=OTHER)
    assert world.verify_now()
    assert world.verify_now(OTHER)
    world.checker.drop([digest(TEXT)])
    assert world.verify_now() is None
    assert world.verify_now(OTHER)
    world.checker.drop_all()
    assert world.verify_now(OTHER) is None


def test_an_overtaken_answer_is_not_held(world: World) -> None:
    """An answer that a change invalidated gives one verdict and is not cached."""
    asking = request(TEXT)
    look_up = world.checker.begin(asking)
    answer = Answer(code=Code.VALID, facts=facts(), complete=True)
    world.checker.drop([asking.digest])
    assert world.checker.end(look_up, answer) is True
    assert world.checker.answered(asking, answer)
    assert world.verify_now() is None


def test_a_change_between_the_answer_and_the_verdict(world: World) -> None:
    """A key that is invalidated between its look-up and its verdict leaves no cached verdict."""
    asking = request(TEXT)
    answer = Answer(code=Code.VALID, facts=facts(), complete=True)
    assert world.checker.end(world.checker.begin(asking), answer) is False
    world.checker.drop([asking.digest])
    assert world.checker.answered(asking, answer)
    assert world.verify_now() is None


def test_a_stale_answer_is_told_and_not_held(world: World) -> None:
    """What the service says from its own memory is passed on as stale, and asked for again."""
    answer = Answer(code=Code.VALID, facts=facts(), complete=True, stale=True)
    verdict = world.answer(answer)
    assert verdict
    assert verdict.stale
    assert world.verify_now() is None


def test_facts_this_version_cannot_weigh(world: World) -> None:
    """A key with facts that this version does not know is neither judged here nor cached."""
    assert world.answer(Answer(code=Code.VALID, facts=facts(), complete=False)) is None
    assert world.verify_now() is None


def test_a_fresh_answer_knows_the_time_better(world: World) -> None:
    """Whether a key has expired is the service's word in a fresh answer, whatever this machine's clock says."""
    behind = world.answer(Answer(code=Code.EXPIRED, facts=facts(expires_at=NOW + 600), complete=True))
    assert behind is not None
    assert behind.code is Code.EXPIRED
    assert world.answer(Answer(code=Code.VALID, facts=facts(expires_at=NOW - 600), complete=True))


def test_a_key_expires_while_it_is_held(world: World) -> None:
    """A verdict that is kept ready ends with the key."""
    world.hold(facts(expires_at=NOW + 0.5))
    assert world.verify_now()
    world.clock.go_on(0.5)
    verdict = world.verify_now()
    assert verdict is not None
    assert verdict.code is Code.EXPIRED


def test_a_replaced_secret_retires_while_it_is_held(world: World) -> None:
    """A verdict that is kept ready ends with the secret that was presented; the refusal says that it was replaced."""
    world.hold(facts(retires_at=NOW + 0.5, expires_at=NOW + 900))
    assert world.verify_now()
    world.clock.go_on(0.5)
    verdict = world.verify_now(explain=True)
    assert verdict is not None
    assert verdict.code is Code.REPLACED
    assert verdict.explanation is not None
    assert "rotation" in verdict.explanation.reason


def test_each_address_is_judged(world: World) -> None:
    """A key that is bound to networks passes from there only, also right after it passed; nowhere is not there."""
    world.hold(facts(networks=read_networks(("192.0.2.0/24", "2001:db8::/32"))))
    for _ in range(2):
        assert world.verify_now(client_ip="192.0.2.7")
        assert world.verify_now(client_ip="::ffff:192.0.2.7")
        assert world.verify_now(client_ip="2001:db8::1")
        for address in ("192.0.3.7", None, "unix:", "2001:db9::1"):
            refused = world.verify_now(client_ip=address, explain=True)
            assert refused is not None
            assert refused.code is Code.IP_NOT_ALLOWED
            assert refused.explanation is not None


def test_an_answer_for_another_address(world: World) -> None:
    """What the service said of one request's address is not said of another one's that waited for the same answer."""
    bound = facts(networks=read_networks(["192.0.2.0/24"]))
    for said in (Code.VALID, Code.IP_NOT_ALLOWED):
        answer = Answer(code=said, facts=bound, complete=True)
        from_there, from_elsewhere = (world.answer(answer, client_ip=ip) for ip in ("192.0.2.7", "192.0.3.7"))
        assert from_there
        assert from_elsewhere is not None
        assert from_elsewhere.code is Code.IP_NOT_ALLOWED


# Rate limits.

LIMIT = RateLimit("minute", 3, 60)


def test_every_request_pays(world: World) -> None:
    """A key with limits pays for each request, the first and those with the same words alike, until nothing is left."""
    world.answer(Answer(code=Code.VALID, facts=facts(rate_limits=(LIMIT,)), complete=True))
    second, third, fourth = (world.verify_now() for _ in range(3))
    assert second is not None
    assert third is not None
    assert fourth is not None
    assert [(bool(one), one.limits[0].remaining) for one in (second, third, fourth)] == [
        (True, 1),
        (True, 0),
        (False, 0),
    ]
    assert (fourth.code, fourth.retry_after_seconds) == (Code.RATE_LIMITED, 20)
    assert fourth.key is not None
    assert fourth.key.rate_limits == (LIMIT,)
    world.clock.go_on(20)
    world.follow()
    assert world.verify_now()
    # What was refused was no use.
    assert {use.source.code: use.uses for use in world.sightings()} == {Code.VALID: 4, Code.RATE_LIMITED: 1}


def test_a_refused_request_pays_nothing(world: World) -> None:
    """A request that another rule refuses takes nothing of the limits, and its verdict has no states."""
    world.hold(facts(rate_limits=(LIMIT,), scopes=("a:read",)))
    for _ in range(5):
        refused = world.verify_now(scopes=("b:read",))
        assert refused is not None
        assert (refused.code, refused.limits, refused.retry_after_seconds) == (Code.INSUFFICIENT_SCOPE, (), None)
    assert world.verify_now(cost=2)


def test_costs(world: World) -> None:
    """A request takes what it costs, and the refusal is explained when that is asked for."""
    world.hold(facts(rate_limits=(LIMIT,)))
    assert world.verify_now(cost=0)
    assert world.verify_now(cost=2)
    refused = world.verify_now(explain=True)
    assert refused is not None
    assert refused.code is Code.RATE_LIMITED
    assert refused.explanation is not None
    never = world.verify_now(cost=4)
    assert never is not None
    assert (never.code, never.retry_after_seconds) == (Code.RATE_LIMITED, None)


@pytest.mark.parametrize("change", [{}, {"rate_limits": (LIMIT,)}], ids=["without limits", "with limits"])
def test_what_costs_nothing_is_no_use(world: World, change: dict[str, Any]) -> None:
    """A request that costs 0 adds nothing up, neither when it is accepted nor when it is refused."""
    world.hold(facts(**change))
    world.sightings()
    assert world.verify_now(cost=0)
    assert not world.verify_now(cost=0, scopes=("no:such",))
    assert world.sightings() == []


@pytest.mark.parametrize("code", [Code.REVOKED, Code.DISABLED, Code.EXPIRED, Code.REPLACED, Code.INSUFFICIENT_SCOPE])
def test_refusals_are_added_up(world: World, code: Code) -> None:
    """A refusal of a known key is added up with its code, the one that the service answered and those from memory."""
    changes: dict[Code, dict[str, Any]] = {
        Code.REVOKED: {"revoked": True},
        Code.DISABLED: {"disabled": True},
        Code.EXPIRED: {"expires_at": NOW - 1},
        Code.REPLACED: {"retires_at": NOW - 1},
        Code.INSUFFICIENT_SCOPE: {},
    }
    asked: dict[str, Any] = {"scopes": ("no:such",), "client_ip": "192.0.2.7", "user_agent": "curl/8"}
    answered = Code.VALID if code is Code.INSUFFICIENT_SCOPE else code
    world.answer(Answer(code=answered, facts=facts(**changes[code]), complete=True), **asked)
    for _ in range(2):
        refused = world.verify_now(**asked)
        assert refused is not None
        assert refused.code is code
    (record,) = world.sightings()
    source = record.source
    assert (source.code, source.digest, source.network, source.agent) == (code, digest(TEXT), "192.0.2.0/24", "curl")
    assert record.uses == 3


def test_a_text_that_is_no_key_is_not_added_up(world: World) -> None:
    """A text that is no key, or a key that nobody has, adds nothing up."""
    assert not world.verify_now("junk")
    world.answer(Answer(code=Code.NOT_FOUND, facts=None, complete=True))
    assert world.sightings() == []


def test_both_secrets_of_a_key_pay_into_one(world: World) -> None:
    """While a key is being rotated its two secrets share its limits."""
    limited = facts(rate_limits=(LIMIT,))
    world.hold(limited)
    world.hold(limited, text=OTHER)
    assert world.verify_now()
    assert not world.verify_now(OTHER)


def test_limits_outlive_a_change(world: World) -> None:
    """A change of anything but the limits keeps their state."""
    world.hold(facts(rate_limits=(LIMIT,)))
    assert world.verify_now(cost=2)
    world.checker.drop([digest(TEXT)])
    answer = Answer(code=Code.VALID, facts=facts(rate_limits=(LIMIT,), name="other"), complete=True)
    assert not world.answer(answer)
    assert not world.verify_now()


def test_limits_hold_in_an_outage(world: World) -> None:
    """In an outage a key still takes its cost; the refusal is marked stale."""
    world.hold(facts(rate_limits=(LIMIT,)))
    world.clock.go_on(5)
    verdicts = [world.checker.in_outage(request(TEXT)) for _ in range(3)]
    assert [verdict is not None and verdict.code for verdict in verdicts] == [Code.VALID, Code.VALID, Code.RATE_LIMITED]
    assert all(verdict is not None and verdict.stale for verdict in verdicts)


def test_setting_the_clock_earns_nothing(world: World) -> None:
    """When the service's time turns out to be another, limits neither become whole nor end."""
    world.hold(facts(rate_limits=(LIMIT,)))
    assert world.verify_now(cost=2)
    world.checker.set_time(NOW + 3600, 0.0, world.clock.now)
    assert not world.verify_now()
    world.checker.set_time(NOW - 3600, 0.0, world.clock.now)
    world.clock.go_on(20)
    world.follow()
    assert world.verify_now()


def test_the_clock_is_told_by_how_much_it_is_off(world: World) -> None:
    """The proven error of this machine's clock can be read after the service has sent its time."""
    assert world.checker.clock_error_seconds is None
    world.checker.set_time(NOW + 600, 2.0, world.clock.now)
    assert world.checker.clock_error_seconds == -600
    world.checker.set_time(NOW - 1, 2.0, world.clock.now)
    assert world.checker.clock_error_seconds == 0


# Outage.


def test_outage(world: World) -> None:
    """In an outage a cached key is accepted, marked stale, until `outage_seconds` after the last sync."""
    world.hold()
    asking = request(TEXT)
    world.clock.go_on(1.1)
    verdict = world.checker.in_outage(asking)
    assert verdict
    assert verdict.stale
    world.clock.go_on(298.8)
    assert world.checker.in_outage(asking)
    world.clock.go_on(0.2)
    assert world.checker.in_outage(asking) is None


def test_outage_knows_no_unknown_keys(world: World) -> None:
    """A key that is not cached has no verdict in an outage."""
    assert world.checker.in_outage(request(TEXT)) is None


def test_outage_forbidden() -> None:
    """With an outage of 0 s nothing is answered from what is not followed."""
    world = World(outage_seconds=0)
    world.hold()
    world.clock.go_on(1.1)
    assert world.checker.in_outage(request(TEXT)) is None


def test_outage_before_anything_was_followed() -> None:
    """What was looked up but never followed does not count in an outage."""
    world = World()
    world.checker.forget()
    fresh = LocalChecker(brand="kw", capacity=10, outage_seconds=300, clock=world.clock)
    asking = request(TEXT)
    fresh.end(fresh.begin(asking), Answer(code=Code.VALID, facts=facts(), complete=True))
    assert fresh.in_outage(asking) is None


@pytest.mark.parametrize(
    ("found", "code"), [(facts(revoked=True), Code.REVOKED), (facts(expires_at=NOW + 5), Code.EXPIRED)]
)
def test_outage_keeps_the_rules(world: World, found: KeyFacts, code: Code) -> None:
    """In an outage, too, a revoked key is revoked and a key expires."""
    world.hold(found)
    world.clock.go_on(10)
    verdict = world.checker.in_outage(request(TEXT))
    assert verdict is not None
    assert (verdict.code, verdict.stale) == (code, True)


def test_after_an_outage_verdicts_are_not_stale(world: World) -> None:
    """A verdict given in an outage is not given again, stale, once the feed is followed."""
    world.hold()
    world.clock.go_on(10)
    assert world.checker.in_outage(request(TEXT))
    world.follow()
    verdict = world.verify_now()
    assert verdict
    assert not verdict.stale


def test_the_end(world: World) -> None:
    """After the end nothing counts."""
    world.hold()
    world.checker.forget()
    world.follow()
    assert world.verify_now() is None
    assert world.checker.in_outage(request(TEXT)) is None


# Uses.


def test_uses_are_counted(world: World) -> None:
    """Each accepted use counts once, from memory, by a fresh answer and in an outage; refusals do not."""
    answer = Answer(code=Code.VALID, facts=facts(scopes=("a:read",)), complete=True)
    world.answer(answer, client_ip="192.0.2.7", user_agent="curl/8")
    for _ in range(3):
        world.verify_now(client_ip="192.0.2.8", user_agent="curl/9", scopes=("a:read",))
    world.verify_now(scopes=("b:read",))
    world.verify_now()
    world.clock.go_on(10)
    world.checker.in_outage(request(TEXT, client_ip="192.0.2.7"))
    uses = {(use.source.network, use.source.agent): use.uses for use in world.sightings()}
    assert uses == {("192.0.2.0/24", "curl"): 4, (None, None): 1, ("192.0.2.0/24", None): 1}


def test_when_a_key_was_used(world: World) -> None:
    """A sighting says when first and when last, and in which hour, by the service's clock."""
    world.hold()
    world.sightings()
    world.verify_now()
    world.clock.go_on(0.4)
    world.verify_now()
    (use,) = world.sightings()
    assert (use.first, use.last, use.uses) == (NOW, NOW + 0.4, 2)
    assert use.source.hour == NOW // 3600
    assert use.source.digest == digest(TEXT)


def test_a_long_agent_is_cut(world: World) -> None:
    """A customer cannot fill memory with names of programs, and is counted under the same family all the same."""
    world.hold()
    world.sightings()
    for end in ("a", "b"):
        assert world.verify_now(user_agent="curl/" + "x" * LONGEST_AGENT * 100 + end)
    (use,) = world.sightings()
    assert (use.source.agent, use.uses) == ("curl", 2)


def test_more_addresses_than_are_told_apart(world: World) -> None:
    """However many addresses come by, every use is counted once, and memory stays bounded."""
    world.hold()
    world.sightings()
    many = 40_000
    for number in range(many):
        world.verify_now(client_ip=f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    uses = world.sightings()
    assert sum(use.uses for use in uses) == many
    # There are more networks.
    assert len(uses) == MOST_SOURCES_OF_A_KEY + 1


def test_threads(world: World) -> None:
    """Any number of threads may check while keys come and go; no use is lost, and nothing dropped passes afterwards."""
    stop = threading.Event()
    counted = [0] * 4

    def check(number: int) -> None:
        while not stop.is_set():
            counted[number] += bool(world.verify_now(client_ip=f"192.0.2.{number}"))

    threads = [threading.Thread(target=check, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    reported = 0
    for _ in range(300):
        world.hold()
        world.hold(text=OTHER)
        reported += sum(use.uses for use in world.sightings())
        world.checker.drop([digest(TEXT)])
        assert world.verify_now() is None
    stop.set()
    for thread in threads:
        thread.join()
    reported += sum(use.uses for use in world.sightings())
    # `hold` makes a verdict itself, so two uses a round come from it.
    assert reported == sum(counted) + 600


def test_length() -> None:
    """The number of cached keys can be read."""
    world = World()
    world.hold()
    assert len(world.checker) == 1
    assert facts().expires_at == inf
