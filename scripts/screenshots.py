"""
Write the pictures of the docs: the element on a page of a customer, and the operator's page, of a running demo.

    python scripts/screenshots.py [FOLDER]

needs Chromium. It runs `keywright dev` in a folder of its own, creates keys, uses each once, and writes the counts
of the last seven days, which are invented, into the demo's database. Then it writes `keys-light.png`
and `keys-dark.png` to FOLDER, docs/images unless named. For `operator-light.png` and `operator-dark.png` it rotates a
key, and finds it as an operator by the private key that has ended.
"""

import contextlib
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parents[1]
WIDTH, HEIGHT = 1120, 556
OPERATOR_HEIGHT = 700
PATIENCE_SECONDS = 60
# In microseconds, the unit of times in a SQLite database.
DAY = 24 * 3600 * 1_000_000
KEYS = "/api/v2/api-keys"
# The name, the uses of each of the last seven days, the oldest first, and the other fields of each key.
DEMO: tuple[tuple[str, tuple[int, ...], Mapping[str, Any]], ...] = (
    ("Reporting (old)", (4, 3, 2, 0, 0, 0, 0), {"description": "Replaced by the nightly export"}),
    (
        "Mobile backend",
        (22, 24, 19, 31, 34, 12, 27),
        {"description": "Signs in app devices", "scopes": ["orders:read"]},
    ),
    ("Load test", (0, 0, 38, 40, 6, 0, 0), {"environment": "sandbox", "expires_in_days": 11}),
    ("Nightly export", (3, 3, 3, 3, 3, 3, 3), {"description": "Sends invoices to the ledger"}),
    ("CI deploy", (5, 9, 14, 12, 3, 2, 16), {"description": "Deploys the site", "expires_in_days": 90}),
)

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Acme</title>
<style>
:root {{ color-scheme: light dark; font-family: 'Inter', 'Liberation Sans', sans-serif; }}
body {{ margin: 0; padding: 28px 32px; background: light-dark(#fff, #14161b); color: light-dark(#1a1d24, #e8eaef); }}
</style>
<script>window.token = {token!r};</script>
</head><body><keywright-keys api-base="{url}/api/v2"></keywright-keys>
<script>document.querySelector('keywright-keys').getAccessToken = async () => token;</script>
<script type="module" src="{url}/element/v1/keywright-keys.js"></script>
</body></html>"""


def free_port() -> int:
    """Find a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def demo(folder: Path, origin: str) -> Iterator[dict[str, str]]:
    """Run `keywright dev`, and give the variables of its file `env`."""
    ports = ["--port", str(free_port()), "--issuer-port", str(free_port())]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "keywright", "dev", *ports],
            cwd=folder,
            env={**os.environ, "KEYWRIGHT_CORS_ORIGINS": origin},
            stdout=log,
            stderr=log,
        )
    try:
        yield _environment(folder / ".keywright-dev" / "env", process)
    finally:
        process.terminate()
        process.wait()


def _environment(path: Path, process: "subprocess.Popen[bytes]") -> dict[str, str]:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError, httpx.TransportError, KeyError):
            lines = [line.removeprefix("export ").partition("=") for line in path.read_text().splitlines()]
            values = {name: value.strip("'\"") for name, _, value in lines if value}
            if httpx.get(f"{values['KEYWRIGHT_URL']}/readyz", trust_env=False).status_code == 200:
                return values
        time.sleep(0.05)
    raise SystemExit("keywright dev did not start")


def fill(http: httpx.Client, verifier: str) -> dict[str, tuple[int, ...]]:
    """Create the keys and use each; give the uses of each id by day."""
    uses: dict[str, tuple[int, ...]] = {}
    for name, days, fields in DEMO:
        body = {"name": name, **fields}
        if (expires := body.pop("expires_in_days", None)) is not None:
            body["expires_at"] = (datetime.now(UTC) + timedelta(days=expires)).isoformat()
        made = http.post(KEYS, json=body).raise_for_status().json()
        check = {"key": made["private_key"], "client_ip": "203.0.113.9"}
        headers = {"Authorization": f"Bearer {verifier}"}
        http.post(f"{KEYS}/verify", json=check, headers=headers).raise_for_status()
        uses[made["id"]] = days
    deadline = time.monotonic() + PATIENCE_SECONDS
    while any(key["last_used_at"] is None for key in http.get(KEYS).raise_for_status().json()):
        if time.monotonic() > deadline:
            raise SystemExit("the uses were not stored")
        time.sleep(0.1)
    return uses


