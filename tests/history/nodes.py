"""The service as several machines run it: separate services on one database, to be killed, stopped and restarted."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from tests.history.delays import family
from tests.live import LiveService, clean_environment, start_service
from tests.ports import free_port


def create_verifier(database_url: str, name: str) -> str:
    """Make a verifier as an operator does, and give its credential."""
    done = subprocess.run(
        [sys.executable, "-m", "keywright", "verifiers", "create", name, "--json"],
        env=clean_environment({"KEYWRIGHT_DATABASE_URL": database_url}),
        check=True,
        capture_output=True,
        timeout=60,
    )
    # A new database is migrated first, which is told before.
    credential: str = json.loads(done.stdout.splitlines()[-1])["credential"]
    return credential


class Node:
    """
    One service, on the same port after every start.

    Args:
        name: What the history calls it.
        settings: See `live.start_service`.
        workers: How many processes answer.
    """

    def __init__(self, name: str, settings: Mapping[str, str], *, workers: int = 1) -> None:
        self.name = name
        self._settings = {**settings, "KEYWRIGHT_PORT": str(free_port())}
        self._workers = workers
        self._service: LiveService | None = None
        self.start_seconds = 0.0
        """How long the last start took."""

    @property
    def service(self) -> LiveService:
        """The service that runs, or ran last."""
        assert self._service is not None
        return self._service

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        url = urlsplit(self.service.base_url)
        assert url.hostname is not None
        assert url.port is not None
        return url.hostname, url.port

    async def start(self) -> None:
        """Start it and wait until it answers."""
        began = time.monotonic()
        self._service = await asyncio.to_thread(start_service, self._settings, workers=self._workers)
        self.start_seconds = time.monotonic() - began

    async def kill(self) -> None:
        """End every process of it at once (SIGKILL)."""
        await asyncio.to_thread(self.service.kill)

    async def end(self) -> None:
        """Ask it to end, and wait for that; kill it where it does not."""
        try:
            await asyncio.to_thread(self.service.stop)
        except subprocess.TimeoutExpired:
            await self.kill()
            raise

    def stop(self) -> None:
        """Stop every process of it (SIGSTOP), until `go_on`."""
        os.killpg(self.service.process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on."""
        os.killpg(self.service.process.pid, signal.SIGCONT)

    def pids(self) -> list[int]:
        """Give its processes; nothing while it does not run."""
        return [] if self._service is None else family(self._service.process.pid)

    def worker_pids(self) -> list[int]:
        """Give the processes that answer."""
        if self._workers == 1:
            return [self.service.process.pid]
        return [worker.pid for worker in self.service.workers()]
