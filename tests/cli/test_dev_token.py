"""`keywright dev token`, and what `keywright dev` refuses."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from keywright.cli.application import app
from keywright.dev.folder import DevFolder
from keywright.dev.issuer import DEMO_ORGANIZATIONS, DevIssuer
from tests.cli.fake_service import fake_service


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["dev", *arguments], env={"KEYWRIGHT_AUTH0_DOMAIN": "acme.eu.auth0.com"})


def claims(token: str) -> dict[str, Any]:
    segment = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    return found


@pytest.fixture
def folder(tmp_path: Path) -> DevFolder:
    """A folder as a running `keywright dev` leaves it."""
    folder = DevFolder.create(tmp_path / "dev")
    folder.save_address(DevIssuer(folder.signing_key(), port=8081))
    return folder


def test_token_of_a_demo_organization(folder: DevFolder) -> None:
    """A token for a demo organization by its name, for half a day, with nothing but the token on standard output."""
    done = invoke("token", "--org", "globex", "--dir", str(folder.path))
    assert done.exit_code == 0, done.output
    assert done.stdout.count("\n") == 1
    found = claims(done.stdout.strip())
    assert found["org_id"] == DEMO_ORGANIZATIONS["globex"]
    assert found["iss"] == "http://127.0.0.1:8081/"
    assert found["exp"] - found["iat"] == 12 * 3600
    assert "permissions" not in found


def test_every_claim_can_be_chosen(folder: DevFolder) -> None:
    """Permissions, scope, subject, lifetime and audience are those of the options."""
    options = ["--org", "org_x", "--permissions", "create:api_keys,read:api_keys", "--scope", "openid profile"]
    done = invoke(
        "--dir", str(folder.path), "token", *options, "--subject", "me", "--expires-in", "60", "--audience", "urn:x"
    )
    found = claims(done.stdout.strip())
    assert (found["org_id"], found["sub"], found["scope"], found["aud"]) == ("org_x", "me", "openid profile", ["urn:x"])
    assert found["permissions"] == ["create:api_keys", "read:api_keys"]
    assert found["exp"] - found["iat"] == 60


def test_no_permissions_at_all(folder: DevFolder) -> None:
    """An empty list of permissions is a claim too: the token may do nothing."""
    done = invoke("token", "--org", "acme", "--permissions", "", "--dir", str(folder.path))
    assert claims(done.stdout.strip())["permissions"] == []


def test_token_without_an_issuer(tmp_path: Path) -> None:
    """Before `keywright dev` ran there is nothing to sign with, and nothing is made."""
    done = invoke("token", "--org", "acme", "--dir", str(tmp_path / "none"))
    assert done.exit_code == 1
    assert "start `keywright dev` first" in done.stderr
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.0.1", "::", "keys.acme.example", "localhost.example"])
def test_other_addresses_are_refused(host: str, tmp_path: Path) -> None:
    """The issuer without sign-in is for loopback only; another host is refused before anything is created."""
    done = invoke("--host", host, "--dir", str(tmp_path / "dev"))
    assert done.exit_code == 2
    assert done.stderr.startswith("keywright dev listens on loopback addresses only")
    assert not (tmp_path / "dev").exists()


@pytest.mark.parametrize("option", ["--port", "--issuer-port"])
def test_busy_port_is_named(option: str, tmp_path: Path) -> None:
    """A port in use is an error with the option that chooses another."""
    with fake_service({}) as other:
        port = other.url.rpartition(":")[2]
        free = {"--port": "0", "--issuer-port": "0", option: port}
        done = invoke("--dir", str(tmp_path), *(argument for pair in free.items() for argument in pair))
    assert done.exit_code == 2
    assert f"127.0.0.1:{port}: Address already in use" in done.stderr
    assert done.stderr.rstrip().endswith(f"with {option}.")


def test_folder_that_cannot_be_used(tmp_path: Path) -> None:
    """A file in place of the folder is an error with a sentence."""
    (tmp_path / "dev").write_text("")
    done = invoke("--port", "0", "--issuer-port", "0", "--dir", str(tmp_path / "dev"))
    assert done.exit_code == 1
    assert "cannot be used" in done.stderr
