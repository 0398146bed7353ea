"""The console in a real browser, over TLS, with an issuer on another site."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from tests.browser.axe import script, violations
from tests.browser.tls import tls_in_front
from tests.live import PATIENCE_SECONDS, LiveService, start_service
from tests.oidc_provider import OidcProvider, start_oidc_provider
from tests.provision import unavailable

pytestmark = [pytest.mark.early, pytest.mark.xdist_group("browser")]

HOME = "https://keys.test"
SESSION = "__Host-Http-keywright-session"
WATCH = """
addEventListener('securitypolicyviolation', (event) =>
  console.error('CSP', event.violatedDirective, event.blockedURI, event.sourceFile, event.lineNumber));
"""
FORGE = """
async ({path, method, headers}) => {
  try {
    const mode = headers ? 'cors' : 'no-cors';
    const answer = await fetch(`https://keys.test${path}`, {method, headers, mode, credentials: 'include'});
    return answer.type === 'opaque' ? 'opaque' : answer.status;
  } catch { return 'refused'; }
}
"""


@pytest.fixture(scope="module")
def provider() -> Iterator[OidcProvider]:
    """An issuer on another site than the console."""
    running = start_oidc_provider()
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def service(provider: OidcProvider) -> Iterator[LiveService]:
    """A service with a console."""
    settings = {
        "issuer": provider.issuer,
        "audience": provider.audience,
        "metrics": "off",
        "public_url": HOME,
        "console_client_id": provider.console["client_id"],
        "console_client_secret": provider.console["client_secret"],
    }
    with start_service({f"KEYWRIGHT_{name.upper()}": value for name, value in settings.items()}) as running:
        yield running


@pytest.fixture(scope="module")
def chromium(service: LiveService) -> Iterator[Browser]:
    """A browser for which `keys.test` and its siblings are the service."""
    path = shutil.which("chromium")
    if path is None:
        unavailable("Chromium", "apt-get install chromium")
    with tls_in_front(urlsplit(service.base_url).port or 0, "keys.test", "evil.keys.test", "evil.test") as port:
        rules = ", ".join(f"MAP {name} 127.0.0.1:{port}" for name in ("keys.test", "*.keys.test", "evil.test"))
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-quic", f"--host-resolver-rules={rules}"]
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=path, args=arguments)
            yield browser
            browser.close()


@pytest.fixture
def context(chromium: Browser, provider: OidcProvider) -> Iterator[BrowserContext]:
    """Somebody new, with an organization of their own."""
    provider.seat(f"auth0|{uuid4().hex[:8]}", org_id=f"org_{uuid4().hex[:12]}")
    made = chromium.new_context(ignore_https_errors=True, locale="en")
    made.set_default_timeout(PATIENCE_SECONDS * 1000)
    made.add_init_script(WATCH)
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page about which nothing may be complained of."""
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if _is_complaint(message) else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    assert complaints == []


def _is_complaint(message: ConsoleMessage) -> bool:
    # A browser logs an answer that is no success; that is not the page's fault.
    return message.type == "error" and not message.text.startswith("Failed to load resource")


def signed_in(page: Page, path: str = "/console") -> Page:
    """Open the console: without a session it goes to the issuer and comes back by itself."""
    page.goto(f"{HOME}{path}")
    page.locator("#create").wait_for()
    return page


def session_of(context: BrowserContext) -> str | None:
    return next((cookie["value"] for cookie in context.cookies(HOME) if cookie["name"] == SESSION), None)


def test_first_visit(page: Page, context: BrowserContext) -> None:
    """The first visit ends at the list, through another site, and the Strict cookie is there; a key can be made."""
    signed_in(page)
    (cookie,) = [cookie for cookie in context.cookies() if cookie["name"] == SESSION]
    assert (cookie["sameSite"], cookie["secure"], cookie["httpOnly"], cookie["path"]) == ("Strict", True, True, "/")
    assert (cookie["domain"], page.url) == ("keys.test", f"{HOME}/console")
    page.locator("#create").click()
    page.locator("#f-name").fill("Staging")
    page.keyboard.press("Enter")
    page.locator("#secret").wait_for()
    assert page.locator("#secret").input_value().startswith("kw_sk_live_")


