"""A private key is shown once, is never lost without a word, and is nowhere but in the reveal."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Route

from tests.browser.stage import KEYS, Stage, lost

pytestmark = [pytest.mark.early, pytest.mark.xdist_group("browser")]

DENIED = "Object.defineProperty(navigator, 'clipboard', {value: {writeText: async () => { throw new Error('no'); }}});"
ABSENT = "Object.defineProperty(navigator, 'clipboard', {value: undefined});"
NO_COMMAND = "document.execCommand = () => false;"
KEPT = "Object.defineProperty(navigator, 'clipboard', {value: {writeText: async (text) => { window.kept = text; }}});"


def still_shown(stage: Stage, secret: str) -> None:
    assert stage.find("#secret").input_value() == secret


def go_back(stage: Stage, secret: str) -> None:
    """Go back out of the question, and find the key."""
    stage.find("[data-back]").click()
    still_shown(stage, secret)


def test_five_escapes(stage: Stage) -> None:
    """Escape asks and never closes, however often it is pressed: browsers close at the second one by themselves."""
    stage.open()
    secret = stage.reveal()
    for _ in range(5):
        stage.page.keyboard.press("Escape")
    assert stage.find("dialog[open]").count() == 1
    go_back(stage, secret)


def test_a_browser_that_closes_the_dialog(stage: Stage) -> None:
    """A dialog that was closed past the page, as by a browser without `closedby`, comes back and asks."""
    stage.open()
    secret = stage.reveal()
    stage.find("dialog").evaluate("dialog => dialog.close()")
    stage.find("dialog[open] [data-back]").wait_for()
    go_back(stage, secret)


def test_a_click_outside(stage: Stage) -> None:
    """A click beside the dialog does nothing."""
    stage.open()
    secret = stage.reveal()
    stage.page.mouse.click(5, 5)
    still_shown(stage, secret)


def test_the_cross(stage: Stage) -> None:
    """The cross asks first."""
    stage.open()
    secret = stage.reveal()
    stage.find("dialog .top button").click()
    go_back(stage, secret)


def test_the_page_asks_to_close(stage: Stage) -> None:
    """`close()` of the page resolves to false while the key is not saved, and an event says so."""
    stage.open()
    secret = stage.reveal()
    assert stage.page.evaluate("element.close()") is False
    assert stage.events("secret-pending") == [{"pending": True}]
    go_back(stage, secret)


def test_done_needs_one_of_three(stage: Stage) -> None:
    """Done is off until the key was copied, downloaded, or confirmed; afterwards the dialog closes without a word."""
    stage.open()
    stage.reveal()
    done = stage.find("dialog .bottom .primary")
    assert done.is_disabled()
    stage.find("dialog .bottom input").check()
    done.click()
    stage.shut()
    assert stage.events("secret-pending") == [{"pending": True}, {"pending": False}]
    assert stage.find(".banner").count() == 0


def test_leaving_without_saving(stage: Stage) -> None:
    """Who closes anyway finds a banner, and gets the very same key shown again, not another one."""
    stage.open()
    secret = stage.reveal()
    stage.page.keyboard.press("Escape")
    stage.find("dialog .danger").click()
    stage.shut()
    stage.find(".banner").get_by_role("button", name="Show again").click()
    assert stage.secret() == secret
    assert len(stage.call("GET", KEYS)) == 1


def test_the_element_is_taken_out_and_put_back(stage: Stage) -> None:
    """An element that a router moves shows the key again."""
    stage.open()
    secret = stage.reveal()
    stage.page.evaluate("() => { element.remove(); document.getElementById('place').append(element); }")
    still_shown(stage, secret)


REPLACED = """() => {
  const next = document.createElement('keywright-keys');
  next.setAttribute('api-base', element.apiBase);
  next.getAccessToken = element.getAccessToken;
  element.remove();
  document.getElementById('place').append(next);
}"""


def test_another_element_takes_over(stage: Stage) -> None:
    """An element that was removed for good leaves its key to the next one of the page."""
    stage.open()
    secret = stage.reveal()
    stage.page.evaluate(REPLACED)
    stage.find(".banner").get_by_role("button", name="Show again").click()
    assert stage.secret() == secret


def test_a_removed_element_that_still_reads(stage: Stage) -> None:
    """A list that reaches the removed element later does not take the key away from the next one."""
    stage.open()
    waiting: list[Route] = []
    stage.intercept("/api-keys?*", lambda route: waiting.append(route))
    secret = stage.reveal()
    wait_until(stage, lambda: len(waiting) == 1)
    stage.page.evaluate(REPLACED)
    wait_until(stage, lambda: len(waiting) == 2)
    with stage.page.expect_response(lambda response: "/api-keys?" in response.url):
        waiting[0].continue_()
    # The removed element has its answer once the browser has run what waits for it.
    stage.page.evaluate("() => new Promise((done) => setTimeout(done, 100))")
    waiting[1].continue_()
    stage.find(".banner").get_by_role("button", name="Show again").click()
    assert stage.secret() == secret


def wait_until(stage: Stage, done: Callable[[], bool]) -> None:
    while not done():
        stage.page.wait_for_timeout(20)


def test_leaving_the_page(stage: Stage) -> None:
    """Reload and back make the browser ask while a key is not saved, and do not when it is."""
    page = stage.open()
    secret = stage.reveal()
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
    page.evaluate("setTimeout(() => location.reload())")
    page.wait_for_timeout(1)
    while not asked:
        page.wait_for_timeout(20)
    still_shown(stage, secret)
    stage.find("dialog .bottom input").check()
    page.reload()
    assert asked == ["beforeunload"]


def test_closing_while_the_answer_is_on_its_way(stage: Stage) -> None:
    """While the request runs nothing closes the dialog; then the key is shown."""
    page = stage.open()
    waiting: list[object] = []
    stage.intercept(
        "/api-keys", lambda route: waiting.append(route) if route.request.method == "POST" else route.fallback()
    )
    stage.fill_new()
    page.keyboard.press("Enter")
    while not waiting:
        page.wait_for_timeout(20)
    for _ in range(3):
        page.keyboard.press("Escape")
    stage.find("dialog .top button").click()
    page.mouse.click(5, 5)
    assert page.evaluate("element.close()") is False
    assert stage.find("dialog[open] #f-name").count() == 1
    waiting[0].continue_()  # type: ignore[attr-defined]
    assert stage.secret().startswith("kw_sk_")


def test_an_answer_that_was_lost(stage: Stage) -> None:
    """After a lost answer the form says so; trying again gives the key that was made, and there is one."""
    stage.open()
    stage.intercept("/api-keys", lambda route: lost(route) if route.request.method == "POST" else route.fallback(), 1)
    stage.fill_new()
    stage.page.keyboard.press("Enter")
    stage.find("dialog").get_by_text("We could not tell whether the key was created.").wait_for()
    assert stage.find("#f-name").is_disabled()
    made = stage.call("GET", KEYS)
    stage.find("dialog .bottom .primary").click()
    secret = stage.secret()
    assert made[0]["private_key_display"][-4:] == secret[-4:]
    assert [key["id"] for key in stage.call("GET", KEYS)] == [made[0]["id"]]


def test_a_lost_answer_that_nobody_waits_for(stage: Stage) -> None:
    """Who closes the form after a lost answer finds out from the list."""
    stage.open()
    stage.intercept("/api-keys", lambda route: lost(route) if route.request.method == "POST" else route.fallback(), 1)
    stage.fill_new("Perhaps")
    stage.page.keyboard.press("Enter")
    stage.find("dialog").get_by_text("We could not tell").wait_for()
    stage.find("dialog .bottom button", has_text="Close").click()
    stage.find(".banner").get_by_role("button", name="Find out").click()
    assert stage.secret().startswith("kw_sk_")
    assert len(stage.call("GET", KEYS)) == 1


def test_two_clicks_make_one_key(stage: Stage) -> None:
    """A double click, or Enter twice, sends one request."""
    page = stage.open()
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    stage.fill_new()
    stage.find("dialog form").evaluate("form => { form.requestSubmit(); form.requestSubmit(); form.requestSubmit(); }")
    stage.secret()
    assert len(sent) == 1
    assert len(stage.call("GET", KEYS)) == 1


def test_refetching_the_list_leaves_it_standing(stage: Stage) -> None:
    """The list is read again, and the token changes, while the key is shown: it stays."""
    stage.open()
    secret = stage.reveal()
    for _ in range(3):
        stage.page.evaluate("element.refresh()")
    still_shown(stage, secret)
    assert stage.find("dialog[open]").count() == 1


def test_copy(stage: Stage) -> None:
    """Copy puts the whole key on the clipboard and says so."""
    stage.scripts.append(KEPT)
    stage.open()
    secret = stage.reveal()
    stage.find("[data-copy]").click()
    stage.find("dialog").get_by_text("✓ Copied").wait_for()
    assert stage.page.evaluate("kept") == secret
    assert stage.find("dialog .bottom .primary").is_enabled()


@pytest.mark.parametrize("clipboard", [DENIED, ABSENT], ids=["denied", "absent"])
def test_copy_that_fails(stage: Stage, clipboard: str) -> None:
    """Where nothing can be copied nothing says it was: the key is selected for the hand, and not counted as saved."""
    stage.scripts += [clipboard, NO_COMMAND]
    stage.open()
    secret = stage.reveal()
    stage.find("[data-copy]").click()
    stage.find("dialog").get_by_text("Copying was not allowed").wait_for()
    assert stage.find("dialog .bottom .primary").is_disabled()
    field = stage.find("#secret")
    assert field.evaluate("field => [field.selectionStart, field.selectionEnd]") == [0, len(secret)]
    assert field.evaluate("field => field.getRootNode().activeElement === field")
    stage.page.keyboard.press("Escape")
    go_back(stage, secret)


def test_copy_by_hand(stage: Stage) -> None:
    """Ctrl+C with the whole key selected counts as saved."""
    stage.open()
    stage.reveal()
    stage.find("#secret").focus()
    stage.page.keyboard.press("Control+c")
    stage.find("dialog").get_by_text("✓ Copied").wait_for()


def test_download(stage: Stage, tmp_path: Path) -> None:
    """The downloaded file has the key under the variable's name, and a harmless name of its own."""
    page = stage.open(env_name="ACME_KEY")
    secret = stage.reveal("../Ärger & Söhne")
    with page.expect_download() as download:
        stage.find("dialog").get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == "rger-s-hne.env"
    download.value.save_as(tmp_path / "it")
    assert (tmp_path / "it").read_text() == f"ACME_KEY={secret}\n"


