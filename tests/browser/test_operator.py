"""The operator's page on a running `keywright dev`: every view with real data, secrets, permissions, accessibility."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Route, expect

from keywright.dev.sign_in import OPERATORS
from tests.browser.demo import CONSOLE, KEYS, OPERATOR, Demo, Desk, organization, running_demo
from tests.browser.figures import FIGURES
from tests.browser.stage import Form
from tests.waiting import eventually

pytestmark = [pytest.mark.early, pytest.mark.xdist_group("browser")]
FORMS = [
    pytest.param(Form(*values), id="-".join(map(str, values)))
    for values in (("light", "en", 1280), ("dark", "de", 320))
]
FETCH = """
([path, method]) => fetch(`/console/api/v2/operator/${path}`, {method, headers: {'X-Keywright-Console': '1'}})
  .then(answer => answer.status)
"""
PASTE = """
(field, text) => {
  const data = new DataTransfer();
  data.setData('text/plain', text);
  field.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, bubbles: true, cancelable: true}));
  return field.value;
}
"""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The demo."""
    with running_demo(tmp_path_factory.mktemp("demo")) as running:
        yield running


@pytest.fixture
def desk(browser: Browser, demo: Demo) -> Iterator[Desk]:
    """An operator at the page; in the end nothing may have been complained of."""
    made = Desk(browser, demo)
    yield made
    made.end()
    assert made.complaints == []


@pytest.fixture
def org() -> str:
    """An organization of nobody else."""
    return organization()


def answering(data: Any) -> Callable[[Route], None]:
    """Make an answer of the service that it did not give."""
    return lambda route: route.fulfill(json=data)


def key_of(demo: Demo, org: str, name: str = "CI deploy", **body: Any) -> Any:
    subject = body.pop("subject", "auth0|bob")
    return demo.call("POST", KEYS, org, subject=subject, json={"name": name, **body})


def leaked(demo: Demo, org: str) -> Any:
    """Make a key whose first pair has ended, and give it with the private key of that pair."""
    key = key_of(demo, org, "Leaked", description="Posted in a forum")
    demo.call("POST", f"{KEYS}/{key['id']}/rotate", org, json={"overlap_seconds": 0})
    return key


# find


@pytest.mark.parametrize("around", ["{}", "API_KEY={}", "Authorization: Bearer {}"])
def test_a_leaked_key_is_found(desk: Desk, org: str, around: str) -> None:
    """The private key of a pair that has ended leads to its key, and stays nowhere."""
    key = leaked(desk.demo, org)
    desk.open()
    field = desk.find("#in-find")
    field.fill(around.format(key["private_key"]))
    desk.page.keyboard.press("Enter")
    expect(field).to_have_value("")
    expect(desk.find(".drawer .evidence")).to_contain_text("Its pair ended")
    expect(desk.find(".drawer .owner")).to_contain_text(org)
    assert desk.page.url.endswith(f"{CONSOLE}#/keys/{key['id']}")
    assert desk.traces(key["private_key"]) == []
    desk.page.keyboard.press("Escape")
    desk.shut()
    assert desk.traces(key["private_key"]) == []


def test_a_pasted_key_never_gets_into_the_field(desk: Desk, org: str) -> None:
    """A pasted private key is searched for at once, and the field never has it."""
    key = leaked(desk.demo, org)
    desk.open()
    assert desk.find("#in-find").evaluate(PASTE, f"  {key['private_key']}\n") == ""
    desk.find(".drawer .evidence").wait_for()
    assert desk.traces(key["private_key"]) == []


def test_an_unknown_secret_is_forgotten(desk: Desk, org: str) -> None:
    """A private key that belongs to nobody, or to a key of another form, is not searched for by an address."""
    desk.open()
    for secret in ("kw_sk_live_" + "A" * 50, "ghp_" + "b" * 36):
        desk.find("#in-find").fill(secret)
        desk.page.keyboard.press("Enter")
        desk.page.get_by_text("No key belongs to this text").first.wait_for()
        expect(desk.find("#in-find")).to_have_value("")
        assert desk.traces(secret) == []


