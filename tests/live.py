"""
The service as its users have it: `python -m keywright serve` in a process of its own, reached over HTTP.

    with DevIssuer() as issuer, start_service(environment(issuer)) as service:
        httpx.get(f"{service.base_url}/api/v2/api-keys", headers=bearer(issuer, "acme"))
"""

import atexit
import contextlib
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import httpx
import psutil

from keywright.dev.issuer import DevIssuer

SOURCE = Path(__file__).parent.parent / "src"
# Generous, because the machine may be busy; nothing waits longer than it must.
PATIENCE_SECONDS = 60

_running: "set[LiveService]" = set()


class Process(Protocol):
    """A process, with what is used here of `subprocess.Popen`."""

    pid: int

    def poll(self) -> int | None: ...
    def wait(self, timeout: float) -> int: ...
    def send_signal(self, number: signal.Signals, /) -> None: ...


Launch = Callable[[list[str], Mapping[str, str], Path], Process]
"""Runs `python -m keywright` with arguments, in an environment, both outputs going to a file."""


def clean_environment(extra: Mapping[str, str] = {}) -> dict[str, str]:
    """Give this process's environment without any setting of the service, *extra* added."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("KEYWRIGHT_") and name != "PROMETHEUS_MULTIPROC_DIR"
    }
    return {**inherited, "PYTHONPATH": str(SOURCE), "PYTHONUNBUFFERED": "1", **extra}


def environment(issuer: DevIssuer, **settings: str) -> dict[str, str]:
    """Give the settings of a service that trusts *issuer*, with *settings* (`database_url=...`) beside them."""
    return {"KEYWRIGHT_ISSUER": issuer.url, "KEYWRIGHT_AUDIENCE": issuer.audience, **_named(settings)}


def agent_environment(service: "LiveService", credential: str, **settings: str) -> dict[str, str]:
    """Give the settings of an agent of *service*, with *settings* (`agent_listen=...`) beside them."""
    return {"KEYWRIGHT_URL": service.base_url, "KEYWRIGHT_VERIFIER": credential, **_named(settings)}


def _named(settings: Mapping[str, str]) -> dict[str, str]:
    return {f"KEYWRIGHT_{name.upper()}": value for name, value in settings.items()}


def bearer(issuer: DevIssuer, organization: str | None = "acme", **claims: Any) -> dict[str, str]:
    """Give the headers of a caller; *claims* are those of `DevIssuer.token`."""
    return {"Authorization": f"Bearer {issuer.token(organization, **claims)}"}


@dataclass(eq=False)
class LiveService:
    """
    A running service.

    `process` leads a process group of its own, the workers among it. `log_path` holds all it wrote to standard error,
    JSON lines; `folder` is removed by `stop` and `kill`, and with it the log and the default database. `authority` is
    the file with the authority of its certificate, where it speaks TLS.
    """

    base_url: str
    metrics_url: str | None
    database_url: str
    process: Process
    folder: Path
    log_path: Path
    authority: Path | None = None

    def log(self) -> list[dict[str, Any]]:
        """Read the log lines so far."""
        return _read_log(self.log_path)

    def await_log_line(self, **fields: Any) -> dict[str, Any]:
        """Wait for a log line that has these *fields*, and give the first one."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            for line in self.log():
                if fields.items() <= line.items():
                    return line
            time.sleep(0.02)
        raise AssertionError(f"nothing with {fields} was logged")

    def await_ready(self) -> None:
        """Wait until `/readyz` says that it keeps its promises."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        with client_of(self) as client:
            while (answer := client.get("/readyz")).status_code != 200:
                assert time.monotonic() < deadline, answer.text
                time.sleep(0.02)

    def workers(self) -> list[psutil.Process]:
        """Find its worker processes; beside them, Python keeps a process that tracks what they share."""
        return [child for child in psutil.Process(self.process.pid).children() if _is_worker(child)]

    def stop(self) -> int:
        """Ask it to end (SIGTERM), wait for that, and give the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE_SECONDS)
        self._forget()
        return code

    def kill(self) -> None:
        """End every process of it at once (SIGKILL), as a power cut would."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE_SECONDS)
        self._forget()

    def _forget(self) -> None:
        _running.discard(self)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill() if kind else self.stop()


def spawn(arguments: list[str], env: Mapping[str, str], log_path: Path) -> Process:
    """Run `python -m keywright` with *arguments* as its users do; both outputs go to the log."""
    with log_path.open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "keywright", *arguments],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def start_service(
    env: Mapping[str, str],
    *,
    workers: int = 1,
    arguments: Iterable[str] = (),
    launch: Launch = spawn,
    authority: Path | None = None,
) -> LiveService:
    """
    Start the service and wait until `/livez` answers.

    Args:
        env: Settings by variable name. Unless set here, ports are free ones and the database a fresh SQLite file.
        workers: How many processes answer.
        arguments: What else to write behind `serve`.
        launch: How it is started; by default as its users do.
        authority: The authority of its certificate, where the settings have one.

    Raises:
        AssertionError: It ended, or did not answer in time; the message is its log.
    """
    folder = Path(tempfile.mkdtemp(prefix="keywright-live-"))
    settings = {
        "KEYWRIGHT_PORT": "0",
        "KEYWRIGHT_METRICS": "127.0.0.1:0",
        "KEYWRIGHT_WORKERS": str(workers),
        "KEYWRIGHT_DATABASE_URL": f"sqlite:///{folder}/keywright.db",
        **env,
    }
    return _started(["serve", *arguments], settings, folder, launch, authority)


def start_agent(env: Mapping[str, str], *, launch: Launch = spawn, authority: Path | None = None) -> LiveService:
    """
    Start an agent and wait until it answers; `base_url` is that of a Unix socket where it listens on one.

    Args:
        env: Settings by variable name; unless set here, the port is a free one.
        launch: How it is started; by default as its users do.
        authority: The authority of its certificate, where the settings have one.
    """
    folder = Path(tempfile.mkdtemp(prefix="keywright-agent-"))
    return _started(["agent"], {"KEYWRIGHT_AGENT_LISTEN": "127.0.0.1:0", **env}, folder, launch, authority)


def _started(
    command: list[str], settings: Mapping[str, str], folder: Path, launch: Launch, authority: Path | None
) -> LiveService:
    log_path = folder / "log"
    log_path.touch()
    process = launch(command, clean_environment(settings), log_path)
    database_url = settings.get("KEYWRIGHT_DATABASE_URL", "")
    service = LiveService("", None, database_url, process, folder, log_path, authority)
    _running.add(service)
    try:
        _wait_until_it_answers(service)
    except BaseException:
        service.kill()
        raise
    return service


def _wait_until_it_answers(service: LiveService) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and service.process.poll() is None:
        ready = next((line for line in service.log() if line.get("event") == "ready"), None)
        if ready is not None:
            service.base_url, service.metrics_url = ready["url"], ready["metrics"]
            with contextlib.suppress(httpx.TransportError), client_of(service) as client:
                if client.get("/livez").status_code == 200:
                    return
        time.sleep(0.02)
    raise AssertionError(f"the service did not come up:\n{service.log_path.read_text()}")


def client_of(service: LiveService, **options: Any) -> httpx.Client:
    """Make a client whose requests go to the service, over its Unix socket where it has one."""
    if service.authority is not None:
        options = {"verify": ssl.create_default_context(cafile=service.authority), **options}
    if not service.base_url.startswith("unix:"):
        return httpx.Client(base_url=service.base_url, trust_env=False, timeout=20, **options)
    transport = httpx.HTTPTransport(uds=service.base_url.removeprefix("unix:"))
    return httpx.Client(base_url="http://agent", transport=transport, trust_env=False, timeout=20, **options)


def _read_log(path: Path) -> list[dict[str, Any]]:
    lines = []
    for line in path.read_text().splitlines():
        with contextlib.suppress(ValueError):
            lines.append(json.loads(line))
    return [line for line in lines if isinstance(line, dict)]


def _is_worker(process: psutil.Process) -> bool:
    # A process that is dead and not collected yet has no command line.
    try:
        return "spawn_main" in " ".join(process.cmdline())
    except psutil.Error:
        return False


@atexit.register
def _end_what_is_left() -> None:
    for service in list(_running):
        service.kill()
