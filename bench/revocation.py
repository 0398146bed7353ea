"""
A process asks about the key again half a millisecond after each answer, so whoever checks has it cached; the revocation
comes at a random moment. The time ends when the first refusal has arrived. 0 is a key that was refused before its
revocation was acknowledged. The promised bound is 1,000 ms.
"""

import random
import time
from contextlib import ExitStack
from inspect import cleandoc

import httpx

from bench.figures import Section, Table
from bench.in_process import answered, in_tree
from bench.processes import Program, first_line
from bench.rounds import Plan
from bench.service import API_KEYS, Tree

REVOCATIONS = 20


def section(tree: Tree, plan: Plan) -> Section:
    """Revoke some keys in every round and on every path, and give the section of the report."""
    table = Table("To the first refusal", ("path", "revocations", "p50 ms", "p99 ms", "longest ms"))
    for name, engine, way, other_node in (
        ("SQLite, the same process", "sqlite", "http", False),
        ("SQLite, in-process verifier", "sqlite", "verifier", False),
        ("PostgreSQL, another node", "postgresql", "http", True),
        ("PostgreSQL, in-process verifier of another node", "postgresql", "verifier", True),
    ):
        with ExitStack() as held:
            url = tree.running(engine).url
            watcher = held.enter_context(in_tree(tree, "watch", engine, way))
            if other_node:
                url = held.enter_context(tree.service(engine)).url
            headers = {"Authorization": f"Bearer {tree.database(engine).token}"}
            client = held.enter_context(httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=60))
            delays = sorted(_delay_ms(client, watcher) for _ in range(plan.rounds * REVOCATIONS))
        p50, p99 = (delays[int(len(delays) * share)] for share in (0.5, 0.99))
        table.rows.append((name, len(delays), p50, p99, delays[-1]))
    return Section("Revocation", cleandoc(__doc__), [table])


def _delay_ms(client: httpx.Client, watcher: Program) -> float:
    created = client.post(API_KEYS, json={"name": "revocation"}).raise_for_status().json()
    assert answered(watcher, created["private_key"]) == "passing"
    time.sleep(random.uniform(0.01, 0.1))
    client.put(f"{API_KEYS}/{created['id']}/revoke").raise_for_status()
    acknowledged = time.monotonic()
    return max(0.0, 1000 * (float(first_line(watcher)) - acknowledged))
