"""What tests of the whole service share: an issuer, and a running service on each store; and how a run goes."""

import gc
import os
from collections.abc import Generator, Iterator
from functools import lru_cache
from pathlib import Path

import httpx._transports.default
import pytest
from hypothesis import HealthCheck, settings

from keywright.dev.issuer import DevIssuer
from tests import seeds
from tests.live import LiveService, environment, start_service
from tests.oidc_provider import oidc_provider, own_oidc_provider
from tests.postgres import PostgresCluster, lent_database, migrated_database, own_cluster, postgres_cluster
from tests.redis_server import own_redis, redis_server

__all__ = ["oidc_provider", "own_cluster", "own_oidc_provider", "own_redis", "postgres_cluster", "redis_server"]

MOST_WORKERS = 6

# How long an example takes says how busy the machine is. What is tried, and how often, is as it was.
settings.register_profile("keywright", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("keywright")

# Every client of httpx makes a TLS context, which reads the certificates of all the world: 30 ms for each of thousands,
# of which nearly all speak plain HTTP.
httpx._transports.default.create_ssl_context = lru_cache(httpx._transports.default.create_ssl_context)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """
    Say how many processes run tests with `-n auto`: one more than there are cores, because many tests wait.

    The variable of pytest-xdist says another number.
    """
    return int(os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS", min((os.cpu_count() or 1) + 1, MOST_WORKERS)))


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Let hypothesis begin at the seed of the run, too."""
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = seeds.seed_of_run()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect no garbage while tests are collected, and leave them out of every later search for garbage."""
    # Half a million objects that live until the end of the run: looking through them again and again finds nothing.
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Begin every test at the same place for the same seed, whatever ran before it."""
    seeds.begin(item.nodeid)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say below a failure how to repeat it."""
    report = yield
    if report.failed:
        report.sections.append(("to repeat it", seeds.again(report.nodeid)))
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None, None, None]:
    """
    Let tests that share what is made once for their module run in one process, where it is made once.

    Begin with the groups and then the tests that take longest, so that the run does not end with one of them.
    """
    for item in items:
        shared = shared_in_module(item)
        if shared is not None and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(shared))
    yield
    items.sort(key=lambda item: [item.get_closest_marker(mark) is None for mark in ("early", "xdist_group")])


def shared_in_module(item: pytest.Item) -> str | None:
    """Name what a test shares with others of its module: its fixtures of that scope, by their parameters."""
    if not isinstance(item, pytest.Function):
        return None
    scopes = {name: made[-1].scope for name, made in item._fixtureinfo.name2fixturedefs.items() if made}
    of_module = sorted(name for name, scope in scopes.items() if scope == "module")
    if not of_module:
        return None
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    chosen = [str(parameters[name]) for name in of_module if name in parameters]
    return " ".join([item.path.relative_to(item.config.rootpath).as_posix(), *chosen])


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
    # Nobody of these tests is of the operator's organization.
    with start_service(environment(issuer, database_url=url, operator_org="org_operators")) as live:
        yield live


@pytest.fixture(params=["sqlite", "postgresql"])
def fresh_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give a fresh database of each kind, for one test."""
    if request.param == "sqlite":
        yield database_url("sqlite", tmp_path, request)
    else:
        with lent_database(request.getfixturevalue("postgres_cluster")) as url:
            yield url


on_any_store = pytest.mark.parametrize("service", ["sqlite"], indirect=True)
"""Marks tests of `service` whose guarantee has nothing to do with the store: they run once, on SQLite."""


def database_url(store: str, folder: Path, request: pytest.FixtureRequest) -> str:
    """Give a fresh database of the kind called *store*, ready to be served."""
    if store == "sqlite":
        return f"sqlite:///{folder / 'keywright.db'}"
    cluster: PostgresCluster = request.getfixturevalue("postgres_cluster")
    return migrated_database(cluster)
