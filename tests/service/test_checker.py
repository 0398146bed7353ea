"""The flow of a verification: tenant isolation, failure limit, rate limits, usage, and the count of verdicts."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from keywright.keys.addresses import read_networks
from keywright.keys.cache import KeyCache
from keywright.keys.pair import mint
from keywright.keys.rate_limits import RateLimit
from keywright.keys.usage import UsageBook, hour_of
from keywright.keys.usage_records import UsageSource
from keywright.keys.verdict import NO_REQUIREMENTS, Code, KeyFacts, Requirements
from keywright.service.checking.failure_limit import FailureLimit
from keywright.service.checking.verdicts import Caller, KeyVerdict
from keywright.service.checking.verification import Verification
from keywright.service.faults import LimitsUnavailable, StorageUnavailable
from tests.service.fake_checking_store import FakeCheckingStore, FakeTime
from tests.service.fake_rate_limiter import FakeRateLimiter
from tests.service.making_checkers import CALLER, Verdicts, a_checker

PAIR = mint(bytes(range(32)), brand="kw", environment="live")
TEXT, DIGEST = PAIR.private.reveal(), PAIR.private.digest
UNKNOWN = mint(b"u" * 32, brand="kw", environment="live").private.reveal()
FACTS = KeyFacts(id=b"k" * 16, org_id=b"o" * 16, name="n", environment="live", scopes=("orders:read",))
LIMITS = (RateLimit("minute", 2, 60),)
NOW = 1_000_000.0
OWNER, STRANGER = Caller("owner", None, FACTS.org_id), Caller("stranger", None, b"x" * 16)
ADDRESS = Requirements(client_ip="192.0.2.7")


class Plane:
    """A checker with everything it stands on; its cache is fresh, and empty."""

    def __init__(self) -> None:
        self.store, self.time, self.now = FakeCheckingStore(), FakeTime(), FakeTime(NOW)
        self.cache, self.usage, self.verdicts = KeyCache(100), UsageBook(), Verdicts()
        self.failures, self.limiter = FailureLimit(allowed=2), FakeRateLimiter(self.time)
        self.refused: list[tuple[Caller, Code, str | None]] = []
        self.store.facts[DIGEST] = FACTS
        self.cache.synced(self.time())
        verification = Verification(
            self.store, self.cache, brand="kw", now=self.now, monotonic=self.time, outage_seconds=60.0
        )
        self.checker = a_checker(
            verification,
            self.time,
            now=self.now,
            usage=self.usage,
            failures=self.failures,
            limiter=self.limiter,
            verdicts=self.verdicts,
            on_refused=lambda *refused: self.refused.append(refused),
        )

    def key(self, **change: Any) -> None:
        """Change the key."""
        self.store.facts[DIGEST] = replace(FACTS, **change)
        self.cache.drop([DIGEST])

    async def fill_cache(self) -> None:
        """Bring the key into the cache, with nothing counted."""
        await self.checker.verification.verify_from_store(TEXT, NO_REQUIREMENTS)

    async def counted(self) -> dict[str, int]:
        """Give the verdicts that were counted, once the loop has come round."""
        await asyncio.sleep(0)
        return dict(self.verdicts)


@pytest.fixture
def plane() -> Plane:
    return Plane()


def code_of(verdict: KeyVerdict | None) -> Code | None:
    return None if verdict is None else verdict.code


# Usage, and the count of verdicts


async def test_a_use_is_added_up_and_the_verdict_counted(plane: Plane) -> None:
    """Uses and refusals are added up by secret, hour, network, agent, caller and code; all verdicts are counted."""
    assert (await plane.checker.check(CALLER, TEXT, ADDRESS, agent="curl")).code is Code.VALID
    assert code_of(plane.checker.check_now(CALLER, TEXT, ADDRESS, agent="curl")) is Code.VALID
    required = replace(ADDRESS, scopes=("no:such",))
    assert code_of(plane.checker.check_now(CALLER, TEXT, required, agent="curl")) is Code.INSUFFICIENT_SCOPE
    source = UsageSource(DIGEST, hour_of(NOW), "192.0.2.0/24", "curl", FACTS.id, "edge")
    assert [(record.source, record.uses) for record in plane.usage.take()] == [
        (source, 2),
        (source._replace(code=Code.INSUFFICIENT_SCOPE), 1),
    ]
    assert await plane.counted() == {"valid": 2, "insufficient_scope": 1}


@pytest.mark.parametrize(
    ("change", "required", "code"),
    [
        ({"revoked": True}, NO_REQUIREMENTS, Code.REVOKED),
        ({"disabled": True}, NO_REQUIREMENTS, Code.DISABLED),
        ({"expires_at": NOW}, NO_REQUIREMENTS, Code.EXPIRED),
        ({"retires_at": NOW}, NO_REQUIREMENTS, Code.REPLACED),
        ({}, Requirements(environment="sandbox"), Code.WRONG_ENVIRONMENT),
        ({}, Requirements(scopes=("no:such",)), Code.INSUFFICIENT_SCOPE),
        ({"networks": read_networks(["192.0.2.0/24"])}, NO_REQUIREMENTS, Code.IP_NOT_ALLOWED),
    ],
)
async def test_a_refusal_of_a_known_key(
    plane: Plane, change: dict[str, Any], required: Requirements, code: Code
) -> None:
    """Each refusal of a key is added up with its code, from the database and from memory; one that costs 0 is not."""
    plane.key(**change)
    for cost in (1, 0):
        assert (await plane.checker.check(CALLER, TEXT, required, cost=cost)).code is code
        assert code_of(plane.checker.check_now(CALLER, TEXT, required, cost=cost)) is code
    (record,) = plane.usage.take()
    assert record.source == UsageSource(DIGEST, hour_of(NOW), None, None, FACTS.id, "edge", code)
    assert record.uses == 2
    assert await plane.counted() == {code: 4}


async def test_what_costs_nothing_is_no_use(plane: Plane) -> None:
    """A check of a valid key that costs 0 is counted as a verdict, and adds nothing up."""
    assert (await plane.checker.check(CALLER, TEXT, NO_REQUIREMENTS, cost=0)).code is Code.VALID
    assert code_of(plane.checker.check_now(CALLER, TEXT, NO_REQUIREMENTS, cost=0)) is Code.VALID
    assert await plane.counted() == {"valid": 2}
    assert len(plane.usage) == 0


async def test_nothing_is_added_up_for_strangers(plane: Plane) -> None:
    """A key of another organization, refused or not, a text that is no key, and a failure limit add nothing up."""
    for change in ({}, {"revoked": True}):
        plane.key(**change)
        assert (await plane.checker.check(STRANGER, TEXT, NO_REQUIREMENTS)).code is Code.NOT_FOUND
        assert code_of(plane.checker.check_now(STRANGER, TEXT, NO_REQUIREMENTS)) is Code.NOT_FOUND
    for _ in range(3):
        last = await plane.checker.check(CALLER, UNKNOWN, ADDRESS)
    assert last.code is Code.RATE_LIMITED
    assert len(plane.usage) == 0
    assert (await plane.checker.check(OWNER, TEXT, NO_REQUIREMENTS)).code is Code.REVOKED
    assert [record.source.verifier for record in plane.usage.take()] == ["owner"]


async def test_one_addition_for_one_round_of_the_loop(plane: Plane) -> None:
    """Valid verdicts reach the counter once the loop has come round, however many there were, and none is lost."""
    await plane.fill_cache()
    for _ in range(3):
        plane.checker.check_now(CALLER, TEXT, NO_REQUIREMENTS)
    assert plane.verdicts == {}
    assert await plane.counted() == {"valid": 3}
    plane.checker.check_now(CALLER, TEXT, NO_REQUIREMENTS)
    assert await plane.counted() == {"valid": 4}


async def test_refusals_are_reported(plane: Plane) -> None:
    """Each refusal is reported with its caller, code and network; an accepted use is not."""
    assert (await plane.checker.check(CALLER, TEXT, ADDRESS)).code is Code.VALID
    assert (await plane.checker.check(CALLER, UNKNOWN, ADDRESS)).code is Code.NOT_FOUND
    insufficient = Requirements(client_ip="192.0.2.7", scopes=("no:such",))
    assert code_of(plane.checker.check_now(CALLER, TEXT, insufficient)) is Code.INSUFFICIENT_SCOPE
    assert (await plane.checker.facts_for(STRANGER, TEXT, NO_REQUIREMENTS)).code is Code.NOT_FOUND
    assert plane.refused == [
        (CALLER, Code.NOT_FOUND, "192.0.2.0/24"),
        (CALLER, Code.INSUFFICIENT_SCOPE, "192.0.2.0/24"),
        (STRANGER, Code.NOT_FOUND, None),
    ]


async def test_what_is_not_in_memory_has_to_wait(plane: Plane) -> None:
    """`check_now` gives nothing, and counts nothing, where the database or the rate limiter has to be asked."""
    assert plane.checker.check_now(CALLER, TEXT, NO_REQUIREMENTS) is None
    plane.key(rate_limits=LIMITS)
    await plane.fill_cache()
    plane.limiter.far = True
    assert plane.checker.check_now(CALLER, TEXT, NO_REQUIREMENTS) is None
    assert await plane.counted() == {}
    assert len(plane.usage) == 0


# Tenant isolation


@pytest.mark.parametrize(("caller", "code"), [(CALLER, Code.VALID), (OWNER, Code.VALID), (STRANGER, Code.NOT_FOUND)])
async def test_another_organizations_key(plane: Plane, caller: Caller, code: Code) -> None:
    """A caller of an organization does not find another one's key, takes nothing of its limits, and is no use of it."""
    plane.key(rate_limits=LIMITS)
    verdict = await plane.checker.check(caller, TEXT, NO_REQUIREMENTS)
    assert (verdict.code, verdict.facts is None) == (code, code is Code.NOT_FOUND)
    assert code_of(plane.checker.check_now(caller, TEXT, NO_REQUIREMENTS)) is code
    assert (await plane.checker.facts_for(caller, TEXT, NO_REQUIREMENTS)).code is code
    accepted = 2 if code is Code.VALID else 0
    assert plane.limiter.asked == [(FACTS.id, 1)] * accepted
    assert sum(each.uses for each in plane.usage.take()) == accepted


