"""
One schedule: everybody, what they do and what is done to them, and what they saw.

The real parts of service and client run on the loop, the network, the clocks and the database of this package.
"""

import gc
import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import lru_cache
from hashlib import sha256
from math import inf
from random import Random
from typing import Any, NamedTuple, cast
from uuid import UUID

from keywright.api import feed_stream as api_feed
from keywright.client.errors import ServiceUnavailable
from keywright.client.verifier import _feed as client_feed
from keywright.client.verifier import _reports as client_reports
from keywright.client.verifier._calls import ServiceCalls, Timing
from keywright.client.verifier._checker import LocalChecker, UncachedRequest
from keywright.client.verifier._session import VerifierSession
from keywright.keys import usage
from keywright.keys.pair import mint
from keywright.keys.verdict import Code
from keywright.service import background_tasks, change_follower
from keywright.service.faults import StorageUnavailable
from tests.history.checker import Change, Deed, History, Outcome, Receipt, Verify, Violation, Window, violations
from tests.simulation import store
from tests.simulation.clocks import Clocks
from tests.simulation.database import UNJUDGED_AFTER_LOSS_SECONDS, Database, Habits, Key, Link
from tests.simulation.loop import Loop, Process
from tests.simulation.network import Calls, Network
from tests.simulation.node import Node
from tests.simulation.plans import SETTLE_SECONDS, Item, Plan
from tests.simulation.store import Twist

RATE = 100e-6
"""By how much, at most, the clock of a process is too fast or too slow."""

SLACK = 0.0005
"""What the bound, measured by such a clock, may differ from true seconds; and what is lost in rounding."""

MOST_KEYS = 5
# What is promised of a revocation is promised of a key that is disabled and stays so.
_OUTCOMES = {
    Code.VALID: Outcome.VALID,
    Code.REVOKED: Outcome.REVOKED,
    Code.DISABLED: Outcome.REVOKED,
    Code.NOT_FOUND: Outcome.NOT_FOUND,
}
_BENIGN = frozenset({"verify", "receipt", "report", "set the clock"})
_DEEDS = {"create": Deed.CREATE, "revoke": Deed.REVOKE, "disable": Deed.REVOKE, "delete": Deed.DELETE}


class Broken(NamedTuple):
    """A promise that was broken in a schedule."""

    rule: str
    detail: str


@lru_cache(maxsize=1)
def _texts() -> list[tuple[str, bytes]]:
    # Minted once for all schedules: what a text is made of is not what is tested here.
    pairs = [mint(sha256(b"%d" % number).digest(), brand="kw", environment="live") for number in range(MOST_KEYS)]
    return [(pair.private.reveal(), pair.private.digest) for pair in pairs]


_KEY_IDS = [UUID(int=0x0192_0000_0000_7000_8000_0000_0000_0000 + number) for number in range(MOST_KEYS)]
_ORG_IDS = [UUID(int=500 + number) for number in range(2)]


class VerifierProcess:
    """One start of a process with an in-process verifier, to its end."""

    def __init__(self, process: Process, network: Network, link: Link, clocks: Clocks, id_: UUID, plan: Plan) -> None:
        self.process = process
        self.clocks = clocks
        self._timing = Timing(report=plan.report_seconds)
        self.calls = Calls(network, process, link, self._timing)
        self.checker = LocalChecker(
            brand="kw", capacity=100, outage_seconds=plan.outage_seconds, clock=clocks.monotonic, wall=clocks.seconds
        )
        self.checker.session = id_
        self.session: VerifierSession | None = None
        self.leaving = False

    def start(self) -> None:
        """Begin to follow."""
        self.session = VerifierSession(self.checker, cast("ServiceCalls", self.calls), self._timing, name="v")

    @property
    def up(self) -> bool:
        """Tell whether it takes requests."""
        return not self.process.dead and not self.leaving

    async def verify(self, text: str) -> Any:
        """Do as `AsyncVerifier.verify` does."""
        decided = self.checker.decide(text)
        if not isinstance(decided, UncachedRequest):
            return decided
        assert self.session is not None
        return await self.session.decide(decided)

    async def leave(self) -> None:
        """End in an orderly way."""
        assert self.session is not None
        await self.session.close()


