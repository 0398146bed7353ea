"""Pages, clocks, networks and numbers as they may be: the element says what is true, and nothing is lost."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Route, expect

from tests.browser.stage import KEYS, PATIENCE_MS, Form, Stage, answering, in_days

pytestmark = [pytest.mark.early, pytest.mark.xdist_group("browser")]

OPEN = {"Access-Control-Allow-Origin": "*"}


# --- pages ------------------------------------------------------------------------------------------------------------


def test_a_frame_without_the_clipboard(stage: Stage) -> None:
    """In a frame that may not write the clipboard, Copy falls back to the selected text, and that counts."""
    stage.scripts.append("addEventListener('copy', (event) => { window.fell = event.defaultPrevented; });")
    page = stage.open()
    frame = """<iframe src="/?lang=en" allow="clipboard-write 'none'" width=1000 height=700></iframe>"""
    stage.host.free["/outer"] = f"<!doctype html><link rel=icon href=data:,>{frame}"
    page.goto(f"{stage.host.url}/outer")
    inside = page.frame_locator("iframe").locator("keywright-keys")
    inside.locator("#create").click()
    inside.locator("#f-name").fill("Framed")
    inside.locator("dialog .bottom .primary").click()
    secret = inside.locator("#secret").input_value()
    inner = page.frames[1]
    denied = "() => navigator.clipboard.writeText('x').then(() => 'written', (error) => error.name)"
    assert inner.evaluate(denied) == "NotAllowedError"
    inside.locator("[data-copy]").click()
    inside.get_by_text("✓ Copied").wait_for()
    assert inner.evaluate("window.fell") is True
    assert inside.locator("#secret").input_value() == secret
    stage.complaints[:] = [each for each in stage.complaints if "Permissions policy" not in each]


def test_a_page_with_a_lit_of_its_own(stage: Stage, modules: Path) -> None:
    """Under Trusted Types without duplicates, the page's own Lit and the element work side by side."""
    text = (modules / "lit-html" / "lit-html.js").read_text()
    page = stage.open()
    page.route(f"{stage.host.url}/lit.js", lambda route: route.fulfill(body=text, content_type="text/javascript"))
    page.evaluate("""async () => {
      const {html, render} = await import('/lit.js');
      const own = document.createElement('p');
      document.body.append(own);
      render(html`<b id="own">${'its own'}</b>`, own);
    }""")
    assert page.locator("#own").inner_text() == "its own"
    stage.reveal()


def test_properties_set_before_the_script_has_come(stage: Stage) -> None:
    """What the page sets on an element that is not defined yet counts once it is."""
    key = stage.key()
    stage.key("Another")
    page = stage.open()
    stage.host.free["/late"] = "<!doctype html><link rel=icon href=data:,><p id=place>"
    page.goto(f"{stage.host.url}/late")
    page.evaluate(
        """async ({service, token, key}) => {
      const early = document.createElement('keywright-keys');
      Object.assign(early, {apiBase: `${service}/api/v2`, pageSize: 1, selected: key, overlay: 'inline'});
      early.getAccessToken = async () => token;
      document.getElementById('place').append(early);
      await import(`${service}/element/v1/keywright-keys.js`);
    }""",
        {"service": stage.service.base_url, "token": stage.token(), "key": key["id"]},
    )
    stage.find("section.drawer .facts").wait_for()
    expect(stage.find("tr[data-id]")).to_have_count(1)


def test_an_origin_that_the_service_does_not_know(stage: Stage) -> None:
    """From an origin that the operator did not name the element reads nothing, and says that it cannot."""
    stage.key()
    page = stage.open()
    page.goto(stage.host.url.replace("127.0.0.1", "localhost") + "/?lang=en")
    stage.find(".empty[role=alert]").get_by_text("The service cannot be reached.").wait_for()
    assert stage.find("tr[data-id]").count() == 0
    stage.complaints[:] = [each for each in stage.complaints if "CORS policy" not in each]


