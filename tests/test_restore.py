"""A database is restored from a backup: what it lost is found, and revoked keys are revoked again, on both engines."""

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest
from click.testing import CliRunner, Result

from keywright.cli.application import app
from keywright.config import PREFIX
from keywright.dev.issuer import DevIssuer
from keywright.storage.migrate import migrate
from tests.api.caller import KEYS, Caller
from tests.api.verifier import Verifier, create_verifier
from tests.live import LiveService, environment, start_service
from tests.postgres import PostgresCluster, migrated_database, start_cluster
from tests.waiting import eventually

pytestmark = pytest.mark.early


class Backups(Protocol):
    """Makes backups of a database that is used, and restores the last one while nobody uses it."""

    @property
    def url(self) -> str: ...
    def backup(self) -> None: ...
    def restore(self) -> None: ...


@dataclass
class SqliteCopies:
    """Copies of a file, by the means of SQLite that are consistent while others write."""

    folder: Path
    statement: str | None = None

    @property
    def path(self) -> Path:
        return self.folder / "keywright.db"

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}"

    def backup(self) -> None:
        copy = self.folder / "copy.db"
        with closing(sqlite3.connect(self.path)) as source:
            if self.statement is not None:
                source.execute(self.statement, (str(copy),))
                return
            with closing(sqlite3.connect(copy)) as target:
                source.backup(target)

    def restore(self) -> None:
        for name in ("keywright.db", "keywright.db-wal", "keywright.db-shm"):
            (self.folder / name).unlink(missing_ok=True)
        shutil.copy(self.folder / "copy.db", self.path)


@dataclass
class PointInTime:
    """A base backup of a server, and its write-ahead log up to a time."""

    cluster: PostgresCluster
    url: str
    time: str = ""

    def backup(self) -> None:
        folder = self.cluster.folder
        self.cluster.run("pg_basebackup", "-h", folder, "-U", "postgres", "-c", "fast", "-D", folder / "base")

    def reach(self) -> None:
        """Take the time to which the database is restored: what was committed is before it."""
        self.time = self.cluster.execute("SELECT clock_timestamp()")

    def restore(self) -> None:
        self.cluster.execute("SELECT pg_switch_wal()")
        self.cluster.stop()
        folder = self.cluster.folder
        shutil.rmtree(folder / "data")
        (folder / "base").rename(folder / "data")
        with (folder / "data" / "postgresql.auto.conf").open("a") as settings:
            settings.write("restore_command = 'cp ../archive/%f %p'\n")
            settings.write(f"recovery_target_time = '{self.time}'\nrecovery_target_action = 'promote'\n")
        (folder / "data" / "recovery.signal").touch()
        self.cluster.start()
        eventually(lambda: self.cluster.execute("SELECT pg_is_in_recovery()") == "f")


@pytest.fixture
def archiving() -> Iterator[PostgresCluster]:
    """A server that archives its write-ahead log."""
    command = "mkdir -p ../archive && test ! -f ../archive/%f && cp %p ../archive/%f"
    cluster = start_cluster(archive_mode="on", archive_command=command)
    try:
        yield cluster
    finally:
        cluster.remove()


def command(url: str, *arguments: str | Path) -> Result:
    settings = {name: None for name in os.environ if name.startswith(PREFIX)}
    done = CliRunner().invoke(
        app, [str(argument) for argument in arguments], env={**settings, f"{PREFIX}DATABASE_URL": url}
    )
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def printed(url: str, *arguments: str | Path) -> str:
    done = command(url, *arguments)
    assert done.exit_code == 0, done.output
    return done.stdout


@dataclass
class Story:
    """Keys by what happened to them after the backup, and the files that were kept elsewhere."""

    revoked: dict[str, Any]
    deleted: dict[str, Any]
    kept: dict[str, Any]
    created: dict[str, Any]
    organization: str
    files: tuple[str, Path, str, Path]


