"""Fixtures of the attacks: an organization, and an API server."""

from collections.abc import Iterator

import pytest

from tests.api.conftest import caller
from tests.api.verifier import Verifier, create_verifier
from tests.live import LiveService

__all__ = ["caller"]


@pytest.fixture(scope="session")
def victim_credential(service: LiveService) -> str:
    """The credential of a verifier that does no harm."""
    return create_verifier(service, "victim")


@pytest.fixture
def verifier(service: LiveService, victim_credential: str) -> Iterator[Verifier]:
    """An API server that checks keys."""
    with Verifier(service, f"Bearer {victim_credential}") as verifier:
        yield verifier
