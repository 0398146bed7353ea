"""The parts of the benchmarks, in the order in which they are run and reported, and how one is run."""

import ctypes
import json
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.figures import Section, Table
from tests.live import SOURCE

ROOT = Path(__file__).parent.parent
_PR_SET_CHILD_SUBREAPER = 36
_GRACE_SECONDS = 15
_SHOWN_LINES = 12
VERIFY_COLUMNS = {
    "connections": "connections",
    "server": "server",
    "case": "case",
    "rate": "a second",
    "x_nginx": "× nginx",
    "x_node": "× Node",
    "x_asgi": "× raw ASGI",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "p999_ms": "p99.9 ms",
    "processor_us": "processor µs",
}
VERIFY_TITLE = "Verifying a key over HTTP"
VERIFY_SAYS = """\
One worker on one core, the load from the other. A known key is answered from memory, asked plainly or with scopes, a
network and a rate limit that counts; an unknown key is looked up in the database every time, and a malformed one
nowhere. Raw ASGI on the same uvicorn, and Node's http server, do the JSON, the SHA-256 and the look-up and know nobody;
nginx answers `return 200` with as many bytes."""


@dataclass(frozen=True, slots=True)
class Part:
    """
    A part: its name on the command line, its module, what that is told, and its limit in seconds.

    `quick` is told as well where it is only to be seen whether everything works. The limits are for what hangs, on a
    busy machine as well: on a quiet one no part takes half of its own.
    """

    name: str
    module: str
    arguments: tuple[str, ...]
    quick: tuple[str, ...]
    seconds: int


PARTS = (
    Part(
        "verify",
        "bench.verify_http",
        ("--rounds", "3", "--seconds", "1"),
        ("--rounds", "1", "--connections", "1,64"),
        600,
    ),
    Part("front", "bench.front", ("--seconds", "0.8"), ("--rounds", "1", "--seconds", "0.3"), 480),
    Part("create", "bench.management", (), ("--rounds", "1", "--seconds", "0.3"), 300),
    Part("store", "bench.storage", (), ("--rounds", "1", "--seconds", "0.3"), 400),
    Part("inprocess", "bench.inprocess", ("--rounds", "100"), ("--rounds", "20"), 300),
    Part("memory", "bench.memory", ("--keys", "200000"), ("--keys", "20000"), 240),
    Part("start", "bench.starting", (), ("--rounds", "1"), 300),
    Part("revocation", "bench.revocation", ("--revocations", "100"), ("--revocations", "10"), 400),
    Part("growth", "bench.growth", (), ("--most", "1000", "--rounds", "1", "--seconds", "0.3"), 600),
    Part("peers", "bench.peers.measure", (), ("--rounds", "1", "--seconds", "0.3"), 1200),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a part has told, as far as it came, and the end of what it said where it failed."""

    section: Section | None
    failure: str | None = None


def adopt_orphans() -> None:
    """Become the parent of whatever a part leaves behind, so that it can be ended. Does nothing but on Linux."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def run(part: Part, extra: tuple[str, ...] = ()) -> Outcome:
    """Run a part in a process of its own, and end everything that it leaves behind."""
    with tempfile.TemporaryDirectory() as folder:
        told, log = Path(folder, "section.json"), Path(folder, "log")
        words = [sys.executable, "-m", part.module, *part.arguments, *extra, "--json", str(told)]
        env = {**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONUNBUFFERED": "1"}
        failure = None
        with log.open("w") as said:
            process = subprocess.Popen(words, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        try:
            if process.wait(part.seconds):
                failure = "\n".join(log.read_text().splitlines()[-_SHOWN_LINES:])
        except subprocess.TimeoutExpired:
            failure = f"not done after {part.seconds} s"
            # It ends what it has started itself, where it can.
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE_SECONDS)
        finally:
            _end_the_rest()
        return Outcome(_section(told.read_text()) if told.exists() else None, failure)


def _section(text: str) -> Section:
    """Read what a part has told: a section, or the rows of `bench.verify_http`."""
    told = json.loads(text)
    if "rows" not in told:
        return Section.read(text)
    columns = tuple(VERIFY_COLUMNS)
    rows = [[row[name] for name in columns] for row in told["rows"]]
    return Section(VERIFY_TITLE, VERIFY_SAYS, [Table("Verification", tuple(VERIFY_COLUMNS.values()), rows)])


def _end_the_rest() -> None:
    """End the children of this process, which are those of the part, and wait until they are gone."""
    left = psutil.Process().children(recursive=True)
    for way in (psutil.Process.terminate, psutil.Process.kill):
        for process in left:
            with suppress(psutil.NoSuchProcess):
                way(process)
        _, left = psutil.wait_procs(left, timeout=_GRACE_SECONDS)
