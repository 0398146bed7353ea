"""
The network between verifiers and nodes: what is sent arrives late, all at once after a stall, or never.

Each attempt of a verifier reaches any node that is up, as behind a load balancer.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

import httpx

from keywright.client.errors import ServiceUnavailable
from keywright.client.verifier._answers import Answer
from keywright.client.verifier._calls import AnswerLost, NoAnswerInTime, Timing
from keywright.client.verifier._checker import UncachedRequest
from keywright.client.verifier._event_stream import EventStream, StreamEvent
from keywright.keys.usage_records import HOUR_SECONDS, UsageRecord
from keywright.service.checking.ports import HourlyUsage, UsageBatch
from tests.simulation.database import Link
from tests.simulation.loop import Handle, Loop, Process

if TYPE_CHECKING:
    from tests.simulation.node import Node

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Network:
    """
    Carries requests.

    Args:
        loop: Of everybody.
        random: Decides who is reached, and how long it takes.
        nodes: Gives those that are up.
    """

    def __init__(self, loop: Loop, random: Random, nodes: "Callable[[], Sequence[Node]]") -> None:
        self.loop = loop
        self.random = random
        self._nodes = nodes
        self.quick = 0.004

    def reach(self) -> "Node | None":
        """Choose whom an attempt reaches."""
        nodes = self._nodes()
        return nodes[int(self.random.random() * len(nodes))] if nodes else None

    def there(self, link: Link) -> float | None:
        """Tell how long a message takes; None when it is lost."""
        now = self.loop._time
        if now < link.cut_until:
            return None
        delay = 0.0003 + self.quick * self.random.random()
        return delay if now >= link.stalled_until else delay + link.stalled_until - now


class Request:
    """A request under way, from the side of the verifier."""

    __slots__ = ("future", "process")

    def __init__(self, future: "asyncio.Future[Any]", process: Process) -> None:
        self.future = future
        self.process = process

    def finish(self, result: Any, error: Exception | None) -> None:
        """Have an answer, or none."""
        if self.future.done():
            return
        if error is None:
            self.future.set_result(result)
        else:
            self.future.set_exception(error)

    def break_off(self) -> None:
        """Lose the connection before the answer."""
        self.finish(None, AnswerLost("the node is gone"))


class Calls:
    """
    `ServiceCalls` on the network of the simulation, for one process.

    Args:
        network: Carries what is asked and answered.
        process: Who asks.
        link: The way to any node.
        timing: How long to wait.
    """

    def __init__(self, network: Network, process: Process, link: Link, timing: Timing) -> None:
        self._network = network
        self._process = process
        self._link = link
        self._timing = timing
        # What is on its way to the verifier by its feed alone stalls here.
        self.feed_link = Link()
        # How much longer than usual the answers to the next look-ups take, and to how many.
        self.late = 0.0
        self.late_times = 0
        self.connection: Connection | None = None

    async def look_up(self, request: UncachedRequest) -> Answer:
        """See `ServiceCalls.look_up`."""
        late = self.late if self.late_times else 0.0
        self.late_times -= 1 if late else 0
        return await self._ask(lambda node: node.answer(request.text), late)  # type: ignore[no-any-return]

    async def verify(self, request: UncachedRequest) -> Answer:
        """See `ServiceCalls.verify`; nothing here is bound to what only the service can weigh."""
        return await self.look_up(request)

    def feed(self, parameters: Mapping[str, str], *, sending: Callable[[], None]) -> "Connection":
        """See `ServiceCalls.feed`."""
        self.connection = Connection(
            self._network, self._process, self._link, self.feed_link, dict(parameters), self._timing.silence, sending
        )
        return self.connection

    async def acknowledge(
        self, session: UUID, seqs: Sequence[int], *, after: str | None, to: str | None, closed: bool = False
    ) -> None:
        """See `ServiceCalls.acknowledge`."""
        said = list(seqs)
        await self._post(lambda node: node.acknowledge(session, said, after, to, closed=closed))

    async def report(self, session: UUID, batch: int, records: Sequence[UsageRecord]) -> None:
        """See `ServiceCalls.report`."""
        stored = [_stored(seen) for seen in records]
        await self._post(lambda node: node.report(stored, UsageBatch(session, batch)))

    async def connected(self) -> None:
        """See `ServiceCalls.connected`."""

    async def close(self) -> None:
        """See `ServiceCalls.close`."""

    async def _ask(self, serve: "Callable[[Node], Coroutine[Any, Any, Any]]", late: float) -> Any:
        try:
            return await self._post(serve, late)
        except AnswerLost:
            return await self._post(serve)

    async def _post(self, serve: "Callable[[Node], Coroutine[Any, Any, Any]]", late: float = 0.0) -> Any:
        loop, network = self._network.loop, self._network
        request = Request(loop.create_future(), self._process)
        node, delay = network.reach(), network.there(self._link)
        if delay is None:
            loop.at(self._process, self._timing.answer, request.finish, None, NoAnswerInTime("lost"))
        elif node is None:
            loop.at(self._process, delay, request.finish, None, ServiceUnavailable("nobody listens"))
        else:
            loop.at(loop.world, delay, self._arrive, node, serve, request, late)
        return await request.future

    def _arrive(
        self, node: "Node", serve: "Callable[[Node], Coroutine[Any, Any, Any]]", request: Request, late: float
    ) -> None:
        loop = self._network.loop
        if not node.up:
            loop.at(self._process, 0.001, request.finish, None, AnswerLost("refused"))
            return
        node.requests.append(request)
        # From here on as the node.
        loop.process = node.process
        loop.create_task(self._serve(node, serve, request, late))

    async def _serve(
        self, node: "Node", serve: "Callable[[Node], Coroutine[Any, Any, Any]]", request: Request, late: float
    ) -> None:
        result, error = None, None
        try:
            result = await serve(node)
        except Exception as fault:  # noqa: BLE001 - whatever it is becomes a 503 or a 500
            error = ServiceUnavailable(repr(fault))
        link, loop = self._link, self._network.loop
        delay = None if loop._time < link.mute_until else self._network.there(link)
        if delay is None:
            loop.at(self._process, self._timing.answer, request.finish, None, NoAnswerInTime("the answer is lost"))
        else:
            loop.at(self._process, delay + late, request.finish, result, error)


class Connection:
    """
    A feed over the network: what `ServiceCalls.feed` gives on one side, what a node sends through on the other.

    What is sent arrives in order, in pieces of any size.
    """

    def __init__(
        self,
        network: Network,
        process: Process,
        link: Link,
        feed_link: Link,
        parameters: dict[str, str],
        silence: float,
        sending: Callable[[], None],
    ) -> None:
        self._network = network
        self._loop = network.loop
        self._process = process
        self._link = link
        self._feed_link = feed_link
        self._parameters = parameters
        self._silence = silence
        self._sending = sending
        self._stream = EventStream()
        self._events: deque[StreamEvent] = deque()
        self._error: Exception | None = None
        self._open = False
        self._waits: asyncio.Future[None] | None = None
        self._heard_at = 0.0
        self._watch: Handle | None = None
        self._arrived = 0.0
        self._pipe: deque[tuple[Callable[..., object], Any]] = deque()
        self._closed = False
        self.node: Node | None = None
        self._server: asyncio.Task[None] | None = None

    # the verifier's side

    async def __aenter__(self) -> Self:
        self._heard_at = self._loop._time
        self._watch = self._loop.at(self._process, self._silence, self._mind_silence)
        # Making the connection takes as long as the request takes afterwards.
        making = self._network.there(self._link)
        if making is not None:
            await asyncio.sleep(making)
            self._sending()
        node, delay = self._network.reach(), self._network.there(self._link)
        if node is None:
            self._loop.at(self._process, 0.002, self._fail, ServiceUnavailable("nobody listens"))
        elif delay is not None:
            self._loop.at(self._loop.world, delay, self._arrive, node)
        while not self._open:
            await self._something()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        if self._watch is not None:
            self._watch.cancel()
        self._loop.at(self._loop.world, 0.002, self.end_server)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamEvent:
        while not self._events:
            await self._something()
        return self._events.popleft()

    async def _something(self) -> None:
        if self._error is not None:
            raise self._error
        self._waits = self._loop.create_future()
        await self._waits

    def _wake(self) -> None:
        if self._waits is not None and not self._waits.done():
            self._waits.set_result(None)

    def _fail(self, error: Exception) -> None:
        self._error = error
        self._wake()

    def _opened(self, _: None) -> None:
        self._open = True
        self._heard_at = self._loop._time
        self._wake()

    def _take(self, piece: bytes) -> None:
        self._heard_at = self._loop._time
        if self._error is None and not self._closed:
            self._events.extend(self._stream.feed(piece))
            self._wake()

    def _mind_silence(self) -> None:
        left = self._heard_at + self._silence - self._loop._time
        if left > 1e-6:
            self._watch = self._loop.at(self._process, left, self._mind_silence)
        else:
            self._fail(httpx.ReadTimeout("silence"))

    # the node's side

    def _arrive(self, node: "Node") -> None:
        if not node.up:
            self._loop.at(self._process, 0.001, self._fail, ServiceUnavailable("refused"))
            return
        if self._closed:
            return
        self.node = node
        node.connections.add(self)
        self._loop.process = node.process
        self._server = self._loop.create_task(node.send_feed(self, self._parameters))

    def refuse(self, reason: str) -> None:
        """Answer 503."""
        self._send(self._fail, ServiceUnavailable(reason))

    def accept(self) -> None:
        """Answer 200."""
        self._send(self._opened, None)

    def send(self, piece: bytes) -> None:
        """Send a piece of the stream."""
        if len(piece) > 1 and self._network.random.random() < 0.02:
            place = int(self._network.random.random() * len(piece))
            self._send(self._take, piece[:place])
            piece = piece[place:]
        self._send(self._take, piece)

    def finish(self) -> None:
        """End the stream, as a node does."""
        self._send(self._fail, httpx.RemoteProtocolError("the stream is over"))

    def _send(self, callback: Callable[..., object], arg: Any) -> None:
        loop, link = self._loop, self._link
        # What a cut link loses is sent again once it is there.
        at = max(loop._time, link.cut_until, link.stalled_until, self._feed_link.stalled_until, self._arrived)
        self._arrived = at + 0.0003 + self._network.quick * self._network.random.random()
        # In order, in whatever order a process that was halted finds what has arrived.
        self._pipe.append((callback, arg))
        loop.at(self._process, self._arrived - loop._time, self._deliver)

    def _deliver(self) -> None:
        callback, arg = self._pipe.popleft()
        callback(arg)

    def break_off(self, *, noticed: bool = True) -> None:
        """Break the connection; the node notices, or goes on sending into nothing."""
        self._loop.at(self._process, 0.001, self._fail, httpx.ReadError("cut"))
        if noticed:
            self._loop.at(self._loop.world, 0.001, self.end_server)

    def end_server(self) -> None:
        """Have the node end what it sends, as its server does when a client goes away."""
        node = self.node
        if node is None:
            return
        node.connections.discard(self)
        if self._server is not None and node.up and not self._server.done():
            self._loop.process = node.process
            self._server.cancel()
            self._loop.process = self._loop.world


def _stored(seen: UsageRecord) -> HourlyUsage:
    source = seen.source
    return HourlyUsage(
        key_id=bytes(16),
        digest=source.digest,
        hour=_EPOCH + timedelta(seconds=source.hour * HOUR_SECONDS),
        network=source.network,
        agent=source.agent,
        verifier="v",
        first_seen=_EPOCH + timedelta(seconds=seen.first),
        last_seen=_EPOCH + timedelta(seconds=seen.last),
        count=seen.uses,
        code=source.code,
    )