def test_the_page_knows_no_secret(page: Page) -> None:
    """No script of the page reads the cookie or a token, and the page stores nothing."""
    signed_in(page)
    assert page.evaluate("document.cookie") == ""
    assert page.evaluate("[localStorage.length, sessionStorage.length]") == [0, 0]
    assert "eyJ" not in page.content()


def test_deep_link(page: Page, context: BrowserContext) -> None:
    """A link to one key, followed from another site, ends at this key."""
    signed_in(page)
    made = page.evaluate(
        """() => fetch('/console/api/v2/api-keys', {method: 'POST', body: '{"name": "Linked"}', headers:
        {'X-Keywright-Console': '1', 'Content-Type': 'application/json'}}).then(answer => answer.json())"""
    )
    context.clear_cookies(name=SESSION)
    page.goto("about:blank")
    page.goto(f"{HOME}/console#/keys/{made['id']}")
    page.get_by_role("heading", name="Linked").wait_for()
    assert page.url == f"{HOME}/console#/keys/{made['id']}"


@pytest.mark.parametrize("origin", ["https://evil.keys.test", "https://evil.test"])
def test_other_origins(page: Page, context: BrowserContext, service: LiveService, origin: str) -> None:
    """A page of a sibling or of another site changes nothing, reads nothing, and signs nobody out."""
    signed_in(page)
    evil = context.new_page()
    evil.route(f"{origin}/**", lambda route: route.fulfill(body="<p>evil", content_type="text/html"))
    evil.goto(f"{origin}/")
    for path, method in (("/console/api/v2/api-keys", "POST"), ("/console/auth/logout", "POST")):
        # Unreadable in either case: Chromium makes an error of an opaque answer of JSON.
        assert evil.evaluate(FORGE, {"path": path, "method": method, "headers": None}) in ("opaque", "refused")
        marked = {"path": path, "method": method, "headers": {"X-Keywright-Console": "1"}}
        assert evil.evaluate(FORGE, marked) == "refused"
    evil.evaluate(
        """() => { const form = document.createElement('form'); form.method = 'POST';
        form.action = 'https://keys.test/console/auth/logout'; document.body.append(form); form.submit(); }"""
    )
    evil.wait_for_url(f"{HOME}/console/auth/logout")
    assert "foreign_request" in evil.content()
    page.reload()
    page.locator("#create").wait_for()
    page.get_by_text("No API keys yet").wait_for()


def test_not_in_a_frame(page: Page, context: BrowserContext) -> None:
    """No page of another site shows the console in a frame."""
    evil = context.new_page()
    evil.route("https://evil.test/**", lambda route: route.fulfill(body=FRAME, content_type="text/html"))
    evil.goto("https://evil.test/")
    evil.wait_for_function("() => document.querySelector('iframe').dataset.loaded")
    assert [frame.url for frame in evil.frames[1:]] == ["chrome-error://chromewebdata/"]


FRAME = """<iframe src="https://keys.test/console" onload="this.dataset.loaded = 'yes'"></iframe>"""


def test_sign_out(page: Page, context: BrowserContext, chromium: Browser) -> None:
    """Sign-out ends the session in another browser, too, then that of the issuer, and no new one is begun by itself."""
    other = chromium.new_context(ignore_https_errors=True)
    other.set_default_timeout(PATIENCE_SECONDS * 1000)
    elsewhere = signed_in(other.new_page())
    signed_in(page)
    page.get_by_role("button", name="Sign out").click()
    # The issuer asks whether the person means it.
    page.locator("button[name=logout]").click()
    page.get_by_role("heading", name="You are signed out").wait_for()
    assert session_of(context) is None
    assert elsewhere.evaluate(
        "fetch('/console/auth/session', {headers: {'X-Keywright-Console': '1'}}).then(answer => answer.json())"
    ) == {"signed_in": False}
    other.close()


def test_session_that_ends(page: Page, context: BrowserContext) -> None:
    """When a session ends while the page is open, the page says so and keeps what stands in it."""
    signed_in(page)
    context.clear_cookies(name=SESSION)
    page.locator("#create").click()
    page.locator("#f-name").fill("Half done")
    page.keyboard.press("Enter")
    page.locator("#ended").wait_for()
    assert page.locator("#f-name").input_value() == "Half done"