def test_an_error_does_not_keep_the_secret(desk: Desk, org: str) -> None:
    """When the search fails, the page has an error and no secret."""
    key = leaked(desk.demo, org)
    desk.open()
    desk.page.route("**/api-keys/find", lambda route: route.fulfill(status=503, json={"code": "storage_unavailable"}))
    desk.find("#in-find").fill(key["private_key"])
    desk.page.keyboard.press("Enter")
    desk.find(".banner.bad").wait_for()
    assert desk.traces(key["private_key"]) == []


def test_what_else_names_a_key(desk: Desk, org: str) -> None:
    """A key is found by its id, a public key, its display and its name; a deleted one, too."""
    key = key_of(desk.demo, org, f"Named {org}")
    desk.open()
    for text in (key["id"], key["public_key"]):
        desk.find("#in-find").fill(text)
        desk.page.keyboard.press("Enter")
        desk.page.get_by_role("heading", name=key["name"]).wait_for()
        desk.page.keyboard.press("Escape")
        desk.shut()
    for text in (key["private_key_display"], key["name"]):
        desk.find("#in-find").fill(text)
        desk.page.keyboard.press("Enter")
        expect(desk.row(org)).to_have_count(1)
    desk.demo.call("DELETE", f"{KEYS}/{key['id']}", org)
    desk.find("#in-find").fill(key["id"])
    desk.page.keyboard.press("Enter")
    desk.find(".drawer .banner.bad", has_text="Deleted").wait_for()


def test_filters(desk: Desk, org: str) -> None:
    """Creator, external id, organization and name narrow the list, and the address has them."""
    subject = f"auth0|{org}"
    key_of(desk.demo, org, "One", external_id=f"customer-{org}", subject=subject)
    key_of(desk.demo, org, "Two", subject=subject)
    desk.open()
    desk.find(".filters summary").click()
    for name, value, count in (
        ("created_by", subject, 2),
        ("external_id", f"customer-{org}", 1),
        ("organization", org, 2),
    ):
        desk.find(f"#in-{name}").fill(value)
        desk.page.keyboard.press("Enter")
        expect(desk.row(org)).to_have_count(count)
        assert f"{name}=" in desk.page.url
        desk.find(".filters a").click()
        expect(desk.find(f"#in-{name}")).to_have_value("")
        desk.find(".filters summary").click()
    desk.page.evaluate("org => { location.hash = `#/keys?organization=${org}x`; }", org)
    desk.page.get_by_text("No organization has this id.").wait_for()


def test_usage(desk: Desk, org: str) -> None:
    """The drawer has the uses of a key and where they came from."""
    key = key_of(desk.demo, org)
    assert desk.demo.check(key["private_key"]) == "valid"
    usage = f"{OPERATOR}/api-keys/{key['id']}/usage"
    eventually(lambda: desk.demo.call("GET", usage, OPERATORS)["sources"])
    desk.open(f"{CONSOLE}#/keys/{key['id']}")
    desk.find("#tab-usage").click()
    desk.find(".drawer").get_by_text("203.0.113.0/24").wait_for()


def test_a_link_survives_the_sign_in(desk: Desk, org: str) -> None:
    """A link to a key or to a filtered view leads there through the sign-in, and closing the key stays in the view."""
    key = key_of(desk.demo, org, "Linked")
    page = desk.open(f"{CONSOLE}#/events?organization={org}")
    expect(desk.find(".timeline li")).to_have_count(1)
    desk.find(".timeline a", has_text="Key").click()
    page.get_by_role("heading", name="Linked").wait_for()
    assert page.url.endswith(f"#/keys/{key['id']}")
    page.keyboard.press("Escape")
    desk.shut()
    assert page.url.endswith(f"#/events?organization={org}")
    expect(desk.find(".timeline a", has_text="Key")).to_be_focused()


# revoke


def test_revoke_one(desk: Desk, org: str) -> None:
    """A key of any organization is revoked with a reason, its receipt has names, and its log names the operator."""
    key = key_of(desk.demo, org)
    desk.open(f"{CONSOLE}#/keys/{key['id']}")
    desk.find(".drawer .row button", has_text="Revoke").click()
    desk.find("[name=reason][value=key_compromise]").check()
    desk.find("dialog.panel .danger").click()
    desk.find("dialog.panel [part=receipt] .banner.good").wait_for()
    expect(desk.find("dialog.panel tbody tr")).to_have_count(1)
    desk.find("[data-done]").click()
    desk.find(".drawer .state-revoked").wait_for()
    desk.find(".drawer [part=receipt]").wait_for()
    (event,) = desk.demo.call("GET", f"{KEYS}/{key['id']}/events?type=api_key.revoked", org)
    assert (event["actor"]["subject"], event["data"]["operator"]) == ("auth0|olivia", True)
    assert event["data"]["reason"] == "key_compromise"
    desk.page.keyboard.press("Escape")
    desk.shut()
    expect(desk.row(org).locator(".state")).to_have_text("Revoked")


