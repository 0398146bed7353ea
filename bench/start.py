"""
From the start of `keywright serve` on a migrated SQLite database with 20,000 keys to the first verification that it
answers, and the CPU time until then. Memory of its one worker (PSS) a second later, and when every key is cached.
"""

import time
from collections.abc import Mapping, Sequence
from inspect import cleandoc
from pathlib import Path
from statistics import median

import httpx

from bench.figures import Section, Table
from bench.rounds import Plan
from bench.service import VERIFY, Tree
from bench.wrk import drive

_SETTLE_SECONDS = 1.0
HEADS = ("tree", "first answer ms", "CPU ms", "MiB", "MiB, keys cached")


def measure(trees: Sequence[Tree], plan: Plan) -> Mapping[str, Sequence[tuple[float, ...]]]:
    """Start each tree's service once in every round, and give figures in the order of `HEADS`."""
    found: dict[str, list[tuple[float, ...]]] = {tree.name: [] for tree in trees}
    for tree in trees:
        tree.filled("sqlite")
        tree.end("sqlite")
    for _ in range(plan.rounds):
        for tree in trees:
            found[tree.name].append(_start(tree, tree.filled("sqlite")))
    return found


def _start(tree: Tree, keys: Path) -> tuple[float, ...]:
    database = tree.database("sqlite")
    key = keys.read_text().split(" ", 1)[0]
    headers = {"Authorization": f"Bearer {database.credential}"}
    with httpx.Client(trust_env=False, headers=headers) as client:
        began = time.perf_counter()
        with tree.service("sqlite") as server:
            client.post(f"{server.url}{VERIFY}", json={"key": key}).raise_for_status()
            took, spent = time.perf_counter() - began, server.cpu_seconds()
            time.sleep(_SETTLE_SECONDS)
            small = server.resident_mib()
            drive("first_sight", server.url, database.traffic(keys), connections=64, seconds=120)
            return 1000 * took, 1000 * spent, small, server.resident_mib()


def section(tree: Tree, plan: Plan) -> Section:
    """Measure, and give the section of the report."""
    starts = measure([tree], plan)[tree.name]
    table = Table("Start", HEADS, [(tree.name, *map(median, zip(*starts, strict=True)))])
    return Section("Start and memory of the service", cleandoc(__doc__), [table])
