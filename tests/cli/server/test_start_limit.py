"""A start that takes long: what is logged, when it ends, and what it leaves."""

import os
import signal
import sqlite3
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from keywright.cli.server.start import Start, StartClock
from keywright.dev.issuer import DevIssuer
from tests.live import PATIENCE_SECONDS, SOURCE, LiveService, clean_environment, environment, spawn, start_service
from tests.ports import free_port
from tests.waiting import eventually

# One after the other: each waits for seconds to pass, and some for a limit that a start keeps only on its own.
pytestmark = [pytest.mark.early, pytest.mark.xdist_group("start limit")]

# Every process of the service that imports this application while there is a file called `hold` takes the file, and
# stays in that import until the file that it has left instead is gone.
HOLD = """
import os, signal, sys, time
from pathlib import Path
from typing import Any

class Hold:
    def find_spec(self, name, path=None, target=None):
        folder = Path(__file__).parent
        if name == "keywright.app":
            held = folder / f"held-{os.getpid()}"
            try:
                os.rename(folder / "hold", held)
            except FileNotFoundError:
                return None
            if held.read_text() == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            while held.exists():
                time.sleep(0.02)
        return None

sys.meta_path.insert(0, Hold())
"""
# Much more than it takes to come to where processes are held, on a machine that is busy.
LIMIT_SECONDS = 20
ENDING = "The service could not start; the log has the cause."


class Holding:
    """Processes of the service that stay in the middle of their start; *settings* make it so."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "sitecustomize.py").write_text(HOLD)
        self.settings = {"PYTHONPATH": f"{folder}{os.pathsep}{SOURCE}"}

    def hold_next(self, how: str = "stay") -> None:
        """Hold the next process that starts; `die` kills it in the middle of its start instead."""
        prepared = self.folder / "prepared"
        prepared.write_text(how)
        prepared.rename(self.folder / "hold")

    def held(self) -> int:
        """Wait until a process is held, and give its id."""
        found: list[Path] = []
        eventually(lambda: bool(found.extend(self.folder.glob("held-*")) or found))
        return int(found[0].name.removeprefix("held-"))

    def let_go(self, process: int) -> None:
        """Let a process that is held go on."""
        (self.folder / f"held-{process}").unlink()


@pytest.fixture
def settings(issuer: DevIssuer, tmp_path: Path) -> dict[str, str]:
    """Settings of a service on a fresh SQLite file, whose temporary files are in a folder of their own."""
    (tmp_path / "tmp").mkdir()
    own = environment(issuer, database_url=f"sqlite:///{tmp_path}/keywright.db", port=str(free_port()))
    return {**own, "KEYWRIGHT_METRICS": "off", "TMPDIR": str(tmp_path / "tmp")}


@pytest.fixture
def holding(tmp_path: Path) -> Holding:
    """A way to hold processes in the middle of their start."""
    folder = tmp_path / "holding"
    folder.mkdir()
    return Holding(folder)


class Starting(LiveService):
    """A service that need not come up."""

    @classmethod
    def begin(cls, env: Mapping[str, str], folder: Path) -> "Starting":
        """Start it, and wait for nothing."""
        folder.mkdir()
        process = spawn(["serve"], clean_environment(env), folder / "log")
        url = f"http://127.0.0.1:{env['KEYWRIGHT_PORT']}"
        return cls(url, None, env["KEYWRIGHT_DATABASE_URL"], process, folder, folder / "log")

    def events(self) -> list[str]:
        """Name what was logged."""
        return [line["event"] for line in self.log()]


def test_a_clock_mentions_every_five_seconds() -> None:
    """A mention is due 5 s after the start began and again every 5 s, with the age of the start."""
    clock = StartClock(100.0, 60)
    moments = (100.0, 104.9, 105.0, 105.1, 109.9, 110.0, 117.5, 118.0)
    assert [clock.seconds_to_mention(now) for now in moments] == [None, None, 5, None, None, 10, 17, None]


def test_a_clock_ends_with_its_limit() -> None:
    """The time is over at the limit, and counts anew from the end of what has none."""
    clock = StartClock(100.0, 8)
    assert [clock.is_over(now) for now in (107.9, 108.0)] == [False, True]
    clock.extend(110.0)
    assert [clock.is_over(now) for now in (117.9, 118.0)] == [False, True]


def test_a_clock_waits_for_what_is_next() -> None:
    """The wait lasts until the next log line or the limit, whichever is first, and is 0 if one is due."""
    clock = StartClock(100.0, 8)
    assert [clock.wait(now) for now in (100.0, 104.0, 106.0)] == [5.0, 1.0, 0.0]
    clock.seconds_to_mention(106.0)
    assert [clock.wait(now) for now in (106.0, 108.0, 109.0)] == [2.0, 0.0, 0.0]


class Noted:
    """A log that records its lines, and what the start waits for."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, tuple[str, ...]]] = []

    def warning(self, event: str, **fields: Any) -> None:
        """Keep a line."""
        self.lines.append((event, fields["waiting_for"]))

    error = warning


