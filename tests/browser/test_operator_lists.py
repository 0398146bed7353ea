"""The operator's page: organizations, verifiers and the audit log of a running `keywright dev`."""

import pytest
from playwright.sync_api import Route, expect

from keywright.dev.sign_in import OPERATORS
from tests.browser.demo import CONSOLE, KEYS, OPERATOR, Demo, Desk, named, organization

pytestmark = [pytest.mark.early, pytest.mark.xdist_group("browser")]


def test_from_an_organization_to_its_keys_and_events(desk: Desk, org: str) -> None:
    """An organization leads to its keys and to its audit log, and to those alone."""
    desk.demo.key(org, "Only one")
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
        desk.demo.key(organization())
    desk.open(f"{CONSOLE}#/organizations")
    expect(desk.find("tbody tr")).to_have_count(50)
    desk.find("footer button").click()
    desk.find("tbody tr").nth(50).wait_for()


def test_a_verifier(desk: Desk, org: str) -> None:
    """A new credential works, nothing closes its dialog before it is stored, and it is nowhere afterwards."""
    credential = desk.create_verifier(named(org))
    assert desk.demo.call("GET", f"{OPERATOR}/verifiers", OPERATORS)[0]["name"] == named(org)
    key = desk.demo.key(org)
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
    credential = desk.create_verifier(named(org))
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
        if route.request.method != "POST":
            route.fallback()
            return
        desk.demo.call("POST", f"{OPERATOR}/verifiers", OPERATORS, json={"name": named(org)})
        route.abort("connectionreset")

    desk.page.route("**/operator/verifiers", lost)
    desk.find("#in-verifier").fill(named(org))
    desk.page.keyboard.press("Enter")
    desk.find("dialog .banner", has_text="nobody has its credential").wait_for()
    desk.page.keyboard.press("Escape")
    desk.shut()
    desk.row(named(org)).wait_for()


def test_audit_log(desk: Desk, org: str) -> None:
    """The log of all organizations is narrowed by action, actor, organization and key, and loaded page by page."""
    key, subject = desk.demo.key(org), f"auth0|{org}"
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
