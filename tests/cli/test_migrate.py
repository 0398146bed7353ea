"""`keywright migrate`, and what `serve` does about a database that was not migrated."""

import subprocess
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from keywright.cli import exits
from keywright.cli.database import OWNERS_DECIDE
from keywright.storage.migrations import SQLITE
from tests import forked
from tests.live import clean_environment, start_service
from tests.postgres import PostgresCluster, fresh_database
from tests.storage.making import Database
from tests.storage.migrating import make

SERVICE = {"KEYWRIGHT_ISSUER": "https://i.example/", "KEYWRIGHT_AUDIENCE": "a"}
UNAVAILABLE = "postgresql://keywright:hunter22@127.0.0.1:9/keywright"


def keywright(url: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    # Only the database's setting: a job that migrates has no issuer.
    return forked.command(*arguments, env=clean_environment({"KEYWRIGHT_DATABASE_URL": url, **env}))


def test_migrate_sqlite(tmp_path: Path) -> None:
    """A migration prints a line a step; the second run reports an up-to-date database."""
    url = f"sqlite:///{tmp_path}/keywright.db"
    first, second = keywright(url, "migrate"), keywright(url, "migrate")
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert first.stdout.count("migrated: ") >= 1
    assert first.stdout.endswith("The database is up to date.\n")
    assert second.stdout == "The database was up to date.\n"


def test_other_settings_are_not_read(tmp_path: Path) -> None:
    """A job that migrates is not stopped by a setting of the service."""
    done = keywright(
        f"sqlite:///{tmp_path}/keywright.db", "migrate", KEYWRIGHT_PORT="http", KEYWRIGHT_AUTH0_DOMAIN="://"
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_check_changes_nothing(tmp_path: Path) -> None:
    """--check names what is pending with exit code 1 and makes nothing; afterwards it is content."""
    url = f"sqlite:///{tmp_path}/keywright.db"
    pending = keywright(url, "migrate", "--check")
    assert pending.returncode == 1
    assert pending.stdout.startswith("pending: ")
    assert "keywright migrate" in pending.stderr
    assert list(tmp_path.iterdir()) == []
    keywright(url, "migrate")
    content = keywright(url, "migrate", "--check")
    assert (content.returncode, content.stdout) == (0, "The database is up to date.\n")


def test_migrate_an_absent_database() -> None:
    """An unavailable database is an error without its password."""
    for arguments in (["migrate"], ["migrate", "--check"]):
        done = keywright(UNAVAILABLE, *arguments)
        assert done.returncode == 5
        assert done.stderr.startswith("The database cannot be used: ")
        assert "hunter22" not in done.stderr
        assert "Traceback" not in done.stderr


def test_migrate_something_else() -> None:
    """An unsupported URL is an error with the setting's name, without its password."""
    for arguments in (["migrate"], ["migrate", "--check"]):
        done = keywright("mysql://me:hunter22@db/keys", *arguments)
        assert done.returncode == 2
        assert done.stderr.startswith("KEYWRIGHT_DATABASE_URL: ")
        assert "hunter22" not in done.stderr


def test_postgresql_is_migrated_by_command_only(postgres_cluster: PostgresCluster) -> None:
    """`serve` refuses an unmigrated PostgreSQL with the command to run, and starts once that was run."""
    url = fresh_database(postgres_cluster)
    refused = keywright(url, "serve", KEYWRIGHT_PORT="0", KEYWRIGHT_METRICS="off", **SERVICE)
    assert refused.returncode == 3
    (sentence,) = refused.stderr.splitlines()
    assert "run `keywright migrate`" in sentence
    assert keywright(url, "migrate", "--check").returncode == 1
    assert keywright(url, "migrate").returncode == 0
    assert keywright(url, "migrate", "--check").returncode == 0
    with start_service({**SERVICE, "KEYWRIGHT_DATABASE_URL": url}) as service:
        assert httpx.get(f"{service.base_url}/readyz").json()["checks"]["database"] == "ok"


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_a_database_that_is_too_old(engine: str, postgres_cluster: PostgresCluster, tmp_path: Path) -> None:
    """A database older than the oldest migration is refused by every command, with one sentence that names both."""
    url = f"sqlite:///{tmp_path / 'old.db'}" if engine == "sqlite" else fresh_database(postgres_cluster)
    assert keywright(url, "migrate").returncode == 0
    Database(url).query("UPDATE alembic_version SET version_num = '20261126_0005'")
    for arguments, code in ((["serve"], 3), (["migrate"], 5), (["migrate", "--check"], 5)):
        refused = keywright(url, *arguments, KEYWRIGHT_PORT="0", KEYWRIGHT_METRICS="off", **SERVICE)
        assert refused.returncode == code
        (sentence,) = refused.stderr.splitlines()
        assert "has revision 20261126_0005, and this version migrates from 20261130_0006 on" in sentence


UNCLEAR = "6f1f2c1e-3a8e-5b0f-8a43-0f6f5c1e9d21"


@pytest.fixture(params=["sqlite", "postgresql"])
def unclear(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """A database of the version before, with an organization whose id its own tokens chose."""
    url = f"sqlite:///{tmp_path}/keywright.db"
    if request.param == "postgresql":
        url = fresh_database(request.getfixturevalue("postgres_cluster"))
    make(url, [revision for revision in SQLITE.revisions if revision < OWNERS_DECIDE])
    database = Database(url)
    values = (
        f"X'{UUID(UNCLEAR).hex}', 'i', '{UNCLEAR}', 0"
        if database.is_sqlite
        else f"'{UNCLEAR}', 'i', '{UNCLEAR}', now()"
    )
    database.query(f"INSERT INTO organizations (id, issuer, external_id, created_at) VALUES ({values})")
    return database


def test_organizations_that_chose_their_ids(unclear: Database) -> None:
    """They stop the migration with a sentence that names them, until the operator has decided; nothing is lost."""
    refused = keywright(unclear.url, "migrate")
    assert refused.returncode == exits.NOT_MIGRATED, refused.stderr
    assert UNCLEAR in refused.stderr
    assert "KEYWRIGHT_ORG_CLAIM_FORMAT" in refused.stderr
    served = keywright(unclear.url, "serve", **SERVICE, KEYWRIGHT_PORT="0", KEYWRIGHT_METRICS="off")
    assert served.returncode == exits.NOT_MIGRATED, served.stderr
    done = keywright(unclear.url, "migrate", KEYWRIGHT_ORG_CLAIM_FORMAT="auto")
    assert done.returncode == 0, done.stderr
    assert [str(row["id"]) for row in unclear.table("organizations")] == [UNCLEAR]
    assert keywright(unclear.url, "migrate").stdout == "The database was up to date.\n"


def test_other_organizations_are_migrated(tmp_path: Path) -> None:
    """A database whose ids the service derived is migrated without a question."""
    url = f"sqlite:///{tmp_path}/keywright.db"
    make(url, [revision for revision in SQLITE.revisions if revision < OWNERS_DECIDE])
    derived = UUID(UNCLEAR).hex
    Database(url).query(f"INSERT INTO organizations VALUES (X'{derived}', 'i', 'org_1', 0)")
    assert keywright(url, "migrate").returncode == 0
