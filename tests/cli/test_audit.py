"""`keywright audit verify`, on audit logs that were changed with a database client."""

import asyncio
import json
import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from click.testing import CliRunner, Result

from keywright.cli.application import app
from keywright.cli.audit import SENTENCES
from keywright.config import PREFIX
from keywright.service.management.audit import FindingKind
from keywright.service.principal import Organization
from keywright.storage.engine import open_store
from keywright.storage.migrate import migrate
from keywright.system import new_id
from tests.conftest import database_url
from tests.storage.making import new_key

EVENTS = 4


def organization(name: str) -> Organization:
    return Organization.named("https://issuer.example/", name)


ACME, GLOBEX = organization("acme").id, organization("globex").id


def invoke(url: str, *arguments: str) -> Result:
    # In this process: a dozen interpreters for each database would take longer than all that they do.
    settings = {name: None for name in os.environ if name.startswith(PREFIX)}
    done = CliRunner().invoke(app, ["audit", *arguments], env={**settings, f"{PREFIX}DATABASE_URL": url})
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def verify(url: str, *arguments: str) -> Result:
    return invoke(url, "verify", *arguments)


def findings(url: str, *arguments: str) -> list[tuple[str, int | None]]:
    """Audit Acme and return the findings; the exit code must be 1 if there are any."""
    done = verify(url, "--org", str(ACME), "--json", *arguments)
    (line,) = done.stdout.splitlines()
    found = json.loads(line)["findings"]
    assert (done.exit_code, bool(done.stderr)) == ((1, True) if found else (0, False)), done.stderr
    assert all(finding["message"] in SENTENCES.values() for finding in found)
    return [(finding["kind"], finding["position"]) for finding in found]


async def fill(url: str) -> None:
    store = open_store(url)
    try:
        for name in ("acme", "globex"):
            for _ in range(EVENTS):
                await store.create(new_key(organization(name)))
    finally:
        await store.close()


def alter(url: str, *statements: str) -> None:
    """Change the database with all its rights."""
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            guards = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
            for statement in (*(f"DROP TRIGGER {name}" for (name,) in guards), *statements):
                connection.execute(_for_acme(statement, f"x'{ACME.hex}'"))
            connection.commit()
        return

    async def run() -> None:
        connection: Any = await asyncpg.connect(url)
        try:
            for statement in ("SET session_replication_role = replica", *statements):
                await connection.execute(_for_acme(statement, f"'{ACME}'"))
        finally:
            await connection.close()

    asyncio.run(run())


def _for_acme(statement: str, org: str) -> str:
    return statement.replace(":org", org)


def event_at(position: int) -> str:
    return f"id = (SELECT event_id FROM event_chain WHERE org_id = :org AND position = {position})"


def hash_at(position: int) -> str:
    return f"(SELECT hash FROM event_chain WHERE org_id = :org AND position = {position})"


@pytest.fixture
def url(fresh_url: str) -> str:
    """A database with four events of each of two organizations."""
    migrate(fresh_url)
    asyncio.run(fill(fresh_url))
    return fresh_url


def head(url: str) -> str:
    (line,) = verify(url, "--org", str(ACME), "--json").stdout.splitlines()
    head: str = json.loads(line)["head"]
    return head


def test_nothing_is_wrong(url: str) -> None:
    """An unchanged audit log has no finding; its head is printed for each organization, and is still valid later."""
    done = verify(url)
    assert (done.exit_code, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0::2] == [f"organization {org}: {EVENTS} events, nothing is wrong" for org in sorted((ACME, GLOBEX))]
    assert all(line.startswith(f"  head {EVENTS}:") for line in lines[1::2])
    assert findings(url, "--head", head(url)) == []


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ([f"UPDATE events SET subject = 'nobody' WHERE {event_at(2)}"], [("event_altered", 2)]),
        ([f"UPDATE events SET data = '{{}}' WHERE {event_at(1)}"], [("event_altered", 1)]),
        ([f"UPDATE events SET type = 'nonsense' WHERE {event_at(3)}"], [("event_altered", 3)]),
        (
            [f"UPDATE event_chain SET hash = {hash_at(1)} WHERE org_id = :org AND position = 3"],
            [("hash_altered", 3)],
        ),
        ([f"DELETE FROM events WHERE {event_at(2)}"], [("event_removed", 2)]),
        (
            [
                f"DELETE FROM events WHERE {event_at(2)}",
                "DELETE FROM event_chain WHERE org_id = :org AND position = 2",
            ],
            [("places_removed", 2)],
        ),
        (
            ["DELETE FROM event_chain WHERE org_id = :org AND position = 2"],
            [("places_removed", 2), ("event_loose", None)],
        ),
        (
            [
                f"DELETE FROM events WHERE {event_at(4)}",
                "DELETE FROM event_chain WHERE org_id = :org AND position = 4",
            ],
            [("end_cut_off", 4)],
        ),
        (
            [f"UPDATE event_chain_heads SET position = 3, hash = {hash_at(3)} WHERE org_id = :org"],
            [("end_altered", 3)],
        ),
    ],
    ids=lambda value: value[0][0] if isinstance(value[0], tuple) else "",
)
def test_what_is_wrong(url: str, statements: list[str], expected: list[tuple[str, int | None]]) -> None:
    """Every change of the rows is found at its position; the log of the other organization has no finding."""
    alter(url, *statements)
    assert findings(url) == expected
    assert verify(url, "--org", str(GLOBEX)).exit_code == 0
    both = verify(url)
    assert (both.exit_code, both.stderr) == (1, "Something is wrong with the audit log of 1 organization.\n")
    assert all(SENTENCES[FindingKind(kind)] in both.stdout for kind, _ in expected)


