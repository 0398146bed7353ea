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
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.issuer import AUDIENCE, Issuer
from bench.postgres import Postgres
from bench.processes import PATIENCE_SECONDS, Program, Server, started
from bench.wrk import drive

API_KEYS = "/api/v2/api-keys"
VERIFY = f"{API_KEYS}/verify"
KEYS = 20_000
TENANT = "bench"


@dataclass(frozen=True, slots=True)
class Database:
    """A database's URL, a verifier's credential there, an access token, and where the keys are written."""

    url: str
    credential: str
    token: str
    keys: Path

    def traffic(self, keys: Path) -> dict[str, str]:
        """Give what the scripts of the traffic read from the environment."""
        return {"BENCH_KEYS": str(keys), "BENCH_CREDENTIAL": self.credential, "BENCH_TOKEN": self.token}


@dataclass
class Tree:
    """
    A source tree: its databases with their keys, by engine, and its service on each of them.

    Args:
        name: What the report calls it.
        path: The folder that holds `src`.
        issuer: Whose tokens the service accepts.
        postgres: Where its PostgreSQL database is made, if one is wanted.
        keys: How many API keys a database gets.
    """

    name: str
    path: Path
    issuer: Issuer
    postgres: Postgres
    keys: int = KEYS
    _folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="kw-bench-")))
    _databases: dict[tuple[str, str], Database] = field(default_factory=dict)
    _running: dict[str, tuple[ExitStack, Server]] = field(default_factory=dict)

    def environment(self, **settings: str) -> dict[str, str]:
        """Give this process's environment for a command of the tree, with these settings and no others."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("KEYWRIGHT_")}
        named = {f"KEYWRIGHT_{name.upper()}": value for name, value in settings.items()}
        return {**inherited, "PYTHONPATH": str(self.path.resolve() / "src"), "PYTHONUNBUFFERED": "1", **named}

    def database(self, engine: str, tenant: str = TENANT) -> Database:
        """Give a tenant's part of an engine's database, made at the first use: migrated, with a verifier, no keys."""
        if (engine, tenant) not in self._databases:
            url = self._migrated(engine) if tenant == TENANT else self.database(engine).url
            credential = json.loads(self._command(url, "verifiers", "create", tenant, "--json"))["credential"]
            keys = self._folder / f"{engine}-{tenant}-keys"
            self._databases[engine, tenant] = Database(url, credential, self.issuer.token(tenant), keys)
        return self._databases[engine, tenant]

    def _migrated(self, engine: str) -> str:
        url = f"sqlite:///{self._folder}/keywright.db" if engine == "sqlite" else self.postgres.database()
        self._command(url, "migrate")
        return url

    def _command(self, url: str, *words: str) -> str:
        command, env = [sys.executable, "-m", "keywright", *words], self.environment(database_url=url)
        done = subprocess.run(command, env=env, cwd=self._folder, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)}: {done.stderr}")
        return done.stdout

    def filled(self, engine: str, tenant: str = TENANT, *, unbound: bool = False, times: int = 1) -> Path:
        """
        Give the file of a tenant's keys in that database, created over HTTP at the first use.

        Args:
            unbound: Keys that are bound to no network.
            times: How many times as many keys as a database gets else.
        """
        database = self.database(engine, tenant)
        path = database.keys.with_suffix(".unbound") if unbound else database.keys
        if not path.exists():
            env = database.traffic(path) | {"BENCH_COUNT": str(times * self.keys)}
            env |= {"BENCH_UNBOUND": "1"} if unbound else {}
            drive("fill", self.running(engine).url, env, connections=64, seconds=600)
        return path

    def running(self, engine: str) -> Server:
        """Give the service on that database, started at the first use; it is not paused."""
        if engine not in self._running:
            held = ExitStack()
            self._running[engine] = held, held.enter_context(self.service(engine))
        server = self._running[engine][1]
        server.resume()
        return server

    def end(self, engine: str) -> None:
        """End the service on that database where it runs; the next `running` starts another one."""
        if engine in self._running:
            self._running.pop(engine)[0].close()

    def restart(self, engine: str) -> Server:
        """Start the service anew, with no key in its memory."""
        self.end(engine)
        return self.running(engine)

    @contextmanager
    def service(self, engine: str) -> Iterator[Server]:
        """Run one more service on that database, with one worker."""
        settings = {"database_url": self.database(engine).url, "issuer": self.issuer.url, "audience": AUDIENCE}
        settings |= {"metrics": "off", "log_level": "warning", "host": "127.0.0.1", "port": "0"}
        # What the load generator says in X-Forwarded-For counts.
        env = self.environment(**settings, trusted_proxies="127.0.0.0/8")
        log = self._folder / f"log-{os.urandom(4).hex()}"
        with started([sys.executable, "-m", "keywright", "serve"], env=env, cwd=self._folder, log=log) as process:
            yield Server(_listening(process, log), process)

    def pause(self) -> None:
        """Pause what runs, until it is wanted again."""
        for _, server in self._running.values():
            server.pause()

    def close(self) -> None:
        """End what runs, and delete the databases."""
        for engine in list(self._running):
            self.end(engine)
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
