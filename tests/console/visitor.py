"""Somebody at a browser, by hand: cookies with their rules, redirects, and the headers that a browser writes."""

from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from tests.live import PATIENCE_SECONDS

HOME = "https://keys.test"
SESSION = "__Host-Http-keywright-session"
SIGN_IN = "__Host-Http-keywright-sign-in-"
OWN_PAGE = {"Sec-Fetch-Site": "same-origin", "X-Keywright-Console": "1"}


@dataclass
class Visitor:
    """
    A browser whose `https://keys.test` is the service, without TLS.

    Args:
        service: The address of the service.
        cookies: Those of the service, by name.
    """

    service: str
    cookies: dict[str, str] = field(default_factory=dict)
    written: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        # No connection is kept, so that none is left open.
        once = httpx.Limits(max_keepalive_connections=0)
        self._service = httpx.Client(base_url=self.service, trust_env=False, timeout=PATIENCE_SECONDS, limits=once)
        self._issuer = httpx.Client(trust_env=False, timeout=PATIENCE_SECONDS, limits=once)

    def send(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, cookies: dict[str, str] | None = None,
        **more: Any,
    ) -> httpx.Response:  # fmt: skip
        """Send a request to the service with cookies, and keep those of the answer."""
        sent = self.cookies if cookies is None else cookies
        pairs = "; ".join(f"{name}={value}" for name, value in sent.items())
        answer = self._service.request(
            method, path, headers={**({"Cookie": pairs} if pairs else {}), **(headers or {})}, **more
        )
        self._service.cookies.clear()
        for line in answer.headers.get_list("set-cookie"):
            self._keep(line)
        return answer

    def fetch(self, path: str, method: str = "GET", **more: Any) -> httpx.Response:
        """Send what the script of the console sends."""
        return self.send(method, path, headers={**OWN_PAGE, **more.pop("headers", {})}, **more)

    def come_back(self, url: str) -> httpx.Response:
        """Follow a link from another site: a top-level navigation gets the Lax cookies and no Strict one."""
        split = urlsplit(url)
        lax = {name: value for name, value in self.cookies.items() if name.startswith(SIGN_IN)}
        headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
        return self.send("GET", f"{split.path}?{split.query}", headers=headers, cookies=lax)

    def begin(self, **query: str) -> httpx.Response:
        """Go to the sign-in, from a page of the console."""
        headers = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "document"}
        return self.send("GET", "/console/auth/login", params=query, headers=headers)

    def at_the_issuer(self, url: str) -> str:
        """Follow the issuer's redirects until one leads back to the console; give that address."""
        for _ in range(12):
            answer = self._issuer.get(url)
            assert answer.is_redirect, answer.text
            url = urljoin(url, answer.headers["Location"])
            if url.startswith(HOME):
                return url
        raise AssertionError(f"the issuer redirects for ever: {url}")

    def sign_in(self, **query: str) -> httpx.Response:
        """Sign in; give the answer of the callback."""
        return self.come_back(self.at_the_issuer(self.begin(**query).headers["Location"]))

    def who(self) -> Any:
        """Ask who is signed in."""
        answer = self.fetch("/console/auth/session")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def _keep(self, line: str) -> None:
        self.written.append(line)
        for name, morsel in SimpleCookie(line).items():
            if morsel["max-age"] == "0":
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = morsel.value
