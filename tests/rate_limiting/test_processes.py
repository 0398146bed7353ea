"""Several processes on one Redis let no more through than one would, and no less."""

import json
import subprocess
import sys
from typing import Any

import pytest

from keywright.keys.rate_limits import RateLimit
from keywright.rate_limiting import script
from tests.live import PATIENCE_SECONDS, clean_environment
from tests.markdown import ROOT
from tests.rate_limiting.making import fresh_key
from tests.redis_server import RedisServer

PROCESSES, TASKS, CHECKS = 4, 125, 100_000
# Nothing of the first is earned back while the test runs; the second earns back all the time, and never all of it.
SLOW = RateLimit("limit", 30_000, 31 * 86_400)
QUICK = RateLimit("limit", 30_000, 60)


def moment(server: RedisServer, key_id: bytes, limit: RateLimit, cost: int) -> tuple[float, float]:
    """Spend past the processes; give Redis's time, and what was kept of the limit before."""
    now, (kept,) = script.read(server.execute("EVAL", script.TEXT, *script.arguments(key_id, (limit,), cost)))
    return now, kept


def earned(limit: RateLimit, seconds: float) -> float:
    return seconds * limit.limit / limit.window_seconds


def run_together(server: RedisServer, *keys: tuple[bytes, RateLimit]) -> list[Any]:
    """Have the processes check all at once, and give what each of them said."""
    told = [text for key_id, limit in keys for text in (key_id.hex(), str(limit.limit), str(limit.window_seconds))]
    command = [
        sys.executable,
        "-m",
        "tests.rate_limiting.counting_child",
        server.url,
        str(CHECKS // PROCESSES),
        str(TASKS),
    ]
    children = [
        subprocess.Popen(
            [*command, *told],
            cwd=ROOT,
            env=clean_environment(),
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(PROCESSES)
    ]
    try:
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        return [json.loads(child.communicate(timeout=4 * PATIENCE_SECONDS)[0]) for child in children]
    finally:
        for child in children:
            child.kill()
            child.communicate()


def test_a_hundred_thousand_checks(redis_server: RedisServer) -> None:
    """
    Of 100,000 checks by four processes exactly as many pass as the limits allow, by Redis's own clock.

    A limit that earns nothing back passes as often as it says. One that earns back passes once for every interval by
    which its moment moved, and never more than all of it at once and what it earned since.
    """
    slow, quick = fresh_key(), fresh_key()
    begun, _ = moment(redis_server, slow, SLOW, 0)
    # All of it, so that it is never whole again, however long the processes take to begin.
    first, _ = moment(redis_server, quick, QUICK, QUICK.limit)
    told = run_together(redis_server, (slow, SLOW), (quick, QUICK))
    ended, whole_at = moment(redis_server, quick, QUICK, 0)
    assert [one["uncounted"] for one in told] == [0] * PROCESSES
    passed_slow, passed_quick = (sum(one["passed"][number] for one in told) for number in (0, 1))
    passed_quick += QUICK.limit
    assert SLOW.limit <= passed_slow <= SLOW.limit + earned(SLOW, ended - begun) + 1
    assert passed_quick == pytest.approx(earned(QUICK, whole_at - first), rel=1e-6)
    assert passed_quick <= QUICK.limit + earned(QUICK, ended - first)