async def test_a_stale_verdict_on_another_organizations_key_is_stale(plane: Plane) -> None:
    """That a verdict comes from memory alone is said to every caller."""
    await plane.fill_cache()
    plane.time.seconds += 30
    plane.store.away = True
    assert await plane.checker.check(STRANGER, TEXT, NO_REQUIREMENTS) == KeyVerdict(Code.NOT_FOUND, None, None, True)


# The failure limit


async def test_guesses_are_limited_by_network(plane: Plane) -> None:
    """After too many unknown keys a network's look-ups are refused, for a while; other networks are not touched."""
    for _ in range(2):
        assert (await plane.checker.check(CALLER, UNKNOWN, ADDRESS)).code is Code.NOT_FOUND
    looked_up = plane.store.look_ups
    refused = await plane.checker.check(CALLER, TEXT, Requirements(client_ip="192.0.2.99"))
    assert refused == KeyVerdict(Code.RATE_LIMITED, None, None)
    assert plane.store.look_ups == looked_up
    assert (await plane.checker.check(CALLER, UNKNOWN, Requirements(client_ip="198.51.100.1"))).code is Code.NOT_FOUND
    assert (await plane.checker.check(CALLER, UNKNOWN, NO_REQUIREMENTS)).code is Code.NOT_FOUND
    plane.time.seconds += 60
    plane.cache.synced(plane.time())
    assert (await plane.checker.check(CALLER, TEXT, ADDRESS)).code is Code.VALID