class World:
    """
    Runs one plan.

    Args:
        plan: What to do.
        trace: Where to write down what happens; None for nowhere.
    """

    def __init__(self, plan: Plan, trace: list[str] | None = None) -> None:
        self.plan = plan
        self.random = Random(plan.seed ^ 0x5DEECE66D)
        self.loop = Loop(self.random)
        self._trace = trace
        uniform = self.random.uniform
        keys = [
            Key(number, _KEY_IDS[number], _ORG_IDS[number % 2], text, digest)
            for number, (text, digest) in enumerate(_texts()[: plan.keys])
        ]
        self.database = Database(
            loop=self.loop,
            random=self.random,
            postgres=plan.postgres,
            keys=keys,
            habits=Habits(slow_share=plan.slow_share, block=plan.block, commit_slow=0.35 if plan.postgres else 0.1),
            rate=1 + uniform(-RATE, RATE),
            offset=uniform(-2.0, 2.0),
            keep_undo=any(item.what == "fail over" for item in plan.items),
            note=None if trace is None else self.note,
        )
        created_later = {item.key for item in plan.items if item.what == "create"}
        for key in keys:
            key.created = key.number not in created_later
        if plan.old_changes:
            # Connections whose numbers are older than changes that were made long ago.
            for connection in range(1, plan.nodes + 1):
                self.database.draw(connection)
        for number in range(plan.old_changes):
            self.database.old_change(keys[number % len(keys)], ago=3600.0 if number else 60.0)
        self.places: list[Node | VerifierProcess | None] = [None] * (plan.nodes + plan.verifiers)
        self.links = [Link() for _ in self.places]
        self.offsets = [0.0 if self.random.random() < 0.6 else uniform(-5.0, 5.0) for _ in self.places]
        self.network = Network(self.loop, self.random, self._up)
        self.verifies: list[Verify] = []
        self.changes: list[list[Any]] = []
        self.receipts: list[Receipt] = []
        self.wrong: list[Broken] = []
        self.asked = [0] * len(keys)
        # Nobody presents a key before the answer that gives it.
        self.given = [key.created for key in keys]
        self._starts = 0

    # the whole

    def run(self) -> list[Broken]:
        """Run the plan; give the promises that were broken."""
        loop, plan = self.loop, self.plan
        for who in range(len(self.places)):
            if who not in plan.absent:
                loop.at(loop.world, 0.05 * self.random.random() + (0.02 if who >= plan.nodes else 0.0), self.start, who)
        for item in plan.items:
            loop.at(loop.world, item.at, self._do, item)
        loop.run(plan.until)
        if plan.settle:
            self._settle()
        broken = self._judge()
        loop.end()
        return broken

    def note(self, who: str, what: str) -> None:
        """Write a line of the trace."""
        if self._trace is not None:
            self._trace.append(f"{self.loop._time:8.4f}  {who:10} {what}")

    def _up(self) -> list[Node]:
        return [node for node in self.places[: self.plan.nodes] if node is not None and node.up]  # type: ignore[misc]

    # what is done

    def start(self, who: int, late: float = 0.0) -> None:
        """
        Start a process that is not there.

        Args:
            who: Which.
            late: How much longer than usual it takes to store the session of a node.
        """
        place = self.places[who]
        if place is not None and not place.process.dead:
            return
        uniform = self.random.uniform
        self._starts += 1
        is_node = who < self.plan.nodes
        process = Process(f"node {who}" if is_node else f"verifier {who - self.plan.nodes}")
        clocks = Clocks(
            self.loop, rate=1 + uniform(-RATE, RATE), began=round(uniform(0.0, 1e5), 3), off=self.offsets[who]
        )
        id_ = UUID(int=(1000 + who) * 1000 + self._starts)
        self.note(process.name, "starts")
        if is_node:
            self._start_node(who, process, clocks, id_, late)
        else:
            verifier = VerifierProcess(process, self.network, self.links[who], clocks, id_, self.plan)
            self.places[who] = verifier
            with self.loop.within(process):
                verifier.start()
        if self._trace is not None:
            self._watch(self.places[who])

    def _start_node(self, who: int, process: Process, clocks: Clocks, id_: UUID, late: float) -> None:
        node = Node(
            process,
            self.database,
            self._starts,
            self.links[who],
            clocks,
            session=id_,
            outage_seconds=self.plan.outage_seconds,
            hears=self.random.random() < 0.85,
        )
        self.places[who] = node
        node.store.write_late = late
        with self.loop.within(process):
            node.tasks.start()

    def _watch(self, place: "Node | VerifierProcess | None") -> None:
        """Have drops written down."""
        if isinstance(place, Node):
            name, cache = place.process.name, place.cache
        else:
            assert place is not None
            name, cache = place.process.name, place.checker._cache
        numbers = {key.digest: key.number for key in self.database.keys}
        drop, drop_all = cache.drop, cache.drop_all

        def noted_drop(digests: Any) -> None:
            told = list(digests)
            if told:
                self.note(name, f"drops {', '.join(f'key {numbers[digest]}' for digest in told)}")
            drop(told)

        def noted_drop_all() -> None:
            self.note(name, "drops everything")
            drop_all()

        cache.drop, cache.drop_all = noted_drop, noted_drop_all  # type: ignore[method-assign]

    def _do(self, item: Item) -> None:
        action = _ACTIONS[item.what]
        action(self, item)

    def _begin(self, place: "Node | VerifierProcess", work: Coroutine[Any, Any, None]) -> None:
        # As that process, until the loop goes on.
        self.loop.process = place.process
        self.loop.create_task(work)
        self.loop.process = self.loop.world

    def _verify(self, item: Item) -> None:
        place = self.places[item.who]
        if place is not None and place.up and item.key < len(self.given) and self.given[item.key]:
            self.asked[item.key] += 1
            self._begin(place, self._verified(place, item))

    async def _verified(self, place: "Node | VerifierProcess", item: Item) -> None:
        # A halted process begins when it goes on.
        if item.what == "late verify":
            if isinstance(place, Node):
                place.store.late = item.seconds
            else:
                place.calls.late = item.seconds
                place.calls.late_times = 2 if item.how == "both" else 1
        key, start, name = self.database.keys[item.key], self.loop._time, place.process.name
        stale = False
        try:
            verdict = await place.verify(key.text)
        except (StorageUnavailable, ServiceUnavailable):
            outcome = Outcome.UNAVAILABLE
        else:
            outcome, stale = _OUTCOMES.get(verdict.code, Outcome.WRONG), verdict.stale
            facts = verdict.facts if isinstance(place, Node) else verdict.key and verdict.key._facts
            if facts and (facts.id != key.id.bytes or facts.org_id != key.org_id.bytes):
                outcome = Outcome.WRONG
        self.verifies.append(Verify(start - SLACK, self.loop._time, name, item.key, outcome, stale))
        if self._trace is not None:
            said = f"{outcome.name.lower()}{' (stale)' if stale else ''}"
            self.note(name, f"says {said} of key {item.key}, asked at {start:.4f}")

    def _change(self, item: Item) -> None:
        node = self.places[item.who]
        if isinstance(node, Node) and node.up and (self.given[item.key] or item.what == "create"):
            self._begin(node, self._changed(node, item))

    async def _changed(self, node: Node, item: Item) -> None:
        key, at, how = self.database.keys[item.key], node.clocks.time(), item.how
        twist = Twist(
            slow=how == "slow",
            extra=item.seconds if how == "late" else 0.0,
            rolled_back=how == "rolled back",
            answer_lost=how == "answer lost",
        )
        record = [self.loop._time, inf, node.process.name, item.key, _DEEDS.get(item.what), False]
        if item.what in _DEEDS:
            self.changes.append(record)
        try:
            if item.what == "create":
                await node.store.create(key, twist)
            elif item.what == "revoke":
                await node.store.revoke(key, at, twist)
            elif item.what == "disable":
                await node.store.disable(key, at, twist)
            elif item.what == "delete":
                await node.store.delete(key, at, twist)
            else:
                await node.store.touch(key, at, twist)
            record[1], record[5] = self.loop._time, True
            self.given[item.key] = True
        except StorageUnavailable:
            record[1] = self.loop._time
        if self._trace is not None:
            said = "acknowledged" if record[5] else "not acknowledged"
            self.note(node.process.name, f"{item.what} key {item.key}: {said}, asked at {record[0]:.4f}")

    def _receipt(self, item: Item) -> None:
        node = self.places[item.who]
        if isinstance(node, Node) and node.up and item.key < len(self.database.keys):
            self._begin(node, self._received(node, item))

    async def _received(self, node: Node, item: Item) -> None:
        start = self.loop._time
        try:
            receipt = await node.receipt(self.database.keys[item.key])
        except StorageUnavailable:
            return
        if receipt is None:
            return
        end, until = self.loop._time, receipt.may_accept_until
        if end - self.database.lost_at >= UNJUDGED_AFTER_LOSS_SECONDS:
            true = None if until is None else self.database.true(until)
            self.receipts.append(Receipt(start, end, item.key, true))
            if self._trace is not None:
                said = "nobody any more" if true is None else f"somebody until {true:.4f}"
                self.note(node.process.name, f"receipt of key {item.key}: {said} of {len(receipt.confirmations)}")
            # Who was told this asks at once whether it is true.
            for who in range(len(self.places)):
                if self.random.random() < 0.5:
                    continue
                delay = (0.0 if true is None else max(0.0, true - end)) + 0.002
                if delay < 1.5:
                    self.loop.at(self.loop.world, delay, self._verify, Item(0.0, "verify", who, item.key))

    # what goes wrong

    def _kill(self, item: Item) -> None:
        place = self.places[item.who]
        if place is not None and not place.process.dead:
            self.note(place.process.name, "is killed")
            self._end(place)

    def _end(self, place: "Node | VerifierProcess") -> None:
        self.loop.kill(place.process)
        if isinstance(place, Node):
            if place.store.trail is not None:
                self.database.listeners.pop(place.store.trail, None)
            for request in place.requests:
                self.loop.at(request.process, 0.001, request.break_off)
            self._break_connections(place)
        elif place.calls.connection is not None:
            place.calls.connection.end_server()

    def _break_connections(self, node: Node) -> None:
        for connection in list(node.connections):
            connection.break_off(noticed=node.leaving)

    def _leave(self, item: Item) -> None:
        place = self.places[item.who]
        if place is not None and place.up and not place.process.halted:
            self.note(place.process.name, "leaves")
            place.leaving = True
            if isinstance(place, Node):
                self._break_connections(place)
            self._begin(place, self._left(place))

    async def _left(self, place: "Node | VerifierProcess") -> None:
        await place.leave()
        self.loop.at(self.loop.world, 0.0, self._end, place)

    def _start(self, item: Item) -> None:
        self.start(item.who, item.seconds)

    def _halt(self, item: Item) -> None:
        place = self.places[item.who]
        if place is not None and not place.process.dead:
            self.note(place.process.name, f"is halted for {item.seconds} s")
            self.loop.halt(place.process)
            self.loop.at(self.loop.world, item.seconds, self._go_on, place.process)

    def _go_on(self, process: Process) -> None:
        if process.halted:
            self.note(process.name, "goes on")
            self.loop.go_on(process)

    def _links(self, who: int) -> list[Link]:
        place = self.places[who]
        return [self.links[who], *([place.store.trail_link] if isinstance(place, Node) else ())]

    def _stall(self, item: Item) -> None:
        self.note("network", f"stalls for {item.seconds} s: {self._name(item.who)}")
        for link in self._links(item.who):
            link.stalled_until = self.loop._time + item.seconds

    def _cut(self, item: Item) -> None:
        self.note("network", f"is cut for {item.seconds} s: {self._name(item.who)}")
        for link in self._links(item.who):
            link.cut_until = self.loop._time + item.seconds

    def _cut_pool(self, item: Item) -> None:
        self.note("network", f"is cut for {item.seconds} s: {self._name(item.who)} but for its trail")
        self.links[item.who].cut_until = self.loop._time + item.seconds

    def _lose_answers(self, item: Item) -> None:
        self.note("network", f"loses answers for {item.seconds} s: {self._name(item.who)}")
        for link in self._links(item.who):
            link.mute_until = self.loop._time + item.seconds

    def _stall_trail(self, item: Item) -> None:
        node = self.places[item.who]
        if isinstance(node, Node):
            self.note("network", f"stalls for {item.seconds} s: the trail of {node.process.name}")
            node.store.trail_link.stalled_until = self.loop._time + item.seconds

    def _lose_trail(self, item: Item) -> None:
        node = self.places[item.who]
        if isinstance(node, Node) and node.store.trail is not None and self.plan.postgres and node.up:
            self.note("network", f"breaks: the trail of {node.process.name}")
            self.loop.at(node.process, 0.001, node.store.trail.break_off)

    def _stall_feed(self, item: Item) -> None:
        verifier = self.places[item.who]
        if isinstance(verifier, VerifierProcess):
            self.note("network", f"stalls for {item.seconds} s: the feed of {verifier.process.name}")
            verifier.calls.feed_link.stalled_until = self.loop._time + item.seconds

    def _late_reading(self, item: Item) -> None:
        node = self.places[item.who]
        if isinstance(node, Node):
            self.note("network", f"delays the next reading of {node.process.name} by {item.seconds} s")
            node.store.trail_late = item.seconds

    def _break_feed(self, item: Item) -> None:
        place = self.places[item.who]
        if isinstance(place, VerifierProcess) and place.calls.connection is not None:
            self.note("network", f"breaks: the feed of {place.process.name}")
            place.calls.connection.break_off(noticed=item.how == "noticed")

    def _set_clock(self, item: Item) -> None:
        self.offsets[item.who] += item.seconds
        place = self.places[item.who]
        if place is not None:
            self.note(place.process.name, f"has its clock set by {item.seconds} s")
            place.clocks.off += item.seconds

    def _restart(self, item: Item) -> None:
        self.note("database", f"restarts, away for {item.seconds} s")
        self.database.restart(item.seconds)

    def _fail_over(self, item: Item) -> None:
        if not self.plan.postgres:
            return
        self.note("database", f"fails over, away for {item.seconds} s, losing the last {item.how} s")
        self.database.fail_over(item.seconds, float(item.how))

    def _report(self, item: Item) -> None:
        place = self.places[item.who]
        if isinstance(place, Node) and place.up:
            self._begin(place, self._reported(place))

    async def _reported(self, node: Node) -> None:
        try:
            await node.tasks._write_usage()
        except StorageUnavailable:
            return

    def _name(self, who: int) -> str:
        return f"node {who}" if who < self.plan.nodes else f"verifier {who - self.plan.nodes}"

    # the end

    def _settle(self) -> None:
        """Let everything recover; then everybody follows, and knows the truth without asking."""
        self.note("world", "settles")
        self.database.habits.slow_share = 0.0
        for who, place in enumerate(self.places):
            if place is not None and place.process.halted:
                self._go_on(place.process)
            if place is not None and place.leaving:
                # Its last writes may take long, and who starts it again does not wait for that.
                self._kill(Item(0.0, "kill", who))
            self.start(who)
        self.loop.run(self.plan.until + SETTLE_SECONDS)
        for place in self.places:
            assert place is not None
            if isinstance(place, Node):
                place.store.late = 0.0
            else:
                place.calls.late_times = 0
            self._hold_to_the_truth(place)
        self.loop.run(self.plan.until + SETTLE_SECONDS + 0.1)
        for who in range(len(self.places)):
            self.loop.at(self.loop.world, 0.0, self._leave, Item(0.0, "leave", who))
        self.loop.run(self.plan.until + SETTLE_SECONDS + 3.0)

    def _hold_to_the_truth(self, place: "Node | VerifierProcess") -> None:
        follows = place.cache.fresh_at(place.clocks.monotonic()) if isinstance(place, Node) else place.checker.fresh
        if not follows and place.up:
            self.wrong.append(Broken("does not follow again", place.process.name))
        for key in self.database.keys:
            if key.created and not key.lost:
                self._begin(place, self._true(place, key))

    async def _true(self, place: "Node | VerifierProcess", key: Key) -> None:
        name = place.process.name
        if not place.up:
            return
        try:
            self.asked[key.number] += 1
            code = (await place.verify(key.text)).code
        except (StorageUnavailable, ServiceUnavailable) as error:
            self.wrong.append(Broken("does not answer though all is well", f"{name}: {error!r}"))
            return
        states = ((key.deleted, Code.NOT_FOUND), (key.revoked, Code.REVOKED), (key.disabled, Code.DISABLED))
        true = next((code for holds, code in states if holds), Code.VALID)
        if code is not true:
            self.wrong.append(
                Broken("does not know the truth though all is well", f"{name}: {code} of key {key.number}")
            )

    def _judge(self) -> list[Broken]:
        lost = {key.number for key in self.database.keys if key.lost}
        names = frozenset(self._name(who) for who in range(len(self.places)))
        history = History(
            verifies=[verify for verify in self.verifies if verify.key not in lost],
            changes=[Change(*change) for change in self.changes if change[3] not in lost],
            receipts=[receipt for receipt in self.receipts if receipt.key not in lost],
            windows=[Window(since, inf, names, away=True) for since in self._trouble_since()],
            outage_seconds=dict.fromkeys(names, float(self.plan.outage_seconds)),
        )
        broken = [Broken(found.rule, _shown(found)) for found in violations(history)]
        broken += self.wrong
        broken += [Broken("unexpected error", error) for error in (*self.loop.lost_errors(), *_errors.told)]
        for key in self.database.keys:
            if key.uses > self.asked[key.number]:
                broken.append(Broken("more uses than verifications", f"{key.uses} > {self.asked[key.number]}"))
        return broken

    def _trouble_since(self) -> list[float]:
        """Tell when the first trouble began, after which errors and stale answers have a cause."""
        plan = self.plan
        if plan.absent or plan.slow_share:
            return [-1.0]
        for item in plan.items:
            if item.what not in _BENIGN and (item.what not in _CHANGES or item.how not in ("", "slow")):
                return [item.at - 1.0]
        return []


