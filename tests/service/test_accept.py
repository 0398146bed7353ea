"""The fast decision on a cached key, held to `judge` and to the flow of `check`."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from math import inf
from random import Random
from typing import Any
from uuid import UUID

import pytest

from keywright.keys.addresses import packed, read_networks
from keywright.keys.cache import BOUND_SECONDS, KeyCache
from keywright.keys.pair import mint
from keywright.keys.rate_limits import RateLimit
from keywright.keys.usage import UsageBook
from keywright.keys.verdict import Code, KeyFacts, Requirements, judge
from keywright.service.checking.verdicts import Caller
from keywright.service.checking.verification import Accepted, Verification
from keywright.service.verifiers import Verifier
from tests.service.fake_checking_store import FakeCheckingStore, FakeTime
from tests.service.fake_rate_limiter import FakeRateLimiter
from tests.service.making_checkers import CALLER, Verdicts, a_checker

PAIR = mint(bytes(range(32)), brand="kw", environment="live")
TEXT, DIGEST = PAIR.private.reveal(), PAIR.private.digest
NOW = 1_000_000.0
FACTS = KeyFacts(id=b"k" * 16, org_id=b"o" * 16, name="n", environment="live", scopes=("a:read", "b:*"))
LIMITS = (RateLimit("minute", 2, 60),)
SCOPES = ["a:read", "a:write", "b:read", "b:*", "*:read", "*:*", "nothing", ""]
NETWORKS = ["192.0.2.0/24", "198.51.100.7/32", "2001:db8::/32", "::/0", "0.0.0.0/0"]
ADDRESSES = [None, "", "somewhere", "192.0.2.9", "::ffff:192.0.2.9", "198.51.100.7", "2001:db8::1%eth0", "2001:db9::1"]


class Plane:
    """A checker with a cache that is fresh and has a key."""

    def __init__(self) -> None:
        self.time, self.now = FakeTime(), FakeTime(NOW)
        self.cache, self.usage, self.verdicts = KeyCache(100), UsageBook(), Verdicts()
        self.limiter = FakeRateLimiter(self.time)
        verification = Verification(
            FakeCheckingStore(), self.cache, brand="kw", now=self.now, monotonic=self.time, outage_seconds=60.0
        )
        self.checker = a_checker(
            verification, self.time, now=self.now, usage=self.usage, limiter=self.limiter, verdicts=self.verdicts
        )
        self.cache.synced(self.time())

    def cached(self, *, body: bytes = b"written", **change: Any) -> KeyFacts:
        """Put a key into the cache, prepared."""
        facts = replace(FACTS, **change)
        facts.keep(body=body)
        self.cache.drop([DIGEST])
        self.cache.end(self.cache.begin(DIGEST), facts)
        return facts

    def accept(
        self, required: Requirements, *, cost: int = 1, org_id: bytes | None = None, metadata: bool = False
    ) -> Accepted | None:
        checker = self.checker
        return checker.accept(
            DIGEST, required.scopes, required.environment, packed(required.client_ip), cost, org_id,
            checker.verifier_number("edge"), self.time(), self.now(), metadata,
        )  # fmt: skip


@pytest.fixture
async def plane() -> Plane:
    return Plane()


async def test_it_accepts_what_the_rules_accept(plane: Plane) -> None:
    """In 20,000 combinations of all conditions a key is accepted exactly where `judge` finds it valid."""
    chance, seen = Random(2026), Counter[bool]()
    ends = [NOW - 1, NOW, NOW + 1e-6, NOW + 1, inf, inf, inf]
    for _ in range(20_000):
        facts = plane.cached(
            revoked=chance.random() < 0.1,
            disabled=chance.random() < 0.1,
            expires_at=chance.choice(ends),
            retires_at=chance.choice(ends),
            environment=chance.choice(["live", "sandbox"]),
            scopes=tuple(chance.sample(SCOPES[:6], chance.choice([0, 1, 2, 3]))),
            networks=read_networks(chance.sample(NETWORKS, chance.choice([0, 0, 1, 2]))),
        )
        required = Requirements(
            environment=chance.choice([None, None, "live", "sandbox"]),
            scopes=tuple(chance.sample(SCOPES, chance.choice([0, 0, 1, 2]))),
            client_ip=chance.choice(ADDRESSES),
        )
        valid = judge(facts, required, NOW) is Code.VALID
        assert plane.accept(required) == ((facts, None) if valid else None), (facts, required)
        seen[valid] += 1
    assert min(seen.values()) > 2000


async def test_what_is_counted(plane: Plane) -> None:
    """An accepted key is counted as `check` counts it, with the same source: a network and a verifier."""
    verifier = Verifier(id=UUID(int=1), name="edge", display="kw_vk_...", created_at=datetime(2026, 1, 1, tzinfo=UTC))
    plane.cached()
    assert plane.accept(Requirements(client_ip="192.0.2.7")) is not None
    assert plane.accept(Requirements(client_ip="192.0.2.8")) is not None
    await plane.checker.check(Caller("edge", verifier, None), TEXT, Requirements(client_ip="192.0.2.9"))
    await plane.checker.check(CALLER, "junk", Requirements())
    await asyncio.sleep(0)
    assert plane.verdicts == {"valid": 3, "not_found": 1}
    (record,) = plane.usage.take()
    assert (record.source.digest, record.source.key_id, record.source.verifier) == (DIGEST, FACTS.id, "edge")
    assert (record.source.network, record.uses) == ("192.0.2.0/24", 3)


async def test_what_costs_nothing_is_no_use(plane: Plane) -> None:
    """A request that costs 0 is accepted and counted as a verdict, takes nothing of limits, and is no use."""
    plane.cached(rate_limits=LIMITS)
    accepted = plane.accept(Requirements(), cost=0)
    assert accepted is not None
    assert accepted[1] is not None
    assert [state.remaining for state in accepted[1].states] == [2]
    await asyncio.sleep(0)
    assert (plane.verdicts, len(plane.usage)) == ({"valid": 1}, 0)


async def test_what_is_not_for_it(plane: Plane) -> None:
    """A key that is not cached, prepared or fresh, another organization's, or without its metadata: nothing counts."""
    required = Requirements()
    assert plane.accept(required) is None
    plane.cached(body=b"")
    assert plane.accept(required) is None
    plane.cached(metadata=None)
    assert plane.accept(required, metadata=True) is None
    assert plane.accept(required, org_id=b"x" * 16) is None
    plane.time.seconds += BOUND_SECONDS + 0.001
    assert plane.accept(required) is None
    await asyncio.sleep(0)
    assert (plane.verdicts, len(plane.usage)) == ({}, 0)
    plane.cache.synced(plane.time())
    assert plane.accept(required, org_id=FACTS.org_id) is not None


async def test_limits(plane: Plane) -> None:
    """The cost is taken of limits that are counted here; a request above them, or elsewhere, counts nothing."""
    plane.cached(rate_limits=LIMITS)
    accepted = plane.accept(Requirements(), cost=2)
    assert accepted is not None
    assert accepted[1] is not None
    assert [state.remaining for state in accepted[1].states] == [0]
    assert plane.accept(Requirements()) is None
    plane.limiter.far = True
    assert plane.accept(Requirements()) is None
    await asyncio.sleep(0)
    assert plane.verdicts == {"valid": 1}
    assert plane.limiter.taken == [(FACTS.id, 2)]