# --- clocks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "text", "instant"),
    [
        # No clock of Berlin shows half past two that night.
        ("Europe/Berlin", "2027-03-28T02:30", "2027-03-28T01:30:00Z"),
        ("Pacific/Kiritimati", "2027-01-01T00:00", "2026-12-31T10:00:00Z"),
        ("Pacific/Pago_Pago", "2027-01-01T00:00", "2027-01-01T11:00:00Z"),
    ],
)
def test_expiry_in_other_zones(stage: Stage, zone: str, text: str, instant: str) -> None:
    """A number of days is so many times 24 hours from now in every zone; a date is the moment that the form shows."""
    stage.form = Form(zone=zone)
    stage.open()
    # The clock of Berlin is put forward a week later.
    begin = datetime(2027, 3, 20, 12, tzinfo=UTC)
    stage.intercept("/**", dated(begin))
    stage.page.evaluate("element.refresh()")
    for days in (30, 90, 365):
        stage.find("#create").click()
        stage.find("#f-name").fill(f"{days} days")
        stage.find("#f-expiry").select_option(str(days))
        save(stage)
        (key,) = [key for key in stage.call("GET", KEYS) if key["name"] == f"{days} days"]
        lives = datetime.fromisoformat(key["expires_at"]) - begin
        assert timedelta(0) <= lives - timedelta(days=days) < timedelta(minutes=5)
    stage.find("#create").click()
    stage.find("#f-name").fill("On a date")
    stage.find("#f-expiry").select_option("date")
    stage.find("input[type=datetime-local]").fill(text)
    moment = datetime.fromisoformat(instant)
    expect(stage.find("#expiry-at")).to_contain_text(
        f"{moment:%b} {moment.day}, {moment:%Y}, {moment.hour % 12 or 12}:"
    )
    expect(stage.find("#expiry-at")).to_contain_text("UTC")
    save(stage)
    (key,) = [key for key in stage.call("GET", KEYS) if key["name"] == "On a date"]
    assert datetime.fromisoformat(key["expires_at"]) == moment


def dated(moment: datetime) -> Callable[[Route], None]:
    """Let the service answer, with another time."""

    def act(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, headers={**answer.headers, "date": f"{moment:%a, %d %b %Y %T GMT}"})

    return act


def save(stage: Stage) -> None:
    """Create the key of the form, and leave the reveal."""
    stage.find("dialog .bottom .primary").click()
    stage.find("dialog .bottom input").check()
    stage.find("dialog .bottom .primary").click()
    stage.shut()


def receipt(confirmed: int, pending: int, until: float | None) -> dict[str, Any]:
    """Give a receipt whose last verifier stops trusting the key in so many seconds."""
    now = datetime.now(UTC)
    session = {"kind": "server", "connected_at": (now - timedelta(days=1)).isoformat(), "may_accept_until": None}
    return {
        "key_id": "x",
        "revoked_at": now.isoformat(),
        "confirmed": confirmed,
        "pending": pending,
        "may_accept_until": None if until is None else (now + timedelta(seconds=until)).isoformat(),
        "verifiers": [{**session, "confirmed_at": (now + timedelta(milliseconds=212)).isoformat()}] * confirmed,
    }


def given(body: Any) -> Callable[[Route], None]:
    """Answer this body, with the time of the service."""

    def act(route: Route) -> None:
        dated = {"Access-Control-Expose-Headers": "Date", "Date": f"{datetime.now(UTC):%a, %d %b %Y %T GMT}"}
        route.fulfill(json=body, headers={**OPEN, **dated})

    return act


@pytest.mark.parametrize("minutes", [-10, 10])
def test_receipts(stage: Stage, minutes: int) -> None:
    """
    A receipt claims what the service says of 0, 1 or 12 verifiers, one that is late, and one that never confirms, even
    if the browser's clock is 10 minutes off.
    """
    stage.scripts.append(f"{{ const now = Date.now; Date.now = () => now() + {minutes * 60_000}; }}")
    none, one, twelve = (0, 0, None), (1, 0, None), (12, 0, None)
    late, never = (11, 1, 3), (11, 1, 300)
    cases: dict[str, tuple[tuple[int, int, float | None], str, bool]] = {
        "none": (none, "No other verifier is connected: only this service checks keys.", True),
        "one": (one, "1 of 1 verifier confirmed", True),
        "twelve": (twelve, "12 of 12 verifiers confirmed · slowest 212 ms", True),
        "late": (late, "1 has not confirmed.", True),
        "never": (never, "1 has not confirmed.", False),
    }
    for name in cases:
        stage.key(name)
    stage.open()
    for name, (counts, text, over) in cases.items():
        stage.page.unroute("**/api/v2/api-keys/*/revocation")
        stage.intercept("/api-keys/*/revocation", given(receipt(*counts)))
        stage.choose(name, "Revoke")
        stage.find("dialog .danger:enabled").click()
        expect(stage.find("[part=receipt]")).to_contain_text(text, timeout=PATIENCE_MS)
        end = stage.find("[part=receipt] .banner.good")
        if over:
            end.get_by_text("No verifier can accept this key any more.").wait_for()
        else:
            assert end.count() == 0
        stage.find("[data-done]").click()
        stage.shut()


