"""
The processes that are measured: on the first core, each in a group of its own, paused while another one is measured.

The load comes from the second core, where this process stays. A paused process (SIGSTOP) takes nothing from the one
that is measured, so its background work spoils nobody's latencies.
"""

import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

Program = subprocess.Popen[str]
ROOT = Path(__file__).parent.parent
HERE = Path(__file__).parent
CORES = sorted(os.sched_getaffinity(0))
PATIENCE_SECONDS = 60
_LOOK_SECONDS = 0.05
_IDLE_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Server:
    """Where a server is, and the process that leads its group."""

    url: str
    process: Program

    def pause(self) -> None:
        """Stop all its processes where they are."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let them go on."""
        os.killpg(self.process.pid, signal.SIGCONT)

    def itself(self) -> "Server":
        """Give this server; what is started anew gives another one."""
        return self

    def cpu_seconds(self) -> float:
        """Give the CPU time of all its processes so far, children included."""
        # Linux's clock of a process: nanoseconds, threads that ended included, where /proc has ticks of 10 ms.
        return sum(time.clock_gettime((~process.pid << 3) | 2) for process in _family(self.process.pid))

    def settle(self) -> None:
        """Wait until it has answered what was sent by clients that have gone since."""
        deadline, before = time.monotonic() + PATIENCE_SECONDS, -math.inf
        while time.monotonic() < deadline and self.cpu_seconds() - before > _IDLE_SHARE * _LOOK_SECONDS:
            before = self.cpu_seconds()
            time.sleep(_LOOK_SECONDS)

    def rss_mib(self) -> float:
        """Give the resident set of its largest process, which is its one worker."""
        return float(max(process.memory_info().rss for process in _family(self.process.pid))) / 2**20

    def resident_mib(self) -> float:
        """Give the memory of all its processes; a page that several share is counted in parts (PSS)."""
        return float(sum(process.memory_full_info().pss for process in _family(self.process.pid))) / 2**20


def _family(process_id: int) -> list[psutil.Process]:
    process = psutil.Process(process_id)
    return [process, *process.children(recursive=True)]


def stay_on_the_second_core() -> None:
    """Move this process, and what it starts from now on, to the core that the load comes from."""
    os.sched_setaffinity(0, CORES[1:2] or CORES)


@contextmanager
def on(cores: Sequence[int]) -> Iterator[None]:
    """Run, and start programs, on these cores; then on the second one again."""
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        stay_on_the_second_core()


@contextmanager
def started(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    log: Path | None = None,
    cores: Sequence[int] = CORES[:1],
) -> Iterator[Program]:
    """Start a program on the first core; its group ends with the block, by force where it must. Errors go to *log*."""
    words, errors, pipe = [str(word) for word in command], log.open("a") if log else None, subprocess.PIPE
    with on(cores):
        process = Program(
            words, stdin=pipe, stdout=pipe, stderr=errors, text=True, env=env, cwd=cwd, start_new_session=True
        )
    try:
        yield process
    finally:
        for number in (signal.SIGCONT, signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(process.pid, number)
                process.wait(0 if number == signal.SIGCONT else PATIENCE_SECONDS)


def first_line(process: Program) -> str:
    """Wait for the first line that a program prints."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def node() -> str | None:
    """Say where Node is: this machine's, or that of the development requirements."""
    beside = Path(sys.executable).with_name("node")
    return shutil.which("node") or (str(beside) if beside.exists() else None)