async def test_keys_in_the_cache_are_not_refused_for_guesses(plane: Plane) -> None:
    """A key in the cache goes on working at a network that guesses, for in-process verifiers, too."""
    await plane.fill_cache()
    while (await plane.checker.check(CALLER, UNKNOWN, ADDRESS)).code is Code.NOT_FOUND:
        pass
    assert (await plane.checker.check(CALLER, TEXT, ADDRESS)).code is Code.VALID
    assert (await plane.checker.facts_for(CALLER, TEXT, ADDRESS)).code is Code.VALID
    assert (await plane.checker.facts_for(CALLER, UNKNOWN, ADDRESS)).code is Code.RATE_LIMITED


async def test_a_tenants_guesses_are_its_own(plane: Plane) -> None:
    """An organization that guesses under another one's addresses stops no first look-up of a good key there."""
    while (await plane.checker.check(STRANGER, UNKNOWN, ADDRESS)).code is Code.NOT_FOUND:
        pass
    assert (await plane.checker.check(OWNER, TEXT, ADDRESS)).code is Code.VALID


async def test_cached_keys_are_not_refused_while_the_cache_is_not_fresh(plane: Plane) -> None:
    """A key in the cache is looked up at a network that guesses, too, where the cache alone cannot answer."""
    await plane.fill_cache()
    while (await plane.checker.check(CALLER, UNKNOWN, ADDRESS)).code is Code.NOT_FOUND:
        pass
    plane.time.seconds += 2
    assert plane.checker.check_now(CALLER, TEXT, ADDRESS) is None
    assert (await plane.checker.check(CALLER, TEXT, ADDRESS)).code is Code.VALID


