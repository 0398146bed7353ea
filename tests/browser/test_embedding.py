"""The element in pages of others: strict, hostile, twice, late, in another language; permissions; and its weight."""

import gzip
import json
import re

import pytest
from playwright.sync_api import Route, expect

from tests.browser.stage import KEYS, PATIENCE_MS, Form, Stage, answering, in_days
from tests.source import SOURCE

pytestmark = [pytest.mark.early, pytest.mark.xdist_group("browser")]

ELEMENT = SOURCE / "console" / "static" / "element"
# What a browser fetches until the list is painted, with one language.
FIRST = ["keywright-keys.js", "api.js", "format.js", "list.js", "styles.js", "vendor/lit-core.js", "messages/en.js"]
NAMES = [
    "👩‍👩‍👧‍👦 Familie",
    "مفتاح الإنتاج",
    "x" * 100,
    "<img src=x onerror=alert(1)>",
    "{{7*7}} ${7*7}",
]


def test_the_page_is_strict(stage: Stage) -> None:
    """The policy of the page is in force: what it forbids is refused, so its silence elsewhere means something."""
    page = stage.open()
    assert page.evaluate("() => { try { document.body.innerHTML = '<b>'; } catch (error) { return error.name; } }")
    # The browser tells of it twice: as an error, and as an event.
    while not (heard_of(stage, "TrustedHTML") and heard_of(stage, "CSP require-trusted-types-for")):
        page.wait_for_timeout(20)
    stage.complaints.clear()


def heard_of(stage: Stage, text: str) -> bool:
    return any(text in each for each in stage.complaints)


def test_first_requests(stage: Stage) -> None:
    """Until the list is painted the page asks for 7 files and the API twice, and keeps no cookie."""
    stage.key()
    page = stage.open()
    assert stage.context is not None
    asked = page.evaluate("performance.getEntriesByType('resource').map(entry => entry.name)")
    ours = [url for url in asked if url.startswith(stage.service.base_url)]
    assert len([url for url in ours if "/element/" in url]) == len(FIRST)
    assert sorted(re.sub(r"\?.*", "", url).rpartition("/")[2] for url in ours if "/api/" in url) == [
        "api-key-options",
        "api-keys",
    ]
    assert stage.context.cookies() == []


def weight(names: list[str]) -> int:
    return sum(len(gzip.compress((ELEMENT / name).read_bytes(), mtime=0)) for name in names)


def test_weight() -> None:
    """The list needs at most 30 kB; dialogs, drawer and German, loaded when they are opened, at most 37 kB."""
    everything = [path.relative_to(ELEMENT).as_posix() for path in ELEMENT.rglob("*.js")]
    later = [name for name in everything if name not in FIRST]
    assert weight(FIRST) <= 30_000
    assert weight(later) <= 37_000


def test_hostile_styles(stage: Stage) -> None:
    """Styles of the page do not reach into the element, and a page with small letters does not make it small."""
    stage.key()
    page = stage.open()
    sheet = "const sheet = new CSSStyleSheet(); sheet.replaceSync(%s); document.adoptedStyleSheets = [sheet];"
    rules = "* { all: unset !important } button, table { display: none !important } html { font-size: 10px !important }"
    page.evaluate(sheet % json.dumps(rules))
    assert page.evaluate("getComputedStyle(element).display") == "block"
    assert stage.find("#create").is_visible()
    assert stage.row("CI deploy").is_visible()
    assert stage.find(".root").evaluate("root => parseFloat(getComputedStyle(root).fontSize)") >= 14


def test_twice_on_a_page(stage: Stage) -> None:
    """Two elements work side by side, and a second copy of the script changes nothing."""
    stage.key()
    page = stage.open()
    page.evaluate("url => import(url)", f"{stage.service.base_url}/element/v1/keywright-keys.js?again")
    page.evaluate("""() => {
      const second = document.createElement('keywright-keys');
      second.setAttribute('api-base', element.apiBase);
      second.getAccessToken = element.getAccessToken;
      document.getElementById('place').append(second);
    }""")
    page.locator("keywright-keys").nth(1).locator("tbody tr", has_text="CI deploy").wait_for()
    page.locator("keywright-keys").nth(1).locator("#create").click()
    assert page.locator("keywright-keys").nth(0).locator("dialog").count() == 0
    page.locator("keywright-keys").nth(1).locator("#f-name").wait_for()


