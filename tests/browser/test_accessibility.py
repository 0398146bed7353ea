"""
Every state of the element, looked at by axe in two forms, on a strict page: no violation of accessibility or of policy.

A state is a function that brings the page there.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.axe import script, violations
from tests.browser.stage import KEYS, Form, Stage, answering, in_days, lost

FORMS = [
    pytest.param(Form(*values), id="-".join(map(str, values)))
    for values in (("light", "en", 1280), ("dark", "de", 320))
]
pytestmark = [pytest.mark.early, pytest.mark.xdist_group("browser")]
# The page around the element is not ours.
RULES = {"region": {"enabled": False}}

State = Callable[[Stage], Any]


def filled(stage: Stage) -> Any:
    """Make keys of several states, and open the page; give the one that is used."""
    used = stage.key(
        description="Deploys", expires_at=in_days(12), scopes=["orders:read"], allowed_ips=["203.0.113.0/24"]
    )
    stage.key("Nightly", environment="sandbox", metadata={"team": "data"})
    paused = stage.key("Paused", expires_at=in_days(200))
    stage.call("PATCH", f"{KEYS}/{paused['id']}", json={"enabled": False})
    ended = stage.key("Ended")
    stage.call("PUT", f"{KEYS}/{ended['id']}/revoke", json={"reason": "superseded"})
    stage.use(used, 3)
    stage.open()
    return used


def loading(stage: Stage) -> None:
    waiting: list[object] = []
    stage.open(ready=False)
    stage.await_event("ready")
    stage.intercept("/api-keys?*", lambda route: waiting.append(route))
    # Not waited for: it never ends.
    stage.page.evaluate("() => { element.ui.keys = null; element.refresh(); }")
    stage.find(".skeleton").first.wait_for()


def empty(stage: Stage) -> None:
    stage.open()
    stage.find(".empty").wait_for()


def all_keys(stage: Stage) -> Any:
    used = filled(stage)
    stage.find("select").first.select_option("")
    stage.row("Ended").wait_for()
    return used


def no_match(stage: Stage) -> None:
    filled(stage)
    stage.find("input[type=search]").fill("zzz")
    stage.find(".empty").wait_for()


def menu(stage: Stage) -> None:
    filled(stage)
    stage.row("CI deploy").locator(".acts button").click()
    stage.find(".menu button").first.wait_for()


def create(stage: Stage) -> None:
    stage.open()
    stage.fill_new()


def create_with_everything(stage: Stage) -> None:
    create(stage)
    stage.find("input[name=access][value=choose]").check()
    stage.find("#f-expiry").select_option("date")
    stage.find("dialog summary").click()
    stage.find("dialog details fieldset button").last.click()
    stage.find("#f-metadata").fill("[]")
    stage.find("#f-name").fill("")
    stage.page.keyboard.press("Enter")
    stage.find("#wrong-metadata").wait_for()


def create_refused(stage: Stage) -> None:
    create(stage)
    stage.find("dialog summary").click()
    stage.find("#f-ips").fill("203.0.113.0/24\nnonsense")
    stage.find("dialog .bottom .primary").click()
    stage.find("#wrong-allowed_ips").wait_for()


def create_unknown(stage: Stage) -> None:
    create(stage)
    stage.intercept("/api-keys", lost, 1)
    stage.find("dialog .bottom .primary").click()
    stage.find("dialog .banner").wait_for()


def reveal(stage: Stage) -> None:
    stage.open()
    stage.reveal()


def reveal_copied(stage: Stage) -> None:
    reveal(stage)
    stage.find("dialog summary").click()
    stage.find("#secret").focus()
    stage.page.keyboard.press("Control+c")
    stage.find("dialog .state-active").wait_for()


def reveal_masked(stage: Stage) -> None:
    reveal(stage)
    stage.find("dialog .link").click()


def leaving(stage: Stage) -> None:
    reveal(stage)
    stage.page.keyboard.press("Escape")
    stage.find("[data-back]").wait_for()


def unsaved(stage: Stage) -> None:
    leaving(stage)
    stage.find("dialog .danger").click()
    stage.shut()


def drawer(stage: Stage) -> None:
    filled(stage)
    stage.row("CI deploy").locator(".who button").click()
    stage.find(".facts").wait_for()


def edit(stage: Stage) -> None:
    drawer(stage)
    stage.find(".drawer .middle .row button").first.click()
    stage.find("#f-name").wait_for()


def conflict(stage: Stage) -> None:
    edit(stage)
    (key,) = [key for key in stage.call("GET", KEYS) if key["name"] == "CI deploy"]
    stage.call("PATCH", f"{KEYS}/{key['id']}", json={"description": "Another"})
    stage.find("#f-name").fill("Mine")
    stage.page.keyboard.press("Enter")
    stage.find(".drawer .banner").wait_for()


def tab(name: str, sign: str) -> State:
    def state(stage: Stage) -> None:
        drawer(stage)
        stage.find(f"#tab-{name}").click()
        stage.find(sign).first.wait_for()

    state.__name__ = name
    return state


def usage_as_table(stage: Stage) -> None:
    tab("usage", ".chart")(stage)
    stage.find("[aria-pressed=false]").click()
    stage.find("figure summary").click()


def usage_of_a_revoked_key(stage: Stage) -> None:
    key = stage.revoked_and_tried()
    stage.open(selected=key["id"])
    stage.find("#tab-usage").click()
    stage.find("table[aria-labelledby=refusals]").wait_for()
    stage.find("figure summary").click()


def rotation_under_way(stage: Stage) -> None:
    key = stage.key()
    stage.call("POST", f"{KEYS}/{key['id']}/rotate", json={"retire_when_idle_seconds": 3600})
    stage.open(selected=key["id"])
    stage.find("#tab-rotation").click()
    stage.find(".box").first.wait_for()


def history_of_an_ended_key(stage: Stage) -> None:
    all_keys(stage)
    stage.row("Ended").locator(".who button").click()
    stage.find("#tab-history").click()
    stage.find("[part=receipt] .banner").wait_for()
    stage.find(".timeline").wait_for()


def audit(stage: Stage) -> None:
    used = stage.key(description="Deploys", scopes=["orders:read"])
    stage.call("PATCH", f"{KEYS}/{used['id']}", json={"description": "Deploys the site", "scopes": []})
    stage.call("PUT", f"{KEYS}/{used['id']}/revoke", json={"reason": "superseded"})
    stage.open(view="events")
    stage.find(".timeline").wait_for()
    stage.find("select").last.select_option("between")
    stage.find("input[type=datetime-local]").first.wait_for()


def audit_without_a_match(stage: Stage) -> None:
    audit(stage)
    stage.find("select").first.select_option("rotated")
    stage.find(".empty").wait_for()


def audit_refused(stage: Stage) -> None:
    stage.permissions = ["read:api_keys"]
    stage.open(view="events")
    stage.find(".banner[role=alert]").wait_for()


def inline(stage: Stage) -> None:
    key = stage.key(allowed_ips=["203.0.113.0/24"])
    stage.open(overlay="inline", selected=key["id"])
    stage.find(".facts").wait_for()


def inline_edit(stage: Stage) -> None:
    inline(stage)
    stage.find(".drawer .middle .row button").first.click()
    stage.find("#f-name").fill("")
    stage.page.keyboard.press("Enter")
    stage.find("#wrong-name").wait_for()


def rotate(stage: Stage) -> None:
    filled(stage)
    stage.row("CI deploy").locator(".acts button").click()
    stage.find(".menu button").nth(2).click()
    stage.find("dialog [name=overlap]").first.wait_for()


def revoke(stage: Stage) -> None:
    filled(stage)
    stage.row("CI deploy").locator(".acts button").click()
    stage.find(".menu .risky").click()
    stage.find("#four").wait_for()


def revoke_wrong(stage: Stage) -> None:
    revoke(stage)
    stage.find("#four").fill("nope")
    stage.page.keyboard.press("Enter")
    stage.find("dialog .wrong").wait_for()


def receipt(stage: Stage) -> None:
    revoke(stage)
    stage.find("#four").fill(stage.row("CI deploy").locator(".code .mono").inner_text()[-4:])
    stage.find("dialog .danger").click()
    stage.find("[part=receipt] .banner.good").wait_for()


def receipt_pending(stage: Stage) -> None:
    body = {
        "key_id": "x",
        "revoked_at": in_days(0),
        "confirmed": 11,
        "pending": 1,
        "may_accept_until": in_days(1),
        "verifiers": [
            {"kind": "server", "connected_at": in_days(-1), "confirmed_at": in_days(0), "may_accept_until": None}
        ],
    }
    revoke(stage)
    stage.intercept(
        "/api-keys/*/revocation",
        lambda route: route.fulfill(json=body, headers={"Access-Control-Allow-Origin": "*"}),
    )
    stage.find("[name=reason][value=key_compromise]").check()
    stage.find("dialog .danger").click()
    stage.find("[part=receipt] .banner").wait_for()


def disable(stage: Stage) -> None:
    filled(stage)
    stage.row("CI deploy").locator(".acts button").click()
    stage.find(".menu button").nth(3).click()
    stage.find("dialog .evidence.used").wait_for()


def delete(stage: Stage) -> None:
    all_keys(stage)
    stage.row("Ended").locator(".acts button").click()
    stage.find(".menu .risky").click()
    stage.find("dialog .danger").wait_for()


def may_not_read(stage: Stage) -> None:
    stage.permissions = ["create:api_keys"]
    stage.open()
    stage.find(".empty[role=alert]").wait_for()


def may_only_read(stage: Stage) -> None:
    stage.permissions = ["read:api_keys"]
    filled(stage)
    stage.find("p.banner").wait_for()


def unavailable(stage: Stage) -> None:
    stage.open()
    stage.intercept("/api-keys?*", answering(503, "storage_unavailable", headers={"Retry-After": "1"}))
    stage.page.evaluate("element.ui.keys = null; element.refresh()")
    stage.find(".empty[role=alert]").wait_for()


def unavailable_with_keys(stage: Stage) -> None:
    filled(stage)
    stage.intercept("/api-keys?*", answering(503, "storage_unavailable"))
    stage.page.evaluate("element.refresh()")
    stage.find(".banner[role=alert]").wait_for()


def session_ended(stage: Stage) -> None:
    filled(stage)
    stage.intercept("/api-keys?*", answering(401, "invalid_token"))
    stage.page.evaluate("element.refresh()")
    stage.find(".banner[role=alert]").first.wait_for()


STATES: list[State] = [
    *(loading, empty, all_keys, no_match, menu, create, create_with_everything, create_refused, create_unknown),
    *(reveal, reveal_copied, reveal_masked, leaving, unsaved, drawer, edit, conflict),
    *(
        tab("usage", ".chart"),
        usage_as_table,
        usage_of_a_revoked_key,
        tab("rotation", ".timeline li"),
        rotation_under_way,
    ),
    *(tab("history", ".timeline"), history_of_an_ended_key, rotate, revoke, revoke_wrong, receipt, receipt_pending),
    *(audit, audit_without_a_match, audit_refused, inline, inline_edit),
    *(disable, delete, may_not_read, may_only_read, unavailable, unavailable_with_keys, session_ended),
]


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
@pytest.mark.parametrize("form", FORMS)
def test_no_violation(stage: Stage, modules: Path, state: State, form: Form) -> None:
    """In this state axe finds nothing, the page is not wider than the screen, and no policy is violated."""
    stage.form = form
    stage.scripts.append(script(modules))
    state(stage)
    assert violations(stage.page, RULES) == []
    assert stage.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