async def test_a_key_that_is_found_is_no_failure(plane: Plane) -> None:
    """Look-ups that find a key, good or not, do not count."""
    plane.key(revoked=True)
    for _ in range(5):
        plane.cache.drop([DIGEST])
        assert (await plane.checker.check(CALLER, TEXT, ADDRESS)).code is Code.REVOKED


# Rate limits


@pytest.mark.parametrize("far", [False, True], ids=["counted here", "counted elsewhere"])
async def test_rate_limits(plane: Plane, far: bool) -> None:
    """A request takes its cost of the limits of a good key, once; a refusal takes nothing, and is added up as one."""
    plane.key(rate_limits=LIMITS)
    plane.limiter.far = far
    first = await plane.checker.check(CALLER, TEXT, NO_REQUIREMENTS, cost=2)
    assert first.rate_limits is not None
    assert [state.remaining for state in first.rate_limits.states] == [0]
    second = await plane.checker.check(CALLER, TEXT, NO_REQUIREMENTS)
    assert (second.code, second.facts) == (Code.RATE_LIMITED, plane.store.facts[DIGEST])
    assert plane.limiter.asked == [(FACTS.id, 2), (FACTS.id, 1)]
    assert {each.source.code: each.uses for each in plane.usage.take()} == {Code.VALID: 1, Code.RATE_LIMITED: 1}
    assert await plane.counted() == {"valid": 1, "rate_limited": 1}


async def test_rate_limits_are_for_valid_keys(plane: Plane) -> None:
    """What another rule refuses takes nothing of the limits."""
    plane.key(rate_limits=LIMITS, revoked=True)
    assert (await plane.checker.check(CALLER, TEXT, NO_REQUIREMENTS)).rate_limits is None
    assert plane.limiter.asked == []


