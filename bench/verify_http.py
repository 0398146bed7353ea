"""
Verifications of a known key over HTTP, beside raw ASGI on the same uvicorn that does the least a verification can do,
and beside nginx that does nothing.

    python -m bench.verify_http [--rounds 5] [--seconds 3]

One process on one core answers, the load comes from another core. The rounds are interleaved, so that what the machine
does besides falls on all alike; medians of the rounds, and of their ratios. The processor time that the server spends
on a request is what a busy machine falsifies least. nginx is faster than the load generator: its figure is a limit of
this measurement. Where it is not installed, it is left out.
"""

import argparse
import asyncio
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psutil
import uvloop

from bench import load
from keywright.dev.issuer import DevIssuer
from tests.history.nodes import create_verifier
from tests.live import SOURCE, bearer, environment, start_service

KEYS = "/api/v2/api-keys"
VERIFY = f"{KEYS}/verify"
CONNECTIONS = (1, 64)
SERVICE, REFERENCE, NGINX = "keywright", "raw ASGI", "nginx `return 200`"
GOAL = 1.25
"""How much slower than raw ASGI a verification may be."""


class Server(NamedTuple):
    """Where a server is, and the one process of it."""

    url: str
    process: psutil.Process


class Round(NamedTuple):
    """What a round measured: the load generator's result, and the processor time of the server in µs a request."""

    result: load.Result
    processor: float


Servers = dict[str, Server]


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    arguments = parser.parse_args()
    with ExitStack() as held:
        servers, request = held.enter_context(_servers())
        print("| connections | server | a second | p50 ms | p99 ms | time × raw ASGI | processor µs | × raw ASGI |")
        print("|---|---|---|---|---|---|---|---|")
        for connections in CONNECTIONS:
            _print(connections, _rounds(servers, request, connections, arguments.rounds, arguments.seconds))


def _rounds(
    servers: Servers, request: bytes, connections: int, rounds: int, seconds: float
) -> Mapping[str, Sequence[Round]]:
    results: dict[str, list[Round]] = {name: [] for name in servers}
    for place in range(rounds + 1):
        for name, (url, process) in servers.items():
            before = _processor_seconds(process)
            # As quick a loop as the server's, so that it is the server that is measured.
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                result = runner.run(load.run(url, request, connections=connections, seconds=seconds))
            spent = _processor_seconds(process) - before
            assert set(result.statuses) == {200}, (name, result.statuses)
            # The first one warms up.
            if place:
                results[name].append(Round(result, 1e6 * spent / len(result.latencies)))
    return results


def _processor_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _print(connections: int, results: Mapping[str, Sequence[Round]]) -> None:
    median = statistics.median
    for name, rounds in results.items():
        rate = median(each.result.rate for each in rounds)
        p50, p99 = (median(each.result.percentile(share) for each in rounds) for share in (0.5, 0.99))
        processor = median(each.processor for each in rounds)
        pairs = list(zip(rounds, results[REFERENCE], strict=True))
        ratio = median(reference.result.rate / each.result.rate for each, reference in pairs)
        work = median(each.processor / reference.processor for each, reference in pairs)
        verdict = f" ({'within' if ratio <= GOAL else 'BEYOND'} {GOAL})" if name == SERVICE else ""
        print(
            f"| {connections} | {name} | {rate:,.0f} | {p50:.2f} | {p99:.2f} | {ratio:.2f}{verdict} "
            f"| {processor:.0f} | {work:.2f} |",
            flush=True,
        )


@contextmanager
def _servers() -> Iterator[tuple[Servers, bytes]]:
    """Start all of them on one core, and leave this process on another."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("This needs two cores.")
    # Whatever is started now inherits it.
    os.sched_setaffinity(0, cores[:1])
    with tempfile.TemporaryDirectory() as folder, DevIssuer() as issuer, ExitStack() as held:
        database = f"sqlite:///{folder}/keywright.db"
        credential = create_verifier(database, "bench")
        settings = environment(issuer, database_url=database, metrics="off", log_level="warning")
        service = held.enter_context(start_service(settings))
        headers = bearer(issuer, "acme")
        created = httpx.post(f"{service.base_url}{KEYS}", json={"name": "bench"}, headers=headers, trust_env=False)
        key = created.json()["private_key"]
        verifier = {"Authorization": f"Bearer {credential}"}
        answer = httpx.post(f"{service.base_url}{VERIFY}", json={"key": key}, headers=verifier, trust_env=False)
        assert answer.json()["valid"], answer.text
        servers = {
            SERVICE: Server(service.base_url, psutil.Process(service.process.pid)),
            REFERENCE: held.enter_context(_reference(key, answer.text)),
        }
        if shutil.which("nginx") is not None:
            servers[NGINX] = held.enter_context(_nginx(Path(folder), answer.text))
        os.sched_setaffinity(0, cores[1:2])
        yield servers, load.request_bytes("POST", VERIFY, credential, json.dumps({"key": key}).encode())


@contextmanager
def _reference(key: str, answer: str) -> Iterator[Server]:
    command = [sys.executable, "-m", "bench.reference_asgi", "--key", key, "--answer", answer]
    env = {**os.environ, "PYTHONPATH": str(SOURCE)}
    with _running(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url, "the reference did not come up"
        yield Server(url, psutil.Process(process.pid))


@contextmanager
def _nginx(folder: Path, answer: str) -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    conf = folder / "nginx.conf"
    conf.write_text(
        f"""
        daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr;
        events {{ worker_connections 1024; }}
        http {{
            access_log off; keepalive_requests 100000000; client_body_temp_path {folder}; proxy_temp_path {folder};
            fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
            server {{
                listen 127.0.0.1:{port} backlog=2048; default_type application/json;
                location / {{ add_header Cache-Control no-store; return 200 '{answer}'; }}
            }}
        }}
        """
    )
    with _running(["nginx", "-c", str(conf), "-p", str(folder)]) as process:
        url = f"http://127.0.0.1:{port}"
        with httpx.Client(transport=httpx.HTTPTransport(retries=10), trust_env=False) as client:
            assert client.get(url).text == answer
        yield Server(url, psutil.Process(process.pid))


@contextmanager
def _running(command: list[str], **options: Any) -> "Iterator[subprocess.Popen[str]]":
    process = subprocess.Popen(command, **options)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


if __name__ == "__main__":
    main()
