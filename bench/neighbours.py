"""
One organization attacks the service, another one uses it. The victim sends 20 requests of each kind a second at fixed
times, whatever becomes of those before, and a latency counts from the moment at which its request was due. The attacker
has 48 connections on each of which it sends the next request as soon as an answer is there, whatever it says. "Allowed"
is three times the undisturbed p99, and 25 ms at least. "Failed" are the victim's requests that were no success.

The attacker has ten times as many keys as the victim, and a credential of its own. It searches for a text that none of
its keys has. Its junk keys are well-formed and belong to another database.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from inspect import cleandoc
from itertools import count, cycle
from pathlib import Path
from random import Random

import httpx

from bench.figures import Cell, Section, Table
from bench.open_loop import Request, Seen, ask
from bench.rounds import Plan
from bench.service import API_KEYS, VERIFY, Database, Tree
from bench.wrk import attacking

HEADS = ("attack", "victim's request", "p50 ms", "p99 ms", "allowed ms", "requests", "failed")
EACH_SECOND = 20
CONNECTIONS = 48
TIMES, LEAST_MS = 3.0, 25.0
SAMPLES_A_ROUND = 400
KNOWN = 100
SITUATIONS = 7
ROTATED_KEYS = 64
ATTACKER, TIMES_AS_MANY = "attacker", 10
OTHER = {"sqlite": "postgresql", "postgresql": "sqlite"}


def section(tree: Tree, plan: Plan) -> Section:
    """Measure the victim undisturbed and under every attack on both engines, and give the section of the report."""
    tables = []
    # Every key of the victim is seen for the first time once.
    samples = min(int(plan.rounds * SAMPLES_A_ROUND * min(1, plan.seconds)), (tree.keys - KNOWN) // SITUATIONS)
    for engine in OTHER:
        table = Table({"sqlite": "SQLite", "postgresql": "PostgreSQL"}[engine], HEADS)
        tables.append(table)
        junk = tree.filled(OTHER[engine], unbound=True)
        tree.end(OTHER[engine])
        keys, many = tree.filled(engine, unbound=True), tree.filled(engine, ATTACKER, times=TIMES_AS_MANY)
        database, attacker = tree.database(engine), tree.database(engine, ATTACKER)
        url = tree.restart(engine).url
        kinds = _kinds(database, keys, _made(url, database))
        undisturbed: dict[str, Seen] = {}
        for name, requests in {"none": [], **_attacks(url, attacker, many, junk)}.items():
            with _under(url, requests):
                seen = ask(url, kinds, each_second=EACH_SECOND, samples=samples)
            undisturbed = undisturbed or seen
            for kind in kinds:
                table.rows.append(_row(name, kind, seen[kind], undisturbed[kind]))
                print("  ", *table.rows[-1], flush=True)
        tree.end(engine)
    return Section("A neighbour under attack", cleandoc(__doc__), tables)


def _row(attack: str, kind: str, seen: Seen, undisturbed: Seen) -> list[Cell]:
    allowed = max(TIMES * undisturbed.percentile(0.99), LEAST_MS)
    failed = ", ".join(f"{number} × {status or 'none'}" for status, number in sorted(seen.failures.items()))
    total = len(seen.latencies) + seen.failures.total()
    return [attack, kind, seen.percentile(0.5), seen.percentile(0.99), allowed, total, failed or 0]


@contextmanager
def _under(url: str, requests: list[bytes]) -> Iterator[None]:
    """Send requests of an attacker, any of them at random, until the block ends; none if there are none."""
    if not requests:
        yield
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "requests")
        path.write_bytes(b"\0".join(requests))
        with attacking(url, path, connections=CONNECTIONS):
            yield


def _made(url: str, database: Database) -> str:
    """Create the key of the victim that it reads."""
    created = httpx.post(
        url + API_KEYS, json={"name": "read"}, headers={"Authorization": f"Bearer {database.token}"}, trust_env=False
    )
    return str(created.raise_for_status().json()["id"])


def _kinds(database: Database, keys: Path, read_id: str) -> Mapping[str, Request]:
    """Give what the victim asks: of its keys, the first ones are known, each other one is seen once."""
    texts = [line.split(" ", 1)[0] for line in keys.read_text().splitlines()]
    known, unseen, numbers = cycle(texts[:KNOWN]), iter(texts[KNOWN:]), count()
    return {
        "read": lambda: _get(f"{API_KEYS}/{read_id}", database.token),
        "create": lambda: _post(API_KEYS, database.token, {"name": f"created {next(numbers)}"}),
        "verify, known": lambda: _post(VERIFY, database.credential, {"key": next(known), "client_ip": "10.0.0.1"}),
        "verify, first sight": lambda: _post(
            VERIFY, database.credential, {"key": next(unseen), "client_ip": "10.0.0.1"}
        ),
    }


def _attacks(url: str, attacker: Database, keys: Path, junk: Path) -> dict[str, list[bytes]]:
    random = Random(1)
    lines = [line.split(" ") for line in keys.read_text().splitlines()]
    unknown = [line.split(" ", 1)[0] for line in junk.read_text().splitlines()]
    ids = [line[1] for line in lines]
    headers = {"Authorization": f"Bearer {attacker.token}"}
    with httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=60) as client:
        rotated = [client.post(API_KEYS, json={"name": "rotated"}).json()["id"] for _ in range(ROTATED_KEYS)]

    def question(text: str) -> dict[str, str]:
        return {"key": text, "client_ip": f"198.51.{random.randrange(100)}.{random.randrange(256)}"}

    return {
        "searches": [_get(f"{API_KEYS}?q=absent{number}&limit=100", attacker.token) for number in range(500)],
        "lists": [_get(f"{API_KEYS}?limit=100", attacker.token)],
        "usage": [_get(f"{API_KEYS}/{id_}/usage", attacker.token) for id_ in ids[:2000]],
        "rotations": [_post(f"{API_KEYS}/{id_}/rotate", attacker.token, {"overlap_seconds": 0}) for id_ in rotated],
        "batches of junk": [
            _post(f"{VERIFY}/batch", attacker.credential, {"keys": [question(text) for text in some]})
            for some in (random.sample(unknown, 100) for _ in range(200))
        ],
        "junk keys": [_post(VERIFY, attacker.credential, question(text)) for text in unknown],
    }


def _get(path: str, token: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


def _post(path: str, token: str, body: object) -> bytes:
    text = json.dumps(body)
    return (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n{text}"
    ).encode()
