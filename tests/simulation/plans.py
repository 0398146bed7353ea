"""
Plans of schedules: who there is, what is done when, and what goes wrong. A seed gives one plan, always the same.

Choices lean towards races: most plans are made around one moment at which a key ends, with what may overtake it, be
overtaken by it, or not hear of it at that moment.
"""

from collections.abc import Callable
from random import Random
from typing import NamedTuple

START = 0.1
"""When everybody that is there from the beginning is ready, as a rule."""

SETTLE_SECONDS = 7.0
"""How long after the last fault everybody follows again, at the latest."""

_SETTLED_SHARE = 1 / 60


class Item(NamedTuple):
    """
    Something that is done at a time; what the other fields mean depends on what it is.

    `who` is a process: nodes first, then verifiers. `key` is a key. `seconds` is how long it lasts.
    """

    at: float
    what: str
    who: int = 0
    key: int = 0
    seconds: float = 0.0
    how: str = ""


class Plan(NamedTuple):
    """
    A schedule to be.

    `seed` decides everything that is not said here. `absent` are processes that do not start by themselves. `settle`
    says to let everything recover at the end, and to hold everybody to that.
    """

    seed: int
    postgres: bool
    nodes: int
    verifiers: int
    keys: int
    items: tuple[Item, ...]
    until: float
    absent: frozenset[int] = frozenset()
    outage_seconds: int = 0
    slow_share: float = 0.0
    block: int = 1
    old_changes: int = 0
    settle: bool = False
    report_seconds: float = 10.0


def plan_of(seed: int) -> Plan:
    """Make the plan of a seed."""
    return _Planning(Random(seed)).plan(seed)