def _shown(found: Violation) -> str:
    record = found.record
    if isinstance(record, Verify):
        return f"{record.verifier}, key {record.key}, asked at {record.start + SLACK:.4f}: {found.detail}"
    return f"{record.node}, key {record.key}, asked at {record.start:.4f}: {found.detail}"


_CHANGES = frozenset({"create", "revoke", "disable", "delete", "touch"})
_ACTIONS: dict[str, Callable[[World, Item], None]] = {
    "verify": World._verify,
    "late verify": World._verify,
    "create": World._change,
    "revoke": World._change,
    "disable": World._change,
    "delete": World._change,
    "touch": World._change,
    "receipt": World._receipt,
    "report": World._report,
    "kill": World._kill,
    "leave": World._leave,
    "start": World._start,
    "halt": World._halt,
    "stall": World._stall,
    "cut": World._cut,
    "cut the pool": World._cut_pool,
    "lose answers": World._lose_answers,
    "stall the trail": World._stall_trail,
    "stall the feed": World._stall_feed,
    "lose the trail": World._lose_trail,
    "late reading": World._late_reading,
    "break the feed": World._break_feed,
    "set the clock": World._set_clock,
    "restart": World._restart,
    "fail over": World._fail_over,
}


_PACES: tuple[tuple[Any, str, float], ...] = (
    (change_follower, "READ_EVERY_SECONDS", 2 * change_follower.READ_EVERY_SECONDS),
    (api_feed, "BEAT_SECONDS", 2 * api_feed.BEAT_SECONDS),
    (background_tasks, "RENEW_EVERY_SECONDS", 1.5),
    (api_feed, "RENEW_EVERY_SECONDS", 1.5),
    (store, "SESSION_SECONDS", 5.0),
    (change_follower, "STORED_SECONDS", 3.5),
    (usage, "SHORTEST_ROUND_SECONDS", 0.0),
)


