"""Sends the requests of a script in bench/traffic with `wrk`, or those of bench/clients, and reads what came of it."""

import json
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE
from typing import Any

from bench import clients
from bench.processes import PATIENCE_SECONDS, ROOT, Program

LONGER_SECONDS = 20
_AGAIN_SECONDS = 1.0


class NoGoodAnswer(RuntimeError):
    """A server gave no answer, or one that was no success."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a script saw: answers a second, how many answers, and latencies in ms."""

    rate: float
    answers: int
    p50: float
    p99: float
    p999: float


@dataclass(frozen=True, slots=True)
class Sample:
    """The headers and the body of an answer."""

    headers: Mapping[str, str]
    body: str


def drive(script: str, url: str, env: Mapping[str, str], *, connections: int, seconds: float) -> Load:
    """
    Run a script, from one thread, for so long or until it has no more to send.

    Raises:
        NoGoodAnswer: An answer was no success, or none came even in a longer time.
    """
    load = _driven(script, url, env, connections, seconds) or _driven(script, url, env, connections, LONGER_SECONDS)
    if load is None:
        raise NoGoodAnswer(f"{script}: no answer in {LONGER_SECONDS} s")
    return load


def _driven(script: str, url: str, env: Mapping[str, str], connections: int, seconds: float) -> Load | None:
    over, lines = threading.Event(), []
    with _start(script, url, env, connections) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line == "loaded\n":
                threading.Thread(target=_end, args=(process, over, seconds), daemon=True).start()
            if line == "finished\n":
                over.set()
            lines.append(line)
        process.wait(PATIENCE_SECONDS)
    result = _result(script, lines)
    if result["bad"]:
        raise NoGoodAnswer(f"{script}: {result}")
    if not result["answers"]:
        return None
    rate = 1e6 * result["answers"] / result["microseconds"]
    return Load(rate, result["answers"], result["p50"], result["p99"], result["p999"])


def _end(process: Program, over: threading.Event, seconds: float) -> None:
    over.wait(seconds)
    # wrk ignores the signal for a moment while it starts.
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
        time.sleep(_AGAIN_SECONDS)


def _start(script: str, url: str, env: Mapping[str, str], connections: int) -> Program:
    if script in clients.CLIENTS:
        words = [*clients.command(script), url, str(connections)]
        return Program(words, cwd=ROOT, env={**os.environ, **env}, stdout=PIPE, text=True)
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed; provide it with: apt-get install wrk")
    # wrk counts whole seconds, so it is ended by a signal, which it answers with its result.
    words = ["wrk", "-t1", f"-c{connections}", "-d3600s", "--timeout", "30s", "-s", f"bench/traffic/{script}.lua", url]
    return Program(words, cwd=ROOT, env={**os.environ, **env}, stdout=PIPE, text=True)


def _result(script: str, lines: list[str]) -> Mapping[str, Any]:
    if not lines or not lines[-1].startswith("{"):
        raise NoGoodAnswer(f"{script}: {''.join(lines)}")
    result: Mapping[str, Any] = json.loads(lines[-1])
    return result


@contextmanager
def attacking(url: str, requests: Iterable[bytes], *, connections: int) -> Iterator[None]:
    """
    Send requests at random, whatever the answers are, until the block ends.

    Raises:
        NoGoodAnswer: `wrk` had ended by itself, so that there was no attack.
    """
    with tempfile.TemporaryDirectory() as folder:
        process = _start("requests", url, stored(requests, Path(folder, "requests")), connections)
        # The program that measures shares this core, and must not wait for the attacker.
        os.setpriority(os.PRIO_PROCESS, process.pid, 19)
        try:
            yield
        finally:
            process.send_signal(signal.SIGINT)
            printed, _ = process.communicate(timeout=PATIENCE_SECONDS)
        _result("requests", printed.splitlines())


def written(asked: Mapping[str, Any]) -> bytes:
    """Write a request as it goes over the wire: its `method`, `path`, `headers` and `body`, which may be empty."""
    headers = {"Host": "localhost", **asked["headers"]}
    body = asked["body"].encode()
    if body:
        headers["Content-Length"] = str(len(body))
    lines = [f"{asked['method']} {asked['path']} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


def stored(requests: Iterable[bytes], path: Path) -> dict[str, str]:
    """Write requests to a file, and give what the script `requests` reads from the environment."""
    path.write_bytes(b"\0".join(requests))
    return {"BENCH_REQUESTS": str(path)}


def sampled(script: str, url: str, env: Mapping[str, str], folder: Path) -> Sample:
    """
    Look at a hundred answers, and give the first one. A client's own program looks at none, so `wrk` asks the same.

    Raises:
        NoGoodAnswer: An answer was no success, or a verdict that no key has deserved.
    """
    path = folder / f"sample-{os.urandom(4).hex()}"
    asked = clients.SAME if script in clients.CLIENTS else script
    sampling = {"BENCH_SAMPLE": str(path), "BENCH_SEED": "0"}
    drive(asked, url, {**env, **sampling}, connections=4, seconds=LONGER_SECONDS)
    head, _, body = path.read_text().partition("\n\n")
    status, *headers = head.splitlines()
    if int(status) >= 300 or '"valid":false' in body:
        raise NoGoodAnswer(f"{script}: {head}\n{body}")
    return Sample(dict(line.split(": ", 1) for line in headers), body)
