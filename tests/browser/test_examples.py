"""The examples with the element, as a browser has them: a page of FastAPI, and one of React built by Vite."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page

from keywright.dev.issuer import DevIssuer
from tests.browser.stage import PATIENCE_MS
from tests.live import PATIENCE_SECONDS, environment, start_service
from tests.markdown import ROOT
from tests.oidc_installation import NotObtainableError, install
from tests.ports import free_port
from tests.provision import unavailable

pytestmark = [pytest.mark.early, pytest.mark.xdist_group("browser")]

EXAMPLES = ROOT / "examples"
REACT = EXAMPLES / "embed-react"


@contextmanager
def opened(browser: Browser, url: str) -> Iterator[Page]:
    """Open a page; in the end it may not have complained."""
    complaints: list[str] = []
    with browser.new_context() as context:
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(url)
        yield page
    assert complaints == []


def create(page: Page, name: str) -> None:
    """Create a key in the element, and close the reveal."""
    page.locator("keywright-keys #create").click()
    page.locator("keywright-keys #f-name").fill(name)
    page.keyboard.press("Enter")
    page.locator("keywright-keys #secret").wait_for()
    page.locator("keywright-keys dialog .bottom input").check()
    page.locator("keywright-keys dialog .bottom .primary").click()
    page.locator("keywright-keys tbody tr", has_text=name).wait_for()


def names_of(service: str, token: str) -> list[str]:
    answer = httpx.get(f"{service}/api/v2/api-keys", headers={"Authorization": f"Bearer {token}"}, trust_env=False)
    return [key["name"] for key in answer.json()]


def await_answer(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            httpx.get(url, trust_env=False)
        except httpx.TransportError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError("it did not come up")


def test_fastapi(browser: Browser, issuer: DevIssuer) -> None:
    """The page of FastAPI, under its strict policy, creates a key of the user whose token its backend gives."""
    port, token = free_port(), issuer.token("acme")
    host = f"http://127.0.0.1:{port}"
    with start_service(environment(issuer, cors_origins=host)) as service:
        command = ["uvicorn", "--app-dir", str(EXAMPLES / "embed-fastapi"), "app:app", "--port", str(port)]
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            env={**os.environ, "KEYWRIGHT_URL": service.base_url, "KEYWRIGHT_TOKEN": token},
        )
        try:
            await_answer(host, process)
            with opened(browser, host) as page:
                create(page, "From FastAPI")
        finally:
            process.kill()
            process.wait()
        assert names_of(service.base_url, token) == ["From FastAPI"]


@pytest.fixture(scope="module")
def node() -> tuple[Path, Path]:
    """Node, and the packages of the example."""
    try:
        found = install(source=REACT, name="embed-react")
    except NotObtainableError as error:
        unavailable(error.what, error.command)
    return found.node, found.folder / "node_modules"


class _Host(SimpleHTTPRequestHandler):
    """The built page, and the token."""

    token = ""

    def do_POST(self) -> None:
        body = json.dumps({"token": self.token}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


@contextmanager
def hosted(folder: Path, token: str) -> Iterator[str]:
    """Serve a folder that may be filled later."""
    handler = type("Host", (_Host,), {"token": token})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def test_react(browser: Browser, issuer: DevIssuer, node: tuple[Path, Path], tmp_path: Path) -> None:
    """The component of React, built by Vite, creates a key, and its page hears of that."""
    source = tmp_path / "source"
    shutil.copytree(REACT, source, ignore=shutil.ignore_patterns("node_modules", "dist"))
    (source / "node_modules").symlink_to(node[1])
    token = issuer.token("acme")
    with (
        hosted(source / "dist", token) as host,
        start_service(environment(issuer, cors_origins=host)) as service,
    ):
        build = [node[0], node[1] / "vite" / "bin" / "vite.js", "build"]
        env = {**os.environ, "VITE_KEYWRIGHT_URL": service.base_url}
        subprocess.run(build, cwd=source, env=env, check=True, timeout=5 * PATIENCE_SECONDS, capture_output=True)
        with opened(browser, host) as page:
            create(page, "From React")
            page.get_by_role("status").get_by_text("Created From React.").wait_for()
        assert names_of(service.base_url, token) == ["From React"]