def test_a_browser_without_cookies(page: Page, context: BrowserContext) -> None:
    """A browser that keeps no session is told so, and does not go round in circles."""
    context.route("**/console/auth/session", lambda route: route.fulfill(json={"signed_in": False}))
    page.goto(f"{HOME}/console")
    page.get_by_role("heading", name="This browser keeps no cookies here").wait_for()


def test_the_address_follows_the_element(page: Page) -> None:
    """The tabs, a key and its tab are in the address; a link leads there, and back leads out again."""
    signed_in(page)
    made = page.evaluate(
        """() => fetch('/console/api/v2/api-keys', {method: 'POST', body: '{"name": "Linked"}', headers:
        {'X-Keywright-Console': '1', 'Content-Type': 'application/json'}}).then(answer => answer.json())"""
    )
    element, tabs = page.locator("keywright-keys"), page.locator("#tabs")
    tabs.get_by_role("link", name="Audit").click()
    element.locator(".timeline .link", has_text="Linked").click()
    element.locator(".drawer .timeline").wait_for()
    assert page.url == f"{HOME}/console#/keys/{made['id']}/history"
    page.go_back()
    element.locator(".drawer").wait_for(state="detached")
    assert page.url == f"{HOME}/console#/audit"
    assert tabs.locator("[aria-current=page]").inner_text() == "Audit"
    page.go_back()
    element.locator("tbody tr", has_text="Linked").locator(".who button").click()
    element.locator("#tab-usage").click()
    page.wait_for_url(f"{HOME}/console#/keys/{made['id']}/usage")
    page.reload()
    element.locator(".drawer .chart").wait_for()
    page.keyboard.press("Escape")
    page.wait_for_url(f"{HOME}/console#/keys")


def test_back_with_an_unsaved_key(page: Page) -> None:
    """Back, forward and another tab of the page leave an unsaved private key where it is."""
    signed_in(page)
    page.locator("#tabs").get_by_role("link", name="Audit").click()
    page.locator("keywright-keys .empty, keywright-keys .timeline").first.wait_for()
    page.locator("#tabs").get_by_role("link", name="Keys").click()
    page.locator("#create").click()
    page.locator("#f-name").fill("Staging")
    page.keyboard.press("Enter")
    page.locator("#secret").wait_for()
    secret = page.locator("#secret").input_value()
    for step in ("history.back()", "history.back()", "history.forward()"):
        page.evaluate(f"() => new Promise((done) => {{ addEventListener('popstate', done, {{once: true}}); {step}; }})")
        assert page.locator("#secret").input_value() == secret
    page.keyboard.press("Escape")
    page.locator("[data-back]").click()
    assert page.locator("#secret").input_value() == secret


@pytest.mark.parametrize(("scheme", "language", "width"), [("light", "en", 1280), ("dark", "de", 320)])
def test_accessibility(
    chromium: Browser, provider: OidcProvider, modules: Path, scheme: str, language: str, width: int
) -> None:
    """Axe finds nothing in the console's own pages, with their landmarks, and none is wider than the screen."""
    provider.seat(f"auth0|{uuid4().hex[:8]}", org_id=f"org_{uuid4().hex[:12]}")
    size = {"width": width, "height": 800}
    context = chromium.new_context(ignore_https_errors=True, locale=language, color_scheme=scheme, viewport=size)
    context.set_default_timeout(PATIENCE_SECONDS * 1000)
    context.add_init_script(script(modules))
    page = context.new_page()
    for path, sign in (
        ("/console/signed-out", ".card a"),
        # The answer of a sign-in that nobody began.
        ("/console/auth/callback?state=x&code=y", ".card a"),
        ("/console", "#create"),
        ("/console#/audit", "keywright-keys .empty"),
    ):
        page.goto(f"{HOME}{path}")
        page.locator(sign).first.wait_for()
        assert violations(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    page.reload()
    page.locator("keywright-keys .empty").wait_for()
    assert page.locator("#tabs [aria-current=page]").count() == 1
    context.route("**/console/auth/session", lambda route: route.abort())
    page.reload()
    page.locator(".card button").wait_for()
    assert violations(page) == []
    context.close()
