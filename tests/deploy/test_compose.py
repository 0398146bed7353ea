"""The Compose files: of the specification's form, hardened, and what they set up works, without their containers."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from keywright import __version__
from keywright.agent.settings import AgentSettings
from keywright.config import PREFIX, Settings
from keywright.config_values import secret_names
from keywright.dev.issuer import DevIssuer
from tests.api.caller import Caller
from tests.api.verifier import Verifier, create_verifier
from tests.cli.in_folder import run
from tests.live import environment, start_service
from tests.markdown import ROOT
from tests.postgres import PostgresCluster
from tests.redis_server import RedisServer, start_redis

FOLDER = ROOT / "deploy" / "compose"
FILES = {path.name: yaml.safe_load(path.read_text()) for path in sorted(FOLDER.glob("*.yaml"))}
SERVICES = {
    f"{file} {name}": service for file, content in FILES.items() for name, service in content["services"].items()
}
PRODUCTION = FILES["compose.yaml"]
# From PyPI's check-jsonschema 0.39.0, `builtin_schemas/vendor/compose-spec.json`, under the Apache License 2.0.
SCHEMA = json.loads((Path(__file__).parent / "compose-spec.json").read_text())
AUTH = "local all postgres trust\nlocal all all scram-sha-256\n"


@pytest.mark.parametrize("file", FILES)
def test_form(file: str) -> None:
    """Each file is of the form of the Compose specification, which knows each of its keys."""
    validator = jsonschema_rs.validator_for(SCHEMA)
    assert [f"{error.instance_path}: {error.message}" for error in validator.iter_errors(FILES[file])] == []


def test_the_form_is_looked_at() -> None:
    """A key that the specification does not have is refused."""
    validator = jsonschema_rs.validator_for(SCHEMA)
    assert not validator.is_valid({"services": {"a": {"image": "b", "read_onyl": True}}})


@pytest.mark.parametrize("name", SERVICES)
def test_hardened(name: str) -> None:
    """No container runs as root, writes to its own root, has capabilities or gets new ones, or floats on a tag."""
    service = SERVICES[name]
    user, group = map(int, service["user"].split(":"))
    assert min(user, group) > 0
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.keys() & {"privileged", "cap_add", "devices", "pid", "ipc", "userns_mode"}
    image, _, tag = service["image"].partition(":")
    assert image in ("keywright", "docker.io/library/postgres", "docker.io/valkey/valkey")
    assert re.fullmatch(r"\d+\.\d+(\.\d+)?(-trixie)?", tag)
    assert image != "keywright" or tag == __version__
    # What is published is published on this machine alone.
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


@pytest.mark.parametrize("name", SERVICES)
def test_every_setting_exists(name: str) -> None:
    """Every variable of ours is a setting of what is started, and no secret is among them."""
    service = SERVICES[name]
    kind = AgentSettings if service.get("command") == ["agent"] else Settings
    secrets = {f"{PREFIX}{field.upper()}" for field in secret_names(kind)}
    known = {f"{PREFIX}{field.upper()}" for field in kind.model_fields} | {f"{secret}_FILE" for secret in secrets}
    given = {variable for variable in service.get("environment", {}) if variable.startswith(PREFIX)}
    assert given <= known - secrets


@pytest.mark.parametrize("file", FILES)
def test_what_is_named_exists(file: str) -> None:
    """Every secret, volume, network, service and file that a service names is there, and all secrets are used."""
    content = FILES[file]
    used = set()
    for service in content["services"].values():
        used |= set(service.get("secrets", ()))
        assert set(service.get("depends_on", {})) <= content["services"].keys()
        assert set(service.get("networks", {})) <= content.get("networks", {}).keys()
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert source in content.get("volumes", {}) or (FOLDER / source).is_file()
        if "build" in service:
            context = (FOLDER / service["build"]["context"]).resolve()
            assert context == ROOT
            assert (context / service["build"]["dockerfile"]).is_file()
    assert used == content.get("secrets", {}).keys()


def test_the_database_is_not_reachable() -> None:
    """The database and Valkey publish nothing, and their network leads nowhere."""
    for name in ("postgres", "valkey"):
        service = PRODUCTION["services"][name]
        assert (service["networks"], "ports" in service) == (["data"], False)
    assert PRODUCTION["networks"]["data"] == {"internal": True}


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """The secrets that the script makes, beside a copy of the files."""
    shutil.copytree(FOLDER, tmp_path / "compose", ignore=shutil.ignore_patterns("secrets"))
    _make(tmp_path / "compose")
    return tmp_path / "compose" / "secrets"


def _make(folder: Path) -> str:
    command = ["sh", folder / "make-secrets.sh"]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd="/").stdout


def test_secrets(secrets: Path) -> None:
    """The script makes every secret but the credential of the agent, once, in a folder that its owner alone opens."""
    before = {path.name: path.read_text() for path in secrets.iterdir()}
    named = {Path(secret["file"]) for secret in PRODUCTION["secrets"].values()}
    assert {path.name for path in named} - before.keys() == {"verifier"}
    assert {path.parent.name for path in named} == {"secrets"}
    assert _make(secrets.parent) == ""
    assert {path.name: path.read_text() for path in secrets.iterdir()} == before
    assert (secrets.stat().st_mode & 0o777, (secrets / "owner-url").stat().st_mode & 0o777) == (0o700, 0o444)
    passwords = [before[f"{name}-password"] for name in ("superuser", "owner", "serve", "valkey")]
    assert all(re.fullmatch("[0-9a-f]{48}", password) for password in passwords)
    assert len(set(passwords)) == 4


@pytest.fixture
def valkey(secrets: Path) -> Iterator[RedisServer]:
    """What counts, with the file that the container gets."""
    server = start_redis("--include", str(secrets / "valkey.conf"))
    try:
        yield server
    finally:
        server.remove()


@pytest.fixture
def postgres(secrets: Path, own_cluster: PostgresCluster) -> PostgresCluster:
    """A server that asks for passwords, after the script that the image runs on an empty volume."""
    (own_cluster.folder / "data" / "pg_hba.conf").write_text(AUTH)
    own_cluster.execute("SELECT pg_reload_conf()")
    script = secrets.parent / "make-roles.sql"
    script.write_text(script.read_text().replace("/run/secrets", str(secrets)))
    command = [own_cluster.binary("psql"), "-X", "-v", "ON_ERROR_STOP=1", "-h", own_cluster.folder, "-U", "postgres"]
    subprocess.run([*command, "-f", script], check=True, capture_output=True)
    return own_cluster


def settings_of(service: Mapping[str, Any], secrets: Path) -> dict[str, str]:
    """Give the environment of a service, its secrets at the place where this test has them."""
    given = {name: str(value) for name, value in service["environment"].items()}
    return {name: value.replace("/run/secrets", str(secrets)) for name, value in given.items()}


def test_it_works(secrets: Path, postgres: PostgresCluster, valkey: RedisServer, issuer: DevIssuer) -> None:
    """The owner migrates, and the role that serves creates, checks and counts; it cannot alter a table."""
    for name, server in (("owner-url", "@postgres/keywright"), ("serve-url", "@postgres/keywright")):
        replace(secrets / name, server, f"@/keywright?host={postgres.folder}")
    replace(secrets / "redis-url", "@valkey:6379", f"@127.0.0.1:{valkey.port}")
    migrate, serve = PRODUCTION["services"]["migrate"], PRODUCTION["services"]["service"]
    owner = {name.removeprefix(PREFIX).lower(): value for name, value in settings_of(migrate, secrets).items()}
    migrated = run(secrets, *migrate["command"], **owner)
    assert (migrated.returncode, migrated.stderr) == (0, "")
    assert "granted to keywright_serve" in migrated.stdout

    assert serve["command"] == ["serve"]
    settings = settings_of(serve, secrets)
    # What an operator sets, and where this test has its ports.
    asked = {name for name, value in settings.items() if value.startswith("${") and ":?" in value}
    assert asked == {"KEYWRIGHT_AUTH0_DOMAIN", "KEYWRIGHT_AUDIENCE"}
    own = {"KEYWRIGHT_METRICS": "127.0.0.1:0", "KEYWRIGHT_DATABASE_URL": "", "KEYWRIGHT_TRUSTED_PROXIES": ""}
    settings = {name: value for name, value in settings.items() if name not in asked} | environment(issuer) | own
    with start_service(settings) as service, Caller(service, issuer) as caller:
        service.await_ready()
        service.database_url = (secrets / "serve-url").read_text()
        limit = {"name": "burst", "limit": 2, "window_seconds": 3600}
        key = caller.create(name="limited", rate_limits=[limit])["private_key"]
        with Verifier(service, f"Bearer {create_verifier(service, 'api')}") as verifier:
            assert [verifier.code(key) for _ in range(3)] == ["valid", "valid", "rate_limited"]
        warnings = [line for line in service.log() if line["level"] != "info" and "slash" not in line["event"]]
    assert warnings == []
    altered = subprocess.run(
        [
            postgres.binary("psql"),
            "-X",
            (secrets / "serve-url").read_text(),
            "-c",
            "ALTER TABLE events ADD COLUMN x int",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "must be owner" in altered.stderr


def replace(path: Path, what: str, by: str) -> None:
    """Replace a part of a file that may only be read."""
    text = path.read_text()
    assert what in text
    path.chmod(0o600)
    path.write_text(text.replace(what, by))


def test_the_demo() -> None:
    """The demo listens on loopback alone, as `keywright dev` insists, and its check knows where."""
    service = FILES["compose.dev.yaml"]["services"]["demo"]
    assert (service["command"], service["network_mode"]) == (["dev"], "host")
    assert service["healthcheck"]["test"][-2:] == ["--at", "127.0.0.1:8080"]