def test_the_private_key_is_nowhere_else(stage: Stage) -> None:
    """The key is in no attribute, text, event, address, storage or log: only in the value of one field, for a time."""
    page = stage.open()
    heard: list[str] = []
    page.on("console", lambda message: heard.append(message.text))
    secret = stage.reveal()
    body = secret[-20:]
    everything = """() => {
      const inside = (one) => (one.shadowRoot ? deep(one.shadowRoot) : []);
      const deep = (root) => [...root.querySelectorAll('*')].flatMap((one) => [one.outerHTML, ...inside(one)]);
      return JSON.stringify([
        deep(document), location.href, history.state, document.cookie, {...localStorage},
        {...sessionStorage}, window.events, performance.getEntries(), window.name, document.title,
      ]);
    }"""
    assert body not in page.evaluate(everything)
    stage.find("dialog .bottom input").check()
    # The field itself is kept by the test, as a browser's accessibility tree might.
    field = stage.find("#secret").element_handle()
    stage.find("dialog .bottom .primary").click()
    stage.shut()
    assert field.evaluate("field => field.value") == ""
    field.dispose()
    assert body not in page.evaluate(everything)
    assert body not in page.locator("body").aria_snapshot()
    assert body not in "".join(heard)
    assert body not in stage.service.log_path.read_text()
    assert body not in heap_of(stage)


