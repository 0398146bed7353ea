"""The views beside the list: the audit log, and details in place of the list; and what the page may know of them."""

import pytest
from playwright.sync_api import expect

from tests.browser.stage import KEYS, PATIENCE_MS, Stage, answering

pytestmark = [pytest.mark.early, pytest.mark.xdist_group("browser")]

EVENTS = "/api-key-events?*"


def entries(stage: Stage, *texts: str) -> None:
    """Wait until the log shows these entries and no others, by what each begins with."""
    expect(stage.find(".timeline .what")).to_have_text(list(texts), timeout=PATIENCE_MS)


def test_the_audit_log(stage: Stage) -> None:
    """The log shows what was changed, by whom, from where and by which request; filters narrow it."""
    first, second = stage.key("First", scopes=["orders:read"]), stage.key("Second")
    stage.call("PATCH", f"{KEYS}/{first['id']}", json={"name": "Renamed", "scopes": ["orders:write"]})
    stage.call("PUT", f"{KEYS}/{second['id']}/revoke", json={"reason": "superseded"})
    stage.call("DELETE", f"{KEYS}/{second['id']}")
    stage.open(view="events")
    entries(stage, "Deleted", "Revoked", "Changed", "Created", "Created")
    changed = stage.find(".timeline li").nth(2)
    expect(changed).to_contain_text("auth0|bob")
    expect(changed).to_contain_text("from 127.0.0.1")
    expect(changed).to_contain_text("Scopes: orders:read → orders:write")
    (event,) = stage.call("GET", "/api/v2/api-key-events?type=api_key.updated")
    expect(changed).to_contain_text(event["request_id"])
    expect(changed).to_contain_text("Entry 3")
    # A key that is gone keeps its name in the log.
    assert stage.find(".timeline li").first.locator(".link").inner_text() == "Second"
    action, when = stage.find("select").first, stage.find("select").last
    action.select_option("revoked")
    entries(stage, "Revoked")
    action.select_option("")
    stage.find("[list=names]").fill(first["id"])
    entries(stage, "Changed", "Created")
    stage.find("[list=names]").fill("")
    entries(stage, "Deleted", "Revoked", "Changed", "Created", "Created")
    stage.find("[list=names]").fill(f"Renamed (…{first['id'][-6:]})")
    entries(stage, "Changed", "Created")
    stage.find("[list=names]").fill("")
    stage.find("input.narrow").fill("auth0|nobody")
    stage.find(".empty").wait_for()
    stage.find(".empty button").click()
    entries(stage, "Deleted", "Revoked", "Changed", "Created", "Created")
    when.select_option("between")
    stage.find("input[type=datetime-local]").last.fill("2020-01-01T00:00")
    stage.find("input[type=datetime-local]").last.press("Tab")
    stage.find(".empty").wait_for()
    when.select_option("1")
    entries(stage, "Deleted", "Revoked", "Changed", "Created", "Created")


def test_more_of_the_audit_log(stage: Stage) -> None:
    """The next page follows the cursor, with the filters of the first; one that fails keeps what is there."""
    key = stage.key()
    for number in range(60):
        stage.call("PATCH", f"{KEYS}/{key['id']}", json={"description": str(number)})
    page = stage.open(view="events")
    # The list has 50 entries before it is filtered, too.
    with page.expect_response("**/api-key-events?*type=api_key.updated*", timeout=PATIENCE_MS):
        stage.find("select").first.select_option("updated")
    expect(stage.find(".timeline li")).to_have_count(50, timeout=PATIENCE_MS)
    more = stage.find("footer").get_by_role("button", name="Load more")
    stage.intercept(EVENTS, answering(503, "storage_unavailable"), 1)
    more.click()
    stage.find(".banner[role=alert]").wait_for()
    expect(stage.find(".timeline li")).to_have_count(50)
    more.click()
    expect(stage.find(".timeline li")).to_have_count(60, timeout=PATIENCE_MS)
    assert more.count() == 0
    assert set(stage.find(".timeline .what").all_inner_texts()) == {"Changed"}


