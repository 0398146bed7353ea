"""
One worker on one core; the load comes from the other, from the scripts of bench/traffic. "Keywright ×" is how many
times as many answers a second Keywright gave as the server of that row, "Keywright CPU ×" how many times its CPU time
an answer took. nginx, one process without a master, answers `return 200` with as many bytes. Bare ASGI on the same
uvicorn, and Node, do the JSON, the SHA-256 and a look-up; they authenticate nobody, count nothing and know no expiry.
"""

import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from bench.cases import Case
from bench.figures import Cell
from bench.references import references
from bench.rounds import Contender, Plan, Rounds, interleaved
from bench.service import Tree
from bench.wrk import drive, sampled

HEADS = (
    "case", "connections", "server", "a second", "Keywright ×", "CPU µs", "Keywright CPU ×", "p50 ms", "p99 ms",
    "p99.9 ms",
)  # fmt: skip


def measure(case: Case, trees: Sequence[Tree], plan: Plan, beside: Sequence[str]) -> Mapping[int, Rounds]:
    """
    Measure a case on the service of each tree, and give its rounds by number of connections.

    Args:
        case: Which.
        trees: Whose services; the references give the answers of the first one.
        plan: How many rounds.
        beside: Which references are measured in the same rounds.
    """
    with tempfile.TemporaryDirectory() as folder:
        contenders = [_contender(case, tree) for tree in trees]
        for each in contenders:
            # Every answer is looked at for a while, before anything is measured.
            sample = sampled(case.script, each.server().url, each.env, Path(folder))
        keys = trees[0].filled(case.engine, unbound=case.unbound)
        with references(beside, sample, keys, Path(folder)) as servers:
            for name, server in servers.items():
                contenders.append(Contender(name, server.itself, case.script, contenders[0].env))
            for each in contenders:
                each.server().pause()
            return {
                connections: interleaved(contenders, plan, connections, quiet=case.single and connections == 64)
                for connections in case.connections
            }


def _contender(case: Case, tree: Tree) -> Contender:
    keys = tree.filled(case.engine, unbound=case.unbound)
    env = tree.database(case.engine).traffic(keys)
    if case.warm:
        drive("first_sight", tree.running(case.engine).url, env, connections=64, seconds=120)
    server = tree.restart if case.fresh else tree.running
    return Contender(tree.name, partial(server, case.engine), case.script, env, case.fresh)


def rows(case: Case, connections: int, rounds: Rounds, ours: str) -> list[list[Cell]]:
    """Give the rows of the report: medians, and the ratios of *ours* to each reference."""
    found: list[list[Cell]] = []
    for name in rounds.found:
        rate, cpu, *latencies = (rounds.median(name, each) for each in ("rate", "cpu_us", "p50", "p99", "p999"))
        ratios = [None if name == ours else rounds.ratio(ours, name, each) for each in ("rate", "cpu_us")]
        found.append([case.title, connections, name, rate, ratios[0], cpu, ratios[1], *latencies])
    return found
