"""Measures servers in turn, a round after a round, so that what the machine does besides falls on all alike."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from statistics import median
from typing import Any

from bench.cases import NGINX
from bench.figures import median_ratio
from bench.processes import Server
from bench.wrk import Load, drive

WARM_SECONDS = 0.4
QUIET_P99_MS = 1.5
"""Above it, nginx's own p99 says that the machine was busy with something else: the round is measured again."""
MOST_REPEATS = 3


@dataclass(frozen=True, slots=True)
class Contender:
    """
    A server, the script it is sent, and what that script reads from the environment.

    Args:
        fresh: Whether it gives a server that has just started, which must not be warmed up.
        meanwhile: What goes on, given the server's URL, while it is measured.
    """

    name: str
    server: Callable[[], Server]
    script: str
    env: Mapping[str, str]
    fresh: bool = False
    meanwhile: Callable[[str], AbstractContextManager[None]] = nullcontext


@dataclass(frozen=True, slots=True)
class Figures(Load):
    """What one round found: what the script saw, the CPU time of the server in µs an answer, and its memory."""

    cpu_us: float
    rss_mib: float


@dataclass
class Rounds:
    """The figures of each contender, round by round; how many rounds were repeated, and how many of them in vain."""

    found: dict[str, list[Any]] = field(default_factory=dict)
    repeated: int = 0
    in_vain: int = 0

    def median(self, name: str, figure: str) -> float:
        """Give the median of a figure of one contender."""
        return median(getattr(each, figure) for each in self.found[name])

    def ratio(self, one: str, other: str, figure: str) -> float:
        """Give the median of the ratios of a figure of two contenders, round by round."""
        columns = [[getattr(each, figure) for each in self.found[name]] for name in (one, other)]
        return median_ratio(*columns)


@dataclass(frozen=True)
class Plan:
    """
    How many rounds of how many seconds, and how often one is repeated because the machine was busy.

    Args:
        long_seconds: How long a round takes where uses are to be written in it, which the service does every 5 s.
    """

    rounds: int
    seconds: float
    repeats: int = MOST_REPEATS
    long_seconds: float = 7.0

    def long(self) -> "Plan":
        """Give the same with rounds in which uses are written."""
        return replace(self, seconds=max(self.seconds, self.long_seconds))


Measure = Callable[[Contender, Plan, int, int], Figures]
"""Measures a contender in one round: the plan, the number of connections, the seed of the traffic."""


def interleaved(
    contenders: Sequence[Contender],
    plan: Plan,
    connections: int,
    *,
    quiet: bool = False,
    measure: Measure | None = None,
) -> Rounds:
    """
    Measure each contender in every round, in the other direction every second time.

    Args:
        contenders: Whom; all but the measured one are paused.
        plan: How many rounds.
        connections: How many requests are under way at a time.
        quiet: Whether a round in which nginx shows that the machine was busy is repeated.
        measure: How one is measured; by `wrk` unless given.

    Raises:
        NoGoodAnswer: An answer was no success.
    """
    result = Rounds({each.name: [] for each in contenders})
    measure = measure or _by_wrk
    for number in range(plan.rounds):
        ordered = contenders[:: -1 if number % 2 else 1]
        for again in range(1 + plan.repeats * quiet):
            found = {each.name: measure(each, plan, connections, number + 1) for each in ordered}
            result.repeated += again > 0
            if not _busy(found):
                break
        result.in_vain += quiet and _busy(found)
        for name, figures in found.items():
            result.found[name].append(figures)
    return result


def _busy(found: Mapping[str, Figures]) -> bool:
    return NGINX in found and found[NGINX].p99 > QUIET_P99_MS


def _by_wrk(contender: Contender, plan: Plan, connections: int, seed: int) -> Figures:
    server = contender.server()
    server.resume()
    try:
        if not contender.fresh:
            # The requests that are measured begin otherwise than those that warm up.
            warming = {**contender.env, "BENCH_SEED": str(seed + 1000)}
            seconds = min(WARM_SECONDS, plan.seconds)
            drive(contender.script, server.url, warming, connections=connections, seconds=seconds)
        server.settle()
        before = server.cpu_seconds()
        env = {**contender.env, "BENCH_SEED": str(seed)}
        with contender.meanwhile(server.url):
            load = drive(contender.script, server.url, env, connections=connections, seconds=plan.seconds)
        spent, rss_mib = server.cpu_seconds() - before, server.rss_mib()
    finally:
        server.pause()
    return Figures(**asdict(load), cpu_us=1e6 * spent / load.answers, rss_mib=rss_mib)