def test_revoke_all_of_an_organization(desk: Desk, org: str) -> None:
    """All keys of an organization: nothing is revoked before the count is typed, then all are, with one receipt."""
    keys = [key_of(desk.demo, org, f"Worker {number}") for number in range(3)]
    desk.open(f"{CONSOLE}#/organizations?external_id={org}")
    expect(desk.row(org).locator(".ends")).to_have_text("3")
    desk.row(org).get_by_role("button", name="Revoke all").click()
    expect(desk.find("#in-many-organization")).to_have_value(org)
    desk.find("dialog .primary").click()
    desk.find("dialog .evidence", has_text="3 keys in 1 organization").wait_for()
    desk.find("#in-count").fill("2")
    desk.page.keyboard.press("Enter")
    desk.find("dialog .wrong").wait_for()
    assert [key["status"] for key in desk.demo.call("GET", KEYS, org)] == ["active"] * 3
    desk.find("#in-count").fill("3")
    desk.find("dialog .danger").click()
    desk.find("dialog.panel [part=receipt] .banner.good").wait_for()
    desk.page.get_by_role("heading", name="3 keys revoked").wait_for()
    assert [key["status"] for key in desk.demo.call("GET", KEYS, org)] == ["revoked"] * len(keys)
    desk.find("dialog .bottom button").click()
    desk.shut()
    desk.view("revocations")
    expect(desk.find("tbody tr").first.locator(".badge")).to_have_text("Done")


def test_revoke_all_of_a_creator(desk: Desk, org: str) -> None:
    """From a key to all keys of its creator; a preview of earlier is in the list, and can be started from there."""
    subject = f"auth0|{org}"
    key = key_of(desk.demo, org, subject=subject)
    key_of(desk.demo, organization(), subject=subject)
    desk.open(f"{CONSOLE}#/keys/{key['id']}")
    desk.find(".owner button").click()
    desk.find("dialog.panel .primary").click()
    desk.find("dialog .evidence", has_text="2 keys in 2 organizations").wait_for()
    desk.find("dialog.panel .bottom button").first.click()
    desk.find("dialog.panel").wait_for(state="detached")
    desk.page.keyboard.press("Escape")
    desk.shut()
    desk.view("revocations")
    expect(desk.row(subject).locator(".badge")).to_have_text("Preview")
    desk.row(subject).locator("button").click()
    desk.find("#in-count").fill("2")
    desk.page.keyboard.press("Enter")
    desk.page.get_by_role("heading", name="2 keys revoked").wait_for()
    desk.page.keyboard.press("Escape")
    desk.shut()
    expect(desk.row(subject).locator(".badge")).to_have_text("Done")


def test_a_revocation_that_goes_on(desk: Desk, org: str) -> None:
    """A revocation under way shows how far it is, and can be closed."""
    key_of(desk.demo, org)
    (one,) = desk.demo.call("GET", f"{OPERATOR}/organizations?external_id={org}", OPERATORS)
    made = desk.demo.call("POST", f"{OPERATOR}/bulk-revocations", OPERATORS, json={"org_id": one["id"]})
    running = {**made, "status": "running", "keys": 900, "revoked": 500, "started_at": made["previewed_at"]}
    desk.open()
    desk.page.route("**/bulk-revocations/*", lambda route: route.fulfill(json=running))
    desk.page.route("**/bulk-revocations?*", lambda route: route.fulfill(json=[running]))
    desk.view("revocations")
    desk.row("Running").locator("button").click()
    desk.find("dialog", has_text="500 of 900 keys revoked").wait_for()
    desk.page.keyboard.press("Escape")
    desk.shut()


