"""
2,000 clients follow the feed of one worker on PostgreSQL. One load process on the other core has them all, and
acknowledges every change as verifiers do. Keys are revoked one after another, twice a second. The delay is the time
from the answer to a revocation to the arrival of the change at a client. "Transactions" are those that write, those of
the revocation included and those of the idle service not.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from hashlib import sha256
from inspect import cleandoc
from itertools import chain
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx

from bench.figures import Cell, Section, Table
from bench.in_process import answered
from bench.processes import CORES, HERE, Program, Server, first_line, started
from bench.rounds import Plan
from bench.service import API_KEYS, Tree

CLIENTS = 2000
REVOCATIONS = 10
PLACE = "postgresql"
HEADS = ("tree", "figure", "value")
_IDLE_SECONDS = 5.0
_PAUSE_SECONDS = (0.4, 0.6)
_PATIENCE_SECONDS = 30.0
_STEP_SECONDS = 0.2
# What the digest of a key begins with, as docs/reference/key-format.md says.
_DOMAIN = b"keywright.v1\0"
# Every transaction that writes has a number of its own.
_WRITTEN = """
    SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint, (pg_current_wal_lsn() - '0/0')::bigint,
        (SELECT count(*) FROM acknowledgements)
"""
Figures = Iterator[tuple[str, Cell]]


def section(tree: Tree, plan: Plan) -> Section:
    """Measure, and give the section of the report."""
    table = Table(f"{CLIENTS:,} clients", HEADS)
    for name, value in measure(tree, plan):
        print(f"  {name}: {value}", flush=True)
        table.rows.append((tree.name, name, value))
    return Section("A fleet of verifiers", cleandoc(__doc__), [table])


def measure(tree: Tree, plan: Plan) -> Figures:
    """Connect the fleet to a service of the tree, and give the figures one by one."""
    with ExitStack() as held:
        server = held.enter_context(tree.service(PLACE))
        server.settle()
        alone, began = server.resident_mib(), time.monotonic()
        address, credential = urlsplit(server.url), tree.database(PLACE).credential
        words = [
            sys.executable,
            HERE / "feed_clients.py",
            address.hostname,
            str(address.port),
            credential,
            str(CLIENTS),
        ]
        fleet = held.enter_context(started(words, cores=CORES[1:2] or CORES, env=tree.environment()))
        if first_line(fleet) != "open":
            raise RuntimeError("the clients could not all follow the feed")
        yield "seconds until all follow", time.monotonic() - began
        yield "memory at the service, KiB a client", (server.resident_mib() - alone) * 1024 / CLIENTS
        idle = _a_second(tree, server)
        yield "CPU of the service without changes, % of a core", 100 * idle["cpu"]
        yield "transactions a second without changes", idle["transactions"]
        yield from _revocations(tree, server, fleet, plan.rounds * REVOCATIONS, idle)
        seen = json.loads(answered(fleet, "seen"))
        yield "acknowledgements that were repeated", seen["repeated"]
        yield "feeds that were opened anew", seen["opened_anew"]


def _a_second(tree: Tree, server: Server) -> Mapping[str, float]:
    """Give what the service spends a second while nothing changes."""
    spent, written = server.cpu_seconds(), _written(tree)
    time.sleep(_IDLE_SECONDS)
    now = _written(tree)
    return {
        "cpu": (server.cpu_seconds() - spent) / _IDLE_SECONDS,
        "transactions": (now[0] - written[0]) / _IDLE_SECONDS,
        "wal": (now[1] - written[1]) / _IDLE_SECONDS,
    }


def _revocations(tree: Tree, server: Server, fleet: Program, number: int, idle: Mapping[str, float]) -> Figures:
    headers = {"Authorization": f"Bearer {tree.database(PLACE).token}"}
    with httpx.Client(base_url=server.url, headers=headers, trust_env=False, timeout=60) as client:
        created = [client.post(API_KEYS, json={"name": "fleet"}).raise_for_status().json() for _ in range(number)]
        time.sleep(1)
        written, spent, began = _written(tree), server.cpu_seconds(), time.monotonic()
        revoked: dict[str, float] = {}
        for key in created:
            client.put(f"{API_KEYS}/{key['id']}/revoke").raise_for_status()
            revoked[sha256(_DOMAIN + key["private_key"].encode()).hexdigest()] = time.monotonic()
            time.sleep(random.uniform(*_PAUSE_SECONDS))
        last = time.monotonic()
        while _written(tree)[2] - written[2] < number * CLIENTS and time.monotonic() < last + _PATIENCE_SECONDS:
            time.sleep(_STEP_SECONDS)
    took, now = time.monotonic() - began, _written(tree)
    yield from _delays(json.loads(answered(fleet, "seen"))["arrived"], revoked)
    yield "acknowledged, of all changes at all clients", (now[2] - written[2]) / (number * CLIENTS)
    yield "s from the last revocation until all acknowledged", time.monotonic() - last
    yield "transactions for a revocation", (now[0] - written[0] - idle["transactions"] * took) / number
    yield "KiB of WAL for a revocation", (now[1] - written[1] - idle["wal"] * took) / number / 1024
    yield "CPU ms of the service for a revocation", 1000 * (server.cpu_seconds() - spent - idle["cpu"] * took) / number


def _delays(arrived: Mapping[str, Sequence[float]], revoked: Mapping[str, float]) -> Figures:
    delays = sorted(
        chain.from_iterable((max(0.0, at - revoked[key]) for at in arrived.get(key, ())) for key in revoked)
    )
    yield "changes that arrived, of all", len(delays) / (len(revoked) * CLIENTS)
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        yield f"revocation {name} ms", 1000 * delays[int(len(delays) * share)]
    yield "revocation longest ms", 1000 * delays[-1]


def _written(tree: Tree) -> tuple[int, int, int]:
    """Give the number of the next transaction, the place in the log, and how many acknowledgements are stored."""

    async def ask() -> Any:
        connection = await asyncpg.connect(tree.database(PLACE).url)
        try:
            return tuple(await connection.fetchrow(_WRITTEN))
        finally:
            await connection.close()

    found: tuple[int, int, int] = asyncio.run(ask())
    return found
