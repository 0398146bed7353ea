"""
One organization attacks the service, another one uses it. The victim sends 20 requests of each kind a second at fixed
times, whatever becomes of those before, and a latency counts from the moment at which its request was due. The attacker
has 48 connections on each of which it sends the next request as soon as an answer is there, whatever it says. "Allowed"
is three times the undisturbed p99, and 25 ms at least. "Failed" are the victim's requests that were no success.

The attacker has ten times as many keys as the victim, and a credential of its own. It searches for a text that none of
its keys has. Its junk keys are well-formed and belong to another database.
"""

import json
from collections.abc import Mapping
from contextlib import nullcontext
from inspect import cleandoc
from itertools import count, cycle, permutations
from pathlib import Path
from random import Random

from bench.cases import MANY
from bench.figures import Cell, Section, Table
from bench.open_loop import Request, Seen, ask
from bench.rounds import Plan
from bench.service import API_KEYS, UNBOUND, VERIFY, Database, Tree
from bench.wrk import attacking, written

HEADS = ("attack", "victim's request", "p50 ms", "p99 ms", "allowed ms", "requests", "failed")
ENGINES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
EACH_SECOND = 20
CONNECTIONS = 48
TIMES, LEAST_MS = 3.0, 25.0
SAMPLES_A_ROUND = 400
KNOWN = 100
ROTATED_KEYS = 64
ATTACKER = "attacker"


def section(tree: Tree, plan: Plan) -> Section:
    """Measure the victim undisturbed and under every attack on both engines, and give the section of the report."""
    tables = [_table(tree, plan, engine, other) for engine, other in permutations(ENGINES, 2)]
    return Section("A neighbour under attack", cleandoc(__doc__), tables)


def _table(tree: Tree, plan: Plan, engine: str, other: str) -> Table:
    table = Table(ENGINES[engine], HEADS)
    junk = tree.filled(other, UNBOUND)
    tree.end(other)
    keys, many = tree.filled(engine, UNBOUND), tree.filled(engine, MANY, ATTACKER)
    url = tree.restart(engine).url
    kinds = _kinds(tree.database(engine), keys)
    situations = {"none": [], **_attacks(tree.database(engine, ATTACKER), many, junk)}
    # Every key of the victim is seen for the first time once.
    samples = min(int(plan.rounds * SAMPLES_A_ROUND * min(1, plan.seconds)), (tree.keys - KNOWN) // len(situations))
    # The known keys are in the service's cache before their first latency counts.
    ask(url, {"verify, known": kinds["verify, known"]}, each_second=EACH_SECOND, samples=KNOWN)
    undisturbed: dict[str, Seen] = {}
    for name, requests in situations.items():
        with attacking(url, requests, connections=CONNECTIONS) if requests else nullcontext():
            seen = ask(url, kinds, each_second=EACH_SECOND, samples=samples)
        undisturbed = undisturbed or seen
        for kind in kinds:
            table.rows.append(_row(name, kind, seen[kind], undisturbed[kind]))
            print("  ", *table.rows[-1], flush=True)
    tree.end(engine)
    return table


def _row(attack: str, kind: str, seen: Seen, undisturbed: Seen) -> list[Cell]:
    allowed = max(TIMES * undisturbed.percentile(0.99), LEAST_MS)
    failed = ", ".join(f"{number} × {status or 'none'}" for status, number in sorted(seen.failures.items()))
    total = len(seen.latencies) + seen.failures.total()
    return [attack, kind, seen.percentile(0.5), seen.percentile(0.99), allowed, total, failed or 0]


def _kinds(database: Database, keys: Path) -> Mapping[str, Request]:
    """Give what the victim asks: of its keys, the first ones are known, each other one is seen once."""
    texts, ids = _texts_and_ids(keys)
    known, unseen, numbers = cycle(texts[:KNOWN]), iter(texts[KNOWN:]), count()

    def verify(text: str) -> bytes:
        return _post(VERIFY, database.credential, {"key": text, "client_ip": "10.0.0.1"})

    return {
        "read": lambda: _get(f"{API_KEYS}/{ids[0]}", database.token),
        "create": lambda: _post(API_KEYS, database.token, {"name": f"created {next(numbers)}"}),
        "verify, known": lambda: verify(next(known)),
        "verify, first sight": lambda: verify(next(unseen)),
    }


def _attacks(attacker: Database, keys: Path, junk: Path) -> dict[str, list[bytes]]:
    random = Random(1)
    _, ids = _texts_and_ids(keys)
    unknown, _ = _texts_and_ids(junk)
    rotate = {"overlap_seconds": 0}

    def question(text: str) -> dict[str, str]:
        return {"key": text, "client_ip": f"198.51.{random.randrange(100)}.{random.randrange(256)}"}

    return {
        "searches": [_get(f"{API_KEYS}?q=absent{number}&limit=100", attacker.token) for number in range(500)],
        "lists": [_get(f"{API_KEYS}?limit=100", attacker.token)],
        "usage": [_get(f"{API_KEYS}/{id_}/usage", attacker.token) for id_ in ids[:2000]],
        "rotations": [_post(f"{API_KEYS}/{id_}/rotate", attacker.token, rotate) for id_ in ids[-ROTATED_KEYS:]],
        "batches of junk": [
            _post(f"{VERIFY}/batch", attacker.credential, {"keys": [question(text) for text in some]})
            for some in (random.sample(unknown, 100) for _ in range(200))
        ],
        "junk keys": [_post(VERIFY, attacker.credential, question(text)) for text in unknown],
    }


def _texts_and_ids(keys: Path) -> tuple[list[str], list[str]]:
    lines = [line.split(" ") for line in keys.read_text().splitlines()]
    return [line[0] for line in lines], [line[1] for line in lines]


def _get(path: str, token: str) -> bytes:
    return written({"method": "GET", "path": path, "headers": {"Authorization": f"Bearer {token}"}, "body": ""})


def _post(path: str, token: str, body: object) -> bytes:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    return written({"method": "POST", "path": path, "headers": headers, "body": json.dumps(body)})
