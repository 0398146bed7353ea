"""A process of the service: the real parts, on a store and on clocks of the simulation."""

from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

from keywright.api.feed import FeedParts, open_stream
from keywright.client.service_answers import Answer
from keywright.keys.known import Known, KnownKeys
from keywright.keys.usage import UsageBook
from keywright.keys.verdict import ANY_USE, Code
from keywright.service.checking_ports import CheckingStore, Session, Sighting, UsageBatch
from keywright.service.duties import Duties
from keywright.service.faults import StorageUnavailable
from keywright.service.following import Following
from keywright.service.local_limits import LocalRateLimiter
from keywright.service.presence import Presence, Receipt
from keywright.service.verdicts import Caller, Verdict
from keywright.service.verification import Checker, FailureLimit, Verification
from keywright.service.verifiers import KnownVerifiers
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
        store = cast("CheckingStore", self.store)
        self.known = KnownKeys(100)
        known: list[Known[Any]] = [self.known, KnownVerifiers(100)]
        self.following = Following(store, known, monotonic=clocks.monotonic)
        # A set gives its members in an order of the addresses that they have in memory.
        self.following._listeners = cast("Any", InOrder())
        self.verification = Verification(
            store,
            self.known,
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
        self.duties = Duties(
            store=store,
            following=self.following,
            usage=self.usage,
            session=self.session,
            now=clocks.seconds,
            monotonic=clocks.monotonic,
        )
        self.presence = Presence(store=store)
        self.feed = FeedParts(
            callers=cast("Any", None),
            store=store,
            following=self.following,
            presence=self.presence,
            clock=clocks.time,
            monotonic=clocks.monotonic,
        )

    @property
    def up(self) -> bool:
        """Tell whether it takes requests."""
        return not self.process.dead and not self.leaving

    async def leave(self) -> None:
        """End in an orderly way."""
        await self.duties.close()
        await self.following.close()

    async def verify(self, text: str, *, facts: bool = False) -> Verdict:
        """Check a key: *facts* for a verifier, which decides on requests from then on."""
        if facts:
            return await self.checker.facts_for(_CALLER, text, ANY_USE)
        return await self.checker.check(_CALLER, text, ANY_USE)

    async def answer(self, text: str) -> Answer:
        """Answer the look-up of a verifier, as it reads the answer."""
        verdict = await self.verify(text, facts=True)
        return Answer(code=verdict.code, facts=verdict.facts, complete=verdict.facts is not None, stale=verdict.stale)

    async def receipt(self, key: Key) -> Receipt | None:
        """Write the receipt of a key."""
        principal = SimpleNamespace(organization=SimpleNamespace(id=key.org_id))
        return await self.presence.receipt(cast("Any", principal), key.id)

    async def acknowledge(self, session: UUID, seqs: list[int], *, closed: bool) -> None:
        """Do what `api.feed.ack` does."""
        await self.presence.confirm(session, seqs)
        if closed:
            await self.presence.close(session, VERIFIER_ID)

    async def report(self, sightings: list[Sighting], batch: UsageBatch) -> None:
        """Do what `api.feed.usage` does."""
        known = [seen for seen in sightings if await self.store.find(seen.digest) is not None]
        await self.store.note_usage(known, batch)

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
