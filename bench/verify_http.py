"""
Verifications over HTTP, beside servers that do the least a verification can do, and beside nginx that does nothing.

    python -m bench.verify_http [--rounds 5] [--seconds 2] [--connections 1,16,64,256] [--json PATH]

One process on one core answers, the load comes from another core: from `wrk` where it is installed, else from
`bench.load`, which is slower than what it measures. The rounds are interleaved, so that what the machine does besides
falls on all alike; figures are medians of the rounds, and ratios are medians of the rounds' ratios. The processor time
that the server spends on a request is what a busy machine falsifies least.

The keys are known and the answers come from memory; an unknown key is looked up in the database every time, and a
malformed one nowhere. Raw ASGI, on the same uvicorn, and Node do JSON in, SHA-256, a look into a map and JSON out.
"""

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import psutil
import uvloop

from bench import load
from bench.verify_servers import ASGI, FULL, NGINX, NODE, ON, PLAIN, Contender, Contest, contest

CONNECTIONS = "1,16,64,256"
GOALS = {NGINX: 0.5, NODE: 2.5}
"""How many of what these answer in a second a verification of a known key should reach, on 64 connections."""
P99_GOAL_MS = 1.0
MEASURED_AT = 64


class Round(NamedTuple):
    """Answers a second, milliseconds below which a share of the answers came, and the server's processor time in µs."""

    rate: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    processor_us: float


Rounds = Mapping[Contender, Sequence[Round]]
Row = dict[str, Any]


def main() -> None:
    """Measure, print a table, and write the figures down where that is wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--connections", default=CONNECTIONS, help="how many at once, separated by commas")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    rows: list[Row] = []
    with contest() as held:
        print(
            "| connections | server | case | a second | p50 ms | p99 ms | p99.9 ms | processor µs | × nginx | × node |"
        )
        print("|---|---|---|---|---|---|---|---|---|---|")
        for connections in map(int, arguments.connections.split(",")):
            rounds = _rounds(held, connections, arguments.rounds, arguments.seconds)
            found = [_row(contender, rounds, connections) for contender in rounds]
            for row in found:
                _print(row)
            rows += found
    _print_goals(rows)
    if arguments.json is not None:
        settings = {"rounds": arguments.rounds, "seconds": arguments.seconds, "generator": _generator()}
        arguments.json.write_text(json.dumps({"settings": settings, "rows": rows}, indent=1) + "\n")


def _generator() -> str:
    return "wrk" if shutil.which("wrk") else "bench.load"


def _rounds(held: Contest, connections: int, rounds: int, seconds: float) -> Rounds:
    results: dict[Contender, list[Round]] = {contender: [] for contender in held.contenders}
    measure = _with_wrk if _generator() == "wrk" else _with_load
    for place in range(rounds + 1):
        for contender in held.contenders:
            result = measure(contender, held.credential, connections, seconds if place else min(seconds, 0.5))
            # The first one warms up.
            if place:
                results[contender].append(result)
    return results


def _with_wrk(contender: Contender, credential: str, connections: int, seconds: float) -> Round:
    # wrk counts whole seconds.
    duration = max(1, round(seconds))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{duration}s", "-s", "bench/wrk.lua", contender.url]
    env = {**os.environ, "BENCH_TOKEN": credential, "BENCH_BODY": contender.body.decode()}
    before = _processor_seconds(contender.process)
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    spent = _processor_seconds(contender.process) - before
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["failed"] == 0, (contender.name, contender.case, done.stdout)
    rate, processor = told["requests"] / told["seconds"], 1e6 * spent / told["requests"]
    return Round(rate, told["p50"], told["p99"], told["p999"], processor)


def _with_load(contender: Contender, credential: str, connections: int, seconds: float) -> Round:
    request = load.request_bytes("POST", urlsplit(contender.url).path or "/", credential, contender.body)
    before = _processor_seconds(contender.process)
    # As quick a loop as the server's, so that it is the server that is measured.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(load.run(contender.url, request, connections=connections, seconds=seconds))
    spent = _processor_seconds(contender.process) - before
    assert set(result.statuses) == {200}, (contender.name, contender.case, result.statuses)
    shares = (result.percentile(share) for share in (0.5, 0.99, 0.999))
    return Round(result.rate, *shares, 1e6 * spent / len(result.latencies))


def _processor_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _row(contender: Contender, rounds: Rounds, connections: int) -> Row:
    mine = rounds[contender]
    row: Row = {"connections": connections, "server": contender.name, "case": contender.case}
    row |= {
        name: statistics.median(column) for name, column in zip(Round._fields, zip(*mine, strict=True), strict=True)
    }
    for name, label in ((NGINX, "x_nginx"), (NODE, "x_node"), (ASGI, "x_asgi")):
        peer = next((rounds[other] for other in rounds if other.name == name), None)
        pairs = zip(mine, peer, strict=True) if peer is not None else ()
        row[label] = statistics.median([one.rate / other.rate for one, other in pairs]) if peer is not None else None
    return row


def _print(row: Row) -> None:
    ratios = (f"{row[label]:.2f}" if row[label] is not None else "–" for label in ("x_nginx", "x_node"))
    print(
        f"| {row['connections']} | {row['server']} | {row['case']} | {row['rate']:,.0f} | {row['p50_ms']:.2f} "
        f"| {row['p99_ms']:.2f} | {row['p999_ms']:.2f} | {row['processor_us']:.1f} | {' | '.join(ratios)} |",
        flush=True,
    )


def _print_goals(rows: Sequence[Row]) -> None:
    for row in rows:
        if row["connections"] != MEASURED_AT or row["server"] != ON or row["case"] not in (PLAIN, FULL):
            continue
        for peer, label in ((NGINX, "x_nginx"), (NODE, "x_node")):
            if row[label] is not None:
                reached = "reached" if row[label] >= GOALS[peer] else "MISSED"
                print(f"{row['case']}: {row[label]:.2f} × {peer}, goal {GOALS[peer]}: {reached}")
        reached = "reached" if row["p99_ms"] <= P99_GOAL_MS else "MISSED"
        print(f"{row['case']}: p99 {row['p99_ms']:.2f} ms, goal {P99_GOAL_MS} ms: {reached}")


if __name__ == "__main__":
    main()
