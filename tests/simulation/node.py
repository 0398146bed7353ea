"""A process of the service: the real parts, on a store and on clocks of the simulation."""

from typing import Any, cast
from uuid import UUID

from keywright.api.feed_stream import FeedParts, acknowledge, open_stream
from keywright.client.verifier._answers import Answer
from keywright.keys.cache import DigestCache, KeyCache
from keywright.keys.usage import UsageBook
from keywright.keys.verdict import NO_REQUIREMENTS, Code
from keywright.service.background_tasks import ProcessTasks
from keywright.service.change_follower import ChangeFollower
from keywright.service.checking.failure_limit import FailureLimit
from keywright.service.checking.local_rate_limiter import LocalRateLimiter
from keywright.service.checking.ports import HourlyUsage, UsageBatch
from keywright.service.checking.verdicts import Caller, KeyVerdict
from keywright.service.checking.verification import Checker, Verification
from keywright.service.faults import StorageUnavailable
from keywright.service.verifier_sessions import Receipt, Session
from keywright.service.verifiers import VerifierCache
from tests.simulation.clocks import Clocks
from tests.simulation.database import Database, Key, Link
from tests.simulation.loop import Process
from tests.simulation.network import Connection, Request
from tests.simulation.ordered import InOrder
from tests.simulation.store import Store

CREDENTIAL = b"c" * 32
VERIFIER_ID = UUID(int=77)
_CALLER = Caller("v", None, None)


class Node:
    """
    One start of a process to its end.

    Args:
        process: What runs it.
        database: Where its store is.
        number: Tells its connections apart.
        link: Its way to the database.
        clocks: Its clocks.
        session: The id of its session.
        outage_seconds: How long it may serve what it holds while the database is away.
        hears: Whether notifications reach it.
    """

    def __init__(
        self,
        process: Process,
        database: Database,
        number: int,
        link: Link,
        clocks: Clocks,
        *,
        session: UUID,
        outage_seconds: int,
        hears: bool,
    ) -> None:
        self.process = process
        self.clocks = clocks
        self.store = Store(database, process, number, link, hears=hears)
        self.connections: set[Connection] = cast("set[Connection]", InOrder())
        self.requests: list[Request] = []
        self.leaving = False
        self.session = Session(id=session, verifier_id=None, name=process.name, outage_seconds=outage_seconds)
        store = cast("Any", self.store)
        self.cache = KeyCache(100)
        caches: list[DigestCache[Any]] = [self.cache, VerifierCache(100)]
        self.follower = ChangeFollower(store, caches, monotonic=clocks.monotonic)
        self.verification = Verification(
            store,
            self.cache,
            brand="kw",
            now=clocks.seconds,
            monotonic=clocks.monotonic,
            outage_seconds=outage_seconds,
        )
        self.usage = UsageBook()
        self.checker = Checker(
            verification=self.verification,
            usage=self.usage,
            failures=FailureLimit(),
            limiter=LocalRateLimiter(monotonic=clocks.monotonic, capacity=1),
            counters=dict.fromkeys(Code, lambda times: None),
            now=clocks.seconds,
            monotonic=clocks.monotonic,
        )
        self.tasks = ProcessTasks(
            store=store,
            follower=self.follower,
            usage=self.usage,
            session=self.session,
            epoch_seconds=clocks.seconds,
            monotonic=clocks.monotonic,
        )
        self.feed = FeedParts(
            store=store,
            follower=self.follower,
            clock=clocks.time,
            monotonic=clocks.monotonic,
        )

    @property
    def up(self) -> bool:
        """Tell whether it takes requests."""
        return not self.process.dead and not self.leaving

    async def leave(self) -> None:
        """End in an orderly way."""
        await self.tasks.close()
        await self.follower.close()

    async def verify(self, text: str, *, facts: bool = False) -> KeyVerdict:
        """Check a key: *facts* for a verifier, which decides on requests from then on."""
        if facts:
            return await self.checker.facts_for(_CALLER, text, NO_REQUIREMENTS)
        return await self.checker.check(_CALLER, text, NO_REQUIREMENTS)

    async def answer(self, text: str) -> Answer:
        """Answer the look-up of a verifier, as it reads the answer."""
        verdict = await self.verify(text, facts=True)
        return Answer(code=verdict.code, facts=verdict.facts, complete=verdict.facts is not None, stale=verdict.stale)

    async def receipt(self, key: Key) -> Receipt | None:
        """Read the receipt of a key."""
        return await self.store.receipt(key.org_id, key.id)

    async def acknowledge(
        self, session: UUID, seqs: list[int], after: str | None, to: str | None, *, closed: bool
    ) -> None:
        """Do what `api.feed.ack` does."""
        await acknowledge(self.feed, session, seqs, after, to)
        if closed:
            await self.store.close_session(session, VERIFIER_ID)

    async def report(self, records: list[HourlyUsage], batch: UsageBatch) -> None:
        """Do what `api.feed.usage` does."""
        known = await self.store.find_keys([seen.digest for seen in records])
        await self.store.add_usage([seen for seen in records if seen.digest in known], batch)

    async def send_feed(self, connection: Connection, parameters: dict[str, str]) -> None:
        """Do what `api.feed.feed` does."""
        arrived = self.clocks.monotonic()
        session = Session(
            id=UUID(parameters["session"]),
            verifier_id=VERIFIER_ID,
            name="v",
            outage_seconds=int(parameters["outage_seconds"]),
        )
        try:
            stream = await open_stream(self.feed, session, CREDENTIAL, arrived)
        except StorageUnavailable as error:
            connection.refuse(str(error))
            return
        connection.accept()
        try:
            async for piece in stream.events(parameters.get("cursor")):
                connection.send(piece)
        except StorageUnavailable:
            # The session could not be renewed.
            pass
        connection.finish()
