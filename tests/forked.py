"""
Services and commands that are forked from a process which has imported everything already.

Importing takes most of a start. A test that starts the service a hundred times in order to kill it is not about that,
and neither is one of what a command does; every other test starts them as their users do.
"""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    [
        *("keywright.app", "keywright.cli", "keywright.cli.server.serve", "keywright.cli.server.process"),
        *("keywright.cli.application", "keywright.cli.database", "keywright.client", "keywright.storage.migrate"),
        *("keywright.storage.postgres.migrate", "keywright.storage.postgres.store", "tests.forked"),
    ]
)
PATIENCE_SECONDS = 60


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


def command(
    *arguments: str, env: Mapping[str, str], cwd: Path | None = None, given: str = ""
) -> "subprocess.CompletedProcess[str]":
    """
    Run `python -m keywright` with *arguments* to its end, as `subprocess.run` does.

    Args:
        arguments: The words after `keywright`.
        env: The whole environment.
        cwd: The folder it runs in; that of this process unless given.
        given: What it reads from standard input.

    Raises:
        subprocess.TimeoutExpired: It did not end in a minute, and was killed.
    """
    with tempfile.TemporaryDirectory(prefix="keywright-command-") as name:
        files = [Path(name, stream) for stream in ("stdin", "stdout", "stderr")]
        files[0].write_text(given)
        process = _FORKS.Process(target=_run, args=(arguments, dict(env), cwd, files))
        process.start()
        process.join(PATIENCE_SECONDS)
        if process.exitcode is None:
            process.kill()
            process.join()
            process.close()
            raise subprocess.TimeoutExpired(["keywright", *arguments], PATIENCE_SECONDS)
        code = process.exitcode
        process.close()
        return subprocess.CompletedProcess(["keywright", *arguments], code, *(file.read_text() for file in files[1:]))


def _become(arguments: list[str], env: dict[str, str], log_path: Path) -> None:
    os.setsid()
    with log_path.open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    _be_keywright(arguments, env)


def _run(arguments: tuple[str, ...], env: dict[str, str], cwd: Path | None, files: list[Path]) -> None:
    for descriptor, file in enumerate(files):
        opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND if descriptor else os.O_RDONLY)
        os.dup2(opened, descriptor)
        os.close(opened)
    # Python has closed the one that it began with, as a child of multiprocessing does.
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    if cwd is not None:
        os.chdir(cwd)
    _be_keywright(arguments, env)


def _be_keywright(arguments: Sequence[str], env: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["keywright", *arguments]
    runpy.run_module("keywright", run_name="__main__", alter_sys=True)
