"""What tests of the console share: a service with a console, on each store, and a certified provider of its own."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.conftest import database_url
from tests.console.visitor import HOME, Visitor
from tests.live import LiveService, start_service
from tests.oidc_provider import OidcProvider, start_oidc_provider

OPERATORS = "org_operators"


@pytest.fixture(scope="session")
def provider() -> Iterator[OidcProvider]:
    """A provider; who is at the browser is chosen by `seat`, so it is no other test's."""
    running = start_oidc_provider()
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def console(
    request: pytest.FixtureRequest, provider: OidcProvider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveService]:
    """A service with a console."""
    settings = {
        "issuer": provider.issuer,
        "audience": provider.audience,
        "database_url": database_url(request.param, tmp_path_factory.mktemp("db"), request),
        "metrics": "off",
        "public_url": HOME,
        "console_client_id": provider.console["client_id"],
        "console_client_secret": provider.console["client_secret"],
        "cors_origins": "https://app.test",
        "operator_org": OPERATORS,
    }
    with start_service({f"KEYWRIGHT_{name.upper()}": value for name, value in settings.items()}) as service:
        yield service


@pytest.fixture
def subject(provider: OidcProvider) -> str:
    """Somebody new, with an organization of their own, at the browser."""
    subject = f"auth0|{uuid4().hex[:12]}"
    provider.seat(subject, org_id=f"org_{uuid4().hex[:16]}")
    return subject


@pytest.fixture
def operator(console: LiveService, provider: OidcProvider) -> Visitor:
    """An operator who has signed in. Whoever signs in after that has to be seated again."""
    provider.seat("auth0|olivia", org_id=OPERATORS, permissions=["operate:api_keys"])
    visitor = Visitor(console.base_url)
    visitor.sign_in()
    return visitor


@pytest.fixture
def visitor(console: LiveService, subject: str) -> Visitor:
    """A browser that nobody has signed in with."""
    return Visitor(console.base_url)