def test_nobody_named(desk: Desk) -> None:
    """Without an organization and a creator, or with an unknown organization, nothing is counted."""
    desk.open(f"{CONSOLE}#/revocations")
    desk.find("#create").click()
    desk.find("dialog .primary").click()
    desk.find("dialog .wrong", has_text="Name an organization or a creator.").wait_for()
    desk.find("#in-many-organization").fill("org_nobody")
    desk.find("dialog .primary").click()
    desk.find("dialog .wrong", has_text="No organization has this id.").wait_for()


# organizations, verifiers, audit log


def test_from_an_organization_to_its_keys_and_events(desk: Desk, org: str) -> None:
    """An organization leads to its keys and to its audit log, and to those alone."""
    key_of(desk.demo, org, "Only one")
    desk.open(f"{CONSOLE}#/organizations")
    desk.row(org).get_by_role("link", name="Keys").click()
    expect(desk.find("tbody tr")).to_have_count(1)
    desk.row("Only one").wait_for()
    desk.page.go_back()
    desk.row(org).get_by_role("link", name="Audit log").click()
    expect(desk.find(".timeline li")).to_have_count(1)


def test_pages_of_organizations(desk: Desk) -> None:
    """More than a page of organizations is loaded page by page."""
    for _ in range(51):
        key_of(desk.demo, organization())
    desk.open(f"{CONSOLE}#/organizations")
    expect(desk.find("tbody tr")).to_have_count(50)
    desk.find("footer button").click()
    desk.find("tbody tr").nth(50).wait_for()


def named(org: str) -> str:
    return f"api-{org[4:16]}"


def create_verifier(desk: Desk, org: str) -> str:
    """Create a verifier, and give the credential that is shown."""
    desk.open(f"{CONSOLE}#/verifiers")
    desk.find("#create").click()
    desk.find("#in-verifier").fill(named(org))
    desk.page.keyboard.press("Enter")
    desk.find("#secret").wait_for()
    return desk.find("#secret").input_value()


def test_a_verifier(desk: Desk, org: str) -> None:
    """A new verifier's credential works, no key and no click closes it before it is stored, and it is nowhere afterwards."""
    credential = create_verifier(desk, org)
    assert desk.demo.call("GET", f"{OPERATOR}/verifiers", OPERATORS)[0]["name"] == named(org)
    key = key_of(desk.demo, org)
    assert Demo(desk.demo.url, desk.demo.issuer, credential, desk.demo.log).check(key["private_key"]) == "valid"
    for _ in range(5):
        desk.page.keyboard.press("Escape")
        desk.find("[data-back]").wait_for()
        desk.find("[data-back]").click()
        assert desk.find("#secret").input_value() == credential
    assert desk.page.evaluate(
        "() => { const e = new Event('beforeunload', {cancelable: true}); return !dispatchEvent(e); }"
    )
    expect(desk.find("dialog .bottom .primary")).to_be_disabled()
    desk.find("[data-copy]").click()
    desk.find("dialog .bottom .primary").click()
    desk.shut()
    assert desk.traces(credential) == []
    desk.row(named(org)).get_by_role("button").click()
    desk.find("dialog .danger").click()
    desk.shut()
    expect(desk.row(named(org)).locator(".state")).to_contain_text("Revoked")


def test_left_without_saving(desk: Desk, org: str) -> None:
    """A credential that nobody saved is gone when its dialog is left, and the page says what that means."""
    credential = create_verifier(desk, org)
    desk.page.keyboard.press("Escape")
    desk.find("dialog", has_text="Nobody can show it to you later").locator(".danger").click()
    desk.shut()
    assert desk.traces(credential) == []


def test_verifiers_that_cannot_be_made(desk: Desk, org: str) -> None:
    """A malformed name and a taken name are refused with a sentence; after a lost answer the page says what to do."""
    desk.open(f"{CONSOLE}#/verifiers")
    desk.find("#create").click()
    desk.find("#in-verifier").fill("no spaces")
    desk.page.keyboard.press("Enter")
    desk.find("dialog .wrong").wait_for()
    desk.find("#in-verifier").fill("dev")
    desk.page.keyboard.press("Enter")
    desk.find("dialog .banner", has_text="A verifier has this name already.").wait_for()

    def lost(route: Route) -> None:
        route.fetch()
        route.abort("connectionreset")

    desk.page.route(
        "**/operator/verifiers", lambda route: lost(route) if route.request.method == "POST" else route.fallback()
    )
    desk.find("#in-verifier").fill(named(org))
    desk.page.keyboard.press("Enter")
    desk.find("dialog .banner", has_text="nobody has its credential").wait_for()
    desk.page.keyboard.press("Escape")
    desk.shut()
    desk.row(named(org)).wait_for()