@pytest.mark.parametrize("name", NAMES)
def test_names(stage: Stage, name: str) -> None:
    """A name is text, whatever it looks like, in the row, the drawer and the dialogs."""
    key = stage.key(name)
    stage.form = Form(width=320)
    stage.open()
    assert stage.find(".who bdi").inner_text() == name
    stage.find(".who button").click()
    stage.find(".facts").wait_for()
    assert stage.find("#drawer-title").inner_text() == name
    assert stage.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    stage.find(".drawer").get_by_role("button", name="Revoke").click()
    assert name in stage.find("#panel-title").inner_text()
    assert stage.call("GET", f"{KEYS}/{key['id']}")["name"] == name


PERMISSIONS = {
    "create:api_keys": "Create API key",
    "update:api_keys": "Rotate…",
    "revoke:api_keys": "Revoke…",
}


@pytest.mark.parametrize("mask", range(8))
def test_permissions(stage: Stage, mask: int) -> None:
    """Each of eight sets of permissions shows exactly the controls that it allows."""
    stage.key()
    allowed = {name for bit, name in enumerate(PERMISSIONS) if mask >> bit & 1}
    stage.permissions = ["read:api_keys", *allowed]
    stage.open()
    stage.row("CI deploy").locator(".acts button").click()
    shown = {stage.find("#create").inner_text()} if stage.find("#create").count() else set()
    shown |= set(stage.find(".menu button").all_inner_texts())
    always = {"Details", "Copy public key"}
    expected = {PERMISSIONS[name] for name in allowed} | ({"Disable…"} if "update:api_keys" in allowed else set())
    assert shown == expected | always


def test_features_narrow_the_permissions(stage: Stage) -> None:
    """A page can leave features out, though the token permits them."""
    stage.key()
    stage.open(features="revoke usage")
    assert stage.find("#create").count() == 0
    stage.row("CI deploy").locator(".acts button").click()
    assert stage.find(".menu button").all_inner_texts() == ["Details", "Copy public key", "Revoke…"]


def test_a_token_that_expired(stage: Stage) -> None:
    """After a 401 the page is asked for another token once, and the request is repeated."""
    stage.key()
    stage.open()
    stage.intercept("/api-keys?*", answering(401, "invalid_token"), 1)
    stage.page.evaluate("element.refresh()")
    stage.page.wait_for_function("() => asked.includes('expired')")
    stage.row("CI deploy").wait_for()
    assert stage.events("auth-required") == []


def test_a_session_that_ended(stage: Stage) -> None:
    """Without another token an event says so, the form keeps its values, and signing in again goes on."""
    stage.open()
    stage.fill_new("Half filled")
    stage.intercept("/api-keys", answering(401, "invalid_token"), 2)
    stage.page.keyboard.press("Enter")
    stage.find("dialog .banner").get_by_text("Your session ended.").wait_for()
    assert stage.events("auth-required") == [{}]
    assert stage.find("#f-name").input_value() == "Half filled"
    stage.page.keyboard.press("Enter")
    assert stage.secret()


def test_an_edit_under_the_version_that_was_read(stage: Stage) -> None:
    """A change by somebody else is told with the name; overwriting sends only what was changed here."""
    key = stage.key(expires_at=in_days(50))
    stage.open(selected=key["id"])
    stage.find(".drawer").get_by_role("button", name="Edit").click()
    stage.find("#f-name").fill("Mine")
    stage.call("PATCH", f"{KEYS}/{key['id']}", json={"description": "Theirs"})
    stage.page.keyboard.press("Enter")
    stage.find(".drawer .banner").get_by_text("auth0|bob changed it").wait_for()
    stage.find(".drawer").get_by_role("button", name="Overwrite with mine").click()
    stage.find(".facts").wait_for()
    found = stage.call("GET", f"{KEYS}/{key['id']}")
    assert (found["name"], found["description"], found["expires_at"]) == ("Mine", "Theirs", key["expires_at"])


