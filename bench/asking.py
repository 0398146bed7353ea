"""
Asks servers the same thing over and over, in rounds that are interleaved so that what the machine does besides falls on
all alike.

The load comes from wrk where it is installed (`apt-get install wrk`), for it is quicker than any server measured here,
and from `bench.load` where it is not. Either waits for every answer before it asks again on that connection.
"""

import asyncio
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import uvloop

from bench import cores, load
from bench.figures import median, median_ratio

GENERATOR = "wrk" if shutil.which("wrk") else "bench.load (pure Python; it is slower than nginx, so it bounds that)"
HEADS = ("connections", "server", "a second", "× reference", "p50 ms", "p99 ms", "p99.9 ms", "processor µs")
"""What `rows` gives. "× reference": how many times as many answers a second as the reference gave in that round."""
WARM_SECONDS = 0.3
_LONGER_SECONDS = 15
_CONNECT_SECONDS = 30
_SETTLE_SECONDS = 30
_IDLE_LOOK_SECONDS = 0.1
_IDLE_SHARE = 0.3


class NoGoodAnswer(RuntimeError):
    """A server gave no answer in time, or one that was no success."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where a server is, the process that serves, and what is sent to it: these requests, over and over."""

    url: str
    process_id: int
    requests: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Round:
    """Answers a second, milliseconds, and processor time of the server in µs an answer."""

    rate: float
    p50: float
    p99: float
    p999: float
    processor: float


def interleaved(
    servers: Mapping[str, Server], *, connections: int, seconds: float, rounds: int = 3
) -> dict[str, list[Round]]:
    """
    Ask each server in turn, a round after a round; each is warmed up before.

    Raises:
        NoGoodAnswer: An answer was not a success, or none came.
    """
    results: dict[str, list[Round]] = {name: [] for name in servers}
    with cores.asking():
        for name, server in servers.items():
            # Who is too slow for it is warm after the first round.
            with suppress(NoGoodAnswer):
                _ask(name, server, connections, WARM_SECONDS, patient=False)
        for _ in range(rounds):
            for name, server in servers.items():
                results[name].append(_ask(name, server, connections, seconds))
    return results


def rows(
    connections: int, results: Mapping[str, Sequence[Round]], *, reference: str
) -> list[Sequence[str | float | None]]:
    """Give medians as `HEADS` has them, beside the *reference* of the same rounds."""
    base = [each.rate for each in results[reference]]
    return [
        (
            connections,
            name,
            median(each.rate for each in taken),
            median_ratio([each.rate for each in taken], base),
            median(each.p50 for each in taken),
            median(each.p99 for each in taken),
            median(each.p999 for each in taken),
            median(each.processor for each in taken),
        )
        for name, taken in results.items()
    ]


def _ask(name: str, server: Server, connections: int, seconds: float, *, patient: bool = True) -> Round:
    before = cores.processor_seconds(server.process_id)
    ask = _with_wrk if shutil.which("wrk") else _with_python
    answers, took, bad, shares = ask(server, connections, seconds)
    if not answers and patient:
        # Slower than anybody thought when the rounds were made short.
        answers, took, bad, shares = ask(server, connections, _LONGER_SECONDS)
    spent = cores.processor_seconds(server.process_id) - before
    _settle(server)
    if bad or not answers:
        raise NoGoodAnswer(f"{name}: {answers} answers on {connections} connections, {bad} of them bad")
    return Round(answers / took, *shares, 1e6 * spent / answers)


def _settle(server: Server) -> None:
    """
    Wait until a server has done what it was asked before its callers went away.

    Otherwise it would take the core from whoever is measured next.
    """
    deadline = time.monotonic() + _SETTLE_SECONDS
    with suppress(TimeoutError, OSError):
        asyncio.run(asyncio.wait_for(load.run(server.url, server.requests, connections=1, seconds=0), _SETTLE_SECONDS))
    while time.monotonic() < deadline:
        before = cores.processor_seconds(server.process_id)
        time.sleep(_IDLE_LOOK_SECONDS)
        if cores.processor_seconds(server.process_id) - before < _IDLE_SHARE * _IDLE_LOOK_SECONDS:
            return


_Asked = tuple[int, float, int, list[float]]
"""How many answers, in how many seconds, how many of them bad, and the percentiles in milliseconds."""


def _with_python(server: Server, connections: int, seconds: float) -> _Asked:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(load.run(server.url, server.requests, connections=connections, seconds=seconds))
    bad = sum(count for status, count in result.statuses.items() if not 200 <= status < 300)
    shares = [result.percentile(share) for share in (0.5, 0.99, 0.999)]
    return len(result.latencies), result.seconds, bad, shares


def _with_wrk(server: Server, connections: int, seconds: float) -> _Asked:
    with tempfile.TemporaryDirectory() as folder:
        script, told, sent = (Path(folder) / name for name in ("ask.lua", "told", "sent"))
        sent.write_bytes(b"\0".join(server.requests))
        script.write_text(_script(sent, told))
        # A stop in the middle of a second is a command of its own: wrk knows whole seconds only.
        command = ["wrk", "-t1", f"-c{connections}", "-d60s", "--timeout", "30s", "-s", str(script), server.url]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(2)
        try:
            process.wait(_CONNECT_SECONDS)
        finally:
            process.kill()
        if not told.exists():
            raise RuntimeError(f"wrk failed: {process.returncode}")
        answer = json.loads(told.read_text())
    shares = [answer[name] / 1000 for name in ("p50", "p99", "p999")]
    return answer["answers"], answer["microseconds"] / 1e6, answer["bad"], shares


def _script(sent: Path, told: Path) -> str:
    """Write what wrk does: send what is in one file, byte for byte, and tell in another what came of it."""
    return f"""
        local requests, place = {{}}, 0
        for each in io.open("{sent}", "rb"):read("*a"):gmatch("[^%z]+") do requests[#requests + 1] = each end
        request = function()
            place = place % #requests + 1
            return requests[place]
        end
        done = function(summary, latency)
            local e = summary.errors
            local file = io.open("{told}", "w")
            file:write(string.format(
                '{{"answers":%d,"microseconds":%d,"bad":%d,"p50":%f,"p99":%f,"p999":%f}}',
                summary.requests, summary.duration, e.connect + e.read + e.write + e.status + e.timeout,
                latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
            file:close()
        end
    """