def test_audit_log(desk: Desk, org: str) -> None:
    """The log of all organizations is narrowed by action, actor, organization and key, and loaded page by page."""
    key, subject = key_of(desk.demo, org), f"auth0|{org}"
    for number in range(51):
        desk.demo.call("PATCH", f"{KEYS}/{key['id']}", org, subject=subject, json={"description": str(number)})
    desk.open(f"{CONSOLE}#/events?organization={org}")
    expect(desk.find(".timeline li")).to_have_count(50)
    desk.find("footer button").click()
    expect(desk.find(".timeline li")).to_have_count(52)
    desk.find("#in-type").select_option("api_key.created")
    desk.page.keyboard.press("Enter")
    desk.find("form button", has_text="Apply").click()
    expect(desk.find(".timeline li")).to_have_count(1)
    desk.page.evaluate(
        "hash => { location.hash = hash; }", f"#/events?actor={subject.replace('|', '%7C')}&since=2001-01-01T00:00"
    )
    expect(desk.find(".timeline li")).to_have_count(50)
    desk.page.evaluate("hash => { location.hash = hash; }", f"#/events?key_id={key['id']}&until=2001-01-01T00:00")
    desk.page.get_by_text("No event matches.").wait_for()


# who may


def test_no_operator(desk: Desk) -> None:
    """Somebody who is no operator is told why, asks for nothing, finds no link, and is refused by the service."""
    desk.open(person="ben")
    desk.page.get_by_role("heading", name="This page is for operators").wait_for()
    desk.page.get_by_text("operate:api_keys").wait_for()
    assert [url for url in desk.asked if "/operator/" in url.partition("/console/api")[2]] == []
    for method, path in (("GET", "api-keys"), ("GET", "organizations"), ("PUT", "verifiers/dev/revoke")):
        assert desk.page.evaluate(FETCH, [path, method]) == 403
    desk.page.get_by_role("link", name="To the keys of your organization").click()
    desk.page.locator("keywright-keys .toolbar").wait_for()
    expect(desk.page.locator("#elsewhere")).to_be_hidden()


def test_the_console_links_to_it(desk: Desk) -> None:
    """An operator finds the page from the console, and the way back."""
    desk.open("/console")
    desk.page.get_by_role("link", name="Operator", exact=True).click()
    desk.find("#in-find").wait_for()
    desk.page.get_by_role("link", name="API keys").click()
    desk.page.locator("keywright-keys").wait_for()


def test_a_session_that_ends(desk: Desk) -> None:
    """When the session ends, the page says so, and goes on after a new sign-in."""
    desk.open()
    desk.find("tbody tr, .empty").first.wait_for()
    desk.page.route("**/console/api/**", lambda route: route.fulfill(status=401, json={"code": "session_required"}))
    desk.view("organizations")
    desk.page.locator("#ended").wait_for()
    desk.page.unroute("**/console/api/**")
    desk.find(".banner button").first.click()
    desk.find("tbody tr").first.wait_for()


# figures


def test_figures_of_the_service(desk: Desk, org: str) -> None:
    """The figures show what the service counted."""
    key = key_of(desk.demo, org, f"Drawn {org}")
    for _ in range(3):
        assert desk.demo.check(key["private_key"]) == "valid"
    assert desk.demo.check("kw_sk_live_nobody") == "not_found"
    counted = f"{OPERATOR}/figures/verdicts"

    def seen() -> bool:
        codes = {code for period in desk.demo.call("GET", counted, OPERATORS)["periods"] for code in period["verdicts"]}
        return {"valid", "not_found"} <= codes

    eventually(seen)
    desk.open(f"{CONSOLE}#/figures")
    expect(desk.find(".figure").first.locator(".reasons")).to_contain_text("Unknown key")
    desk.find(".figure").first.get_by_role("button", name="30 days").click()
    desk.find(".figure").first.locator("[role=img][aria-label*='in 30 days']").wait_for()
    desk.find(".figure .plain", has_text=f"Drawn {org}").first.wait_for()


