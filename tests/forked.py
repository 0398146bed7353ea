"""
Services that are forked from a process which has imported everything already.

Importing takes most of a start. A test that starts the service a hundred times in order to kill it is not about that;
every other test starts it as its users do.
"""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping
from multiprocessing.context import ForkServerProcess
from pathlib import Path

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    ["keywright.app", "keywright.cli", "keywright.cli.server.serve", "keywright.cli.server.process"]
)


class Forked:
    """A forked service, with what tests use of `subprocess.Popen`."""

    def __init__(self, process: ForkServerProcess) -> None:
        assert process.pid is not None
        self.pid = process.pid
        self._process = process

    def poll(self) -> int | None:
        """Give the exit code, or None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        """Wait for its end, and give the exit code."""
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired("keywright serve", timeout)
        self._process.close()
        return code

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)


def fork(arguments: list[str], env: Mapping[str, str], log_path: Path) -> Forked:
    """Run `python -m keywright` with *arguments* in a process group of its own; both outputs go to the log."""
    process = _FORKS.Process(target=_become, args=(arguments, dict(env), log_path))
    process.start()
    return Forked(process)


def _become(arguments: list[str], env: dict[str, str], log_path: Path) -> None:
    os.setsid()
    with log_path.open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["keywright", *arguments]
    runpy.run_module("keywright", run_name="__main__", alter_sys=True)
