"""`keywright dev` as a stranger meets it: started, pasted, ended."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from keywright.dev.folder import DevFolder
from keywright.keys.pair import parse, parse_public
from tests import forked
from tests.cli.in_folder import run
from tests.live import PATIENCE_SECONDS, clean_environment
from tests.provision import unavailable

CHECKS = 2
"""How often the session checks the key."""


@dataclass
class Dev:
    """A running `keywright dev`: its folder, the session it printed, and where it is."""

    process: subprocess.Popen[str]
    folder: Path
    session: str
    url: str

    def token(self, *options: str) -> str:
        """Have a token made by `keywright dev token`."""
        done = forked.command("dev", "token", "--dir", str(self.folder), *options, env=clean_environment())
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


def start(folder: Path, issuer_port: int = 0) -> subprocess.Popen[str]:
    command = ["dev", "--port", "0", "--issuer-port", str(issuer_port), "--dir", str(folder)]
    # Somebody's settings for a real tenant do not get in the way.
    mine = {"KEYWRIGHT_AUTH0_DOMAIN": "acme.eu.auth0.com", "KEYWRIGHT_PERMISSIONS": "enforce", "KEYWRIGHT_WORKERS": "4"}
    with (folder.parent / "log").open("w") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "keywright", *command],
            env=clean_environment(mine),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )


def read_session(process: subprocess.Popen[str]) -> str:
    """Read what is printed, to the end of its last command: the second check of the key."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if sum('$KEY\\"}' in line for line in lines) == CHECKS:
            return "".join(lines)
    raise AssertionError("nothing was printed")


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    folder = tmp_path_factory.mktemp("dev") / ".keywright-dev"
    with start(folder) as process:
        session = read_session(process)
        url = re.search(r"API=(http://127\.0\.0\.1:\d+)/api/v2/api-keys", session)
        assert url is not None
        yield Dev(process, folder, session, url[1])
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_SECONDS) == 0


def answers(output: str) -> list[Any]:
    return [json.loads(line) for line in output.splitlines() if line.startswith(("{", "["))]


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_the_printed_session_works(dev: Dev, shell: str) -> None:
    """Pasted as printed, the session creates, checks, lists and revokes a key, and keeps tenants apart."""
    for program in (shell, "curl", "sed"):
        if shutil.which(program) is None:
            unavailable(program, f"apt-get install {program}")
    done = subprocess.run(
        [shell], input=dev.session, capture_output=True, text=True, check=True, env={"PATH": os.environ["PATH"]}
    )
    assert done.stderr == ""
    created, checked, listed, foreign, revoked, checked_again = answers(done.stdout)
    private, public = parse(created["private_key"], brand="kw"), parse_public(created["public_key"])
    assert private is not None
    assert public is not None
    assert created["name"] == "Billing export"
    assert listed[0]["id"] == revoked["id"] == created["id"]
    assert "private_key" not in listed[0]
    assert foreign["code"] == "not_found"
    assert (created["is_revoked"], revoked["is_revoked"]) == (False, True)
    assert (checked["code"], checked_again["code"]) == ("valid", "revoked")


def test_a_token_made_beside_it_is_accepted(dev: Dev) -> None:
    """`keywright dev token` signs with the running issuer's key; permissions hold the token to what they name."""
    keys = f"{dev.url}/api/v2/api-keys"
    full = {"Authorization": f"Bearer {dev.token('--org', 'acme')}"}
    reading = {"Authorization": f"Bearer {dev.token('--org', 'acme', '--permissions', 'read:api_keys')}"}
    expired = {"Authorization": f"Bearer {dev.token('--org', 'acme', '--expires-in', '-60')}"}
    assert httpx.post(keys, json={"name": "x"}, headers=full).status_code == 201
    assert httpx.get(keys, headers=reading).status_code == 200
    assert httpx.post(keys, json={"name": "x"}, headers=reading).status_code == 403
    assert httpx.get(keys, headers=expired).status_code == 401


def test_keys_commands_work_beside_it(dev: Dev) -> None:
    """The command line's client does all it can against it."""

    env = {"KEYWRIGHT_URL": dev.url, "KEYWRIGHT_TOKEN": dev.token("--org", "globex")}

    def keys(*arguments: str) -> Any:
        done = forked.command("keys", *arguments, env=clean_environment(env))
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout else None

    created = [keys("create", f"key {number}", "--json") for number in range(3)]
    assert [key["id"] for key in keys("list", "--all", "--limit", "1", "--json")] == [
        key["id"] for key in reversed(created)
    ]
    key_id = created[0]["id"]
    assert keys("revoke", key_id, "--json")["is_revoked"]
    assert keys("get", key_id, "--json")["is_revoked"]
    assert keys("delete", key_id) is None
    assert len(keys("list", "--json")) == 2


def test_other_commands_find_it(dev: Dev) -> None:
    """In its folder the other commands need no variable: a key is created, found by its name, and checked."""

    def keywright(*arguments: str) -> str:
        done = run(dev.folder.parent, *arguments)
        assert done.returncode == 0, done.stderr
        assert dev.url in done.stderr or "database of `keywright dev`" in done.stderr
        return done.stdout.strip()

    private_key = keywright("keys", "create", "found by its name")
    credential = keywright("verifiers", "create", "api-1")
    headers = {"Authorization": f"Bearer {credential}"}
    checked = httpx.post(f"{dev.url}/api/v2/api-keys/verify", json={"key": private_key}, headers=headers).json()
    found = json.loads(keywright("keys", "get", "found by its name", "--json"))
    assert (checked["code"], checked["api_key"]["id"]) == ("valid", found["id"])


def test_metrics_are_at_their_path(dev: Dev) -> None:
    """The demo needs no second port for its metrics."""
    assert "keywright_http_requests_total" in httpx.get(f"{dev.url}/metrics").text


def test_log_is_for_people(dev: Dev) -> None:
    """Log lines are text, and hold no token and no private key."""
    # The line of the first is written before the second is read.
    for _ in range(2):
        httpx.get(f"{dev.url}/api/v2/api-keys")
    log = (dev.folder.parent / "log").read_text()
    assert "request" in log
    assert not any(line.startswith("{") for line in log.splitlines())
    assert not re.search(r"eyJ[A-Za-z0-9_-]{20}|kw_sk_live_[0-9A-Za-z]{20}", log)


def test_nothing_is_lost_by_ending_it(tmp_path: Path) -> None:
    """Started again on the same folder and port it has the same signing key, verifier and API keys."""
    kids, ids, credentials, port = [], [], set(), 0
    for _ in range(2):
        with start(tmp_path / "dev", port) as process:
            session = read_session(process)
            keys = re.search(r"API=(\S+)", session)
            token = re.search(r"TOKEN_ACME=(\S+)", session)
            assert keys is not None
            assert token is not None
            headers = {"Authorization": f"Bearer {token[1]}"}
            httpx.post(keys[1], json={"name": "x"}, headers=headers).raise_for_status()
            ids.append([key["id"] for key in httpx.get(keys[1], headers=headers).json()])
            kids.append(token[1].partition(".")[0])
            credentials |= set(re.findall(r"^VERIFIER=(\S+)", session, re.MULTILINE))
            # An organization's id is derived from its issuer's address.
            port = DevFolder(tmp_path / "dev").issuer().port
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_SECONDS) == 0
    assert kids[0] == kids[1]
    assert ids[1][1:] == ids[0]
    assert len(credentials) == 1
