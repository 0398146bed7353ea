"""
The console and the element in Chromium, with `keywright dev` and 1,000 keys. Loads are on a machine four times as slow
as this one, and a network of 9 Mbit/s whose answers take 100 ms; cold is without a cache, warm with one. Bytes of the
console are those of the network, compressed, heads included; those of the element are its files, compressed. A time to
the painted list ends with the frame that has the first key; interactions are as the browser measures them, with 1,000
rows and without slowing down.
"""

import gzip
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from inspect import cleandoc
from pathlib import Path

import httpx
from playwright.sync_api import Browser, Page

from bench import goals
from bench.browser import Watched, chromium
from bench.figures import Section, Table
from bench.processes import CORES, PATIENCE_SECONDS, started
from bench.rounds import Plan, Rounds
from bench.service import API_KEYS, Tree

ROWS = 1000
TIMES = 200
_OPEN_AND_CLOSE = """async ({id, times}) => {
  const element = document.querySelector('keywright-keys');
  const until = async (shown) => {
    while (!!element.shadowRoot.querySelector('.facts') !== shown) await new Promise(requestAnimationFrame);
  };
  for (let time = 0; time < times; time += 1) {
    element.selected = id;
    await until(true);
    element.selected = '';
    await until(false);
  }
}"""
_HOST = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Host</title><link rel="icon" href="data:,">
<keywright-keys></keywright-keys>
<script>document.querySelector('keywright-keys').getAccessToken = async () => %s;</script>
<script type="module" src="%s/element/v1/keywright-keys.js"></script></html>"""


@dataclass(frozen=True, slots=True)
class Figures:
    """What one round found."""

    first_kb: float
    """The element's files that a page has asked for when the list is painted"""
    all_kb: float
    """All scripts of the element with one language, each compressed by itself"""
    element_requests: float
    """Until the list is painted in a page of another origin, without preflights"""
    list_requests: float
    """To read the list once more"""
    console_kb: float
    """The first visit of somebody signed in, without the answers of the API"""
    answers_kb: float
    """Those answers, with 50 keys"""
    console_requests: float
    """All of them"""
    cold_ms: float
    warm_ms: float
    longest_task_ms: float
    shift: float
    interaction_ms: float
    heap_growth_kb: float
    """After 200 times details of a key were opened and closed"""
    detached_dialogs: float


def rounds(trees: Sequence[Tree], plan: Plan) -> Rounds:
    """Measure each tree once in every round."""
    found = Rounds({tree.name: [] for tree in trees})
    for _ in range(plan.rounds):
        for tree in trees:
            found.found[tree.name].append(_measure(tree))
    return found


def section(tree: Tree, plan: Plan) -> Section:
    """Measure, and give the section of the report: each figure beside its goal."""
    found = rounds([tree], plan)
    table = Table("Medians beside their goals", goals.heads([tree.name]))
    wanted = [goal for goal in goals.GOALS if goal.case == "console"]
    table.rows.extend(goals.rows({"console": found}, [tree.name], wanted))
    print(*(goals.printed(row) for row in table.rows), sep="\n", flush=True)
    return Section("The console and the element", cleandoc(__doc__), [table])


@dataclass(frozen=True, slots=True)
class _Demo:
    url: str
    token: str
    host: str


def _measure(tree: Tree) -> Figures:
    with ExitStack() as held:
        demo = held.enter_context(_demo(tree))
        browser = held.enter_context(chromium())
        found = {**_element(browser, demo, _sizes(tree.exported())), **_console(browser, demo), **_work(browser, demo)}
    return Figures(**{one.name: found[one.name] for one in fields(Figures)})


def _sizes(folder: Path) -> dict[str, int]:
    scripts = [path for path in folder.rglob("*.js") if path.stem != "de"]
    return {f"/{path.relative_to(folder)}": len(gzip.compress(path.read_bytes(), mtime=0)) for path in scripts}


def _element(browser: Browser, demo: _Demo, sizes: Mapping[str, int]) -> dict[str, float]:
    context = browser.new_context()
    watched = Watched.of(context, demo.url)
    watched.load(demo.host)
    first = sum(size for name, size in sizes.items() if watched.sizes_of(name))
    counted = {"first_kb": first / 1000, "all_kb": sum(sizes.values()) / 1000, "element_requests": len(watched.sizes)}
    watched.sizes.clear()
    watched.page.evaluate("document.querySelector('keywright-keys').refresh()")
    counted["list_requests"] = len(watched.sizes_of("/api/"))
    context.close()
    return counted


