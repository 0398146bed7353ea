"""
The service of a source tree, as its users have it: by command line, settings and HTTP API, and by nothing else of it.

So the benchmark drives any tree, an older commit as well.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.cases import Keys
from bench.issuer import AUDIENCE, Issuer
from bench.postgres import Postgres
from bench.processes import CORES, PATIENCE_SECONDS, Program, Server, started
from bench.redis import Redis
from bench.wrk import drive

API_KEYS = "/api/v2/api-keys"
VERIFY = f"{API_KEYS}/verify"
KEYS = 20_000
TENANT = "bench"
FILL_SECONDS = 1200
_PROGRAM = [sys.executable, "-m", "keywright"]
BOUND, UNBOUND = Keys(), Keys(networks=0)


@dataclass(frozen=True, slots=True)
class Database:
    """A database's URL, a verifier's credential there, and an access token."""

    url: str
    credential: str
    token: str

    def traffic(self, keys: Path) -> dict[str, str]:
        """Give what the scripts of the traffic read from the environment."""
        return {"BENCH_KEYS": str(keys), "BENCH_CREDENTIAL": self.credential, "BENCH_TOKEN": self.token}


@dataclass
class Tree:
    """
    A source tree: its databases with their keys, by place, and its service on each of them.

    A place is `sqlite` or `postgresql`, and after a hyphen what sets it apart; `redis` there counts limits in Redis.

    Args:
        name: What the report calls it.
        path: The folder that holds `src`.
        issuer: Whose tokens the service accepts.
        postgres: Where its PostgreSQL databases are made, if one is wanted.
        redis: Where its limits are counted, if that is wanted.
        keys: How many API keys a database gets.
    """

    name: str
    path: Path
    issuer: Issuer
    postgres: Postgres
    redis: Redis
    keys: int = KEYS
    _folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="kw-bench-")))
    _databases: dict[tuple[str, str], Database] = field(default_factory=dict)
    _running: dict[str, tuple[ExitStack, Server]] = field(default_factory=dict)

    def environment(self, **settings: str) -> dict[str, str]:
        """Give this process's environment for a command of the tree, with these settings and no others."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("KEYWRIGHT_")}
        named = {f"KEYWRIGHT_{name.upper()}": value for name, value in settings.items()}
        return {**inherited, "PYTHONPATH": str(self.path.resolve() / "src"), "PYTHONUNBUFFERED": "1", **named}

    def database(self, place: str, tenant: str = TENANT) -> Database:
        """Give a tenant's part of a database, made at the first use: migrated, with a verifier, no keys."""
        if (place, tenant) not in self._databases:
            url = self._migrated(place) if tenant == TENANT else self.database(place).url
            credential = json.loads(self._command(url, "verifiers", "create", tenant, "--json"))["credential"]
            self._databases[place, tenant] = Database(url, credential, self.issuer.token(tenant))
        return self._databases[place, tenant]

    def _migrated(self, place: str) -> str:
        sqlite = place.partition("-")[0] == "sqlite"
        url = f"sqlite:///{self._folder}/{place}.db" if sqlite else self.postgres.database()
        self._command(url, "migrate")
        return url

    def demo(self, *words: str, **settings: str) -> tuple[list[str], dict[str, str], Path]:
        """Give the command of `keywright dev`, its environment and its folder, which goes with the tree."""
        return [*_PROGRAM, "dev", *words], self.environment(**settings), self._folder

    def exported(self) -> Path:
        """Give a folder with the element's files."""
        folder = self._folder / "element"
        if not folder.exists():
            self._command("sqlite://", "console", "export", str(folder))
        return folder

    def _command(self, url: str, *words: str) -> str:
        command, env = [*_PROGRAM, *words], self.environment(database_url=url)
        done = subprocess.run(command, env=env, cwd=self._folder, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)}: {done.stderr}")
        return done.stdout

    def filled(self, place: str, keys: Keys = BOUND, tenant: str = TENANT) -> Path:
        """Give the file of a tenant's keys in that database, created over HTTP at the first use."""
        name = f"{tenant}-{keys.times:g}x{keys.networks}-ipv{keys.family}-{keys.limited}"
        path = self._folder / f"{place}-{name}.keys"
        if not path.exists():
            print(f"  filling {place} of {self.name} ...", flush=True)
            options = {"COUNT": int(keys.times * self.keys), "NETWORKS": keys.networks}
            options |= {"FAMILY": keys.family, "LIMITED": keys.limited}
            part = path.with_suffix(".part")
            env = self.database(place, tenant).traffic(part)
            # Two workers on all cores, which the one that is measured does not have.
            with self.service(place, cores=CORES, workers="2") as server:
                env |= {f"BENCH_{name}": str(value) for name, value in options.items()}
                drive("fill", server.url, env, connections=64, seconds=FILL_SECONDS)
            if not part.exists() or len(part.read_text().splitlines()) < options["COUNT"]:
                raise RuntimeError(f"{place} was not filled in {FILL_SECONDS} s")
            part.rename(path)
        return path

    def revoked(self, place: str) -> Path:
        """Give a file of keys in that database that were revoked: a hundredth of how many it has."""
        path = self.filled(place, Keys(times=0.01))
        done = path.with_suffix(".revoked")
        if not done.exists():
            drive("revoke", self.running(place).url, self.database(place).traffic(path), connections=4, seconds=120)
            done.symlink_to(path)
        return done

    def running(self, place: str) -> Server:
        """Give the service on that database, started at the first use; it is not paused."""
        if place not in self._running:
            self._start(place)
        server = self._running[place][1]
        server.resume()
        return server

    def _start(self, place: str, **more: str) -> None:
        held = ExitStack()
        self._running[place] = held, held.enter_context(self.service(place, **more))

    def end(self, place: str) -> None:
        """End the service on that database where it runs; the next `running` starts another one."""
        if place in self._running:
            self._running.pop(place)[0].close()

    def restart(self, place: str) -> Server:
        """Start the service anew, with no key in its memory; an older tree, which stays cold, ignores the setting."""
        self.end(place)
        self._start(place, warm_keys="0")
        return self.running(place)

    @contextmanager
    def service(
        self, place: str, *, cores: Sequence[int] = CORES[:1], workers: str = "1", **more: str
    ) -> Iterator[Server]:
        """Run one more service on that database, with *more* settings."""
        settings = {"database_url": self.database(place).url, "issuer": self.issuer.url, "audience": AUDIENCE}
        settings |= {"metrics": "off", "log_level": "warning", "host": "127.0.0.1", "port": "0", "workers": workers}
        # Creations are measured, and databases filled, without an organization's limits.
        settings |= {"changes_per_second": "1000000", "changes_burst": "1000000000", "max_active_keys": "1000000"}
        if place.endswith("-redis"):
            settings["redis_url"] = self.redis.url()
        # What the load generator says in X-Forwarded-For counts.
        env = self.environment(**settings, trusted_proxies="127.0.0.0/8", **more)
        log = self._folder / f"log-{os.urandom(4).hex()}"
        command = [*_PROGRAM, "serve"]
        with started(command, env=env, cwd=self._folder, log=log, cores=cores) as process:
            yield Server(_listening(process, log), process)

    def pause(self) -> None:
        """Pause what runs, until it is wanted again."""
        for _, server in self._running.values():
            server.pause()

    def close(self) -> None:
        """End what runs, and delete the databases."""
        for place in list(self._running):
            self.end(place)
        shutil.rmtree(self._folder, ignore_errors=True)


def _listening(process: Program, log: Path) -> str:
    """
    Wait for the log line that says where a service listens.

    Raises:
        RuntimeError: It ended before.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text().splitlines():
            if '"ready"' in line:
                url: str = json.loads(line)["url"]
                return url
        time.sleep(0.005)
    raise RuntimeError(f"the service did not start:\n{log.read_text()}")