def test_from_the_audit_log_to_a_key(stage: Stage) -> None:
    """The name of a key opens its history, Escape goes back to the log, and a change there appears in it."""
    stage.key()
    stage.open(view="events")
    stage.find(".timeline .link").click()
    stage.find(".drawer .timeline").wait_for()
    assert stage.events("selected")[-1]["tab"] == "history"
    stage.find("#tab-overview").click()
    stage.find(".drawer").get_by_role("button", name="Revoke").click()
    stage.find("dialog .danger:enabled").click()
    stage.find("[data-done]").click()
    stage.page.keyboard.press("Escape")
    stage.find(".drawer").wait_for(state="detached")
    entries(stage, "Revoked", "Created")


def test_who_may_read_the_log_alone(stage: Stage) -> None:
    """Without the permission to see keys the log is shown with ids; without that for the log a sentence names it."""
    key = stage.key()
    stage.call("PATCH", f"{KEYS}/{key['id']}", json={"description": "x"})
    stage.permissions = ["read:api_key_events"]
    stage.open(view="events")
    entries(stage, "Changed", "Created")
    stage.end()
    stage.permissions = ["read:api_keys"]
    stage.open(view="events")
    stage.find(".banner").get_by_text("You lack the permission read:api_key_events.").wait_for()


def test_a_view_that_is_changed(stage: Stage) -> None:
    """The page changes the view by a property, there and back; an unsaved private key stays through it."""
    stage.open()
    secret = stage.reveal()
    stage.page.evaluate("element.view = 'events'")
    stage.find(".timeline").wait_for()
    assert stage.find("#secret").input_value() == secret
    stage.find("dialog .bottom input").check()
    stage.find("dialog .bottom .primary").click()
    stage.page.evaluate("element.view = 'keys'")
    stage.row("Staging").wait_for()


def test_details_in_place_of_the_list(stage: Stage) -> None:
    """With `overlay="inline"` details take the place of the list: no dialog, and the focus goes there and back."""
    stage.key()
    page = stage.open(overlay="inline")
    stage.row("CI deploy").locator(".who button").focus()
    page.keyboard.press("Enter")
    stage.find("section.drawer .facts").wait_for()
    assert stage.find("dialog").count() == 0
    assert not stage.find("table.keys").is_visible()
    assert stage.find(".drawer [data-focus]").evaluate("button => button.getRootNode().activeElement === button")
    stage.find(".drawer").get_by_role("button", name="Edit").click()
    stage.find("#f-name").fill("")
    page.keyboard.press("Enter")
    stage.find("#wrong-name").wait_for()
    assert stage.find("#f-name").evaluate("field => field.getRootNode().activeElement === field")
    stage.find("#f-name").fill("Renamed")
    page.keyboard.press("Enter")
    stage.find(".facts").wait_for()
    page.keyboard.press("Escape")
    stage.find(".drawer").wait_for(state="detached")
    assert (
        stage.row("Renamed").locator(".who button").evaluate("button => button.getRootNode().activeElement === button")
    )


def test_the_tab_of_the_details(stage: Stage) -> None:
    """The page chooses the tab of the details and hears of each change; a tab that there is not is the overview."""
    key = stage.key()
    page = stage.open(selected=key["id"], tab="usage")
    stage.find(".chart").wait_for()
    page.evaluate("element.tab = 'nonsense'")
    stage.find(".facts").wait_for()
    stage.find("#tab-rotation").click()
    stage.find(".timeline").wait_for()
    page.keyboard.press("Escape")
    stage.find(".drawer").wait_for(state="detached")
    assert [(event["id"] == key["id"], event["tab"]) for event in stage.events("selected")] == [
        *((True, "usage"), (True, "overview"), (True, "rotation")),
        (False, ""),
    ]


def test_the_address_of_the_person(stage: Stage) -> None:
    """The form offers the address that the service sees, once."""
    stage.open()
    stage.fill_new("From here")
    stage.find("dialog summary").click()
    offer = stage.find("dialog").get_by_role("button", name="Use my current address, 127.0.0.1")
    stage.find("#f-ips").fill("203.0.113.0/24")
    offer.click()
    assert stage.find("#f-ips").input_value() == "203.0.113.0/24\n127.0.0.1"
    assert offer.count() == 0
    stage.find("dialog .bottom .primary").click()
    stage.secret()
    assert stage.call("GET", KEYS)[0]["allowed_ips"] == ["203.0.113.0/24", "127.0.0.1/32"]
