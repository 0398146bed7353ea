"""A customer's dashboard: a strict page of another origin that embeds the element."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Acme</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/page.css">
<script type="module" src="/page.js"></script>
</head>
<body><main><h1>Settings</h1><div id="place"></div></main></body>
</html>"""

STYLE = """
:root { color-scheme: light dark; font-family: 'DejaVu Sans', sans-serif; }
body { margin: 0; background: light-dark(#fff, #14161b); color: light-dark(#1a1d24, #e8eaef); }
main { max-width: 74em; margin: 0 auto; padding: 1.5em clamp(0.75em, 3vw, 2em); }
h1 { font-size: 1em; font-weight: 500; color: light-dark(#5a6170, #a3abbb); }
"""

# What the page knows of the element: events and the token, which the test can take away.
SCRIPT = """
import * as lit from '%(service)s/element/v1/keywright-keys.js';
const element = document.createElement('keywright-keys');
const wanted = new URLSearchParams(location.search);
for (const [name, value] of wanted) element.setAttribute(name, value);
if (wanted.get('lang')) document.documentElement.lang = wanted.get('lang');
element.setAttribute('api-base', wanted.get('api-base') ?? '%(service)s/api/v2');
window.events = [];
const names = 'ready created rotated revoked deleted updated selected auth-required error secret-pending';
for (const name of names.split(' '))
  element.addEventListener(`keywright-${name}`, (event) => events.push([name, event.detail]));
window.asked = [];
element.getAccessToken = async ({ reason }) => {
  asked.push(reason);
  const answer = await fetch('/token');
  return (await answer.json()).token;
};
document.getElementById('place').append(element);
window.element = element;
"""


class HostPage:
    """
    Serves the page on loopback.

    Args:
        service: The address of the service.
        token: Gives the access token of the person at the page.
        policy: Gives the `Content-Security-Policy` of the page.

    `free` has further pages, by path, that have no policy. A page that Playwright makes up may not call this machine.
    """

    def __init__(self, service: str, token: Callable[[], str]) -> None:
        self.service = service
        self.token = token
        self.free: dict[str, str] = {}
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                found = ("text/html", host.free[path]) if path in host.free else host.answer(path)
                self.send_response(404 if found is None else 200)
                kind, text = found or ("text/plain", "")
                body = text.encode()
                headers = {"Content-Type": f"{kind}; charset=utf-8", "Content-Length": str(len(body))}
                if path not in host.free:
                    headers["Content-Security-Policy"] = host.policy
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def policy(self) -> str:
        """The policy: no inline script, no inline style, nothing but the service, and Trusted Types enforced."""
        return (
            f"default-src 'none'; script-src 'self' {self.service}; style-src 'self'; img-src 'self' data:; "
            f"connect-src 'self' {self.service}; base-uri 'none'; require-trusted-types-for 'script'; "
            "trusted-types keywright lit-html"
        )

    def answer(self, path: str) -> tuple[str, str] | None:
        """Give the type and text of a path."""
        return {
            "/": ("text/html", PAGE),
            "/page.css": ("text/css", STYLE),
            "/page.js": ("text/javascript", SCRIPT % {"service": self.service}),
            "/token": ("application/json", json.dumps({"token": self.token()})),
        }.get(path)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