def drawn(desk: Desk) -> None:
    desk.open()
    for name, data in FIGURES.items():
        desk.page.route(f"**/operator/figures/{name}*", answering(data))
    desk.view("figures")
    desk.find(".reasons").wait_for()


def test_figures_in_words(desk: Desk) -> None:
    """Each drawing has a sentence, and a table with the same numbers."""
    drawn(desk)
    images = desk.find(".figure [role=img]")
    assert [bool(image.get_attribute("aria-label")) for image in images.all()] == [True] * 3
    summary = desk.find(".figure summary").first
    summary.click()
    table = desk.find(".figure details table").first
    first = FIGURES["verdicts"]["periods"][-1]["verdicts"]
    expect(table.locator("tbody tr").last).to_contain_text(str(first["valid"]))
    expect(desk.find(".reasons tbody tr").first).to_contain_text("Rate limit")


def test_a_figure_that_fails(desk: Desk) -> None:
    """A figure that cannot be read does not take the others with it."""
    desk.open()
    desk.page.route("**/figures/top*", lambda route: route.fulfill(status=503, json={"code": "storage_unavailable"}))
    desk.view("figures")
    desk.find(".figure .banner.bad").first.wait_for()
    desk.find(".figure", has_text="Connected verifiers").locator("tbody tr").first.wait_for()


# states


def filled(desk: Desk) -> str:
    """Make something for every view, and give the organization."""
    org = organization()
    key_of(desk.demo, org, "CI deploy", description="Deploys the site")
    leaked(desk.demo, org)
    ended = key_of(desk.demo, org, "Ended")
    desk.demo.call("PUT", f"{KEYS}/{ended['id']}/revoke", org, json={"reason": "superseded"})
    return org


def keys_view(desk: Desk) -> None:
    org = filled(desk)
    desk.open()
    desk.row(org).first.wait_for()
    desk.find(".filters summary").click()


def nothing_found(desk: Desk) -> None:
    desk.open()
    desk.find("#in-find").fill("kw_sk_live_" + "A" * 50)
    desk.page.keyboard.press("Enter")
    desk.find(".banner.plain").wait_for()


def found_state(desk: Desk) -> None:
    key = leaked(desk.demo, organization())
    desk.open()
    desk.find("#in-find").fill(key["private_key"])
    desk.page.keyboard.press("Enter")
    desk.find(".drawer .evidence").wait_for()
    desk.find(".drawer .facts").wait_for()


def revoked_key(desk: Desk) -> None:
    org = filled(desk)
    (ended,) = [key for key in desk.demo.call("GET", KEYS, org) if key["name"] == "Ended"]
    desk.open(f"{CONSOLE}#/keys/{ended['id']}")
    desk.find(".drawer [part=receipt] .banner").wait_for()


def key_tab(name: str, sign: str) -> Callable[[Desk], None]:
    def state(desk: Desk) -> None:
        key = key_of(desk.demo, organization())
        desk.open(f"{CONSOLE}#/keys/{key['id']}")
        desk.find(f"#tab-{name}").click()
        desk.find(sign).first.wait_for()

    state.__name__ = f"key_{name}"
    return state


def no_such_key(desk: Desk) -> None:
    desk.open(f"{CONSOLE}#/keys/00000000-0000-7000-8000-000000000000")
    desk.find(".drawer .banner.bad").wait_for()


def revoke_dialog(desk: Desk) -> None:
    key = key_of(desk.demo, organization())
    desk.open(f"{CONSOLE}#/keys/{key['id']}")
    desk.find(".drawer .middle .row button").first.click()
    desk.find("dialog.panel .evidence").wait_for()


def revoke_receipt(desk: Desk) -> None:
    revoke_dialog(desk)
    desk.find("[name=reason][value=key_compromise]").check()
    desk.find("dialog.panel .danger").click()
    desk.find("dialog.panel [part=receipt] .banner.good").wait_for()


def organizations_view(desk: Desk) -> None:
    org = filled(desk)
    desk.open(f"{CONSOLE}#/organizations")
    desk.row(org).wait_for()


