"""Fixtures of the edge's tests."""

from collections.abc import Iterator

import pytest

from keywright.dev.issuer import DevIssuer
from tests.api.caller import Caller
from tests.api.verifier import Verifier, create_verifier
from tests.live import LiveService


@pytest.fixture
def caller(service: LiveService, issuer: DevIssuer) -> Iterator[Caller]:
    """A caller whose organisation nobody else uses."""
    with Caller(service, issuer) as caller:
        yield caller


@pytest.fixture(scope="session")
def credential(service: LiveService) -> str:
    """The credential of a verifier that is never revoked."""
    return create_verifier(service, "billing-api")


@pytest.fixture
def verifier(service: LiveService, credential: str) -> Iterator[Verifier]:
    """An API server that checks keys."""
    with Verifier(service, f"Bearer {credential}") as verifier:
        yield verifier


@pytest.fixture
def service_caller(caller: Caller) -> Iterator[Verifier]:
    """A service of the caller's organisation, with a token that allows checking keys and nothing else."""
    token = caller.issuer.token(caller.organization, permissions=["verify:api_keys"])
    with Verifier(caller.service, f"Bearer {token}") as verifier:
        yield verifier
