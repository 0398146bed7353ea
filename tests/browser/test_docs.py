"""`/docs` in a real browser: it shows the operations, a call can be tried, and it has no access to cookies."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

from keywright.dev.issuer import DevIssuer
from tests.browser.stage import PATIENCE_MS
from tests.live import LiveService, environment, start_service

pytestmark = [pytest.mark.early, pytest.mark.xdist_group("browser")]

KEYS = "/api/v2/api-keys"
COOKIE = "console-session"
_WATCH = """
addEventListener('securitypolicyviolation', (event) =>
  console.error('CSP', event.violatedDirective, event.blockedURI, event.sourceFile, event.lineNumber));
"""
# What Swagger UI's own elements violate. One that is new fails the test, and so does one that is gone.
VIOLATIONS_OF_SWAGGER_UI = {
    *("color-contrast", "heading-order", "label", "nested-interactive", "region"),
    *("scrollable-region-focusable", "select-name"),
}


@pytest.fixture(scope="module")
def service(issuer: DevIssuer) -> Iterator[LiveService]:
    """A service with its own settings but the issuer."""
    with start_service(environment(issuer)) as live:
        yield live


@pytest.fixture
def context(browser: Browser, service: LiveService, modules: Path) -> Iterator[BrowserContext]:
    """A browser that has a cookie of the service, and axe in every page."""
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        context.set_default_timeout(PATIENCE_MS)
        for same_site in ("Strict", "Lax"):
            cookie: Any = {"name": f"{COOKIE}-{same_site}", "value": "1", "url": service.base_url}
            context.add_cookies([{**cookie, "sameSite": same_site}])
        context.add_init_script(_WATCH)
        context.add_init_script(path=modules / "axe-core" / "axe.min.js")
        yield context


@pytest.fixture
def requests(context: BrowserContext) -> list[Request]:
    """The requests of the pages so far."""
    made: list[Request] = []
    context.on("request", lambda request: made.append(request))
    return made


@pytest.fixture
def page(context: BrowserContext, service: LiveService, requests: list[Request]) -> Iterator[Page]:
    """The page, with all operations; in the end neither console nor policy may have complained."""
    complaints: list[str] = []
    page = context.new_page()
    page.on("console", lambda message: _note(complaints, message))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{service.base_url}/docs")
    page.locator(".opblock").first.wait_for()
    yield page
    assert complaints == []
    assert [made.url for made in requests if not made.url.startswith((f"{service.base_url}/", "data:"))] == []


def _note(complaints: list[str], message: ConsoleMessage) -> None:
    # A browser logs an answer that is no success; that is not the page's fault.
    if message.type == "error" and not message.text.startswith("Failed to load resource"):
        complaints.append(message.text)


def authorize(page: Page, scheme: str, credential: str) -> None:
    """Paste a credential."""
    page.locator(".auth-wrapper .authorize").first.click()
    container = page.locator(".auth-container", has_text=scheme)
    container.locator("input").fill(credential)
    container.get_by_role("button", name="Apply credentials").click()
    page.get_by_role("button", name="Close").last.click()


def opened(page: Page, summary: str) -> Any:
    """Open an operation."""
    block = page.locator(".opblock").filter(has=page.get_by_text(summary, exact=True))
    block.locator(".opblock-summary-control").click()
    block.locator(".execute").wait_for()
    return block


def answer_of(block: Any) -> tuple[str, str]:
    """Execute, and give status and body of the answer that the page shows."""
    block.locator(".execute").click()
    live = block.locator(".live-responses-table")
    live.wait_for()
    return (
        live.locator("tbody .response-col_status").first.inner_text().strip(),
        live.locator("tbody .highlight-code").first.inner_text(),
    )


def test_a_call_with_a_pasted_token(page: Page, issuer: DevIssuer) -> None:
    """A key is created, and then found in the list, with the token that was pasted."""
    authorize(page, "BearerAuth", issuer.token("acme"))
    status, body = answer_of(opened(page, "Create API Key"))
    assert (status, "kw_sk_" in body) == ("201", True)
    status, body = answer_of(opened(page, "List API Keys"))
    assert (status, "kw_sk_" in body) == ("200", True)


def test_a_check_with_a_pasted_token(page: Page, issuer: DevIssuer) -> None:
    """A check, which other code answers, can be tried, too: twice, so that the second comes from caches."""
    authorize(page, "BearerAuth", issuer.token("acme", permissions=["verify:api_keys"]))
    block = opened(page, "Verify API Key")
    for _ in range(2):
        status, body = answer_of(block)
        assert (status, '"valid": false' in body) == ("200", True)


def test_a_call_without_a_token(page: Page) -> None:
    """A refusal can be read, so the page shows it and does not say that the network failed."""
    status, body = answer_of(opened(page, "List API Keys"))
    assert (status.split()[0], "missing_token" in body) == ("401", True)


def test_no_cookie_reaches_it(page: Page, issuer: DevIssuer, requests: list[Request]) -> None:
    """The page can read neither cookies nor storage, and none of its own requests carries a cookie."""
    assert page.evaluate("origin") == "null"
    for source in ("document.cookie", "localStorage", "sessionStorage", "indexedDB.open('x')"):
        assert page.evaluate(
            f"() => {{ try {{ {source}; return 'read'; }} catch (error) {{ return error.name; }} }}"
        ) == ("SecurityError")
    authorize(page, "BearerAuth", issuer.token("acme"))
    assert answer_of(opened(page, "List API Keys"))[0] == "200"
    own = [made for made in requests if not made.is_navigation_request() and not made.url.startswith("data:")]
    assert len(own) >= 5
    assert [made.url for made in own if COOKIE in made.all_headers().get("cookie", "")] == []


def test_the_cookie_would_be_sent(context: BrowserContext, service: LiveService) -> None:
    """A page of the service's own origin does have the cookie: the test above would see it."""
    page = context.new_page()
    page.goto(f"{service.base_url}/livez")
    with page.expect_request("**/readyz") as made:
        page.evaluate("fetch('/readyz')")
    assert COOKIE in made.value.all_headers()["cookie"]
    assert COOKIE in page.evaluate("document.cookie")


def test_it_calls_no_other_host(context: BrowserContext, service: LiveService) -> None:
    """The policy lets a script of the page call nobody but the service."""
    page = context.new_page()
    page.goto(f"{service.base_url}/docs")
    with page.expect_console_message(lambda message: "connect-src 'self'" in message.text):
        refused = page.evaluate("fetch('http://192.0.2.1/').then(() => 'sent', (error) => error.name)")
    assert refused == "TypeError"


def violations(page: Page, where: str) -> set[str]:
    """Name the rules of axe that a part of the page violates."""
    found = page.evaluate(f"axe.run({where}, {{resultTypes: ['violations'], preload: false}})")
    return {one["id"] for one in found["violations"]}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accessibility(page: Page, scheme: Any) -> None:
    """What is around Swagger UI violates no rule of axe; what Swagger UI violates is listed here."""
    page.emulate_media(color_scheme=scheme)
    opened(page, "Create API Key")
    assert violations(page, "{exclude: '#reference'}") == set()
    assert violations(page, "document") == VIOLATIONS_OF_SWAGGER_UI
