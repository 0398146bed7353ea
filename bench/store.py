"""
A creation through HTTP, with its token, its key pair and its event in a chain, beside what the disk allows: a bare loop
on the same core that commits rows of the same width, with the same indexes, to SQLite, as many creations to a commit as
there are callers. Both are durable (`synchronous = FULL`). In the loop no caller waits and nothing is checked.
"""

import os
import sqlite3
import time
from contextlib import closing
from functools import partial
from inspect import cleandoc
from pathlib import Path
from statistics import median
from typing import Any

from bench.figures import Section, Table, median_ratio
from bench.processes import CORES, on
from bench.rounds import Contender, Plan, interleaved
from bench.service import Tree

HEADS = ("callers", "a second", "CPU µs", "bare loop a second", "bare CPU µs", "× bare loop")
_TABLES = {
    "bare_keys": "id BLOB PRIMARY KEY, org_id BLOB, name TEXT, environment TEXT, created_at BIGINT, created_by TEXT",
    "bare_secrets": "public_key BLOB PRIMARY KEY, key_id BLOB, digest BLOB NOT NULL UNIQUE, display TEXT",
    "bare_events": "id BLOB PRIMARY KEY, org_id BLOB, key_id BLOB, type TEXT, at BIGINT, actor TEXT, address TEXT, "
    "request_id TEXT, data TEXT",
}


def section(tree: Tree, plan: Plan) -> Section:
    """Measure creations and the loop in turn, and give the section of the report."""
    keys = tree.filled("sqlite")
    env = tree.database("sqlite").traffic(keys)
    contender = Contender(tree.name, partial(tree.running, "sqlite"), "create", env)
    table = Table("By callers", HEADS)
    for callers in (64, 1):
        found, bare = [], []
        for _ in range(plan.rounds):
            found += interleaved([contender], Plan(1, plan.seconds), callers).found[tree.name]
            with on(CORES[:1]):
                bare.append(_bare(keys.with_name("bare.db"), callers, plan.seconds))
        rates, bare_rates = [each.rate for each in found], [rate for rate, _ in bare]
        cpu, bare_cpu = median(each.cpu_us for each in found), median(spent for _, spent in bare)
        figures = (median(rates), cpu, median(bare_rates), bare_cpu, median_ratio(rates, bare_rates))
        table.rows.append((callers, *figures))
    return Section("Creations and the disk", cleandoc(__doc__), [table])


def _bare(path: Path, size: int, seconds: float) -> tuple[float, float]:
    """Give creations a second, *size* to a commit, and CPU µs of each."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        for name, columns in _TABLES.items():
            connection.execute(f"CREATE TABLE IF NOT EXISTS {name} ({columns})")
        connection.execute("CREATE INDEX IF NOT EXISTS bare_keys_of_org ON bare_keys (org_id, id)")
        done, began, began_cpu = 0, time.perf_counter(), time.process_time()
        while time.perf_counter() - began < seconds:
            batch = [_rows() for _ in range(size)]
            connection.execute("BEGIN IMMEDIATE")
            for name, rows in zip(_TABLES, zip(*batch, strict=True), strict=True):
                connection.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(rows[0]))})", rows)
            connection.execute("COMMIT")
            done += size
        return done / (time.perf_counter() - began), 1e6 * (time.process_time() - began_cpu) / done


def _rows() -> tuple[tuple[Any, ...], ...]:
    """Make the rows of a creation; ids ascend by time, as the service's do."""
    now = time.time_ns() // 1000
    key, org, event = (now.to_bytes(8, "big") + os.urandom(8) for _ in range(3))
    return (
        (key, org, "Order service", "live", now, "auth0|alice"),
        (os.urandom(32), key, os.urandom(32), "kw_sk_live_...abcd"),
        (event, org, key, "api_key.created", now, "auth0|alice", "192.0.2.7", f"req-{now}", '{"name":"billing"}'),
    )
