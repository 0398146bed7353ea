"""One Keywright and one backend, and each proxy in front of them."""

from collections.abc import Iterator

import pytest

from keywright.dev.issuer import DevIssuer
from tests.ports import free_port
from tests.proxies.backend import Backend
from tests.proxies.documented import KINDS, Places, RunningProxy, start
from tests.proxies.keywright import Keywright


@pytest.fixture(scope="package")
def backend() -> Iterator[Backend]:
    """The API that the proxies protect."""
    with Backend() as backend:
        yield backend


@pytest.fixture(scope="package")
def keywright(issuer: DevIssuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keywright]:
    """The service that the proxies ask."""
    service = Keywright(issuer, database_url=f"sqlite:///{tmp_path_factory.mktemp('keywright')}/keywright.db")
    yield service
    service.kill()


# All tests of one proxy in one process of the run, so that it is started once.
@pytest.fixture(scope="package", params=[pytest.param(kind, marks=pytest.mark.xdist_group(kind)) for kind in KINDS])
def proxy(
    request: pytest.FixtureRequest, keywright: Keywright, backend: Backend, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningProxy]:
    """Each proxy in turn, configured as the documentation says."""
    places = Places(free_port(), keywright.port, backend.port, keywright.credential)
    with start(request.param, tmp_path_factory.mktemp(request.param), places) as running:
        yield running
