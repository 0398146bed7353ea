"""
One worker on one core; the load comes from the other, from the scripts of bench/traffic. "Keywright ×" is how many
times as many answers a second Keywright gave as the server of that row, "Keywright CPU ×" how many times its CPU time
an answer took. nginx, one process without a master, answers `return 200` with as many bytes. Bare ASGI on the same
uvicorn does the same JSON, SHA-256 and look-up, and tests the networks with `ipaddress`, as plain code does; Node tests
no network. They authenticate nobody, know no scopes, count nothing and know no expiry. RSS is that of the largest
process of a server after a round.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

from bench.cases import Case
from bench.changes import changing
from bench.figures import Cell
from bench.references import references
from bench.rounds import Contender, Plan, Rounds, interleaved
from bench.service import Tree
from bench.wrk import drive, sampled

HEADS = (
    "case", "connections", "server", "a second", "Keywright ×", "CPU µs", "Keywright CPU ×", "p50 ms", "p99 ms",
    "p99.9 ms", "RSS MiB",
)  # fmt: skip
FIGURES = ("p50", "p99", "p999", "rss_mib")


def measure(
    case: Case, trees: Sequence[Tree], plan: Plan, beside: Sequence[str], connections: Sequence[int]
) -> Mapping[int, Rounds]:
    """
    Measure a case on the service of each tree, and give its rounds by number of connections.

    Args:
        case: Which.
        trees: Whose services; the references give the answers of the first one.
        plan: How many rounds.
        beside: Which references are measured in the same rounds.
        connections: With how many requests under way.
    """
    with tempfile.TemporaryDirectory() as folder:
        contenders = [_contender(case, tree) for tree in trees]
        for each in contenders:
            # Every answer is looked at for a while, before anything is measured.
            sample = sampled(case.script, each.server().url, each.env, Path(folder))
        keys = trees[0].filled(case.place, case.keys)
        with references(beside, sample, keys, Path(folder)) as servers:
            for name, server in servers.items():
                contenders.append(Contender(name, server.itself, case.script, contenders[0].env))
            for each in contenders:
                each.server().pause()
            plan = plan.long() if case.long else plan
            return {
                number: interleaved(contenders, plan, number, quiet=case.single and number == 64)
                for number in connections
            }


def _contender(case: Case, tree: Tree) -> Contender:
    place = case.place
    env = tree.database(place).traffic(tree.filled(place, case.keys))
    if case.warm:
        drive("first_sight", tree.running(place).url, env, connections=64, seconds=120)
    env |= {f"BENCH_{name}": value for name, value in case.options.items()}
    if "JUNK" in case.options:
        env |= {"BENCH_UNKNOWN": str(tree.filled(f"{place}-other")), "BENCH_REVOKED": str(tree.revoked(place))}
    server = tree.restart if case.fresh else tree.running
    meanwhile = partial(_changing, tree, place) if case.changes else nullcontext
    return Contender(tree.name, partial(server, place), case.script, env, case.fresh, meanwhile)


def _changing(tree: Tree, place: str, url: str) -> AbstractContextManager[None]:
    database = tree.database(place)
    return changing(url, database.token, database.credential)


def rows(case: Case, connections: int, rounds: Rounds, ours: str) -> Iterator[list[Cell]]:
    """Give the rows of the report: medians, and the ratios of *ours* to each reference."""
    for name in rounds.found:
        rate, cpu, *others = (rounds.median(name, each) for each in ("rate", "cpu_us", *FIGURES))
        ratios = [None if name == ours else rounds.ratio(ours, name, each) for each in ("rate", "cpu_us")]
        yield [case.title, connections, name, rate, ratios[0], cpu, ratios[1], *others]