def bulk_form(desk: Desk) -> None:
    filled(desk)
    desk.open(f"{CONSOLE}#/revocations")
    desk.find("#create").click()
    desk.find("#in-many-creator").wait_for()


def bulk_preview(desk: Desk) -> None:
    org = filled(desk)
    desk.open(f"{CONSOLE}#/organizations")
    desk.row(org).locator("button").click()
    desk.find("dialog .primary").click()
    desk.find("#in-count").wait_for()


def bulk_wrong(desk: Desk) -> None:
    bulk_preview(desk)
    desk.page.keyboard.press("Enter")
    desk.find("dialog .wrong").wait_for()


def bulk_done(desk: Desk) -> None:
    bulk_preview(desk)
    desk.find("#in-count").fill("2")
    desk.page.keyboard.press("Enter")
    desk.find("dialog [part=receipt] .banner.good").wait_for()


def bulk_list(desk: Desk) -> None:
    bulk_done(desk)
    desk.page.keyboard.press("Escape")
    desk.shut()
    desk.view("revocations")
    desk.find("tbody tr").first.wait_for()


def verifiers_view(desk: Desk) -> None:
    desk.open(f"{CONSOLE}#/verifiers")
    desk.row("dev").first.wait_for()


def verifier_form(desk: Desk) -> None:
    verifiers_view(desk)
    desk.find("#create").click()
    desk.find("#in-verifier").fill("no name")
    desk.page.keyboard.press("Enter")
    desk.find("dialog .wrong").wait_for()


def verifier_reveal(desk: Desk) -> None:
    create_verifier(desk, organization())


def verifier_leaving(desk: Desk) -> None:
    verifier_reveal(desk)
    desk.page.keyboard.press("Escape")
    desk.find("[data-back]").wait_for()


def verifier_revoke(desk: Desk) -> None:
    verifiers_view(desk)
    desk.find("tbody button").last.click()
    desk.find("dialog .danger").wait_for()


def events_view(desk: Desk) -> None:
    filled(desk)
    desk.open(f"{CONSOLE}#/events")
    desk.find(".timeline li").first.wait_for()


def figures_with_tables(desk: Desk) -> None:
    drawn(desk)
    for summary in desk.find(".figure summary").all():
        summary.click()


def figures_of_nothing(desk: Desk) -> None:
    desk.open()
    for name, data in FIGURES.items():
        empty = {
            key: [] if isinstance(value, list) else 0 if key == "revocations" else value for key, value in data.items()
        }
        nothing = {**empty, "counted_at": None} if name == "keys" else empty
        desk.page.route(f"**/operator/figures/{name}*", answering(nothing))
    desk.view("figures")
    desk.find(".figure .muted").nth(5).wait_for()


def unavailable(desk: Desk) -> None:
    desk.open()
    desk.page.route("**/operator/organizations*", lambda route: route.fulfill(status=503, json={"code": "x"}))
    desk.view("organizations")
    desk.find(".banner.bad").wait_for()


def not_an_operator(desk: Desk) -> None:
    desk.open(person="ben")
    desk.page.locator(".card").wait_for()


STATES: list[Callable[[Desk], Any]] = [
    *(keys_view, nothing_found, found_state, revoked_key, no_such_key, revoke_dialog, revoke_receipt),
    *(key_tab("usage", ".chart"), key_tab("events", ".timeline li"), organizations_view),
    *(bulk_form, bulk_preview, bulk_wrong, bulk_done, bulk_list),
    *(verifiers_view, verifier_form, verifier_reveal, verifier_leaving, verifier_revoke),
    *(events_view, drawn, figures_with_tables, figures_of_nothing, unavailable, not_an_operator),
]


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
@pytest.mark.parametrize("form", FORMS)
def test_no_violation(desk: Desk, modules: Path, state: Callable[[Desk], Any], form: Form) -> None:
    """In this state axe finds nothing, the page is not wider than the screen, and no policy is violated."""
    desk.form = form
    desk.scripts.append((modules / "axe-core" / "axe.min.js").read_text())
    state(desk)
    found = desk.page.evaluate("axe.run(document)")
    violations = [
        f"{one['id']}: {node['html'][:160]} {node['failureSummary']}"
        for one in found["violations"]
        for node in one["nodes"]
    ]
    assert violations == []
    assert desk.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