# --- networks ---------------------------------------------------------------------------------------------------------

HASTY = """{
  const timeout = AbortSignal.timeout;
  AbortSignal.timeout = (milliseconds) => timeout.call(AbortSignal, window.hasty ?? milliseconds);
}"""
OFFLINE, BUSY, SLOW = (
    "The service cannot be reached.",
    "The service is busy or in maintenance.",
    "The service took too long to answer.",
)
FAILURES: dict[str, Callable[[Route], Any]] = {
    OFFLINE: lambda route: route.abort("internetdisconnected"),
    BUSY: answering(503, "storage_unavailable", headers={"Retry-After": "1"}),
    SLOW: lambda route: None,
}


@pytest.mark.parametrize("sentence", FAILURES, ids=["offline", "503", "slow"])
def test_every_request_may_fail(stage: Stage, sentence: str) -> None:
    """Whichever request is refused, lost or too slow, the person reads which it was; what was shown stays."""
    key, ended = stage.key(scopes=["orders:read"]), stage.key("Ended")
    stage.call("PUT", f"{KEYS}/{ended['id']}/revoke", json={"reason": "superseded"})
    stage.call("POST", f"{KEYS}/{key['id']}/rotate", json={"overlap_seconds": 86400})
    stage.scripts.append(HASTY)
    stage.open()
    stage.find("select").first.select_option("")
    stage.row("Ended").wait_for()

    def fails(pattern: str, act: Callable[[], Any], text: str = sentence, *, where: str = ".root") -> None:
        """Let requests of this address fail while something is done, and find the text."""
        stage.intercept(pattern, FAILURES[sentence])
        stage.page.evaluate("hasty => { window.hasty = hasty; }", 150 if sentence == SLOW else None)
        act()
        stage.find(where).get_by_text(text).first.wait_for()
        stage.page.unroute(f"**/api/v2{pattern}")
        stage.page.evaluate("() => { window.hasty = null; }")

    def click(selector: str, name: str = "") -> Callable[[], None]:
        found = stage.find(selector)
        return (found.get_by_role("button", name=name) if name else found).first.click

    fails("/api-keys?*", click("footer", "Refresh"), where=".banner[role=alert]")
    assert stage.find("tr[data-id]").count() == 2
    click(".banner", "Try again")()
    stage.find(".banner[role=alert]").wait_for(state="detached")
    # A key and its tabs.
    one, again = f"/api-keys/{key['id']}", click("#tab-panel", "Try again")
    fails(one, stage.row("CI deploy").locator(".who button").click, where="#tab-panel")
    again()
    stage.find(".facts").wait_for()
    fails(f"{one}/usage?*", click("#tab-usage"), where="#tab-panel")
    again()
    stage.find(".chart").wait_for()
    fails(f"{one}/events?*", click("#tab-history"), where="#tab-panel")
    again()
    stage.find(".timeline .what").first.wait_for()
    click("#tab-rotation")()
    fails(f"{one}/rotation", click("#tab-panel", "End it now"), where="#tab-panel")
    click("#tab-overview")()
    click(".facts ~ *, .drawer .middle", "Edit")()
    stage.find("#f-description").fill("Kept")
    fails(one, click("#tab-panel", "Save"), where="#tab-panel")
    assert stage.find("#f-description").input_value() == "Kept"
    click("#tab-panel", "Cancel")()
    stage.page.keyboard.press("Escape")
    stage.find(".drawer").wait_for(state="detached")
    # Dialogs.
    danger, close = click("dialog.panel .bottom button:last-child"), click("dialog.panel .top button")
    stage.choose("CI deploy", "Disable")
    stage.find("dialog .evidence").wait_for()
    fails(one, danger, where="dialog.panel")
    close()
    fails(
        f"{one}/usage?*",
        lambda: stage.choose("CI deploy", "Revoke"),
        "We cannot tell whether it is in use.",
        where="dialog.panel",
    )
    stage.find("[value=key_compromise]").check()
    fails(f"{one}/revoke", danger, where="dialog.panel")
    assert stage.events("revoked") == []
    close()
    stage.choose("Ended", "Delete")
    fails(f"/api-keys/{ended['id']}", danger, where="dialog.panel")
    close()
    stage.fill_new("Perhaps")
    fails("/api-keys", danger, "We could not tell whether the key was created.", where="dialog.panel")
    danger()
    stage.secret()
    assert len([one for one in stage.call("GET", KEYS) if one["name"] == "Perhaps"]) == 1


# --- numbers ----------------------------------------------------------------------------------------------------------


