"""Fixtures of the edge's tests."""

from collections.abc import Iterator

import pytest

from keywright.dev.issuer import DevIssuer
from tests.api.caller import Caller
from tests.live import LiveService


@pytest.fixture
def caller(service: LiveService, issuer: DevIssuer) -> Iterator[Caller]:
    """A caller whose organisation nobody else uses."""
    with Caller(service, issuer) as caller:
        yield caller
