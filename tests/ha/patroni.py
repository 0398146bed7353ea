"""
Three PostgreSQL servers, of which Patroni makes one the primary: Debian's Patroni and etcd, without root and with it.

Each server, and etcd, is a process group of its own, to be killed, stopped and started again.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from tests.ports import free_port
from tests.postgres import hand_over, owner
from tests.provision import unavailable

TTL_SECONDS = 15
LOOP_WAIT_SECONDS = 5
DATABASE = "keywright"
START_SECONDS = 90.0

_PACKAGES = "apt-get install postgresql patroni python3-etcd etcd-server"
_SETTINGS = {
    "max_connections": 100,
    "shared_buffers": "32MB",
    "wal_keep_size": "64MB",
    "max_wal_size": "96MB",
    "min_wal_size": "32MB",
    # Nothing here is about power cuts, and syncing a shared disk is slow.
    "fsync": "off",
    "full_page_writes": "on",
}


_FOLLOWING = "SELECT application_name FROM pg_stat_replication WHERE state = 'streaming' AND application_name <> ''"


@dataclass(eq=False)
class Member:
    """
    A PostgreSQL server and its Patroni, to be started and ended as one machine is.

    `data` is where its files are: a folder, or a small file system of its own.
    """

    name: str
    folder: Path
    data: Path
    port: int
    rest_port: int
    config: dict[str, Any]
    process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    @property
    def rest_url(self) -> str:
        """Where its Patroni answers."""
        return f"http://127.0.0.1:{self.rest_port}"

    def start(self) -> None:
        """Start it; it does not wait."""
        path = self.folder / f"{self.name}.json"
        path.write_text(json.dumps(self.config))
        with (self.folder / f"{self.name}.log").open("ab") as log:
            # Patroni reads YAML, and JSON is YAML. Its Python is the system's.
            self.process = subprocess.Popen(
                ["patroni", path],
                cwd=self.folder,
                env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(self.folder), "LC_ALL": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **owner(),
            )

    def postmaster(self) -> int | None:
        """Give the process that all others of the server are children of; None where it does not run."""
        try:
            pid = int((self.data / "pg" / "postmaster.pid").read_text().split("\n", 1)[0])
            os.kill(pid, 0)
        except (OSError, ValueError):
            return None
        return pid

    def signal_patroni(self, number: signal.Signals) -> None:
        """Send a signal to Patroni alone: its server goes on."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def signal_server(self, number: signal.Signals) -> None:
        """Send a signal to every process of the server."""
        pid = self.postmaster()
        if pid is not None:
            for each in [pid, *children_of(pid)]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(each, number)

    def kill(self) -> None:
        """End it at once, as a power cut would (SIGKILL)."""
        self.signal_patroni(signal.SIGKILL)
        self.signal_server(signal.SIGKILL)
        if self.process is not None:
            self.process.wait(30)
        self.process = None

    def stop(self) -> None:
        """Stop all of it (SIGSTOP), as a machine whose network is gone: connections stay, and nobody answers."""
        self.signal_patroni(signal.SIGSTOP)
        self.signal_server(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on."""
        self.signal_server(signal.SIGCONT)
        self.signal_patroni(signal.SIGCONT)


def children_of(pid: int) -> list[int]:
    """Give the children of a process."""
    with contextlib.suppress(OSError):
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


class PatroniCluster:
    """
    Three members and their etcd; gone with `remove`.

    Args:
        synchronous: Whether a standby confirms every write before it is acknowledged (`synchronous_mode`).
        ttl: Seconds after which a primary that no longer says so is none.
        loop_wait: Seconds between two looks of Patroni.
        data_folders: Where the members keep their files; by default in folders of the cluster's own.
    """

    def __init__(
        self,
        *,
        synchronous: bool = True,
        ttl: int = TTL_SECONDS,
        loop_wait: int = LOOP_WAIT_SECONDS,
        data_folders: Sequence[Path] = (),
    ) -> None:
        self._binaries = _binaries()
        self.folder = Path(tempfile.mkdtemp(prefix="kw-ha-", dir="/tmp"))
        self.folder.chmod(0o755)
        hand_over(self.folder)
        self._etcd_port = free_port()
        self._etcd: subprocess.Popen[bytes] | None = None
        self._dcs = {
            "ttl": ttl,
            "loop_wait": loop_wait,
            "retry_timeout": max(3, (ttl - loop_wait) // 2),
            "maximum_lag_on_failover": 16 * 1024 * 1024,
            "synchronous_mode": synchronous,
            "primary_start_timeout": 0,
            "master_start_timeout": 0,
            "postgresql": {
                "use_pg_rewind": True,
                "use_slots": True,
                "parameters": _SETTINGS,
            },
        }
        self.members = [
            self._member(name, data_folders[place] if data_folders else None)
            for place, name in enumerate(("one", "two", "three"))
        ]

    def _member(self, name: str, data: Path | None) -> Member:
        folder = data or self.folder / name
        folder.mkdir(exist_ok=True)
        hand_over(folder)
        port, rest_port = free_port(), free_port()
        config: dict[str, Any] = {
            "scope": "keywright",
            "name": name,
            "restapi": {"listen": f"127.0.0.1:{rest_port}", "connect_address": f"127.0.0.1:{rest_port}"},
            # Its driver for version 3 of the protocol, in Debian's 3.0.2, lets a Patroni that was stopped take the lock
            # back from its successor.
            "etcd": {"host": f"127.0.0.1:{self._etcd_port}"},
            "bootstrap": {"dcs": self._dcs, "initdb": [{"encoding": "UTF8"}, "data-checksums", "no-sync"]},
            "postgresql": {
                "listen": f"127.0.0.1:{port}",
                "connect_address": f"127.0.0.1:{port}",
                "data_dir": str(folder / "pg"),
                "bin_dir": str(self._binaries),
                "pgpass": str(self.folder / f"{name}.pgpass"),
                "authentication": {
                    "superuser": {"username": "postgres", "password": "postgres"},
                    "replication": {"username": "replicator", "password": "replicator"},
                },
                "parameters": {"unix_socket_directories": str(self.folder)},
                "pg_hba": [
                    "local all all trust",
                    "host all all 127.0.0.1/32 trust",
                    "host replication all 127.0.0.1/32 trust",
                ],
                "basebackup": [{"checkpoint": "fast"}, "no-sync"],
            },
            "watchdog": {"mode": "off"},
        }
        return Member(name, self.folder, folder, port, rest_port, config)

    @property
    def url(self) -> str:
        """The URL of the database, which names all members."""
        return self.url_of(self.members)

    def url_of(self, members: Sequence[Member]) -> str:
        """Give the URL that names members in this order."""
        hosts = ",".join(f"127.0.0.1:{member.port}" for member in members)
        return f"postgresql://postgres@{hosts}/{DATABASE}?target_session_attrs=read-write&pool_size=8"

    def start(self) -> None:
        """Start everything, and wait until there is a primary with two standbys and the database."""
        self._start_etcd()
        first, *others = self.members
        first.start()
        # One after the other, so that it is known who begins.
        self.wait_for(lambda: self.leader() is first)
        for member in others:
            member.start()
        self.await_whole()
        self.execute(f"CREATE DATABASE {DATABASE}", database="postgres")

    def _start_etcd(self) -> None:
        peer, client = free_port(), f"http://127.0.0.1:{self._etcd_port}"
        with (self.folder / "etcd.log").open("ab") as log:
            self._etcd = subprocess.Popen(
                [
                    *("etcd", "--name", "only", "--data-dir", str(self.folder / "etcd")),
                    *("--unsafe-no-fsync", "--enable-v2"),
                    *("--listen-client-urls", client, "--advertise-client-urls", client),
                    *("--listen-peer-urls", f"http://127.0.0.1:{peer}"),
                    *("--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}"),
                    *("--initial-cluster", f"only=http://127.0.0.1:{peer}"),
                ],
                cwd=self.folder,
                env={"PATH": "/usr/bin:/bin", "ETCD_UNSUPPORTED_ARCH": "arm64"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **owner(),
            )
        self.wait_for(lambda: _answers(f"{client}/health"))

    def cluster(self) -> list[dict[str, Any]]:
        """Ask the first member that answers how all of them are; nothing where nobody answers."""
        for member in self.members:
            with contextlib.suppress(httpx.HTTPError, ValueError, KeyError):
                return list(_get(f"{member.rest_url}/cluster").json()["members"])
        return []

    def leader(self) -> Member | None:
        """Give the member that holds the lock and is the primary; None while there is none."""
        for member in self.members:
            with contextlib.suppress(httpx.HTTPError):
                if _get(f"{member.rest_url}/primary").status_code == 200:
                    return member
        return None

    def synchronous_standby(self) -> Member | None:
        """Give the standby that confirms writes."""
        for member in self.members:
            with contextlib.suppress(httpx.HTTPError):
                if _get(f"{member.rest_url}/synchronous").status_code == 200:
                    return member
        return None

    def another_leader(self, former: Member) -> Member | None:
        """Give the primary if it is not *former*."""
        leader = self.leader()
        return None if leader is former else leader

    def is_whole(self) -> bool:
        """Tell whether two standbys follow the primary, and one of them confirms writes where one has to."""
        leader = self.leader()
        if leader is None:
            return False
        try:
            states = [state for (state,) in self.execute(_FOLLOWING, database="postgres", member=leader)]
        except (OSError, asyncpg.PostgresError):
            return False
        confirms = not self._dcs["synchronous_mode"] or self.synchronous_standby() is not None
        return len(states) == len(self.members) - 1 and confirms

    def await_whole(self) -> None:
        """Wait until `is_whole`."""
        self.wait_for(self.is_whole)

    def wait_for(self, condition: Any, seconds: float = START_SECONDS) -> None:
        """Wait until a condition holds; what the members wrote is in the error where it does not."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"the cluster is not as it should be: {self.cluster()}\n{self._told()}")
            time.sleep(0.2)

    def _told(self) -> str:
        return "\n".join(f"--- {path.name}\n{path.read_text()[-3000:]}" for path in sorted(self.folder.glob("*.log")))

    def switch_over(self) -> Member:
        """Have the primary hand over to another member, as an operator does; gives the new primary."""
        former = self.leader()
        assert former is not None
        answer = httpx.post(f"{former.rest_url}/switchover", json={"leader": former.name}, timeout=60, trust_env=False)
        assert answer.status_code == 200, answer.text
        self.wait_for(lambda: self.another_leader(former))
        leader = self.leader()
        assert leader is not None
        return leader

    def execute(
        self, statement: str, *, database: str = DATABASE, member: Member | None = None
    ) -> list[tuple[Any, ...]]:
        """Execute a statement on the primary, or on a member, and give its rows."""

        async def run() -> list[tuple[Any, ...]]:
            at = member or self.leader()
            assert at is not None
            connection = await asyncpg.connect(
                host="127.0.0.1", port=at.port, user="postgres", database=database, timeout=10
            )
            try:
                return [tuple(row) for row in await connection.fetch(statement, timeout=30)]
            finally:
                connection.terminate()

        return asyncio.run(run())

    def pids(self) -> list[int]:
        """Give the processes of all servers."""
        masters = [pid for member in self.members if (pid := member.postmaster()) is not None]
        return [each for pid in masters for each in (pid, *children_of(pid))]

    def remove(self) -> None:
        """End everything, and delete it."""
        for member in self.members:
            member.go_on()
            member.kill()
        if self._etcd is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._etcd.pid, signal.SIGKILL)
            self._etcd.wait(30)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def running(**options: Any) -> Iterator[PatroniCluster]:
    """Provide a cluster for as long as the block lasts; options are those of `PatroniCluster`."""
    cluster = PatroniCluster(**options)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.remove()


def _get(url: str) -> httpx.Response:
    return httpx.get(url, timeout=2, trust_env=False)


def _answers(url: str) -> bool:
    try:
        return _get(url).status_code == 200
    except httpx.HTTPError:
        return False


def _binaries() -> Path:
    """Find Debian's PostgreSQL: its Patroni was tested with that one."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if not found or not all(map(shutil.which, ("patroni", "etcd"))):
        unavailable("a PostgreSQL with Patroni and etcd", _PACKAGES)
    return found[-1].parent
