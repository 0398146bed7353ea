"""The record of delays: what processes wait for a core."""

import asyncio
import os
import subprocess
import sys

import pytest

from tests.history.delays import Delays, Watched, family
from tests.waiting import until

ON_ONE_CORE = "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])})\nwhile True: pass"
NAMES = frozenset({"a"})


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts what threads wait for a core")
async def test_a_process_that_waits_for_a_core() -> None:
    """Of two processes that share a core each waits for the other, and one that ended ends no recording."""
    command = [sys.executable, "-c", ON_ONE_CORE, str(min(os.sched_getaffinity(0)))]
    both = [subprocess.Popen(command) for _ in range(2)]
    delays = Delays([Watched(NAMES, lambda: family(both[0].pid))])
    recording = asyncio.ensure_future(delays.go_on())
    try:
        await until(lambda: sum(delay.seconds for delay in delays.recorded) > 1)
    finally:
        for process in both:
            process.kill()
            process.wait()
    readings = len(delays.recorded)
    await until(lambda: len(delays.recorded) > readings + 1)
    assert not recording.done()
    recording.cancel()
    assert {delay.names for delay in delays.recorded} == {NAMES}
    assert all(delay.seconds <= delay.end - delay.start for delay in delays.recorded)
    assert delays.recorded[-1].seconds == 0
    assert delays.share_of_others() >= 0
