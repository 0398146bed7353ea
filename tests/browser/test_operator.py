"""The operator's page on a running `keywright dev`: every view with real data, secrets, permissions."""

import pytest
from playwright.sync_api import expect

from keywright.dev.sign_in import OPERATORS
from tests.browser.demo import CONSOLE, KEYS, OPERATOR, Desk, organization
from tests.browser.figures import FIGURES
from tests.waiting import eventually

pytestmark = [pytest.mark.early, pytest.mark.xdist_group("browser")]
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


# find


@pytest.mark.parametrize("around", ["{}", "API_KEY={}", "Authorization: Bearer {}"])
def test_a_leaked_key_is_found(desk: Desk, org: str, around: str) -> None:
    """The private key of a pair that has ended leads to its key, and stays nowhere."""
    key = desk.demo.leaked(org)
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
    key = desk.demo.leaked(org)
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


def test_a_secret_in_a_filter(desk: Desk, org: str) -> None:
    """A private key in the field of a filter, or of a revocation of many, gets into no address either."""
    secret = desk.demo.leaked(org)["private_key"]
    desk.open()
    desk.find(".filters summary").click()
    for name in ("q", "organization", "external_id", "created_by"):
        desk.find(f"#in-{name}").fill(secret)
        desk.page.keyboard.press("Enter")
        expect(desk.find(f"#in-{name}")).to_have_value("")
    for view in ("organizations", "events"):
        desk.view(view)
        desk.find("form input:not([type])").first.or_(desk.find("#in-actor")).first.fill(secret)
        desk.page.keyboard.press("Enter")
    desk.view("revocations")
    desk.find("#create").click()
    desk.find("#in-many-organization").fill(secret)
    desk.find("dialog .primary").click()
    desk.find("dialog .wrong").wait_for()
    desk.page.keyboard.press("Escape")
    desk.shut()
    assert desk.traces(secret) == []


@pytest.mark.parametrize("place", ["keys?q={}", "keys?organization={}", "organizations?external_id={}", "events?{}=1"])
def test_a_secret_in_an_address(desk: Desk, org: str, place: str) -> None:
    """A private key in an address that somebody made is not sent to the service, and does not stay in the address."""
    secret = desk.demo.leaked(org)["private_key"]
    desk.open()
    address = f"#/{place.format(secret)}".replace("_sk_", "%5fsk_")
    desk.page.evaluate("address => { location.hash = address; }", address)
    desk.page.wait_for_url(f"**{CONSOLE}#/keys")
    desk.find("table.keys").wait_for()
    assert desk.traces(secret) == []


def test_an_error_does_not_keep_the_secret(desk: Desk, org: str) -> None:
    """When the search fails, the page has an error and no secret."""
    key = desk.demo.leaked(org)
    desk.open()
    desk.page.route("**/api-keys/find", lambda route: route.fulfill(status=503, json={"code": "storage_unavailable"}))
    desk.find("#in-find").fill(key["private_key"])
    desk.page.keyboard.press("Enter")
    desk.find(".banner.bad").wait_for()
    assert desk.traces(key["private_key"]) == []


def test_what_else_names_a_key(desk: Desk, org: str) -> None:
    """A key is found by its id, a public key, its display and its name; a deleted one, too."""
    key = desk.demo.key(org, f"Named {org}")
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
    desk.demo.key(org, "One", external_id=f"customer-{org}", subject=subject)
    desk.demo.key(org, "Two", subject=subject)
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
    key = desk.demo.key(org)
    assert desk.demo.check(key["private_key"]) == "valid"
    usage = f"{OPERATOR}/api-keys/{key['id']}/usage"
    eventually(lambda: desk.demo.call("GET", usage, OPERATORS)["sources"])
    desk.open(f"{CONSOLE}#/keys/{key['id']}")
    desk.find("#tab-usage").click()
    desk.find(".drawer").get_by_text("203.0.113.0/24").wait_for()


def test_a_link_survives_the_sign_in(desk: Desk, org: str) -> None:
    """A link to a key or to a filtered view leads there through the sign-in, and closing the key stays in the view."""
    key = desk.demo.key(org, "Linked")
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
    key = desk.demo.key(org)
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
    keys = [desk.demo.key(org, f"Worker {number}") for number in range(3)]
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
    key = desk.demo.key(org, subject=subject)
    desk.demo.key(organization(), subject=subject)
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
    desk.demo.key(org)
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
    key = desk.demo.key(org, f"Drawn {org}")
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


def test_figures_in_words(desk: Desk) -> None:
    """Each drawing has a sentence, and a table with the same numbers."""
    desk.draw()
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
