"""The units of deploy/systemd: systemd reads them without a complaint, and what they start works as they say."""

import re
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from keywright.agent.settings import AgentSettings
from keywright.cli import exits
from keywright.config import PREFIX, Settings
from keywright.config_values import secret_names
from keywright.dev.issuer import DevIssuer
from keywright.keys.pair import mint_credential
from tests.live import PATIENCE_SECONDS, clean_environment
from tests.markdown import ROOT
from tests.ports import free_port
from tests.postgres import PostgresCluster, fresh_database

FOLDER = ROOT / "deploy" / "systemd"
UNITS = sorted(FOLDER.glob("*.service"))
KEYWRIGHT = "/opt/keywright/bin/keywright"
Unit = Mapping[str, list[str]]


def read(name: str) -> Unit:
    """Read the settings of all sections; a setting may have several values, and an empty one removes those before."""
    settings: dict[str, list[str]] = defaultdict(list)
    for line in (FOLDER / name).read_text().splitlines():
        if line and not line.startswith(("#", "[")):
            key, _, value = line.partition("=")
            settings[key].append(value)
    return settings


def one(unit: Unit, key: str) -> str:
    """Give the value of a setting that has one."""
    (value,) = unit[key]
    return value


class Started:
    """A unit, run as it says: its environment, its credentials, its command, and the socket of the service manager."""

    def __init__(self, name: str, folder: Path, given: Mapping[str, str], secrets: Mapping[str, str]) -> None:
        unit = read(name)
        # Short, because the path of a Unix socket holds 107 bytes at most.
        specifiers = {"%d": folder / "credentials", "%S": folder / "state", "%t": folder / "run"}
        for path in specifiers.values():
            path.mkdir(exist_ok=True)
        for setting, below in (("StateDirectory", "%S"), ("RuntimeDirectory", "%t")):
            for created in unit.get(setting, ()):
                (specifiers[below] / created).mkdir(exist_ok=True)
        for credential in unit["LoadCredential"]:
            (specifiers["%d"] / credential.partition(":")[0]).write_text(secrets[credential.partition(":")[2]])

        def expanded(text: str) -> str:
            return re.sub("%[dSt]", lambda found: str(specifiers[found[0]]), text)

        self._manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._manager.bind(str(folder / "notify"))
        self._manager.settimeout(PATIENCE_SECONDS)
        written = dict(expanded(line).split("=", 1) for line in unit["Environment"])
        self.environment = clean_environment({**written, **given, "NOTIFY_SOCKET": str(folder / "notify")})
        program, *arguments = shlex.split(one(unit, "ExecStart"))
        assert program == KEYWRIGHT
        self.process = subprocess.Popen(
            [sys.executable, "-m", "keywright", *arguments],
            env=self.environment,
            cwd=expanded(unit.get("WorkingDirectory", [str(folder)])[0]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def hears(self) -> str:
        """Wait for the next message to the service manager."""
        return self._manager.recv(4096).decode()

    def healthcheck(self) -> int:
        """Run `keywright healthcheck` in the environment of the unit."""
        command = [sys.executable, "-m", "keywright", "healthcheck"]
        return subprocess.run(command, env=self.environment, capture_output=True, check=False).returncode

    def stop(self) -> int:
        """Stop it as systemd does, and give its exit code."""
        self.process.send_signal(signal.SIGTERM)
        assert self.hears() == "STOPPING=1"
        self.process.communicate(timeout=PATIENCE_SECONDS)
        return self.process.returncode

    def close(self) -> None:
        """End it whatever it does."""
        self.process.kill()
        self.process.communicate()
        self._manager.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name."""
    with tempfile.TemporaryDirectory(prefix="kw-") as made:
        yield Path(made)


def of_env_file(name: str) -> dict[str, str]:
    """Read the settings in an `EnvironmentFile`, as the folder has it as an example."""
    lines = (FOLDER / name).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_the_service(issuer: DevIssuer, folder: Path) -> None:
    """The service starts out of its unit on SQLite, says when it is ready, is well, and stops with 0."""
    port = str(free_port())
    given = {**of_env_file("service.env.example"), "KEYWRIGHT_PORT": port, "KEYWRIGHT_METRICS": "off"}
    del given["KEYWRIGHT_AUTH0_DOMAIN"]
    given |= {"KEYWRIGHT_ISSUER": issuer.url, "KEYWRIGHT_AUDIENCE": issuer.audience}
    comment = next(line for line in (FOLDER / "keywright.service").read_text().splitlines() if "With SQLite: " in line)
    url = comment.partition("With SQLite: ")[2].replace("/var/lib", f"{folder}/state")
    started = Started("keywright.service", folder, given, {"/etc/keywright/database-url": url})
    try:
        assert started.hears() == "READY=1"
        assert started.healthcheck() == 0
        assert (folder / "state" / "keywright" / "keywright.db").exists()
        assert started.stop() == 0
    finally:
        started.close()


def test_the_agent(folder: Path) -> None:
    """The agent starts out of its unit, listens on its socket for its group, is well, and stops with 0."""
    assert of_env_file("agent.env.example").keys() == {"KEYWRIGHT_URL"}
    credential = mint_credential(bytes(32), brand="kw").reveal()
    given = {"KEYWRIGHT_URL": f"http://127.0.0.1:{free_port()}"}
    started = Started("keywright-agent.service", folder, given, {"/etc/keywright/verifier": credential})
    try:
        assert started.hears() == "READY=1"
        assert started.healthcheck() == 0
        made = (folder / "run" / "keywright-agent" / "agent.sock").stat().st_mode
        assert (stat.S_ISSOCK(made), stat.S_IMODE(made)) == (True, 0o660)
        assert started.stop() == 0
    finally:
        started.close()


def test_the_migration(own_cluster: PostgresCluster, folder: Path) -> None:
    """The migration runs out of its unit, and gives the role that serves its rights."""
    own_cluster.execute("CREATE ROLE keywright_serve LOGIN")
    url = fresh_database(own_cluster)
    started = Started("keywright-migrate.service", folder, {}, {"/etc/keywright/owner-url": url})
    try:
        printed, _ = started.process.communicate(timeout=PATIENCE_SECONDS)
        assert started.process.returncode == 0, printed
        assert "granted to keywright_serve" in printed
    finally:
        started.close()


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_nothing_is_root(unit: Path) -> None:
    """Each unit has a user of its own that systemd invents, no capabilities, and a system that it cannot change."""
    settings = read(unit.name)
    assert one(settings, "DynamicUser") == "yes"
    assert one(settings, "CapabilityBoundingSet") == ""
    assert one(settings, "ProtectSystem") == "strict"
    assert (one(settings, "NoNewPrivileges"), one(settings, "ProtectHome")) == ("yes", "yes")
    assert "User" not in settings


def test_secrets_are_credentials() -> None:
    """No unit and no example has a secret in its environment: each is a file that root alone can read."""
    names = {f"{PREFIX}{name.upper()}" for kind in (Settings, AgentSettings) for name in secret_names(kind)}
    for path in FOLDER.iterdir():
        written = set(re.findall(r"^(?:Environment=)?(KEYWRIGHT_\w+)=", path.read_text(), re.MULTILINE))
        assert not written & names, path.name


@pytest.mark.parametrize("name", ["keywright.service", "keywright-agent.service"])
def test_the_times_fit(name: str) -> None:
    """systemd waits longer for the end than requests may take, and does not repeat a start that cannot succeed."""
    unit = read(name)
    assert int(one(unit, "TimeoutStopSec")) > Settings.model_fields["shutdown_seconds"].default
    assert str(exits.MISUSED) in one(unit, "RestartPreventExitStatus").split()
    assert int(one(unit, "SuccessExitStatus")) == 128 + signal.SIGTERM


def test_systemd_reads_them(tmp_path: Path) -> None:
    """systemd knows every setting, and finds what the units need; and it counts them among the well protected ones."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed here; the tests above read the units by themselves")
    for unit in UNITS:
        # It complains of a program that is not there.
        text = unit.read_text().replace(KEYWRIGHT, sys.executable)
        (tmp_path / unit.name).write_text(text)
    for unit in UNITS:
        verified = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", tmp_path / unit.name],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (verified.returncode, verified.stderr) == (0, "")
        judged = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", tmp_path / unit.name],
            capture_output=True,
            text=True,
            check=False,
        )
        assert judged.returncode == 0, judged.stdout + judged.stderr
