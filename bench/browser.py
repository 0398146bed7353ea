"""Chromium with a page in it: slowed down, its requests counted, and what the page itself notes of its work."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Browser, BrowserContext, CDPSession, Page, sync_playwright

from bench.processes import CORES, on

PATIENCE_MS = 60_000
CPU_RATE = 4
LATENCY_MS = 100
BYTES_PER_SECOND = 9_000_000 / 8
_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
# `painted` is the end of the frame in which the first key had its row.
_NOTES = """
window.notes = {shift: 0, longest: 0, interaction: 0, painted: 0};
const observe = (type, note, more = {}) =>
  new PerformanceObserver((list) => list.getEntries().forEach(note)).observe({type, buffered: true, ...more});
observe('layout-shift', (entry) => { if (!entry.hadRecentInput) notes.shift += entry.value; });
observe('longtask', (entry) => { notes.longest = Math.max(notes.longest, entry.duration); });
const longer = (entry) => { if (entry.interactionId) notes.interaction = Math.max(notes.interaction, entry.duration); };
observe('event', longer, {durationThreshold: 16});
const look = () => {
  if (!document.querySelector('keywright-keys')?.shadowRoot?.querySelector('tr[data-id]')) {
    requestAnimationFrame(look);
    return;
  }
  const {port1, port2} = new MessageChannel();
  port1.onmessage = () => { notes.painted = performance.now(); };
  requestAnimationFrame(() => port2.postMessage(0));
};
requestAnimationFrame(look);
"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """
    Run Chromium.

    Raises:
        RuntimeError: It is not installed.
    """
    path = shutil.which("chromium")
    if path is None:
        raise RuntimeError("Chromium is not installed: apt-get install chromium")
    # A browser is many processes; a visitor's has all cores.
    with on(CORES), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        yield browser
        browser.close()


@dataclass
class Watched:
    """A page, and the bytes of each request to the service, head and body as they were sent."""

    page: Page
    session: CDPSession
    service: str
    sizes: dict[str, float] = field(default_factory=dict)
    _addresses: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, context: BrowserContext, service: str) -> "Watched":
        """Open an empty page whose requests to *service* count."""
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.add_init_script(_NOTES)
        made = cls(page, context.new_cdp_session(page), service)
        made.session.on("Network.requestWillBeSent", made._sent)
        made.session.on("Network.loadingFinished", made._finished)
        made.session.send("Network.enable")
        return made

    def _sent(self, event: dict[str, Any]) -> None:
        if "redirectResponse" in event:
            self.sizes[f"{event['requestId']}, redirected"] = event["redirectResponse"]["encodedDataLength"]
        if event["request"]["method"] != "OPTIONS":
            self._addresses[event["requestId"]] = event["request"]["url"]

    def _finished(self, event: dict[str, Any]) -> None:
        # A page of data: has no bytes of the service; what the cache has, has none at all.
        if self._addresses.get(event["requestId"], "").startswith(self.service) and event["encodedDataLength"]:
            self.sizes[event["requestId"]] = event["encodedDataLength"]

    def sizes_of(self, part: str) -> list[float]:
        """Give the bytes of the requests so far whose addresses contain *part*, but preflights."""
        return [size for name, size in self.sizes.items() if part in self._addresses[name.partition(",")[0]]]

    def slow_down(self) -> None:
        """From now on have a slower machine, and a network with a latency."""
        self.session.send("Emulation.setCPUThrottlingRate", {"rate": CPU_RATE})
        way = {"downloadThroughput": BYTES_PER_SECOND, "uploadThroughput": BYTES_PER_SECOND}
        self.session.send("Network.emulateNetworkConditions", {"offline": False, "latency": LATENCY_MS, **way})

    def load(self, url: str) -> dict[str, float]:
        """Load an address, wait until the list is painted and the page idle, and give the page's notes."""
        self.page.goto("about:blank")
        self.sizes.clear()
        self.page.goto(url)
        self.page.wait_for_function("() => window.notes?.painted")
        self.page.wait_for_load_state("networkidle")
        found: dict[str, float] = self.page.evaluate("notes")
        return found

    def heap_bytes(self) -> float:
        """Give the size of the page's heap without what nothing refers to."""
        self.session.send("HeapProfiler.collectGarbage")
        self.session.send("Performance.enable")
        metrics = self.session.send("Performance.getMetrics")["metrics"]
        return next(float(one["value"]) for one in metrics if one["name"] == "JSHeapUsedSize")

    def detached_dialogs(self) -> int:
        """Count the dialogs that are in memory and in no document."""
        prototype = self.session.send("Runtime.evaluate", {"expression": "HTMLDialogElement.prototype"})["result"]
        asked = {"prototypeObjectId": prototype["objectId"]}
        objects = self.session.send("Runtime.queryObjects", asked)["objects"]
        count = "function () { return this.filter((one) => !one.isConnected).length; }"
        call = {"objectId": objects["objectId"], "functionDeclaration": count, "returnByValue": True}
        return int(self.session.send("Runtime.callFunctionOn", call)["result"]["value"])