class _Planning:
    def __init__(self, random: Random) -> None:
        self.random = random
        share = random.random
        self.postgres = share() < 0.75
        self.nodes = 1 if share() < 0.25 else 2 if share() < 0.9 else 3
        self.verifiers = 0 if share() < 0.35 else 1 if share() < 0.9 else 2
        self.keys = 1 if share() < 0.5 else 2 if share() < 0.7 else 3
        self.outage_seconds = 0 if share() < 0.7 else 2
        self.moment = START + 0.15 + 0.2 * share()
        self.until = self.moment + 1.55
        self.items: list[Item] = []
        self.absent: set[int] = set()

    def plan(self, seed: int) -> Plan:
        random = self.random
        race = random.choices(_RACES, _WEIGHTS)[0]
        race(self)
        for _ in range(random.choice((0, 0, 1, 1, 2))):
            self.trouble(START + random.random() * (self.until - START - 0.5))
        for _ in range(random.choice((0, 1, 2))):
            self.add(random.uniform(START, self.until), "verify", self.anybody(), self.any_key())
        return Plan(
            seed=seed,
            postgres=self.postgres,
            nodes=self.nodes,
            verifiers=self.verifiers,
            keys=self.keys,
            items=tuple(sorted(self.items)),
            until=self.until,
            absent=frozenset(self.absent),
            outage_seconds=self.outage_seconds,
            slow_share=random.choice((0.0, 0.0, 0.0, 0.1)),
            # A transaction that is longer than the overlap is found by its missing number only.
            block=random.choice((1, 1, 3, 32)) if self.postgres and race is not _Planning.long_transaction else 1,
            old_changes=random.choice((0, 0, 1, 2)),
            settle=random.random() < _SETTLED_SHARE,
            report_seconds=0.9 if race is _Planning.counted else 10.0,
        )

    # who and when

    def add(self, at: float, what: str, who: int = 0, key: int = 0, seconds: float = 0.0, how: str = "") -> None:
        self.items.append(Item(round(at, 4), what, who, key, round(seconds, 4), how))

    def node(self) -> int:
        return int(self.random.random() * self.nodes)

    def anybody(self) -> int:
        return int(self.random.random() * (self.nodes + self.verifiers))

    def verifier(self) -> int | None:
        return self.nodes + int(self.random.random() * self.verifiers) if self.verifiers else None

    def need_verifier(self) -> int:
        self.verifiers = max(1, self.verifiers)
        return self.nodes + int(self.random.random() * self.verifiers)

    def any_key(self) -> int:
        return int(self.random.random() * self.keys)

    def near(self, spread: float = 0.06) -> float:
        """Choose a time around the moment, mostly very close to it."""
        random = self.random.random
        return self.moment + (random() - 0.5) * (spread if random() < 0.7 else 8 * spread)

    # what is common

    def warm(self, key: int, *, share: float = 0.8) -> None:
        """Have processes hold a key before the moment."""
        for who in range(self.nodes + self.verifiers):
            if self.random.random() < share:
                self.add(self.moment - 0.05 - 0.2 * self.random.random(), "verify", who, key)

    def end(self, key: int, at: float | None = None, *, slow: bool = False) -> float:
        """End a key; gives when."""
        random = self.random
        at = self.near() if at is None else at
        what = "revoke" if random.random() < 0.7 else "delete"
        how = "slow" if slow else random.choices(("", "slow", "late", "rolled back", "answer lost"), (8, 2, 2, 1, 1))[0]
        seconds = random.uniform(0.2, 1.5) if how == "late" else 0.0
        self.add(at, what, self.node(), key, seconds, how)
        if random.random() < 0.15:
            self.add(at + random.uniform(-0.03, 0.3), random.choice(("revoke", "delete", "touch")), self.node(), key)
        return at

    def probe(self, key: int, at: float, *, often: int = 1) -> None:
        """Ask everybody once the bound is over."""
        for who in range(self.nodes + self.verifiers):
            for _ in range(often):
                self.add(at + 1.02 + 0.45 * self.random.random() ** 2, "verify", who, key)

    def around(self, key: int, count: int, spread: float = 0.3) -> None:
        """Ask anybody around the moment."""
        for _ in range(count):
            self.add(self.near(spread), "verify", self.anybody(), key)

    def receipts(self, key: int, at: float, count: int) -> None:
        """Read receipts soon after the moment, and ask everybody behind them."""
        random = self.random
        for _ in range(count):
            self.add(at + 0.01 + random.random() ** 2, "receipt", self.node(), key)

    # races

    def overtaken(self) -> None:
        """A look-up reads before the end of a key, and is answered after it was told."""
        random, key = self.random, self.any_key()
        at = self.end(key)
        for _ in range(random.choice((1, 1, 2))):
            self.add(at - 0.02 + 0.03 * random.random(), "late verify", self.anybody(), key, random.uniform(0.02, 0.8))
        self.probe(key, at)

    def joined(self) -> None:
        """Others wait for a look-up that began before the end of a key, and receipts say that all have confirmed."""
        random, key = self.random, self.any_key()
        at = self.end(key)
        who = self.anybody()
        late = random.uniform(0.2, 1.1)
        self.add(at - 0.005 - 0.02 * random.random(), "late verify", who, key, late)
        for _ in range(3):
            self.add(at + late * random.random(), "verify", who, key)
        for _ in range(3):
            self.add(at + 0.02 + late * 0.8 * random.random(), "receipt", self.node(), key)

    def joined_twice(self) -> None:
        """Others wait for a look-up of a verifier that asks again, because of one change, while the key ends."""
        random, key = self.random, self.any_key()
        verifier = self.need_verifier()
        at, late = self.moment, random.uniform(0.2, 0.5)
        self.add(at, "late verify", verifier, key, late, "both")
        self.add(at + 0.02, "touch", self.node(), key)
        ends = at + late + 0.01 + 0.03 * random.random()
        self.add(ends, "revoke", self.node(), key)
        for _ in range(4):
            self.add(ends + 0.02 + late * 0.8 * random.random(), "receipt", self.node(), key)

    def long_transaction(self) -> None:
        """A change becomes visible after longer than is looked through again, and after its caller gave up."""
        random = self.random
        self.postgres, self.keys, self.nodes = True, max(2, self.keys), max(2, self.nodes)
        self.verifiers = 0
        key = self.any_key()
        lasts = random.uniform(10.5, 11.5)
        self.add(self.moment, "revoke", 0, key, lasts, "late")
        self.add(self.moment + 0.1, "touch", 1, (key + 1) % self.keys)
        ends = self.moment + lasts
        self.add(ends - 0.2, "verify", 0, key)
        for _ in range(2):
            self.add(ends + 0.4 + 0.1 * random.random(), "verify", 1, key)
            self.add(ends + 2.0 + 0.5 * random.random(), "verify", 0, key)
        self.until = ends + 2.6

    def joined_late(self) -> None:
        """Others wait for a look-up that began long before, while the process hears of nothing."""
        random, key = self.random, self.any_key()
        at = self.end(key)
        who = self.anybody()
        self.deaf(who, at - random.uniform(0.0, 0.3), 2.0)
        self.add(at - 0.02 * random.random(), "late verify", who, key, random.uniform(1.05, 1.18))
        for _ in range(4):
            self.add(at + 1.01 + 0.17 * random.random(), "verify", who, key)

    def lagging(self) -> None:
        """A node has not heard of the end of a key yet when a verifier that has heard asks it."""
        random, key = self.random, self.any_key()
        verifier = self.need_verifier()
        self.nodes = max(2, self.nodes)
        verifier = self.nodes
        self.warm(key)
        at = self.end(key)
        self.deaf(self.node(), at - random.uniform(0.0, 0.2), random.uniform(0.5, 1.2))
        for _ in range(5):
            self.add(at + 0.02 + random.random(), "verify", verifier, key)
        self.probe(key, at, often=2)

    def outage(self) -> None:
        """A node without its database tells a verifier what it holds, after the verifier has heard of the end."""
        random, key = self.random, self.any_key()
        self.need_verifier()
        self.nodes, self.outage_seconds = max(2, self.nodes), 2
        verifier = self.nodes
        self.warm(key, share=1.0)
        at = self.end(key)
        self.add(at - random.uniform(0.0, 0.1), "cut", self.node(), 0, random.uniform(1.0, 1.4))
        for _ in range(3):
            self.add(at + 0.02 + 0.15 * random.random(), "verify", verifier, key)
        for _ in range(4):
            self.add(at + 1.3 + 0.5 * random.random(), "verify", verifier, key)
        self.until += 0.3

    def silence(self) -> None:
        """A process hears of nothing for longer than the bound, and what it holds must not count."""
        random, key = self.random, self.any_key()
        self.warm(key, share=1.0)
        at = self.end(key)
        who = self.anybody()
        self.deaf(who, at - random.uniform(0.0, 0.1), random.uniform(1.2, 1.8))
        for _ in range(3):
            self.add(at + 1.01 + 0.5 * random.random(), "verify", who, key)

    def slow_reading(self) -> None:
        """A reading of the changes sees nothing of the end yet, and is answered long after it."""
        random, key = self.random, self.any_key()
        self.warm(key, share=1.0)
        at = self.end(key)
        node = self.node()
        late = random.uniform(0.2, 1.0)
        self.add(at - 0.12 + 0.1 * random.random(), "late reading", node, 0, late)
        self.add(at + 0.02, "stall the trail", node, 0, 1.6)
        for _ in range(3):
            self.add(at + 1.01 + 0.8 * random.random(), "verify", node, key)

    def numbers(self) -> None:
        """Changes become visible in another order than that of their numbers."""
        random = self.random
        self.postgres, self.keys = True, max(2, self.keys)
        key = self.any_key()
        self.warm(key, share=1.0)
        at = self.near()
        self.add(at, "revoke", self.node(), key, random.uniform(0.1, 0.6), "late")
        for _ in range(random.choice((1, 2, 3))):
            other = (key + 1 + int(random.random() * (self.keys - 1))) % self.keys
            self.add(at + 0.02 + 0.2 * random.random(), "touch", self.node(), other)
        if random.random() < 0.4:
            self.add(at + random.random(), "lose the trail", self.node())
        if random.random() < 0.5:
            self.add(at + random.uniform(0.0, 0.6), "break the feed", self.need_verifier(), 0, 0.0, "noticed")
        self.probe(key, at + 0.6)
        self.until += 0.5

    def starting(self) -> None:
        """A node starts while a key ends, and everybody who asks may reach it."""
        random, key = self.random, self.any_key()
        self.nodes = max(2, self.nodes)
        who = self.node()
        self.absent.add(who)
        self.warm(key)
        at = self.end(key)
        starts = at + random.choice((random.uniform(-0.06, 0.03), random.uniform(-0.3, 0.0)))
        slow = random.random() < 0.4
        self.add(starts, "start", who, 0, random.uniform(0.1, 0.9) if slow else 0.0)
        if slow:
            self.add(at + 0.02 * random.random(), "stall the trail", who, 0, random.uniform(0.3, 0.9))
        for _ in range(3):
            self.add(starts + 0.06 * random.random(), "late verify", who, key, random.uniform(0.0, 0.3))
        if random.random() < 0.5:
            self.add(starts + 0.02 * random.random(), "late reading", who, 0, random.uniform(0.0, 0.3))
        self.receipts(key, at, 3)
        for _ in range(3):
            self.add(at + 0.02 + 0.5 * random.random(), "verify", who, key)
        self.probe(key, at)

    def feed_opens(self) -> None:
        """A feed opens, or opens again, while a key ends, or while the node that sends it begins to follow."""
        random, key = self.random, self.any_key()
        verifier = self.need_verifier()
        at = self.end(key)
        if random.random() < 0.4:
            self.absent.add(verifier)
            self.add(at + random.uniform(-0.06, 0.03), "start", verifier)
        else:
            self.warm(key)
            for _ in range(random.choice((1, 2))):
                self.add(at + random.uniform(-0.15, 0.1), "break the feed", verifier, 0, 0.0, "noticed")
        if random.random() < 0.5:
            node = self.node()
            starts = at + random.uniform(-0.05, 0.1)
            self.add(starts - random.uniform(0.01, 0.25), "kill", node)
            self.add(starts, "start", node)
            if random.random() < 0.4:
                self.add(starts + 0.002, "late reading", node, 0, random.uniform(0.2, 0.9))
            if random.random() < 0.6:
                # Everybody who comes is sent there.
                for another in range(self.nodes):
                    if another != node:
                        self.add(starts + 0.05 * random.random(), "kill", another)
                self.add(starts + 0.05 * random.random(), "break the feed", verifier, 0, 0.0, "noticed")
        if random.random() < 0.3:
            self.deaf(self.node(), at - 0.1, random.uniform(0.1, 0.9))
        for _ in range(4):
            self.add(at + random.uniform(-0.05, 0.4), "late verify", verifier, key, 0.4 * random.random() ** 2)
        self.receipts(key, at, 3)
        self.probe(key, at)

    def witnesses(self) -> None:
        """Receipts are read while sessions begin, confirm and end."""
        random, key = self.random, self.any_key()
        self.warm(key)
        at = self.end(key, slow=random.random() < 0.6)
        who = self.anybody()
        if random.random() < 0.5:
            self.absent.add(who)
            self.add(at + random.uniform(-0.1, 0.3), "start", who)
        else:
            self.add(at + random.uniform(-0.2, 0.2), random.choice(("leave", "halt")), who, 0, 0.3)
        for _ in range(3):
            self.add(at + random.uniform(0.0, 0.6), "late verify", self.anybody(), key, 0.5 * random.random())
        if random.random() < 0.5:
            self.deaf(self.anybody(), at - 0.1 * random.random(), random.uniform(0.3, 1.6))
        if random.random() < 0.4:
            self.add(at - 0.2, "set the clock", self.node(), 0, random.uniform(-3.0, 3.0))
        self.receipts(key, at, 4)
        for _ in range(4):
            self.add(at + 0.05 + 1.2 * random.random(), "verify", self.anybody(), key)

    def unseen(self) -> None:
        """A node that hears of the changes cannot store its session for so long that receipts leave it out."""
        random, key = self.random, self.any_key()
        self.nodes, self.verifiers, self.outage_seconds = max(2, self.nodes), 0, 0
        who, lasts = self.node(), random.uniform(5.2, 6.5)
        self.warm(key, share=1.0)
        self.add(self.moment, "cut the pool", who, 0, lasts + random.uniform(-0.3, 0.3))
        ends = self.moment + lasts
        self.add(ends - 0.05 * random.random(), "stall the trail", who, 0, random.uniform(0.5, 1.2))
        self.add(ends, "revoke", (who + 1) % self.nodes, key)
        for _ in range(4):
            self.add(ends + 0.03 + 0.4 * random.random(), "receipt", (who + 1) % self.nodes, key)
        self.until = ends + 1.2

    def twice(self) -> None:
        """A key changes twice in a row while it is looked up."""
        random, key = self.random, self.any_key()
        at = self.moment
        self.add(at + 0.01 * random.random(), "touch", self.node(), key)
        self.end(key, at + 0.06 * random.random())
        for _ in range(3):
            self.add(at - 0.02 + 0.08 * random.random(), "late verify", self.anybody(), key, 0.4 * random.random())
        self.probe(key, at + 0.06, often=2)

    def failing_over(self) -> None:
        """Another server takes over, and gives the numbers that were lost to other changes."""
        random = self.random
        self.postgres, self.keys, self.outage_seconds = True, max(2, self.keys), 0
        key, other = random.sample(range(self.keys), 2)
        at = self.moment
        self.need_verifier()
        verifier = self.nodes
        self.warm(key, share=1.0)
        self.add(at, "touch", self.node(), other)
        fails = at + random.uniform(0.03, 0.12)
        away = random.uniform(0.02, 0.3)
        ends = fails + away + 0.3 * random.random()
        if random.random() < 0.6:
            self.add(fails, "break the feed", verifier, 0, 0.0, "noticed")
            self.add(fails, "stall", verifier, 0, ends - fails + random.uniform(0.0, 0.4))
        self.add(fails, "fail over", 0, 0, away, "0.2")
        self.add(ends, "revoke", self.node(), key)
        for _ in range(random.choice((0, 1, 2))):
            self.add(ends + 0.2 * random.random(), "touch", self.node(), random.choice((key, other)))
        self.probe(key, ends + 0.05, often=2)
        self.until += 0.3

    def created(self) -> None:
        """A key is used, changed and ended as soon as it is there."""
        random = self.random
        key = self.keys
        self.keys += 1
        at = self.moment - 0.1
        self.add(at, "create", self.node(), key)
        for _ in range(4):
            self.add(at + 0.3 * random.random(), "verify", self.anybody(), key)
        ends = self.end(key, at + 0.02 + 0.4 * random.random())
        self.probe(key, ends)

    def counted(self) -> None:
        """Uses are reported while answers get lost."""
        random, key = self.random, self.any_key()
        verifier = self.need_verifier()
        for _ in range(6):
            self.add(START + 0.1 + random.random() * 0.6, "verify", self.anybody(), key)
        self.add(START + random.random(), "lose answers", self.anybody(), 0, random.uniform(0.5, 1.5))
        if random.random() < 0.5:
            self.add(START + 0.9 + random.random() * 0.3, "cut", verifier, 0, 0.5)
        self.add(START + 1.0, "report", verifier)
        self.add(START + 1.0, "report", self.node())
        self.until = START + 3.4

    # trouble

    def deaf(self, who: int, at: float, seconds: float) -> None:
        """Have a process hear of no change for a while; how depends on what it is."""
        if who >= self.nodes:
            self.add(at, self.random.choice(("stall the feed", "stall the feed", "stall", "cut")), who, 0, seconds)
        else:
            self.add(at, "stall the trail", who, 0, seconds)

    def trouble(self, at: float) -> None:
        """Let something go wrong."""
        random = self.random
        what = random.choice(_TROUBLES)
        seconds = random.uniform(0.05, 1.6)
        if what in ("kill", "leave"):
            who = self.anybody()
            self.add(at, what, who)
            self.add(at + 0.02 + random.random() * 0.5, "start", who)
        elif what == "break the feed":
            self.add(at, what, self.verifier() or 0, 0, 0.0, random.choice(("noticed", "")))
        elif what == "set the clock":
            self.add(at, what, self.anybody(), 0, random.uniform(-100.0, 100.0))
        elif what in ("restart", "fail over"):
            self.add(at, what, 0, 0, random.uniform(0.02, 0.6), "0.1" if what == "fail over" else "")
        elif what in ("stall the trail", "lose the trail", "late reading"):
            self.add(at, what, self.node(), 0, seconds)
        elif what in ("revoke", "touch", "delete"):
            self.add(at, what, self.node(), self.any_key())
        else:
            self.add(at, what, self.anybody(), 0, seconds)


_TROUBLES = (
    *("kill", "kill", "leave", "halt", "halt", "cut", "stall", "stall the trail", "lose the trail", "late reading"),
    *("break the feed", "set the clock", "restart", "fail over", "revoke", "touch", "delete"),
)
_RACES: tuple[Callable[[_Planning], None], ...] = (
    _Planning.overtaken,
    _Planning.joined,
    _Planning.joined_twice,
    _Planning.long_transaction,
    _Planning.joined_late,
    _Planning.lagging,
    _Planning.outage,
    _Planning.silence,
    _Planning.slow_reading,
    _Planning.numbers,
    _Planning.starting,
    _Planning.feed_opens,
    _Planning.witnesses,
    _Planning.unseen,
    _Planning.twice,
    _Planning.failing_over,
    _Planning.created,
    _Planning.counted,
)
_WEIGHTS = (10, 8, 3, 0.6, 7, 7, 4, 4, 7, 10, 12, 14, 12, 0.6, 5, 10, 3, 3)
