"""The page on checking keys: what a reader pastes comes to the verdicts it shows."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from keywright.dev.issuer import DevIssuer
from tests.api.caller import KEYS, Caller
from tests.live import PATIENCE_SECONDS, LiveService, clean_environment, environment, start_service
from tests.markdown import blocks, read
from tests.provision import unavailable

PAGE = "docs/concepts/checking.md"


@dataclass(frozen=True)
class Place:
    """A service, a credential that was made as the page says, and a key."""

    settings: Mapping[str, str]
    key_id: str
    caller: Caller

    def run(self, command: list[str], script: str) -> str:
        """Have a program read what a reader pastes, and give what it printed."""
        done = subprocess.run(
            command,
            input=script,
            env=clean_environment(self.settings) | self.settings,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def revoke(self) -> None:
        """Revoke the key."""
        self.caller.http.put(f"{KEYS}/{self.key_id}/revoke").raise_for_status()


@pytest.fixture(scope="module")
def live(issuer: DevIssuer) -> Iterator[LiveService]:
    """A service of this page's own, because the credential has a name that is told."""
    with start_service(environment(issuer)) as live:
        yield live


@pytest.fixture(scope="module")
def credential(live: LiveService) -> str:
    """What the page's command prints."""
    (command,) = [block for block in blocks(read(PAGE), "sh") if "verifiers create" in block]
    done = subprocess.run(
        ["sh", "-e"],
        input=command,
        env=clean_environment({"KEYWRIGHT_DATABASE_URL": live.database_url})
        | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture
def place(live: LiveService, issuer: DevIssuer, credential: str) -> Iterator[Place]:
    """Where the reader is."""
    with Caller(live, issuer) as caller:
        created = caller.http.post(KEYS, json={"name": "Billing export"}).json()
        settings = {
            "KEYWRIGHT_URL": live.base_url,
            "KEYWRIGHT_VERIFIER": credential,
            "KEY": created["private_key"],
        }
        yield Place(settings, created["id"], caller)


def test_over_http(place: Place) -> None:
    """The request of the page has the answer of the page, field by field; of a key that was revoked, the refusal."""
    for program in ("sh", "curl"):
        if shutil.which(program) is None:
            unavailable(program, f"apt-get install {program}")
    (request,) = [block for block in blocks(read(PAGE), "sh") if "curl" in block]
    (shown,) = map(json.loads, blocks(read(PAGE), "json"))
    told = json.loads(place.run(["sh", "-e"], request))
    assert told["api_key"]["id"] == place.key_id
    hidden = {"id": "…", "org_id": "…", "org_external_id": "org_…", "created_by": "auth0|…"}
    assert {**told, "api_key": {**told["api_key"], **hidden}} == shown
    place.revoke()
    # What the service holds may be believed a moment longer, within the bound.
    codes = (json.loads(place.run(["sh", "-e"], request))["code"] for _ in range(200))
    assert next(code for code in codes if code != "valid") == "revoked"


def test_in_the_process(place: Place) -> None:
    """The program of the page says that a good key is valid, and why another is refused."""
    (program,) = blocks(read(PAGE), "python")
    assert place.run([sys.executable, "-"], program) == "valid\n"
    place.revoke()
    assert place.run([sys.executable, "-"], program) == "refused: revoked\n"