def _console(browser: Browser, demo: _Demo) -> dict[str, float]:
    context = browser.new_context()
    watched = _signed_in(Watched.of(context, demo.url))
    watched.session.send("Network.clearBrowserCache")
    watched.slow_down()
    cold = watched.load(f"{demo.url}/console")
    requests, answers = len(watched.sizes), sum(watched.sizes_of("/api/"))
    size = sum(watched.sizes.values()) - answers
    warm = watched.load(f"{demo.url}/console")
    context.close()
    return {
        "console_kb": size / 1000,
        "answers_kb": answers / 1000,
        "console_requests": requests,
        "cold_ms": cold["painted"],
        "warm_ms": warm["painted"],
        "longest_task_ms": cold["longest"],
        "shift": cold["shift"],
    }


def _work(browser: Browser, demo: _Demo) -> dict[str, float]:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    watched = _signed_in(Watched.of(context, demo.url))
    page = watched.page
    key = page.locator("tr[data-id]").first.get_attribute("data-id")
    page.evaluate(_OPEN_AND_CLOSE, {"id": key, "times": 20})
    before = watched.heap_bytes()
    page.evaluate(_OPEN_AND_CLOSE, {"id": key, "times": TIMES})
    growth, detached = watched.heap_bytes() - before, watched.detached_dialogs()
    page.evaluate(f"document.querySelector('keywright-keys').pageSize = {ROWS}")
    page.get_by_role("button", name="Refresh").click()
    page.locator("tr[data-id]").nth(ROWS - 1).wait_for(state="attached")
    page.evaluate("notes.interaction = 0")
    _interact(page)
    interaction = page.evaluate("notes.interaction")
    context.close()
    return {"heap_growth_kb": growth / 1000, "detached_dialogs": detached, "interaction_ms": interaction}


def _interact(page: Page) -> None:
    """Do what people do with a list: a menu, the details and their tabs, the search, a form."""
    page.locator(".acts button").nth(3).click()
    page.keyboard.press("Escape")
    page.locator(".who button").nth(2).click()
    page.locator(".facts").wait_for()
    page.locator("#tab-usage").click()
    page.locator(".chart").wait_for()
    page.keyboard.press("Escape")
    page.locator(".drawer").wait_for(state="detached")
    page.locator("#create").click()
    page.locator("#f-name").press_sequentially("Staging", delay=30)
    page.keyboard.press("Escape")
    page.locator("dialog").wait_for(state="detached")
    page.locator("input[type=search]").press_sequentially("key 99", delay=30)
    page.locator("tr[data-id]").nth(20).wait_for(state="detached")
    # Entries of the last interactions come with the next frames.
    page.wait_for_timeout(300)


def _signed_in(watched: Watched) -> Watched:
    watched.page.goto(f"{watched.service}/console")
    watched.page.get_by_text("Anna").click()
    watched.page.locator("tr[data-id]").first.wait_for()
    return watched


@contextmanager
def _demo(tree: Tree) -> Iterator[_Demo]:
    """Run `keywright dev` of a tree with the keys, and a page of another origin with the element."""
    port, issuer_port, host_port = _free_ports(3)
    url, host = (f"http://127.0.0.1:{each}" for each in (port, host_port))
    words = ("--port", str(port), "--issuer-port", str(issuer_port), "--dir", "demo")
    command, env, folder = tree.demo(*words, cors_origins=host, metrics="off", log_level="warning")
    with started(command, env=env, cwd=folder, log=folder / "demo.log", cores=CORES[:1]) as process:
        threading.Thread(target=process.communicate, daemon=True).start()
        token = _token(folder / "demo" / "env", url)
        _fill(url, token)
        with _host(host_port, _HOST % (json.dumps(token), url)):
            yield _Demo(url, token, host)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _token(env: Path, url: str) -> str:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            httpx.get(f"{url}/readyz", trust_env=False).raise_for_status()
            lines = dict(line.partition("=")[::2] for line in env.read_text().splitlines())
            return lines["KEYWRIGHT_TOKEN"]
        except (httpx.HTTPError, OSError):
            time.sleep(0.05)
    raise RuntimeError("keywright dev did not start")


def _fill(url: str, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=PATIENCE_SECONDS) as client:
        missing = ROWS - len(client.get(API_KEYS, params={"limit": ROWS}).raise_for_status().json())
        for number in range(missing):
            client.post(API_KEYS, json={"name": f"key {number}", "scopes": ["orders:read"]}).raise_for_status()


@contextmanager
def _host(port: int, page: str) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = page.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
