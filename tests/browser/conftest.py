"""What browser tests share: Debian's Chromium, a service, and the dashboard of a customer on another origin."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from keywright.dev.issuer import DevIssuer
from tests.browser.demo import Demo, Desk, organization, running_demo
from tests.browser.host import HostPage
from tests.browser.stage import Form, Stage
from tests.live import LiveService, environment, start_service
from tests.oidc_installation import NotObtainableError, install
from tests.provision import unavailable

CATALOGUE = (
    "orders:read=Read orders; orders:write=Create and change orders; invoices:read=Read invoices; "
    "invoices:write=Send invoices; reports:read=Read reports; customers:read=Read customers; "
    "customers:write=Change customers; webhooks:read=Read webhooks; webhooks:write=Change webhooks"
)
# Without these, it looks for hosts that tests have no business with.
_ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]


# Of the module: while Playwright runs, its event loop is the running one, so no async test can run in this process.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    path = shutil.which("chromium")
    if path is None:
        unavailable("Chromium", "apt-get install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def dashboard(issuer: DevIssuer) -> Iterator[tuple[HostPage, LiveService]]:
    """The dashboard, and a service that its origin may call."""
    with HostPage("", lambda: "") as host:
        settings = environment(issuer, cors_origins=host.url, scopes=CATALOGUE)
        with start_service(settings) as service:
            host.service = service.base_url
            yield host, service


@pytest.fixture
def stage(browser: Browser, dashboard: tuple[HostPage, LiveService], issuer: DevIssuer) -> Iterator[Stage]:
    """A person with an organization of its own; in the end nothing may have been complained of."""
    made = Stage(browser, *dashboard, issuer, Form())
    yield made
    made.end()
    assert made.complaints == []


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A running `keywright dev`."""
    with running_demo(tmp_path_factory.mktemp("demo")) as running:
        yield running


@pytest.fixture
def desk(browser: Browser, demo: Demo) -> Iterator[Desk]:
    """An operator at the operator's page; in the end nothing may have been complained of."""
    made = Desk(browser, demo)
    yield made
    made.end()
    assert made.complaints == []


@pytest.fixture
def org() -> str:
    """An organization of nobody else."""
    return organization()


@pytest.fixture(scope="session")
def modules() -> Path:
    """The packages of npm that the tests of the element need."""
    try:
        return install(source=Path(__file__).parent / "npm", name="browser").folder / "node_modules"
    except NotObtainableError as error:
        unavailable(error.what, error.command)