class _Errors(logging.Handler):
    """Keeps what verifiers log as an error: none of it is ever expected."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        self.told.append(f"{record.getMessage()}: {record.exc_info and record.exc_info[1]!r}")


_errors = _Errors()


@contextmanager
def simulating() -> Iterator[None]:
    """
    Make what is not decided by a seed be decided by one, and nothing be collected or logged, while schedules run.

    The pauses between two tries to open a feed come from the operating system's randomness otherwise. Rounds in which
    nothing happens come half as often as in service, because most of a schedule would be spent on them, and a session
    is unseen for too long after 5 s instead of a minute. What a schedule writes of its few uses is due at once, so that
    a batch is written again where its answer is lost.
    """
    logger = logging.getLogger("keywright.client")
    former, level, enabled = client_feed._random, logger.level, gc.isenabled()
    paces = [(module, name, getattr(module, name)) for module, name, _ in _PACES]
    client_feed._random = client_reports._random = cast("Any", Random(0))
    for module, name, seconds in _PACES:
        setattr(module, name, seconds)
    logger.setLevel(logging.ERROR)
    logger.addHandler(_errors)
    logger.propagate = False
    gc.collect()
    # What is there by now needs not be looked through again after each few schedules.
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        client_feed._random = client_reports._random = former
        for module, name, seconds in paces:
            setattr(module, name, seconds)
        logger.setLevel(level)
        logger.removeHandler(_errors)
        logger.propagate = True
        gc.unfreeze()
        if enabled:
            gc.enable()


def run(plan: Plan, trace: list[str] | None = None) -> list[Broken]:
    """Run a plan within `simulating`; give the promises that were broken."""
    cast("Any", client_feed._random).seed(plan.seed)
    _errors.told.clear()
    return World(plan, trace).run()
