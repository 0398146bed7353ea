"""`keywright doctor` as an operator runs it."""

import json
import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keywright.cli.doctor import database as database_checks
from keywright.cli.doctor.results import Level
from keywright.dev.issuer import DevIssuer
from keywright.storage.migrate import migrate
from tests import forked
from tests.live import clean_environment, environment, start_service
from tests.postgres import PostgresCluster, fresh_database
from tests.redis_server import RedisServer
from tests.storage.making import Database


def doctor(env: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    return forked.command("doctor", *options, env=clean_environment({"COLUMNS": "300", **env}))


def findings(env: dict[str, str], code: int) -> dict[str, dict[str, Any]]:
    """Run the doctor, expect its exit code, and give its findings by subject; of several the worst."""
    done = doctor(env, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return {finding["subject"]: finding for finding in sorted(found, key=lambda one: "ok warn fail".find(one["level"]))}


@pytest.fixture
def settings(issuer: DevIssuer, tmp_path: Path) -> dict[str, str]:
    """Sound settings on ports that are free."""
    url = f"sqlite:///{tmp_path}/keywright.db"
    return environment(issuer, database_url=url, port="0", metrics="127.0.0.1:0")


def test_sound_settings(settings: dict[str, str], tmp_path: Path) -> None:
    """Where all is well every line is ok, the exit code is 0, and nothing was changed."""
    found = findings(settings, code=0)
    assert set(found) == {"settings", "port", "metrics", "issuer", "signing keys", "clock", "database", "migrations"}
    assert {finding["level"] for finding in found.values()} == {"ok"}
    assert list(tmp_path.iterdir()) == []


def test_lines_for_people(settings: dict[str, str]) -> None:
    """People get a line a finding on standard output, with the fix below it."""
    done = doctor({**settings, "KEYWRIGHT_AUDIENCES": "x"})
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert any(line.startswith("ok") and "signing keys" in line for line in lines)
    warned = next(number for number, line in enumerate(lines) if line.startswith("warn"))
    assert "KEYWRIGHT_AUDIENCES" in lines[warned]
    assert "→ Did you mean KEYWRIGHT_AUDIENCE?" in lines[warned + 1]


def test_beside_a_running_service(settings: dict[str, str]) -> None:
    """A service that runs has its own ports, and that is fine."""
    with start_service(settings) as service:
        assert service.metrics_url is not None
        port = service.base_url.rpartition(":")[2]
        metrics = service.metrics_url.removeprefix("http://").removesuffix("/metrics")
        found = findings({**settings, "KEYWRIGHT_PORT": port, "KEYWRIGHT_METRICS": metrics}, code=0)
    assert "running service" in found["port"]["message"]
    assert "running service" in found["metrics"]["message"]


def test_bad_settings() -> None:
    """Wrong settings fail with the sentence of the start, and mistyped variables are listed, too."""
    found = doctor({"KEYWRIGHT_ISUER": "https://i.example/"}, "--json")
    assert found.returncode == 1
    first, second = json.loads(found.stdout)
    assert first["level"] == "fail"
    assert first["message"] == "KEYWRIGHT_AUDIENCE is required: the identifier of your API in Auth0."
    assert second["fix"] == "Did you mean KEYWRIGHT_ISSUER?"


def test_absent_issuer(settings: dict[str, str]) -> None:
    """An issuer that cannot be reached fails; the other checks run nevertheless."""
    found = findings({**settings, "KEYWRIGHT_ISSUER": "http://127.0.0.1:9/"}, code=1)
    assert found["issuer"]["level"] == "fail"
    assert found["database"]["level"] == "ok"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://keywright:hunter22@127.0.0.1:9/keywright", "It cannot be used"),
        ("mysql://keywright:hunter22@127.0.0.1/keywright", "KEYWRIGHT_DATABASE_URL"),
    ],
)
def test_bad_database(settings: dict[str, str], url: str, expected: str) -> None:
    """A database that cannot be used fails, and its password is not shown."""
    found = findings({**settings, "KEYWRIGHT_DATABASE_URL": url}, code=1)
    assert found["database"]["level"] == "fail"
    assert expected in found["database"]["message"]
    assert "hunter22" not in json.dumps(found)


def test_unmigrated_postgresql(settings: dict[str, str], postgres_cluster: PostgresCluster) -> None:
    """A PostgreSQL that was not migrated fails with the command to run."""
    url = fresh_database(postgres_cluster)
    found = findings({**settings, "KEYWRIGHT_DATABASE_URL": url}, code=1)
    assert found["database"]["level"] == "ok"
    assert found["migrations"]["fix"] == "Run `keywright migrate`."


@pytest.mark.parametrize(
    ("off", "level", "expected"),
    [
        (timedelta(0), Level.OK, "agree"),
        (timedelta(minutes=10), Level.WARN, "600 s ahead of"),
        (timedelta(minutes=-10), Level.WARN, "600 s behind"),
    ],
)
async def test_a_clock_that_is_off(
    postgres_cluster: PostgresCluster, off: timedelta, level: Level, expected: str
) -> None:
    """A clock that differs from the database server's is a warning with its direction."""
    url = fresh_database(postgres_cluster)
    found = await database_checks.check(url, now=lambda: datetime.now(UTC) + off)
    (clock,) = [finding for finding in found if finding.subject == "clock"]
    assert clock.level is level
    assert expected in re.sub(r"(599|601) s", "600 s", clock.message)