async def test_rate_limits_that_cannot_be_counted(plane: Plane) -> None:
    """Where the rate limiter cannot be reached there is no verdict, no use and no count."""
    plane.key(rate_limits=LIMITS)
    plane.limiter.away = True
    with pytest.raises(LimitsUnavailable):
        await plane.checker.check(CALLER, TEXT, NO_REQUIREMENTS)
    assert await plane.counted() == {}
    assert len(plane.usage) == 0


# In-process verifiers


async def test_facts_come_from_the_database(plane: Plane) -> None:
    """
    An in-process verifier gets the state in the database, takes no limits, and reports uses and verdicts itself.

    A key that is not found is no key to decide on, so that verdict is the service's.
    """
    plane.key(rate_limits=LIMITS)
    for times in (1, 2):
        verdict = await plane.checker.facts_for(CALLER, TEXT, NO_REQUIREMENTS)
        assert (verdict.code, verdict.facts, verdict.rate_limits) == (Code.VALID, plane.store.facts[DIGEST], None)
        assert plane.store.look_ups == times
    assert (await plane.checker.facts_for(CALLER, "junk", NO_REQUIREMENTS)).code is Code.NOT_FOUND
    assert plane.store.look_ups == 2
    assert plane.limiter.asked == []
    assert len(plane.usage) == 0
    assert await plane.counted() == {"not_found": 1}


# Metadata


async def test_short_metadata_comes_from_the_cache(plane: Plane) -> None:
    """Metadata that the facts contain takes no look-up."""
    plane.key(metadata='{"plan":"team"}')
    await plane.fill_cache()
    verdict = plane.checker.check_now(CALLER, TEXT, NO_REQUIREMENTS, metadata=True)
    assert verdict is not None
    assert verdict.facts == plane.store.facts[DIGEST]
    assert (await plane.checker.check(CALLER, TEXT, NO_REQUIREMENTS, metadata=True)).facts == verdict.facts
    assert plane.store.look_ups == 1


async def test_long_metadata_is_read_where_it_is_asked_for(plane: Plane) -> None:
    """Long metadata is read for the requests that include it; it is not cached, and others take no look-up."""
    plane.key(metadata=None)
    plane.store.metadata[DIGEST] = text = '{"a":"long"}'
    await plane.fill_cache()
    assert plane.checker.check_now(CALLER, TEXT, NO_REQUIREMENTS, metadata=True) is None
    assert code_of(plane.checker.check_now(CALLER, TEXT, NO_REQUIREMENTS)) is Code.VALID
    for verdict in (
        await plane.checker.check(CALLER, TEXT, NO_REQUIREMENTS, metadata=True),
        await plane.checker.facts_for(CALLER, TEXT, NO_REQUIREMENTS, metadata=True),
    ):
        assert verdict.facts == replace(FACTS, metadata=text)
    cached = plane.cache.get(DIGEST)
    assert cached is not None
    assert cached.metadata is None


async def test_long_metadata_of_a_key_that_is_gone(plane: Plane) -> None:
    """A key that was deleted before its metadata was read is not found, and a stranger's request reads nothing."""
    plane.key(metadata=None)
    await plane.fill_cache()
    assert (await plane.checker.check(CALLER, TEXT, NO_REQUIREMENTS, metadata=True)).code is Code.NOT_FOUND
    plane.store.away = True
    assert (await plane.checker.check(STRANGER, TEXT, NO_REQUIREMENTS, metadata=True)).code is Code.NOT_FOUND


async def test_long_metadata_in_an_outage(plane: Plane) -> None:
    """Without the database, a request that includes long metadata fails before anything is counted."""
    plane.key(metadata=None, rate_limits=LIMITS)
    await plane.fill_cache()
    plane.store.away = True
    with pytest.raises(StorageUnavailable):
        await plane.checker.check(CALLER, TEXT, NO_REQUIREMENTS, metadata=True)
    assert plane.limiter.asked == []
    assert await plane.counted() == {}
    assert (await plane.checker.check(CALLER, TEXT, NO_REQUIREMENTS)).code is Code.VALID
