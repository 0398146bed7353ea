"""One person at a customer's dashboard: an organization of its own, a page in the browser, and its complaints."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import httpx
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Route

from keywright.dev.issuer import DevIssuer
from tests.browser.host import HostPage
from tests.live import PATIENCE_SECONDS, LiveService

PATIENCE_MS = PATIENCE_SECONDS * 1000
KEYS = "/api/v2/api-keys"
# A browser logs an answer that is no success; that is not the page's fault.
EXPECTED = "Failed to load resource"
WATCH = """
addEventListener('securitypolicyviolation', (event) =>
  console.error('CSP', event.violatedDirective, event.blockedURI, event.sourceFile, event.lineNumber));
"""


@dataclass(frozen=True, slots=True)
class Form:
    """How a page is looked at."""

    scheme: str = "light"
    language: str = "en"
    width: int = 1280
    zone: str = "UTC"


def in_days(days: float) -> str:
    """Give a moment as the API takes it."""
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


@dataclass(slots=True)
class Stage:
    """
    A page and its organization.

    `complaints` collects errors of the console, violations of the policy, and exceptions: there must be none.
    """

    browser: Browser
    host: HostPage
    service: LiveService
    issuer: DevIssuer
    form: Form = field(default_factory=Form)
    permissions: Sequence[str] | None = None
    organization: str = field(default_factory=lambda: f"org_{uuid.uuid4().hex[:16]}")
    complaints: list[str] = field(default_factory=list)
    scripts: list[str] = field(default_factory=list)
    context: BrowserContext | None = None
    shown: Page | None = None

    @property
    def page(self) -> Page:
        """The page, once it is open."""
        assert self.shown is not None
        return self.shown

    def token(self) -> str:
        """Sign a token of the person."""
        return self.issuer.token(self.organization, subject="auth0|anna", permissions=self.permissions)

    def call(self, method: str, path: str, *, permissions: Sequence[str] | None = None, **arguments: Any) -> Any:
        """Call the API past the page, as somebody who may do everything, and give the body of a good answer."""
        token = self.issuer.token(self.organization, subject="auth0|bob", permissions=permissions)
        headers = {"Authorization": f"Bearer {token}"}
        url = f"{self.service.base_url}{path}"
        answer = httpx.request(method, url, headers=headers, trust_env=False, timeout=20, **arguments)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def key(self, name: str = "CI deploy", **body: Any) -> Any:
        """Create a key."""
        return self.call("POST", KEYS, json={"name": name, **body})

    def use(self, key: Any, times: int = 1) -> None:
        """Use a key, and wait until the service has stored that."""
        body = {"key": key["private_key"], "client_ip": "203.0.113.9"}
        for _ in range(times):
            verdict = self.call("POST", f"{KEYS}/verify", permissions=["verify:api_keys"], json=body)
            assert verdict["valid"], verdict
        while self.call("GET", f"{KEYS}/{key['id']}/usage")["last_used_at"] is None:
            pass

    def revoked_and_tried(self, times: int = 2) -> Any:
        """Give a key that was revoked, and is still tried, once the service has stored that."""
        key = self.key()
        self.call("PUT", f"{KEYS}/{key['id']}/revoke")
        body = {"key": key["private_key"], "client_ip": "203.0.113.9"}
        for _ in range(times):
            verdict = self.call("POST", f"{KEYS}/verify", permissions=["verify:api_keys"], json=body)
            assert verdict["code"] == "revoked", verdict
        while not self.call("GET", f"{KEYS}/{key['id']}/usage")["refusals"]:
            pass
        return key

    def open(self, *, ready: bool = True, **attributes: str) -> Page:
        """Open the page; `attributes` are those of the element, with underscores for hyphens."""
        self.host.token = self.token
        self.context = self.browser.new_context(
            color_scheme=self.form.scheme,
            viewport={"width": self.form.width, "height": 800},
            locale=self.form.language,
            timezone_id=self.form.zone,
            reduced_motion="reduce",
            accept_downloads=True,
        )
        self.context.set_default_timeout(PATIENCE_MS)
        self.context.add_init_script(WATCH)
        for script in self.scripts:
            self.context.add_init_script(script)
        page = self.shown = self.context.new_page()
        page.on("console", lambda message: self._heard(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        named = {name.replace("_", "-"): value for name, value in attributes.items()}
        page.goto(f"{self.host.url}/?{urlencode({'lang': self.form.language, **named})}")
        if ready:
            self.await_event("ready")
        return page

    def _heard(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not text.startswith(EXPECTED):
            self.complaints.append(text)

    def await_event(self, name: str) -> Any:
        """Wait for an event of the element, and give the detail of the first one."""
        return self.page.wait_for_function(
            "name => (window.events ?? []).find(event => event[0] === name)?.[1]", arg=name
        ).json_value()

    def events(self, name: str) -> list[Any]:
        """Give the details of the events so far."""
        found: list[Any] = self.page.evaluate(
            "name => events.filter(event => event[0] === name).map(event => event[1])", name
        )
        return found

    def find(self, selector: str, **more: Any) -> Locator:
        """Find something in the element."""
        return self.page.locator("keywright-keys").locator(selector, **more)

    def row(self, name: str) -> Locator:
        """Find the row of a key."""
        return self.find("tbody tr", has_text=name)

    def choose(self, name: str, action: str) -> None:
        """Choose an action in the menu of a row."""
        self.row(name).locator(".acts button").click()
        self.find(".menu").get_by_role("menuitem", name=action, exact=False).click()

    def fill_new(self, name: str = "Staging") -> None:
        """Open the dialog of a new key and name it."""
        self.find("#create").click()
        self.find("#f-name").fill(name)

    def reveal(self, name: str = "Staging") -> str:
        """Create a key in the page, and give the private key that is shown."""
        self.fill_new(name)
        self.page.keyboard.press("Enter")
        return self.secret()

    def secret(self) -> str:
        """Wait for the reveal, and read the private key out of it."""
        self.find("#secret").wait_for()
        return self.find("#secret").input_value()

    def shut(self) -> None:
        """Wait until no dialog is open."""
        self.find("dialog").first.wait_for(state="detached")

    def intercept(self, pattern: str, act: Callable[[Route], None], times: int | None = None) -> None:
        """Let `act` answer requests of the API whose address ends as the glob says, but preflights."""
        self.page.route(f"**/api/v2{pattern}", act, times=times)

    def end(self) -> None:
        """Close the page."""
        if self.context is not None:
            self.context.close()


def answering(status: int, code: str, **more: Any) -> Callable[[Route], None]:
    """Make an answer of the service that it did not give."""

    def act(route: Route) -> None:
        headers = {
            "Access-Control-Allow-Origin": "*",
            "Access-Control-Expose-Headers": "WWW-Authenticate, Retry-After",
            **more.get("headers", {}),
        }
        body = {"detail": "No.", "code": code, "request_id": "req-1234567890"}
        route.fulfill(status=status, json=body, headers=headers)

    return act


def lost(route: Route) -> None:
    """Let the service do it, and lose the answer."""
    route.fetch()
    route.abort("connectionreset")