def test_a_clean_cut_needs_a_head(url: str) -> None:
    """An end that was cut off together with the stored end is found by an earlier head, and by nothing else."""
    remembered = head(url)
    alter(
        url,
        f"DELETE FROM events WHERE {event_at(4)}",
        "DELETE FROM event_chain WHERE org_id = :org AND position = 4",
        f"UPDATE event_chain_heads SET position = 3, hash = {hash_at(3)} WHERE org_id = :org",
    )
    assert findings(url) == []
    assert findings(url, "--head", remembered) == [("head_not_reached", 4)]


def test_an_organization_that_is_gone(url: str) -> None:
    """With a head, an organization must have events; without one, an organization without events is an error."""
    unknown = str(new_id())
    done = verify(url, "--org", unknown)
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", "That organization has no events.\n")
    done = verify(url, "--org", unknown, "--head", head(url))
    assert done.exit_code == 1
    assert SENTENCES[FindingKind.HEAD_NOT_REACHED] in done.stdout


@pytest.mark.parametrize("arguments", [["--head", "1:00"], ["--org", str(UUID(int=1)), "--head", "1:00"]])
def test_a_head_that_is_none(tmp_path: Path, arguments: list[str]) -> None:
    """A malformed head, or one without its organization, is refused before the database is read."""
    done = verify(f"sqlite:///{tmp_path}/keywright.db", *arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("--head ")
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_is_not_there(tmp_path: Path) -> None:
    """An audit changes nothing: a database that is not migrated is refused, an unavailable one ends the command."""
    done = verify(f"sqlite:///{tmp_path}/keywright.db")
    assert (done.exit_code, done.stdout) == (3, "")
    assert "run `keywright migrate`" in done.stderr
    assert list(tmp_path.iterdir()) == []
    unavailable = verify("postgresql://keywright:hunter22@127.0.0.1:9/keywright")
    assert unavailable.exit_code == 5
    assert unavailable.stderr.startswith("The database cannot be used: ")
    assert "hunter22" not in unavailable.stderr


def test_every_finding_has_a_sentence() -> None:
    """Every kind of finding has a sentence."""
    assert set(SENTENCES) == set(FindingKind)


def erase(url: str, *arguments: str) -> Result:
    return invoke(url, "erase", *arguments)


def test_erase(url: str) -> None:
    """An erasure blanks one subject's events in one organization and says how many; the audit says it, too."""
    arguments = ("--org", str(ACME), "--subject", "auth0|bob")
    dry = erase(url, *arguments, "--dry-run")
    assert (dry.exit_code, dry.stdout) == (0, f"would be erased: {EVENTS} events\n")
    assert "erased" not in verify(url).stdout
    done = erase(url, *arguments)
    assert (done.exit_code, done.stdout, done.stderr) == (0, f"erased: {EVENTS} events\n", "")
    shown = verify(url, "--org", str(ACME))
    assert shown.exit_code == 0
    assert shown.stdout.splitlines()[:2] == [
        f"organization {ACME}: {EVENTS + 1} events, nothing is wrong",
        f"  erased: the personal fields of {EVENTS} events",
    ]
    again = erase(url, *arguments)
    assert (again.exit_code, again.stderr) == (1, "That organization has no events of that subject.\n")
    assert erase(url, "--org", str(GLOBEX), "--subject", "keywright").exit_code == 1
    assert json.loads(verify(url, "--org", str(GLOBEX), "--json").stdout)["erased"] == 0


def test_what_retention_removed(url: str) -> None:
    """The audit says how many events retention removed and up to where, as text and as JSON."""
    alter(url, "UPDATE events SET occurred_at = " + ("0" if url.startswith("sqlite") else "'1970-01-01'"))
    # Events of these times do not fit their digests, which is a finding of its own.
    asyncio.run(prune_first(url))
    report = json.loads(verify(url, "--org", str(ACME), "--json").stdout)
    assert (report["events"], report["pruned"]["events"], report["pruned"]["position"]) == (EVENTS - 1, 1, 1)
    assert "  pruned: 1 events, up to position 1, last at " in verify(url, "--org", str(ACME)).stdout


async def prune_first(url: str) -> None:
    store = open_store(url)
    try:
        (first,) = await store.links(ACME, after=0, limit=1)
        await store.prune(ACME, 1, first.hash, datetime.now(UTC), limit=1)
    finally:
        await store.close()


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_an_empty_database(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """A database without events proves nothing: the audit of it is an error with a sentence, not silence."""
    url = database_url(engine, tmp_path, request)
    migrate(url)
    done = verify(url)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == "The database has no events: nothing was verified. Is it the right one?\n"


def test_a_database_of_another_program(tmp_path: Path) -> None:
    """A database that is not ours is refused with a sentence and left as it is."""
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE things (x)")
        connection.commit()
    before = path.read_bytes()
    done = verify(f"sqlite:///{path}")
    assert (done.exit_code, done.stdout) == (3, "")
    assert "not migrated" in done.stderr
    assert path.read_bytes() == before
