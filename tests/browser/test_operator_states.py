"""
Every state of the operator's page, looked at by axe in two forms: no violation of accessibility or of policy.

A state is a function that brings the page there.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.axe import script, violations
from tests.browser.demo import CONSOLE, KEYS, Desk, named, organization
from tests.browser.figures import FIGURES
from tests.browser.stage import Form

pytestmark = [pytest.mark.early, pytest.mark.xdist_group("browser")]
FORMS = [
    pytest.param(Form(*values), id="-".join(map(str, values)))
    for values in (("light", "en", 1280), ("dark", "de", 320))
]


def filled(desk: Desk) -> str:
    """Make something for every view, and give the organization."""
    org = organization()
    desk.demo.key(org, "CI deploy", description="Deploys the site")
    desk.demo.leaked(org)
    ended = desk.demo.key(org, "Ended")
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
    key = desk.demo.leaked(organization())
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
        key = desk.demo.key(organization())
        desk.open(f"{CONSOLE}#/keys/{key['id']}")
        desk.find(f"#tab-{name}").click()
        desk.find(sign).first.wait_for()

    state.__name__ = f"key_{name}"
    return state


def no_such_key(desk: Desk) -> None:
    desk.open(f"{CONSOLE}#/keys/00000000-0000-7000-8000-000000000000")
    desk.find(".drawer .banner.bad").wait_for()


def revoke_dialog(desk: Desk) -> None:
    key = desk.demo.key(organization())
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
    desk.create_verifier(named(organization()))


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


def figures(desk: Desk) -> None:
    desk.draw()


def figures_with_tables(desk: Desk) -> None:
    desk.draw()
    for summary in desk.find(".figure summary").all():
        summary.click()


def figures_of_nothing(desk: Desk) -> None:
    desk.open()
    for name, data in FIGURES.items():
        empty: dict[str, Any] = {
            key: [] if isinstance(value, list) else 0 if key == "revocations" else value for key, value in data.items()
        }
        nothing = {**empty, "counted_at": None} if name == "keys" else empty
        desk.answer(name, nothing)
    desk.view("figures")
    desk.find(".figure .muted").nth(5).wait_for()


def unavailable(desk: Desk) -> None:
    desk.open()
    desk.page.route("**/api/v2/operator/organizations*", lambda route: route.fulfill(status=503, json={"code": "x"}))
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
    *(events_view, figures, figures_with_tables, figures_of_nothing, unavailable, not_an_operator),
]


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
@pytest.mark.parametrize("form", FORMS)
def test_no_violation(desk: Desk, modules: Path, state: Callable[[Desk], Any], form: Form) -> None:
    """In this state axe finds nothing, the page is not wider than the screen, and no policy is violated."""
    desk.form = form
    desk.scripts.append(script(modules))
    state(desk)
    assert violations(desk.page) == []
    assert desk.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