def live_through(service: LiveService, issuer: DevIssuer, backups: Backups, folder: Path) -> Story:
    """Create keys, back them up, revoke and delete some, create one, and keep heads and log."""
    with Caller(service, issuer) as acme, Caller(service, issuer) as globex:
        revoked, deleted, kept = (acme.create(name=name) for name in ("revoked", "deleted", "kept"))
        globex.create()
        backups.backup()
        acme.create(name="in the log")
        if isinstance(backups, PointInTime):
            backups.reach()
        answer = acme.http.put(f"{KEYS}/{revoked['id']}/revoke", json={"reason": "key_compromise"})
        assert answer.status_code == 200, answer.text
        assert acme.http.delete(f"{KEYS}/{deleted['id']}").status_code == 204
        created = acme.create(name="created")
    heads, log = folder / "heads.ndjson", folder / "log.ndjson"
    heads.write_text(printed(backups.url, "audit", "head"))
    log.write_text(printed(backups.url, "audit", "export", "--since", "1h"))
    organization = next(json.loads(line)["org_id"] for line in log.read_text().splitlines() if revoked["id"] in line)
    return Story(revoked, deleted, kept, created, organization, ("--heads", heads, "--log", log))


def check(url: str, story: Story, *options: str) -> list[str]:
    """Check the restored database; something is lost."""
    done = command(url, "restore-check", *story.files, *options)
    assert (done.exit_code, done.stderr) == (1, ""), done.output
    return done.stdout.splitlines()


def go_on_after(backups: Backups, issuer: DevIssuer, folder: Path, lost: list[str]) -> None:
    settings = environment(issuer, database_url=backups.url)
    with start_service(settings) as service:
        credential = create_verifier(service, "api")
        story = live_through(service, issuer, backups, folder)
    backups.restore()
    before = printed(backups.url, "audit", "head")
    shown = check(backups.url, story)
    assert shown[0] == f"organization {story.organization}: {lost[0]}"
    assert shown[-2:] == [
        "2 compared, 1 whole, 1 not; 0 are newer than the heads",
        "2 to do again: run it with --apply.",
    ]
    ended = {key["id"]: line for line in shown for key in (story.revoked, story.deleted) if key["id"] in line}
    assert "revived: " in ended[story.revoked["id"]]
    assert "(key_compromise)" in ended[story.revoked["id"]]
    assert "it works again, deleted" in ended[story.deleted["id"]]
    assert [line.rpartition(": ")[2].split(", ")[1] for line in shown if line.startswith("  lost: ")] == lost[1:]
    assert printed(backups.url, "audit", "head").split('"at"')[0] == before.split('"at"')[0]
    with start_service(settings) as service, Verifier(service, f"Bearer {credential}") as verifier:
        ends = [story.revoked["private_key"], story.deleted["private_key"]]
        assert [verifier.code(key) for key in ends] == ["valid", "valid"]
        applied = check(backups.url, story, "--apply")
        assert sum(line.endswith("; done again") for line in applied) == 2
        assert applied[-1] == "Nothing is left to do again."
        eventually(lambda: "valid" not in [verifier.code(key) for key in ends])
        assert verifier.code(story.kept["private_key"]) == "valid"
        assert verifier.code(story.created["private_key"]) == "not_found"
        after = positions(backups.url)
        again = check(backups.url, story, "--apply")
        assert (again[-1], positions(backups.url)) == ("Nothing is left to do again.", after)
        assert [line for line in again if "revived" in line] == []
    assert "nothing is wrong" in printed(backups.url, "audit", "verify")
    (key,) = [
        line
        for line in map(json.loads, printed(backups.url, "organizations", "export", story.organization).splitlines())
        if line["type"] == "api_key" and line["id"] == story.revoked["id"]
    ]
    assert key["revocation_reason"] == "key_compromise"


def positions(url: str) -> list[tuple[str, int]]:
    return [(head["org_id"], head["position"]) for head in map(json.loads, printed(url, "audit", "head").splitlines())]


@pytest.mark.parametrize("statement", [None, "VACUUM INTO ?"], ids=["backup", "vacuum"])
def test_on_sqlite(issuer: DevIssuer, tmp_path: Path, statement: str | None) -> None:
    """An older copy of the file revives keys: the check names these and the lost ones, and revokes them again."""
    go_on_after(
        SqliteCopies(tmp_path, statement),
        issuer,
        tmp_path,
        ["4 events lost, positions 4 to 7", "'in the log'", "'created'"],
    )


def test_on_postgresql(archiving: PostgresCluster, issuer: DevIssuer, tmp_path: Path) -> None:
    """A base backup with its log up to a time loses what came after that time, and nothing from before."""
    url = migrated_database(archiving)
    migrate(url)
    go_on_after(PointInTime(archiving, url), issuer, tmp_path, ["3 events lost, positions 5 to 7", "'created'"])
