"""A running `keywright dev`, and one of its people at a page of the console in a browser."""

import json
import signal
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, BrowserContext, Locator, Page

from keywright.dev.folder import DevFolder
from keywright.dev.issuer import DevIssuer
from keywright.dev.sign_in import OPERATORS, PEOPLE
from tests.browser.figures import FIGURES
from tests.browser.stage import EXPECTED, PATIENCE_MS, WATCH, Form
from tests.live import clean_environment, spawn
from tests.waiting import eventually

KEYS = "/api/v2/api-keys"
OPERATOR = "/api/v2/operator"
CONSOLE = "/console/operator"


@dataclass(slots=True)
class Demo:
    """A running `keywright dev`: where it is, who signs its tokens, and all that it wrote."""

    url: str
    issuer: DevIssuer
    verifier: str
    log: Path

    def call(self, method: str, path: str, organization: str, **more: Any) -> Any:
        """Call the API as somebody of an organization, and give the body of a good answer."""
        subject = more.pop("subject", "auth0|bob")
        permissions: Sequence[str] | None = ["operate:api_keys"] if organization == OPERATORS else None
        token = self.issuer.token(organization, subject=subject, permissions=permissions)
        return self._send(method, path, token, **more)

    def key(self, organization: str, name: str = "CI deploy", *, subject: str = "auth0|bob", **body: Any) -> Any:
        """Create a key."""
        return self.call("POST", KEYS, organization, subject=subject, json={"name": name, **body})

    def leaked(self, organization: str) -> Any:
        """Create a key whose first pair has ended; `private_key` is that of this pair."""
        key = self.key(organization, "Leaked", description="Posted in a forum")
        self.call("POST", f"{KEYS}/{key['id']}/rotate", organization, json={"overlap_seconds": 0})
        return key

    def check(self, private_key: str) -> str:
        """Have a key checked, and give the code of the verdict."""
        body = {"key": private_key, "client_ip": "203.0.113.9"}
        code: str = self._send("POST", f"{KEYS}/verify", self.verifier, json=body)["code"]
        return code

    def _send(self, method: str, path: str, token: str, **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {token}"}
        answer = httpx.request(method, f"{self.url}{path}", headers=headers, trust_env=False, timeout=20, **more)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None


@contextmanager
def running_demo(folder: Path) -> Iterator[Demo]:
    """Run `keywright dev` in a folder."""
    dev, log = DevFolder(folder / ".keywright-dev"), folder / "log"
    arguments = ["dev", "--port", "0", "--issuer-port", "0", "--dir", str(dev.path)]
    process = spawn(arguments, clean_environment(), log)
    try:
        eventually(lambda: "choose who you are" in log.read_text() or process.poll() is not None)
        environment = dev.former_environment()
        assert environment is not None, log.read_text()
        yield Demo(environment.url, dev.issuer(), environment.verifier, log)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


@dataclass(slots=True)
class Desk:
    """
    Somebody at a page of the console.

    `complaints` collects errors of the page's console, violations of the policy, and exceptions; `asked` the addresses
    of all requests, `said` all that was written to the page's console.
    """

    browser: Browser
    demo: Demo
    form: Form = field(default_factory=Form)
    scripts: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    context: BrowserContext | None = None
    shown: Page | None = None

    @property
    def page(self) -> Page:
        """The page, once it is open."""
        assert self.shown is not None
        return self.shown

    def open(self, path: str = CONSOLE, person: str = "olivia") -> Page:
        """Open a page of the console, and choose who signs in."""
        self.context = self.browser.new_context(
            color_scheme=self.form.scheme,
            viewport={"width": self.form.width, "height": 800},
            locale=self.form.language,
            reduced_motion="reduce",
        )
        self.context.set_default_timeout(PATIENCE_MS)
        self.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=self.demo.url)
        for script in (WATCH, *self.scripts):
            self.context.add_init_script(script)
        page = self.shown = self.context.new_page()
        page.on("console", lambda message: self._heard(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))
        page.goto(f"{self.demo.url}{path}")
        page.get_by_role("link", name=PEOPLE[person].name).click()
        page.locator("#who button").wait_for()
        return page

    def view(self, name: str) -> None:
        """Open a view by its address, and wait until it is shown."""
        self.page.evaluate("name => { location.hash = `#/${name}`; }", name)
        self.find(f"nav a[href='#/{name}'][aria-current=page]").wait_for()

    def find(self, selector: str, **more: Any) -> Locator:
        """Find something in the operator's view."""
        return self.page.locator("keywright-operator").locator(selector, **more)

    def row(self, text: str) -> Locator:
        """Find the row of a table by a text of it."""
        return self.find("tbody tr", has_text=text)

    def create_verifier(self, name: str) -> str:
        """Create a verifier in the page, and give the credential that is shown."""
        self.open(f"{CONSOLE}#/verifiers")
        self.find("#create").click()
        self.find("#in-verifier").fill(name)
        self.page.keyboard.press("Enter")
        self.find("#secret").wait_for()
        return self.find("#secret").input_value()

    def answer(self, figure: str, data: Any) -> None:
        """Let the service answer a figure so."""
        self.page.route(f"**/operator/figures/{figure}*", lambda route: route.fulfill(json=data))

    def draw(self) -> None:
        """Open the page at the figures, with those of a busy service."""
        self.open()
        for figure, data in FIGURES.items():
            self.answer(figure, data)
        self.view("figures")
        self.find(".reasons").wait_for()

    def shut(self) -> None:
        """Wait until no dialog is open."""
        self.find("dialog").first.wait_for(state="detached")

    def traces(self, secret: str) -> list[str]:
        """Name the places that have a secret: of the page, its addresses, storage, console, and the log."""
        places = self.page.evaluate(_PLACES)
        places |= {"said": json.dumps(self.said), "asked": json.dumps(self.asked), "log": self.demo.log.read_text()}
        return [name for name, text in places.items() if secret in text]

    def _heard(self, kind: str, text: str) -> None:
        self.said.append(text)
        if kind in ("error", "warning") and not text.startswith(EXPECTED):
            self.complaints.append(text)

    def end(self) -> None:
        """Close the page."""
        if self.context is not None:
            self.context.close()


_PLACES = """
() => {
  const root = document.querySelector('keywright-operator').renderRoot;
  const fields = [...root.querySelectorAll('input, textarea')].map((one) => one.value);
  return {
    page: document.documentElement.outerHTML,
    view: root.innerHTML,
    fields: JSON.stringify(fields),
    address: location.href,
    history: JSON.stringify(history.state),
    entries: JSON.stringify(performance.getEntries()),
    storage: JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie]),
    title: document.title,
  };
}
"""


def organization() -> str:
    """Give the id of an organization of nobody else."""
    return f"org_{uuid.uuid4().hex[:16]}"


def named(organization: str) -> str:
    """Give the name of a verifier of a test, after its organization."""
    return f"api-{organization[4:16]}"
