"""`keywright organizations …`: an organization is exported and erased, and nobody does the latter by accident."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from keywright.service.management.ports import NewApiKey
from keywright.storage.engine import open_store
from keywright.storage.migrate import migrate
from tests.cli.terminal import terminal
from tests.live import PATIENCE_SECONDS, clean_environment
from tests.storage.making import Database, an_organization, new_id, new_key


@pytest.fixture
def made() -> NewApiKey:
    """A key of an organization."""
    return new_key(an_organization(), metadata={"owner": "Ann"})


@pytest.fixture
def database(tmp_path: Path, made: NewApiKey) -> Database:
    """A database with this key, and one of another organization."""
    url = f"sqlite:///{tmp_path}/keywright.db"
    migrate(url)

    async def work() -> None:
        store = open_store(url)
        for each in (made, new_key(an_organization())):
            await store.create(each)
        await store.close()

    asyncio.run(work())
    return Database(url)


def run(database: Database, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "keywright", "organizations", *words],
        env=clean_environment({"KEYWRIGHT_DATABASE_URL": database.url}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def typed(database: Database, organization: str, answer: str) -> tuple[int, str]:
    """Erase on a terminal, type *answer*, and give the exit code and standard output."""
    with (
        terminal() as screen,
        subprocess.Popen(
            [sys.executable, "-m", "keywright", "organizations", "erase", organization],
            env=clean_environment({"KEYWRIGHT_DATABASE_URL": database.url}),
            stdin=screen.theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process,
    ):
        os.close(screen.theirs)
        os.write(screen.ours, answer.encode() + b"\n")
        out, _ = process.communicate(timeout=PATIENCE_SECONDS)
        return process.returncode, out.decode()


def test_export(database: Database, made: NewApiKey) -> None:
    """All data of the organization is printed, a line each; an unknown one is an error."""
    done = run(database, "export", str(made.organization.id))
    assert (done.returncode, done.stderr) == (0, "")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["type"] for line in lines] == ["organization", "api_key", "secret", "event"]
    assert lines[1]["metadata"] == {"owner": "Ann"}
    assert made.secret_digest.hex() not in done.stdout
    done = run(database, "export", str(new_id()))
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "There is no organization with this id.\n")


def test_erase(database: Database, made: NewApiKey) -> None:
    """The keys are revoked and all that names persons is blank; a second run changes nothing; the other one works."""
    done = run(database, "erase", str(made.organization.id), "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "revoked: 1 keys; erased: 1 keys, 1 events, 0 stored answers\n"
    rows = {row["id"]: row for row in database.table("api_keys")}
    erased = rows.pop(made.api_key.id)
    assert (erased["name"], erased["metadata"], erased["revocation_reason"]) == (
        "erased",
        None,
        "cessation_of_operation",
    )
    (other,) = rows.values()
    assert (other["name"], other["revoked_at"]) == ("billing", None)
    again = run(database, "erase", str(made.organization.id), "--yes")
    assert again.stdout == "revoked: 0 keys; erased: 0 keys, 0 events, 0 stored answers\n"
    assert "Ann" not in run(database, "export", str(made.organization.id)).stdout


def test_who_confirms(database: Database, made: NewApiKey) -> None:
    """Without --yes the id has to be typed; any other answer, or nobody to be asked, changes nothing."""
    organization = str(made.organization.id)
    before = database.counts()
    done = run(database, "erase", organization)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "Nothing was changed: give --yes where nobody can be asked.\n"
    assert typed(database, organization, "yes") == (1, "")
    assert database.counts() == before
    assert typed(database, organization, organization) == (
        0,
        "revoked: 1 keys; erased: 1 keys, 1 events, 0 stored answers\n",
    )
