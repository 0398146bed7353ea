"""What tests of the whole service share: an issuer, and a running service on each store."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from keywright.dev.issuer import DevIssuer
from tests.live import LiveService, environment, start_service
from tests.oidc_provider import oidc_provider, own_oidc_provider
from tests.postgres import PostgresCluster, migrated_database, postgres_cluster

__all__ = ["oidc_provider", "own_oidc_provider", "postgres_cluster"]


@pytest.fixture(scope="session")
def issuer() -> Iterator[DevIssuer]:
    """The embedded issuer, over real HTTP on loopback."""
    with DevIssuer() as issuer:
        yield issuer


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def service(
    request: pytest.FixtureRequest, issuer: DevIssuer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveService]:
    """The running service, on each store; tests keep apart by using organisations of their own."""
    url = database_url(request.param, tmp_path_factory.mktemp("db"), request)
    with start_service(environment(issuer, database_url=url)) as live:
        yield live


def database_url(store: str, folder: Path, request: pytest.FixtureRequest) -> str:
    """Give a fresh database of the kind called *store*, ready to be served."""
    if store == "sqlite":
        return f"sqlite:///{folder / 'keywright.db'}"
    cluster: PostgresCluster = request.getfixturevalue("postgres_cluster")
    return migrated_database(cluster)
