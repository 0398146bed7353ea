"""What systemd hears of a server, by a real socket of datagrams in its place."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest

from keywright.cli.server.service_manager import Watchdog
from keywright.dev.issuer import DevIssuer
from keywright.keys.pair import mint_credential
from tests.live import PATIENCE_SECONDS, clean_environment, environment, start_agent, start_service

# An agent of no service at all: it starts, and is alive.
ALONE = {
    "KEYWRIGHT_URL": "http://127.0.0.1:9",
    "KEYWRIGHT_VERIFIER": mint_credential(bytes(32), brand="kw").reveal(),
}


class Manager:
    """Hears what is sent to its socket, as the service manager does."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.settimeout(PATIENCE_SECONDS)

    def hears(self) -> str:
        """Wait for the next message."""
        return self._socket.recv(4096).decode()

    def hears_until(self, state: str) -> list[str]:
        """Wait for a message, and give those before it."""
        before = []
        while (heard := self.hears()) != state:
            before.append(heard)
        return before

    def all_of(self, process: "subprocess.Popen[str]") -> tuple[int, list[str]]:
        """Wait for the end of a process, and give its exit code with everything that it has said."""
        code = process.wait(PATIENCE_SECONDS)
        self._socket.setblocking(False)
        heard = []
        try:
            while True:
                heard.append(self.hears())
        except BlockingIOError:
            return code, heard

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path"])
def manager(request: pytest.FixtureRequest) -> Iterator[Manager]:
    """A service manager at a path, as systemd's own, or at an abstract address, as that of containers often."""
    with tempfile.TemporaryDirectory(prefix="kw-") as folder:
        made = Manager(f"@{folder}" if request.param == "abstract" else f"{folder}/notify")
        yield made
        made.close()


@pytest.mark.parametrize(("workers", "manager"), [(1, "abstract"), (2, "path")], indirect=["manager"])
def test_a_service(workers: int, manager: Manager, issuer: DevIssuer) -> None:
    """
    A service says that it is ready once, when every worker answers, and that it stops, before it has.

    In between it gives signs of life, again and again, because the unit has `WatchdogSec`.
    """
    told = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "200000"}
    with start_service(environment(issuer) | told, workers=workers) as service:
        # The supervisor of several workers is alive before they are ready.
        before = manager.hears_until("READY=1")
        assert set(before) <= {"WATCHDOG=1"}
        service.await_log_line(event="ready", workers=workers)
        assert len(service.workers()) == (0 if workers == 1 else workers)
        assert httpx.get(f"{service.base_url}/livez", trust_env=False).status_code == 200
        assert [manager.hears() for _ in range(3)] == ["WATCHDOG=1"] * 3
        service.process.send_signal(signal.SIGTERM)
        assert set(manager.hears_until("STOPPING=1")) <= {"WATCHDOG=1"}
        assert service.process.wait(PATIENCE_SECONDS) == 0


def test_an_agent(manager: Manager) -> None:
    """An agent says the same."""
    with start_agent({**ALONE, "NOTIFY_SOCKET": manager.address}) as agent:
        assert manager.hears() == "READY=1"
        agent.process.send_signal(signal.SIGTERM)
        assert manager.hears() == "STOPPING=1"
        assert agent.process.wait(PATIENCE_SECONDS) == 0


def test_a_start_that_fails(manager: Manager, issuer: DevIssuer, tmp_path: Path) -> None:
    """A service that does not start is never ready."""
    settings = environment(issuer, database_url=f"sqlite:///{tmp_path}/none/keywright.db", metrics="off", port="0")
    with subprocess.Popen(
        [sys.executable, "-m", "keywright", "serve"],
        env=clean_environment(settings | {"NOTIFY_SOCKET": manager.address}),
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert manager.all_of(process) == (1, [])


def test_nobody_listens(issuer: DevIssuer, tmp_path: Path) -> None:
    """A service manager that cannot be reached stops no service; the log says so."""
    settings = environment(issuer) | {"NOTIFY_SOCKET": f"{tmp_path}/none", "WATCHDOG_USEC": "200000"}
    with start_service(settings) as service:
        service.await_log_line(event="the service manager cannot be told that the start is over", level="warning")
        assert httpx.get(f"{service.base_url}/livez", trust_env=False).status_code == 200
        assert service.stop() == 0


@pytest.mark.parametrize(
    ("variables", "pause"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "60000000"}, 30.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_who_gives_signs_of_life(variables: Mapping[str, str], pause: float | None) -> None:
    """Signs of life come twice in the time that is allowed, and from the process that is meant."""
    assert Watchdog(variables).pause == pause