def heap_of(stage: Stage) -> str:
    """Take a snapshot of the page's heap, garbage collected before."""
    assert stage.context is not None
    session = stage.context.new_cdp_session(stage.page)
    parts: list[str] = []
    session.on("HeapProfiler.addHeapSnapshotChunk", lambda event: parts.append(event["chunk"]))
    session.send("HeapProfiler.collectGarbage")
    session.send("HeapProfiler.takeHeapSnapshot", {"reportProgress": False})
    text = "".join(parts)
    assert re.search('"strings":', text)
    return text


def test_rotation(stage: Stage) -> None:
    """The secret of a rotation is shown in the same way, with the end of the old one, and survives a lost answer."""
    made = stage.key()
    stage.open()
    stage.intercept(f"/api-keys/{made['id']}/rotate", lost, 1)
    stage.choose("CI deploy", "Rotate")
    stage.find("dialog .bottom .primary").click()
    stage.find("dialog").get_by_text("We could not tell whether the key was rotated.").wait_for()
    stage.find("dialog .bottom .primary").click()
    secret = stage.secret()
    stage.find("dialog").get_by_text("The old secret works until").wait_for()
    stage.page.keyboard.press("Escape")
    go_back(stage, secret)
    assert len(stage.call("GET", f"{KEYS}/{made['id']}")["secrets"]) == 2
    assert stage.events("rotated") == [{"id": made["id"], "name": "CI deploy"}]
