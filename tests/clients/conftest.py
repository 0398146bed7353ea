"""What tests of the clients in other languages share: a running service, and who may call it."""

import json
from collections.abc import Callable, Iterator, Mapping
from uuid import uuid4

import pytest

from keywright.dev.issuer import DevIssuer
from tests.api.verifier import create_verifier
from tests.clients.python_guard import expected_answers
from tests.live import environment, start_service

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