def test_a_migration_has_no_limit() -> None:
    """A migration that runs is mentioned and not ended, however long it takes; what comes after has the whole limit."""
    log, over = Noted(), threading.Event()
    # As if it had begun long ago: all that can be due is due at once.
    start = Start(StartClock(time.monotonic() - 1000, 1), log, over.set)
    start.migrates("0001")
    with start.watched():
        eventually(lambda: bool(log.lines))
        assert (log.lines, over.is_set()) == ([("still starting", ("migration 0001",))], False)
        start.waits_for("application")
        assert over.wait(PATIENCE_SECONDS)
    assert log.lines[-1] == ("the start took too long", ("application",))
    assert start.took_too_long


def test_a_start_that_is_over_is_not_ended() -> None:
    """Once a start has succeeded its limit means nothing."""
    log, over = Noted(), threading.Event()
    start = Start(StartClock(time.monotonic() - 1000, 1), log, over.set)
    start.end()
    with start.watched():
        """Nothing is checked."""
    assert (log.lines, over.is_set(), start.took_too_long) == ([], False, False)


def test_a_database_that_is_locked(settings: dict[str, str], tmp_path: Path) -> None:
    """A start that waits for another process's lock on the database says so, and ends with its limit."""
    limited = {**settings, "KEYWRIGHT_START_SECONDS": "14", "KEYWRIGHT_WORKERS": "2"}
    with closing(sqlite3.connect(tmp_path / "keywright.db", isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("BEGIN IMMEDIATE")
        with Starting.begin(limited, tmp_path / "service") as starting:
            assert starting.process.wait(PATIENCE_SECONDS) == 1
            *_, mention, end = starting.log()
            last_line = starting.log_path.read_text().splitlines()[-1]
    assert (mention["event"], mention["level"]) == ("still starting", "warning")
    assert (end["event"], end["level"]) == ("the start took too long", "error")
    assert mention["waiting_for"] == end["waiting_for"] == ["database"]
    assert (end["limit"], last_line) == (14, ENDING)
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_start_that_never_ends(settings: dict[str, str], holding: Holding, workers: str, tmp_path: Path) -> None:
    """A process that does not come up is named, and ends with all the others and with the hold on the port."""
    holding.hold_next()
    limited = {**settings, "KEYWRIGHT_START_SECONDS": str(LIMIT_SECONDS), "KEYWRIGHT_WORKERS": workers}
    with Starting.begin({**limited, **holding.settings}, tmp_path / "service") as starting:
        held = holding.held()
        assert starting.process.wait(PATIENCE_SECONDS) == 1
        lines, last_line = starting.log(), starting.log_path.read_text().splitlines()[-1]
    name = "application" if workers == "1" else f"worker {held}"
    *_, mention = [line for line in lines if line["event"] == "still starting"]
    (end,) = [line for line in lines if line["event"] == "the start took too long"]
    assert (mention["waiting_for"], end["waiting_for"], last_line) == ([name], [name], ENDING)
    assert "ready" not in {line["event"] for line in lines}
    assert not psutil.pid_exists(held)
    assert list((tmp_path / "tmp").iterdir()) == []
    with start_service(settings):
        """The port is free."""


def test_ready_waits_for_every_worker(settings: dict[str, str], holding: Holding, tmp_path: Path) -> None:
    """While one of two workers has not come up the service is not ready; then it is."""
    holding.hold_next()
    env = {**settings, **holding.settings, "KEYWRIGHT_WORKERS": "2"}
    with Starting.begin(env, tmp_path / "service") as starting:
        held = holding.held()
        starting.await_log_line(event="still starting", waiting_for=[f"worker {held}"])
        # The other worker answers already.
        assert httpx.get(f"{starting.base_url}/livez", trust_env=False).status_code == 200
        assert "ready" not in starting.events()
        holding.let_go(held)
        starting.await_log_line(event="ready", workers=2)


def test_a_worker_that_dies_while_it_starts(settings: dict[str, str], holding: Holding, tmp_path: Path) -> None:
    """A worker that dies before it has come up is replaced, and the service becomes ready."""
    holding.hold_next("die")
    env = {**settings, **holding.settings, "KEYWRIGHT_WORKERS": "2"}
    with Starting.begin(env, tmp_path / "service") as starting:
        starting.await_log_line(event="ready")
        died = starting.await_log_line(event="a worker died and was replaced")
        assert died["worker"] == holding.held()
        assert starting.events().index("ready") > starting.events().index("a worker died and was replaced")


def test_a_replacement_that_does_not_come_up(settings: dict[str, str], holding: Holding) -> None:
    """A worker that replaces another one has the same limit: it is mentioned, then killed and replaced in its turn."""
    limited = {**settings, **holding.settings, "KEYWRIGHT_START_SECONDS": str(LIMIT_SECONDS)}
    with start_service(limited, workers=2) as service:
        holding.hold_next()
        former = service.workers()
        os.kill(former[0].pid, signal.SIGKILL)
        held = holding.held()
        mention = service.await_log_line(event="still starting", waiting_for=[f"worker {held}"])
        assert mention["level"] == "warning"
        replaced = service.await_log_line(event="a worker did not come up in time and was replaced")
        assert (replaced["level"], replaced["worker"]) == ("error", held)
        assert not psutil.pid_exists(held)
        assert former[1] in service.workers()
        assert httpx.get(f"{service.base_url}/livez", trust_env=False).status_code == 200


def test_a_stop_while_a_worker_starts(settings: dict[str, str], holding: Holding, tmp_path: Path) -> None:
    """SIGTERM ends a service also while a worker does not come up, which is too busy to see the signal."""
    holding.hold_next()
    env = {**settings, **holding.settings, "KEYWRIGHT_WORKERS": "2", "KEYWRIGHT_SHUTDOWN_SECONDS": "1"}
    with Starting.begin(env, tmp_path / "service") as starting:
        held = holding.held()
        starting.process.send_signal(signal.SIGTERM)
        assert starting.process.wait(PATIENCE_SECONDS) == 0
        assert starting.events()[-1] == "stopped"
        assert not psutil.pid_exists(held)


def test_a_worker_that_starts_does_not_outlive_its_supervisor(
    settings: dict[str, str], holding: Holding, tmp_path: Path
) -> None:
    """When the supervising process is killed, a worker in the middle of its start ends too, and frees the port."""
    holding.hold_next()
    env = {**settings, **holding.settings, "KEYWRIGHT_WORKERS": "2"}
    with Starting.begin(env, tmp_path / "service") as starting:
        held = psutil.Process(holding.held())
        workers = starting.workers()
        assert held in workers
        os.kill(starting.process.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(workers, timeout=PATIENCE_SECONDS)
        assert alive == []
    with start_service(settings, workers=2):
        """The port is free."""


def test_a_restart_whose_worker_does_not_come_up(settings: dict[str, str], holding: Holding) -> None:
    """SIGHUP replaces the workers one by one; where the first does not come up, the workers stay as they were."""
    with start_service({**settings, **holding.settings}, workers=2) as service:
        former = service.workers()
        holding.hold_next("die")
        service.process.send_signal(signal.SIGHUP)
        given_up = service.await_log_line(event="a worker did not come up; the restart is given up")
        assert given_up["worker"] == holding.held()
        assert service.workers() == former


def test_a_restart(settings: dict[str, str]) -> None:
    """SIGHUP replaces every worker by one that is up before the former one ends."""
    with start_service(settings, workers=2) as service:
        former = service.workers()
        service.process.send_signal(signal.SIGHUP)
        _, alive = psutil.wait_procs(former, timeout=PATIENCE_SECONDS)
        assert alive == []
        assert len(service.workers()) == 2
        assert httpx.get(f"{service.base_url}/livez", trust_env=False).status_code == 200