def test_five_revocations_in_a_row(stage: Stage) -> None:
    """Five keys are revoked one after another without a reload; each row leaves the list of active keys."""
    for number in range(5):
        stage.key(f"Key {number}")
    stage.open()
    for number in range(5):
        stage.choose(f"Key {number}", "Revoke")
        stage.find("dialog .danger:enabled").click()
        stage.find("[data-done]").click()
        stage.row(f"Key {number}").wait_for(state="detached")
    assert len(stage.events("revoked")) == 5


@pytest.mark.parametrize(
    ("status", "code", "text"),
    [
        (404, "not_found", "This key no longer exists."),
        (403, "insufficient_permission", "You lack the permission revoke:api_keys."),
        (409, "changed_meanwhile", "Others change this key at the same time."),
        (503, "storage_unavailable", "The service is busy or in maintenance."),
    ],
)
def test_a_revocation_that_fails(stage: Stage, status: int, code: str, text: str) -> None:
    """A revocation that failed says why, and nothing says that the key is revoked."""
    stage.key()
    stage.open()
    challenge = {"WWW-Authenticate": 'Bearer error="insufficient_scope", scope="revoke:api_keys"'}
    stage.intercept("/api-keys/*/revoke", answering(status, code, headers=challenge))
    stage.choose("CI deploy", "Revoke")
    stage.find("dialog .danger:enabled").click()
    stage.find("dialog .banner").get_by_text(text).wait_for()
    assert stage.find("dialog .banner").get_by_text("req-1234567890").is_visible()
    assert stage.events("revoked") == []
    stage.page.keyboard.press("Escape")
    assert stage.row("CI deploy").locator(".badge").inner_text() == "Active"


def test_evidence_decides_about_friction(stage: Stage) -> None:
    """A key in use asks for its last four characters, unless it leaked; one that was never used asks for nothing."""
    stage.use(stage.key("Busy"))
    stage.key("Unused")
    stage.open()
    stage.choose("Busy", "Revoke")
    stage.find("dialog").get_by_text("In use: last used").wait_for()
    stage.find("dialog .danger").click()
    stage.find("dialog").get_by_text("These are not the last four").wait_for()
    assert stage.find("#four").evaluate("field => field.getRootNode().activeElement === field")
    stage.find("[value=key_compromise]").check()
    assert stage.find("#four").count() == 0
    stage.page.keyboard.press("Escape")
    stage.choose("Unused", "Revoke")
    stage.find("dialog").get_by_text("Never used.").wait_for()
    assert stage.find("#four").count() == 0


def test_usage_that_cannot_be_read(stage: Stage) -> None:
    """Without figures the dialog says that it cannot tell, and asks for the four characters."""
    stage.key()
    stage.open()
    stage.intercept("/api-keys/*/usage?*", answering(503, "storage_unavailable"))
    stage.choose("CI deploy", "Revoke")
    stage.find("dialog").get_by_text("We cannot tell whether it is in use.").wait_for()
    assert stage.find("#four").is_visible()


def test_a_revoked_key_that_is_still_tried(stage: Stage) -> None:
    """The usage of a revoked key says who still tries it, and why that is refused; the chart counts refusals."""
    key = stage.revoked_and_tried(times=2)
    stage.open(selected=key["id"])
    stage.find("#tab-usage").click()
    stage.find(".evidence").get_by_text("Still in use somewhere: last refused", exact=False).wait_for()
    assert "203.0.113.0/24" in stage.find(".evidence").inner_text()
    row = stage.find("table[aria-labelledby=refusals] tbody tr")
    cells = row.locator("th, td").all_inner_texts()
    assert (cells[0].strip(), cells[2], cells[-1]) == ("203.0.113.0/24", "Key revoked", "2")
    assert stage.find("svg.chart").get_attribute("aria-label") == "No requests in this time. 2 requests were refused."
    assert stage.find("svg.chart .bar.refused").count() == 1
    assert stage.find("svg.chart .bar:not(.refused)").count() == 0


def test_a_working_key_is_not_still_tried(stage: Stage) -> None:
    """A key that works has no such sentence, and without refusals no such table."""
    key = stage.key()
    stage.use(key)
    stage.open(selected=key["id"])
    stage.find("#tab-usage").click()
    stage.find("table[aria-labelledby=sources] tbody tr").wait_for()
    assert stage.find("table[aria-labelledby=refusals]").count() == stage.find(".evidence").count() == 0