async def test_a_file_has_no_clock(tmp_path: Path) -> None:
    """An embedded database is read by this machine's own clock, so there is nothing to compare."""
    found = await database_checks.check(f"sqlite:///{tmp_path}/keywright.db")
    assert [finding.subject for finding in found] == ["database", "migrations"]


def test_forgetful_postgresql(settings: dict[str, str], postgres_cluster: PostgresCluster) -> None:
    """A PostgreSQL that may lose what it acknowledged fails, with the setting that fixes it."""
    url = fresh_database(postgres_cluster)
    separator = "&" if "?" in url else "?"
    forgetful = f"{url}{separator}options=-c%20synchronous_commit%3Doff"
    found = findings({**settings, "KEYWRIGHT_DATABASE_URL": forgetful}, code=1)
    assert found["database"]["level"] == "fail"
    assert "synchronous_commit" in found["database"]["message"]


def test_redis(settings: dict[str, str], redis_server: RedisServer) -> None:
    """A Redis that can count the limits of keys is fine."""
    found = findings({**settings, "KEYWRIGHT_REDIS_URL": redis_server.url}, code=0)
    assert found["limits"]["level"] == "ok"


@pytest.mark.parametrize(("on_outage", "code", "level"), [("local", 0, "warn"), ("refuse", 1, "fail")])
def test_absent_redis(settings: dict[str, str], on_outage: str, code: int, level: str) -> None:
    """An unavailable Redis is a warning or a failure, as the settings say, and its password is not shown."""
    unavailable = {"KEYWRIGHT_REDIS_URL": "redis://:hunter22@127.0.0.1:9", "KEYWRIGHT_LIMITS_ON_OUTAGE": on_outage}
    found = findings({**settings, **unavailable}, code=code)
    assert found["limits"]["level"] == level
    assert "KEYWRIGHT_REDIS_URL" in found["limits"]["fix"]
    assert "hunter22" not in json.dumps(found)


def test_redis_that_refuses(settings: dict[str, str], own_redis: RedisServer) -> None:
    """A Redis that wants another password is not fine."""
    own_redis.execute("CONFIG", "SET", "requirepass", "another")
    found = findings({**settings, "KEYWRIGHT_REDIS_URL": own_redis.url}, code=0)
    assert found["limits"]["level"] == "warn"
    assert "NOAUTH" in found["limits"]["message"]


def test_workers_that_count_alone(settings: dict[str, str]) -> None:
    """Several workers without a Redis are a warning with the effect on limits."""
    found = findings({**settings, "KEYWRIGHT_WORKERS": "4"}, code=0)
    assert found["limits"]["level"] == "warn"
    assert "4 times" in found["limits"]["message"]


async def test_a_file_that_others_can_read(tmp_path: Path) -> None:
    """A database file that other users can read is a warning; one as it is created is not, nor are those beside it."""
    path = tmp_path / "keywright.db"
    migrate(f"sqlite:///{path}")
    assert {each.name: each.stat().st_mode & 0o777 for each in tmp_path.iterdir()} == {"keywright.db": 0o600}
    assert "database file" not in {result.subject for result in await database_checks.check(f"sqlite:///{path}")}
    path.chmod(0o640)
    (result,) = [each for each in await database_checks.check(f"sqlite:///{path}") if each.subject == "database file"]
    assert (result.level, result.fix) == (Level.WARN, f"chmod 600 {path}*")


@pytest.mark.parametrize(
    ("url", "subjects"),
    [
        ("postgresql://db.example/keys", ["database connection"]),
        ("postgresql://db.example/keys?sslmode=require", ["database connection"]),
        ("postgresql://db.example/keys?sslmode=verify-full", []),
        ("postgresql://127.0.0.1/keys", []),
        ("postgresql://me@/keys?host=/run/postgresql", []),
    ],
)
def test_a_connection_that_verifies_nothing(url: str, subjects: list[str]) -> None:
    """A connection to another machine without sslmode=verify-full is a warning that says what to append."""
    # Pending migrations: nothing else is asked of a server.
    found = database_checks.protection(url, ["20261201_0011"])
    assert [result.subject for result in found] == subjects
    assert all(result.fix is not None and "sslmode=verify-full" in result.fix for result in found)


def test_organizations_that_chose_their_ids(settings: dict[str, str]) -> None:
    """Ids that tenants may have chosen are a warning, until the operator has set how claims are read."""
    id_ = "6f1f2c1e-3a8e-5b0f-8a43-0f6f5c1e9d21"
    url = settings["KEYWRIGHT_DATABASE_URL"]
    migrate(url)
    assert "organizations" not in findings(settings, code=0)
    Database(url).query(f"INSERT INTO organizations VALUES (X'{id_.replace('-', '')}', 'i', '{id_}', 0)")
    warned = findings(settings, code=0)["organizations"]
    assert (warned["level"], id_ in warned["message"]) == ("warn", True)
    assert "KEYWRIGHT_ORG_CLAIM_FORMAT" in warned["fix"]
    assert "organizations" not in findings({**settings, "KEYWRIGHT_ORG_CLAIM_FORMAT": "auto"}, code=0)
