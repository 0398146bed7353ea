"""
From the start of the process to the first verification that it answers, and what a worker takes of memory.

    python -m bench.starting [--rounds 5]

The reference is the raw ASGI application of `bench.reference_asgi` on the same uvicorn.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx
import psutil

from bench import cores, figures
from bench.figures import Section, Table, median
from bench.programs import PYTHON_PATH, python_module, started
from bench.service import KEYS, databases, running
from keywright.dev.issuer import DevIssuer
from keywright.storage.migrate import migrate
from tests.live import clean_environment, environment

_PATIENCE_SECONDS = 60
_SETTLE_SECONDS = 1.0
WORKERS = (1, 2, 4)
SAYS = """\
Start-up: from the start of `keywright serve` on a migrated database to the first verification that it answers, asked
again every few milliseconds. Memory: the proportional set size (PSS: what is shared with others is counted in parts) of
all processes of the service, a second after the start, one key verified; "a further worker" is the difference between 4
workers and 2, halved."""


def main() -> None:
    """Measure and print."""
    arguments = figures.arguments(__doc__, rounds=5)
    start = Table("Start-up", ("what", "to first answer s", "processor s", "× reference"))
    with databases() as urls, DevIssuer() as issuer:
        migrate(urls["SQLite"])
        known = {}
        for engine, url in urls.items():
            with running(url, issuer=issuer) as service:
                known[engine] = service.credential, service.create()
        ways: dict[str, Callable[[], float]] = {"raw ASGI on uvicorn": _reference_seconds}
        for engine, url in urls.items():
            ways[f"Keywright on {engine}"] = partial(first_answer_seconds, url, issuer, *known[engine])
        taken: dict[str, list[float]] = {name: [] for name in ways}
        spent: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(arguments.rounds):
            for name, way in ways.items():
                before = _children_seconds()
                taken[name].append(way())
                spent[name].append(_children_seconds() - before)
    reference = taken["raw ASGI on uvicorn"]
    for name, seconds in taken.items():
        ratio = figures.median_ratio(seconds, reference)
        start.rows.append((name, median(seconds), median(spent[name]), ratio))
    figures.publish(Section("Start-up and memory of the service", SAYS, [start, memory()]), arguments.json)


def _children_seconds() -> float:
    times = os.times()
    return times.children_user + times.children_system


def first_answer_seconds(url: str, issuer: DevIssuer, credential: str, key: str) -> float:
    """Start the service on a database that knows both texts, and say how long its first verification took to come."""
    env = clean_environment(
        environment(issuer, database_url=url, metrics="off", log_level="info", port="0", host="127.0.0.1")
    )
    with tempfile.TemporaryDirectory() as folder, cores.serving():
        log = Path(folder, "log")
        began = time.perf_counter()
        with log.open("wb") as written:
            command = [sys.executable, "-m", "keywright", "serve"]
            process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=written, stderr=written)
        try:
            return _first_answer(process, log, credential, key) - began
        finally:
            process.terminate()
            process.wait(_PATIENCE_SECONDS)


def _first_answer(process: "subprocess.Popen[bytes]", log: Path, credential: str, key: str) -> float:
    """Give the moment of the first answer."""
    headers = {"Authorization": f"Bearer {credential}"}
    deadline = time.perf_counter() + _PATIENCE_SECONDS
    base_url = None
    with httpx.Client(trust_env=False) as client:
        while time.perf_counter() < deadline and process.poll() is None:
            time.sleep(0.005)
            base_url = base_url or _listening(log)
            if base_url is None:
                continue
            try:
                answer = client.post(f"{base_url}{KEYS}/verify", json={"key": key}, headers=headers)
            except httpx.TransportError:
                continue
            if answer.status_code == 200 and answer.json()["valid"]:
                return time.perf_counter()
    raise RuntimeError("the service did not answer")


def _listening(log: Path) -> str | None:
    for line in log.read_text().splitlines():
        if '"ready"' in line:
            url: str = json.loads(line)["url"]
            return url
    return None


def _reference_seconds() -> float:
    """Say how long raw ASGI takes to its first answer."""
    command = python_module("bench.reference_asgi", keys=["x"], answers=[1], headers=[])
    began = time.perf_counter()
    with started(command, env=PYTHON_PATH) as (url, _), httpx.Client(trust_env=False) as client:
        client.post(f"{url}/batch", json={"keys": [{"key": "x"}]})
        return time.perf_counter() - began


def memory() -> Table:
    """Measure what the service takes with some workers, beside raw ASGI."""
    table = Table("Memory", ("what", "MiB in all", "processes"))
    command = python_module("bench.reference_asgi", keys=["x"], answers=[1], headers=[])
    with started(command, env=PYTHON_PATH) as (_, process):
        time.sleep(_SETTLE_SECONDS)
        table.rows.append(("raw ASGI on uvicorn, 1 worker", cores.resident_bytes(process.pid) / 2**20, 1))
    sizes = {}
    for workers in WORKERS:
        with running(workers=workers) as service:
            service.post(f"{KEYS}/verify", {"key": service.create()})
            time.sleep(_SETTLE_SECONDS)
            sizes[workers] = cores.resident_bytes(service.process_id) / 2**20
            processes = 1 + len(psutil.Process(service.process_id).children(recursive=True))
        table.rows.append((f"Keywright, {workers} worker{'s' * (workers > 1)}", sizes[workers], processes))
    table.rows.append(("Keywright, a further worker", (sizes[4] - sizes[2]) / 2, 1))
    return table


if __name__ == "__main__":
    main()