MAKE = """({base, token, count}) => Promise.all(Array.from({length: count}, (_, number) => fetch(base + '/api-keys', {
  method: 'POST', body: JSON.stringify({name: `Key ${1000 + number}`}),
  headers: {Authorization: `Bearer ${token}`, 'Content-Type': 'application/json'},
})))"""


def test_many_keys(stage: Stage) -> None:
    """A thousand keys come page by page, each once; a search finds one among them."""
    page = stage.open(page_size="250")
    page.evaluate(MAKE, {"base": f"{stage.service.base_url}/api/v2", "token": stage.token(), "count": 1000})
    page.evaluate("element.refresh()")
    more = stage.find("footer").get_by_role("button", name="Load more")
    for count in (250, 500, 750, 1000):
        expect(stage.find("tr[data-id]")).to_have_count(count, timeout=PATIENCE_MS)
        if count < 1000:
            more.click()
    assert more.count() == 0
    assert sorted(stage.find(".who bdi").all_inner_texts()) == [f"Key {number}" for number in range(1000, 2000)]
    stage.find("input[type=search]").fill("Key 1042")
    expect(stage.find(".who bdi")).to_have_text(["Key 1042"], timeout=PATIENCE_MS)


def test_much_usage(stage: Stage) -> None:
    """A year of days and fifty sources fit on a narrow screen: ten sources at first, all of them on demand."""
    stage.form = Form(width=320)
    key = stage.key()
    days = [{"start": in_days(number - 365), "count": number % 97} for number in range(365)]
    source = {"public_key": key["public_key"], "agent": "python-httpx/0.28", "verifier": None, "count": 7}
    seen = {"first_seen": in_days(-30), "last_seen": in_days(-1)}
    sources = [{**source, **seen, "network": f"2001:db8:{number:x}::/48"} for number in range(50)]
    usage = stage.call("GET", f"{KEYS}/{key['id']}/usage")
    body = {**usage, "period": "day", "counts": days, "sources": sources, "last_used_at": in_days(-1)}
    stage.open(selected=key["id"])
    stage.intercept("/api-keys/*/usage?*", given(body))
    stage.find("#tab-usage").click()
    expect(stage.find("#tab-panel .frame tbody tr")).to_have_count(10, timeout=PATIENCE_MS)
    assert stage.find(".chart .bar").count() == sum(1 for day in days if day["count"])
    stage.find("#tab-panel").get_by_role("button", name="Show all 50").click()
    expect(stage.find("#tab-panel .frame tbody tr")).to_have_count(50)
    stage.find("figure summary").click()
    expect(stage.find("figure tbody tr")).to_have_count(365)
    assert stage.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


CONTROLS = """async (sets) => {
  const {options} = element;
  const {keys} = element.ui;
  const found = [];
  for (const permissions of sets) {
    element.options = {...options, permissions};
    const shown = new Set();
    for (const key of [null, ...keys]) {
      element.changed({menu: key && {key, button: document.body}});
      await element.updateComplete;
      for (const item of element.renderRoot.querySelectorAll('.menu button')) shown.add(item.textContent.trim());
    }
    if (element.renderRoot.querySelector('#create')) shown.add('Create API key');
    found.push([...shown].sort());
  }
  element.options = options;
  element.changed({menu: null});
  return found;
}"""
OFFERS = {
    "create:api_keys": {"Create API key"},
    "read:api_keys": set(),
    "update:api_keys": {"Rotate…", "Disable…", "Enable"},
    "revoke:api_keys": {"Revoke…"},
    "delete:api_keys": {"Delete…"},
    "read:api_key_events": set(),
}


def test_every_set_of_permissions(stage: Stage) -> None:
    """Each of the 64 sets of permissions offers exactly what it allows, for active, disabled and revoked keys."""
    stage.key()
    paused, ended = stage.key("Paused"), stage.key("Ended")
    stage.call("PATCH", f"{KEYS}/{paused['id']}", json={"enabled": False})
    stage.call("PUT", f"{KEYS}/{ended['id']}/revoke", json={"reason": "superseded"})
    page = stage.open()
    stage.find("select").first.select_option("")
    stage.row("Ended").wait_for()
    sets = [[name for bit, name in enumerate(OFFERS) if mask >> bit & 1] for mask in range(2 ** len(OFFERS))]
    always = {"Details", "Copy public key"}
    for permissions, shown in zip(sets, page.evaluate(CONTROLS, sets), strict=True):
        assert set(shown) == always.union(*(OFFERS[name] for name in permissions)), permissions