def test_the_life_of_a_key_by_keyboard(stage: Stage) -> None:
    """A key is created, looked at and revoked without a mouse; the focus is never lost."""
    page = stage.open()
    stage.find("#create").focus()
    page.keyboard.press("Enter")
    stage.find("#f-name").wait_for()
    page.keyboard.type("By hand")
    page.keyboard.press("Enter")
    stage.secret()
    assert stage.find("[data-copy]").evaluate("button => button.getRootNode().activeElement === button")
    stage.find("#secret").focus()
    page.keyboard.press("Control+c")
    stage.find("dialog .bottom .primary:enabled").focus()
    page.keyboard.press("Enter")
    stage.shut()
    assert stage.find("#create").evaluate("button => button.getRootNode().activeElement === button")
    stage.row("By hand").locator(".acts button").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    stage.find("dialog .danger:enabled").wait_for()
    assert stage.find("dialog .bottom [data-focus]").evaluate("button => button.getRootNode().activeElement === button")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    stage.find("[data-done]").wait_for()
    page.keyboard.press("Enter")
    stage.row("By hand").wait_for(state="detached")
    # The focus went back to the button of the row, and with the row to the list.
    expect(page.locator("keywright-keys")).to_be_focused(timeout=PATIENCE_MS)


@pytest.mark.parametrize("language", ["de", "ar"])
def test_other_languages(stage: Stage, language: str) -> None:
    """German has words of its own; a language without any has English words and its own numbers and dates."""
    stage.key(expires_at=in_days(40))
    stage.form = Form(language=language)
    stage.open()
    title = stage.find("#title").inner_text()
    assert title == ("API-Schlüssel" if language == "de" else "API keys")
    assert stage.row("CI deploy").locator(".ends time").is_visible()


def test_the_accent_of_the_page(stage: Stage) -> None:
    """On a light accent the text of buttons becomes black."""
    page = stage.open()
    page.evaluate("element.style.setProperty('--kw-accent', '#ffd84d')")
    page.evaluate("element.apiBase = element.apiBase + '/'")
    page.wait_for_function("() => element.style.getPropertyValue('--_readable') === '#000'")


@pytest.mark.parametrize("base", ["http://keys.example/api/v2", "ftp://127.0.0.1/api/v2"])
def test_an_address_that_would_leak_the_token(stage: Stage, base: str) -> None:
    """An address without TLS off loopback is refused before any token is asked for."""
    stage.open(ready=False, api_base=base)
    stage.find("[role=alert]").first.wait_for(state="attached")
    stage.page.wait_for_function("() => window.element?.ui.error")
    assert stage.page.evaluate("asked") == []
    assert [each for each in stage.complaints if "must be https" in each]
    stage.complaints.clear()


def test_cookies_for_the_pages_own_origin(stage: Stage) -> None:
    """Without `getAccessToken` requests carry the console's header and no token, and go to the page's origin alone."""
    page = stage.open()
    sent: list[dict[str, str]] = []
    options = {
        "environments": ["live"],
        "scopes": None,
        "policy": {"max_life_seconds": None, "expiry_required": False, "max_active_keys": None},
        "permissions": ["read:api_keys"],
    }

    def act(route: Route) -> None:
        sent.append(route.request.headers)
        route.fulfill(json=options if "options" in route.request.url else [])

    page.route("**/console/api/v2/**", act)
    page.evaluate("""() => {
      const own = document.createElement('keywright-keys');
      own.setAttribute('api-base', '/console/api/v2');
      element.replaceWith(own);
    }""")
    stage.find(".empty").wait_for()
    assert [(headers.get("x-keywright-console"), headers.get("authorization")) for headers in sent] == [("1", None)] * 2
    page.evaluate(
        """base => {
      const foreign = document.createElement('keywright-keys');
      foreign.setAttribute('api-base', base);
      document.querySelector('keywright-keys').replaceWith(foreign);
    }""",
        f"{stage.service.base_url}/api/v2",
    )
    stage.find(".empty[role=alert]").wait_for()
    assert len(sent) == 2
    assert [each for each in stage.complaints if "set getAccessToken" in each]
    stage.complaints.clear()
