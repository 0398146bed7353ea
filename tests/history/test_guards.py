"""
The guards against the races of revocation, each shown to be needed: the same events end in a violation when the guard
is taken out, and in none with the real part. The checker of histories is the judge.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from math import inf
from typing import Any

import asyncpg
import pytest

from keywright.client.verifier._answers import Answer
from keywright.client.verifier._checker import LocalChecker, UncachedRequest
from keywright.keys.cache import KeyCache, LookUp
from keywright.keys.pair import mint
from keywright.keys.verdict import NO_REQUIREMENTS, Code, KeyFacts, Requirements
from keywright.service.change_feed import ChangeFeed
from keywright.service.change_follower import ChangeFollower
from keywright.service.checking.look_ups import LookUps
from keywright.service.checking.ports import KeyStore
from keywright.service.checking.verdicts import KeyVerdict
from keywright.service.checking.verification import Verification
from keywright.service.fair_queue import Share
from keywright.service.management.audit_log import EventType
from keywright.service.management.ports import NewApiKey
from keywright.storage.postgres import statements as sql
from keywright.storage.postgres.change_feed import PostgresChangeFeed
from keywright.storage.postgres.store import PostgresStore
from keywright.storage.shared import rows
from keywright.storage.url import PostgresUrl, read
from tests.history.checker import Change, Deed, History, Outcome, Verify, Window, violations
from tests.postgres import PostgresCluster, migrated_database
from tests.service.fake_checking_store import FakeCheckingStore, FakeTime
from tests.service.making_checkers import CALLER, a_checker
from tests.storage.making import UNSPECIFIED, an_event, an_organization, new_key
from tests.waiting import until

PAIR = mint(bytes(range(32)), brand="kw", environment="live")
TEXT, DIGEST = PAIR.private.reveal(), PAIR.private.digest
FACTS = KeyFacts(id=b"k" * 16, org_id=b"o" * 16, name="n", environment="live")
REVOKED = replace(FACTS, revoked=True)
OUTCOMES = {Code.VALID: Outcome.VALID, Code.REVOKED: Outcome.REVOKED, Code.NOT_FOUND: Outcome.NOT_FOUND}
WHILE_AWAY = (Window(0.0, inf, frozenset({"b"}), away=True),)
ACCEPTED_TOO_LATE = ["accepted after its end"]


@dataclass
class Scene:
    """A key that is created, held, and revoked, and what was recorded of it; its clock is moved by hand."""

    time: FakeTime = field(default_factory=FakeTime)
    store: FakeCheckingStore = field(default_factory=FakeCheckingStore)
    verifies: list[Verify] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store.facts[DIGEST] = FACTS
        self.note(Deed.CREATE)

    def note(self, deed: Deed) -> None:
        """Note a change that is acknowledged at once, and let a moment pass."""
        self.changes.append(Change(self.time(), self.time(), "a", 1, deed))
        self.time.seconds += 0.01

    def revoke(self) -> None:
        """Revoke the key, and have the trail tell of it."""
        self.store.facts[DIGEST] = REVOKED
        self.store.tell(DIGEST)
        self.note(Deed.REVOKE)

    def saw(self, start: float, code: Code, *, stale: bool = False) -> None:
        """Note the end of a verification by the node `b`."""
        self.verifies.append(Verify(start, self.time(), "b", 1, OUTCOMES[code], stale))

    def broken(self, *windows: Window, outage_seconds: float = 0.0) -> list[str]:
        """Name the rules that were broken."""
        history = History(
            verifies=self.verifies, changes=self.changes, windows=windows, outage_seconds={"b": outage_seconds}
        )
        return [violation.rule for violation in violations(history)]


class Node:
    """A verification and all that it stands on, made of the parts it is given."""

    def __init__(
        self,
        scene: Scene,
        *,
        cache: KeyCache | None = None,
        verification: type[Verification] = Verification,
        outage_seconds: float = 60.0,
    ) -> None:
        self._scene = scene
        self._cache = KeyCache(100) if cache is None else cache
        self.follower = ChangeFollower(scene.store, [self._cache], monotonic=scene.time)
        self.verification = verification(
            scene.store,
            self._cache,
            brand="kw",
            now=lambda: 1_000_000.0,
            monotonic=scene.time,
            outage_seconds=outage_seconds,
        )
        self.checker = a_checker(self.verification, scene.time)

    async def follow(self) -> None:
        """Follow the changes up to now."""
        if self.follower.since is None:
            self.follower.start()
        await until(lambda: self.follower.since == self._scene.time())

    async def verify(self) -> None:
        """Verify the key, and note how it ended."""
        start = self._scene.time()
        verdict = await self.checker.check(CALLER, TEXT, NO_REQUIREMENTS)
        self._scene.saw(start, verdict.code, stale=verdict.stale)


# A look-up that reads the active key, and fills the memory after the revocation was told.


class CachesEverything(KeyCache):
    """Holds whatever a look-up found: the first guard, taken out."""

    def end(self, look_up: LookUp, found: KeyFacts | None) -> None:
        look_up.invalidated = False
        super().end(look_up, found)


@pytest.mark.parametrize(("cache", "expected"), [(KeyCache, []), (CachesEverything, ACCEPTED_TOO_LATE)])
async def test_a_look_up_that_a_revocation_overtakes(cache: type[KeyCache], expected: list[str]) -> None:
    """What a look-up read before a revocation is not held after it."""
    scene = Scene()
    node = Node(scene, cache=cache(100))
    await node.follow()
    scene.store.hold = asyncio.Event()
    slow = asyncio.create_task(node.verify())
    await until(lambda: scene.store.look_ups == 1)
    scene.revoke()
    await node.follow()
    scene.store.hold.set()
    await slow
    scene.time.seconds += 1.5
    await node.follow()
    await node.verify()
    assert scene.broken() == expected
    await node.follower.close()


class AnyLookUp(LookUps):
    """Joins whatever look-up is under way, as if nothing had overtaken it."""

    def _may_join(self, pending: Any, now: float) -> bool:
        pending.look_up.invalidated = False
        return super()._may_join(pending, now)


class JoinsWhatever(Verification):
    """Waits for whatever look-up is under way."""

    def __init__(self, store: KeyStore, cache: KeyCache, **others: Any) -> None:
        super().__init__(store, cache, **others)
        self._look_ups = AnyLookUp(store, cache, monotonic=others["monotonic"], turns=None)


@pytest.mark.parametrize(("verification", "expected"), [(Verification, Code.REVOKED), (JoinsWhatever, Code.VALID)])
async def test_a_look_up_that_others_join(verification: type[Verification], expected: Code) -> None:
    """Once a process has dropped a key, and may have confirmed it, it gives nobody the answer of an older look-up."""
    scene = Scene()
    node = Node(scene, verification=verification)
    await node.follow()
    scene.store.hold = asyncio.Event()
    slow = asyncio.create_task(node.verify())
    await until(lambda: scene.store.look_ups == 1)
    scene.revoke()
    await node.follow()
    late = asyncio.create_task(node.checker.check(CALLER, TEXT, NO_REQUIREMENTS))
    await asyncio.sleep(0)
    scene.store.hold.set()
    await slow
    assert (await late).code is expected
    await node.follower.close()


# A verifier that fills its memory from a place that lags behind.


class AnswersFromMemory(Verification):
    """Answers from memory whoever is going to hold the answer: the second guard, taken out."""

    async def verify_from_store(
        self, text: str, required: Requirements, share: Share = None, *, from_memory: bool = True
    ) -> KeyVerdict:
        return self.verify_now(text, required) or await super().verify_from_store(text, required, share)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldWhatever(Answer):
    """An answer that is held though it comes from memory."""

    @property
    def cacheable(self) -> bool:
        return True


class Verifier:
    """A verifier in a process of its own, that asks one node, and follows the changes through another."""

    def __init__(self, scene: Scene, node: Node, answer: type[Answer] = Answer) -> None:
        self._scene = scene
        self._node = node
        self._answer = answer
        self._cursor = 0
        self._checker = LocalChecker(
            brand="kw", capacity=100, outage_seconds=0, clock=scene.time, wall=lambda: 1_000_000.0
        )

    def follow(self) -> None:
        """Follow the changes up to now; each is told once."""
        told = self._scene.store.changes[self._cursor :]
        self._cursor += len(told)
        self._checker.drop([digest for change in told for digest in change.digests])
        self._checker.synced(self._scene.time())

    async def verify(self) -> None:
        """Verify the key, and note how it ended."""
        start = self._scene.time()
        decided = self._checker.decide(TEXT)
        if not isinstance(decided, UncachedRequest):
            self._scene.saw(start, decided.code)
            return
        look_up = self._checker.begin(decided)
        said = await self._node.checker.facts_for(CALLER, TEXT, NO_REQUIREMENTS)
        answer = self._answer(code=said.code, facts=said.facts, complete=True, stale=said.stale)
        self._checker.end(look_up, answer)
        self._scene.saw(start, answer.code, stale=answer.stale)


@pytest.mark.parametrize(("verification", "expected"), [(Verification, []), (AnswersFromMemory, ACCEPTED_TOO_LATE)])
async def test_an_answer_from_a_node_that_lags(verification: type[Verification], expected: list[str]) -> None:
    """A verifier that has heard of a revocation is not told the old state by a node that has not."""
    scene = Scene()
    node = Node(scene, verification=verification)
    await node.follow()
    await node.verify()
    await node.follower.close()
    verifier = Verifier(scene, node)
    scene.revoke()
    verifier.follow()
    # Within the bound the node may believe the old state; what the verifier holds of it would last.
    await verifier.verify()
    scene.time.seconds += 1.5
    verifier.follow()
    await verifier.verify()
    assert scene.broken() == expected


@pytest.mark.parametrize(("answer", "expected"), [(Answer, []), (HeldWhatever, ACCEPTED_TOO_LATE)])
async def test_an_answer_from_a_node_in_an_outage(answer: type[Answer], expected: list[str]) -> None:
    """What a node tells from memory, because its database is away, is not held by a verifier."""
    scene = Scene()
    node = Node(scene)
    await node.follow()
    await node.verify()
    await node.follower.close()
    verifier = Verifier(scene, node, answer)
    scene.revoke()
    verifier.follow()
    scene.store.away = True
    scene.time.seconds += 1.5
    await verifier.verify()
    scene.store.away = False
    verifier.follow()
    await verifier.verify()
    assert scene.broken(*WHILE_AWAY, outage_seconds=60.0) == expected


# A process that did not follow for a while.


@pytest.mark.parametrize(("bound", "expected"), [(1.0, []), (inf, ACCEPTED_TOO_LATE)])
async def test_a_process_that_was_stopped(bound: float, expected: list[str]) -> None:
    """What is held counts only for as long as the changes are followed, whatever kept a process from doing so."""
    scene = Scene()
    node = Node(scene, cache=KeyCache(100, bound=bound))
    await node.follow()
    await node.verify()
    await node.follower.close()
    scene.revoke()
    scene.time.seconds += 10.0
    await node.verify()
    assert scene.broken() == expected


# Numbers of changes that become visible out of order.


@dataclass(frozen=True, slots=True)
class Trails:
    """As much of a store as `ChangeFollower` needs: it gives the trail that it was made with."""

    trail: ChangeFeed

    async def follow(self) -> ChangeFeed:
        return self.trail


@dataclass
class OnPostgres:
    """A store with two keys, and an open transaction in which the first one is being revoked."""

    url: PostgresUrl
    store: PostgresStore
    keys: Sequence[NewApiKey]
    revoking: "asyncpg.Connection[asyncpg.Record]"


@pytest.fixture
async def on_postgres(postgres_cluster: PostgresCluster) -> AsyncIterator[OnPostgres]:
    """Two keys, of which the first is being revoked: its change has its number, and nobody sees it yet."""
    url = read(migrated_database(postgres_cluster))
    assert isinstance(url, PostgresUrl)
    store, revoking = PostgresStore(url), await asyncpg.connect(url.dsn)
    keys = [new_key(an_organization()) for _ in range(2)]
    for key in keys:
        await store.create(key)
    await revoking.execute("BEGIN")
    await revoking.fetch(
        sql.REVOKE, *rows.event_row(an_event(EventType.REVOKED, keys[0].api_key), rows.POSTGRES), "unspecified"
    )
    try:
        yield OnPostgres(url, store, keys, revoking)
    finally:
        await revoking.close()
        await store.close()


@pytest.mark.parametrize(
    ("guards", "expected"),
    [
        ({}, []),
        ({"overlap": timedelta()}, []),
        ({"most_missing": 0}, []),
        ({"overlap": timedelta(), "most_missing": 0}, ACCEPTED_TOO_LATE),
    ],
    ids=["both guards", "missing numbers", "overlap", "no guard"],
)
async def test_numbers_out_of_order(on_postgres: OnPostgres, guards: dict[str, Any], expected: list[str]) -> None:
    """A change that shows after one with a higher number is not missed; either of the two guards sees to it."""
    scene, cache = Scene(), KeyCache(100)
    slow, quick = on_postgres.keys
    trail = PostgresChangeFeed(on_postgres.url, **guards)
    await trail.start()
    follower = ChangeFollower(Trails(trail), [cache], monotonic=scene.time)  # type: ignore[arg-type]
    follower.start()
    await until(lambda: follower.since == scene.time())
    cache.end(cache.begin(slow.secret_digest), FACTS)
    cache.end(cache.begin(quick.secret_digest), FACTS)
    await on_postgres.store.revoke(an_event(EventType.REVOKED, quick.api_key), UNSPECIFIED)
    await until(lambda: cache.get(quick.secret_digest) is None)
    await on_postgres.revoking.execute("COMMIT")
    scene.note(Deed.REVOKE)
    scene.time.seconds += 1.5
    await until(lambda: follower.since == scene.time())
    held = cache.get(slow.secret_digest) if cache.fresh_at(scene.time()) else None
    scene.saw(scene.time(), Code.REVOKED if held is None else Code.VALID)
    assert scene.broken() == expected
    await follower.close()