def spread(database: Path, uses: Mapping[str, tuple[int, ...]]) -> None:
    """Replace the stored uses of each key by invented ones: a demo that began a moment ago has one, in this hour."""
    with contextlib.closing(sqlite3.connect(database, timeout=PATIENCE_SECONDS)) as connection, connection:
        for key_id, days in uses.items():
            key = uuid.UUID(key_id).bytes
            ((hour, last),) = connection.execute(
                "SELECT h.hour, s.last_used_at FROM key_hours h JOIN api_key_secrets s USING (key_id) WHERE key_id = ?",
                (key,),
            ).fetchall()
            ago = [(len(days) - 1 - index, count) for index, count in enumerate(days) if count]
            connection.execute("DELETE FROM key_hours WHERE key_id = ?", (key,))
            rows = [(key, hour - back * DAY, count) for back, count in ago]
            connection.executemany("INSERT INTO key_hours (key_id, hour, count) VALUES (?, ?, ?)", rows)
            moved = last - min(back for back, _ in ago) * DAY
            connection.execute("UPDATE api_key_secrets SET last_used_at = ? WHERE key_id = ?", (moved, key))


@contextmanager
def dashboard() -> Iterator[ThreadingHTTPServer]:
    """Serve the page that is the attribute `page` of the server, on loopback."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.server.page.encode()  # type: ignore[attr-defined]
            self.send_response(200)
            for name, value in (("Content-Type", "text/html"), ("Content-Length", str(len(body)))):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@contextmanager
def picture(browser: Browser, scheme: Any, height: int, target: Path) -> Iterator[Page]:
    """Give a page in a colour scheme, and write what it looks like in the end."""
    with browser.new_context(
        color_scheme=scheme,
        viewport={"width": WIDTH, "height": height},
        locale="en-GB",
        reduced_motion="reduce",
        device_scale_factor=1.5,
    ) as context:
        page = context.new_page()
        yield page
        page.screenshot(path=target, animations="disabled", caret="hide")


def show_keys(page: Page, origin: str) -> None:
    """Open the list of keys in the dashboard."""
    page.goto(origin)
    page.locator("keywright-keys tbody tr").nth(len(DEMO) - 1).wait_for()


def leak(http: httpx.Client) -> str:
    """Create a key and rotate it; give the private key that has ended."""
    made = http.post(KEYS, json={"name": "Partner import", "description": "Reads orders"}).raise_for_status().json()
    http.post(f"{KEYS}/{made['id']}/rotate", json={"overlap_seconds": 0}).raise_for_status()
    private_key: str = made["private_key"]
    return private_key


def show_leaked(page: Page, url: str, leaked: str) -> None:
    """Sign in as the demo's operator, and find the key of a leaked private key."""
    page.goto(f"{url}/console/operator")
    page.get_by_role("link", name="Olivia").click()
    page.locator("#in-find").fill(leaked)
    page.keyboard.press("Enter")
    page.locator(".drawer .evidence").wait_for()
    page.locator(".drawer .facts").wait_for()
    # The sentence of the live region is shown for a moment.
    page.locator(".toast").wait_for(state="detached")


def main(target: Path) -> None:
    """Write the pictures."""
    target.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(dashboard())
        origin = f"http://127.0.0.1:{server.server_port}"
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        environment = stack.enter_context(demo(folder, origin))
        url, headers = environment["KEYWRIGHT_URL"], {"Authorization": f"Bearer {environment['KEYWRIGHT_TOKEN']}"}
        with httpx.Client(base_url=url, headers=headers, trust_env=False) as http:
            uses = fill(http, environment["KEYWRIGHT_VERIFIER"])
        spread(folder / ".keywright-dev" / "keywright.db", uses)
        server.page = PAGE.format(url=url, token=environment["KEYWRIGHT_TOKEN"])  # type: ignore[attr-defined]
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            for scheme in ("light", "dark"):
                with picture(browser, scheme, HEIGHT, target / f"keys-{scheme}.png") as page:
                    show_keys(page, origin)
            with httpx.Client(base_url=url, headers=headers, trust_env=False) as http:
                leaked = leak(http)
            for scheme in ("light", "dark"):
                with picture(browser, scheme, OPERATOR_HEIGHT, target / f"operator-{scheme}.png") as page:
                    show_leaked(page, url, leaked)
            browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images")
