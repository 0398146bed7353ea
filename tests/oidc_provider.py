"""
A certified OpenID Connect provider (npm `oidc-provider`) as a process of its own on loopback, and real tokens from it.

The fixtures are `oidc_provider`, which the whole run shares and nobody may rotate, restart or stop, and
`own_oidc_provider` for a test that does. A conftest makes them known by importing them.
"""

import hashlib
import json
import secrets
import subprocess
import tempfile
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import IO, Any, TypedDict, Unpack
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx
import pytest

from keywright.service.principal import Permission
from tests.oidc_installation import CACHE, SOURCE, Installation, NotObtainableError, install
from tests.ports import free_port
from tests.provision import unavailable

AUDIENCE = "https://api.keywright.test/"
OTHER_AUDIENCE = "https://another-api.test/"

_ANSWER_SECONDS = 30


class OidcProviderError(Exception):
    """The provider did not start, or refused what a test asked of it; the message carries its own words."""


class TokenOptions(TypedDict, total=False):
    """
    What a test may choose about a token.

    Keys:
        org_id: The `org_id` claim; absent or None leaves it out.
        permissions: The `permissions` claim; absent or None leaves it out, an empty list is an empty claim.
        scope: Words of the `scope` claim, separated by spaces; of these the provider grants the names of `Permission`.
        claims: Other claims, such as a namespaced organisation. They cannot replace those the provider sets.
        audience: The resource asked for; `AUDIENCE` unless given, and `OTHER_AUDIENCE` is known too.
        issued_ago: How many seconds ago the token was issued. It lives for 3600 seconds, so 7200 makes an expired one.
    """

    org_id: str | None
    permissions: Sequence[str] | None
    scope: str
    claims: Mapping[str, object]
    audience: str
    issued_ago: int


@dataclass(slots=True, eq=False)
class OidcProvider:
    """The provider, running. It ends with `stop`, or with the test run itself."""

    installation: Installation
    process: "_Process"
    issuer: str
    kid: str
    machine: Mapping[str, str]
    web: Mapping[str, str]
    console: Mapping[str, str]
    audience: str = AUDIENCE
    http: httpx.Client = field(
        # No connection is kept: one that was would be found dead after an outage or a restart.
        default_factory=lambda: httpx.Client(trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))
    )

    def token(self, **options: Unpack[TokenOptions]) -> str:
        """Give the machine client an access token by the client credentials grant; its `sub` is the client's id."""
        form = {"grant_type": "client_credentials", **_choices(options)}
        if scope := options.get("scope"):
            form["scope"] = scope
        client = (self.machine["client_id"], self.machine["client_secret"])
        return _access_token(self.http.post(self._url("/token"), data=form, auth=client))

    def user_token(self, user: str = "auth0|alice", **options: Unpack[TokenOptions]) -> str:
        """Sign *user* in as a browser would, by the authorization code grant with PKCE; its `sub` is *user*."""
        verifier = secrets.token_urlsafe(48)
        code = self._sign_in(user, verifier, options)
        form = {"grant_type": "authorization_code", "code": code, "code_verifier": verifier, **self.web}
        return _access_token(self.http.post(self._url("/token"), data=form | _choices(options)))

    def rotate(self, *, keep: bool = True) -> str:
        """
        Sign with a new key from now on, and publish it.

        Args:
            keep: Whether the keys so far stay published beside it; False withdraws them, as after a leak.

        Returns:
            The new `kid`.
        """
        self.kid = self.process.command("rotate", keep=keep)["kids"][0]
        return self.kid

    def seat(self, user: str, *, refuses: bool = False, **claims: object) -> None:
        """Seat somebody at the browser who signs in at the console; *claims* are those of the access token."""
        self.process.command("person", sub=user, claims=claims, refuses=refuses)

    def move_console(self, url: str) -> None:
        """Say where the console is: `https://keys.test` unless told otherwise."""
        self.process.command("home", url=url)

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Refuse every connection within the block; the keys are the same before and after."""
        self.process.command("close")
        try:
            yield
        finally:
            self.process.command("open")

    def requests(self) -> dict[str, int]:
        """Tell how often each path was asked for since the start, such as `/jwks`."""
        return dict(self.process.command("requests")["requests"])

    def restart(self) -> None:
        """Start anew on the same port, with a new key and a new secret for the machine client; the old are gone."""
        self.process.end()
        self.process, ready = _launch(self.installation, [urlsplit(self.issuer).port or 0])
        self.kid, self.machine, self.web = ready["kid"], ready["machine"], ready["web"]
        self.console = ready["console"]

    def stop(self) -> None:
        """End the process and free its port. A second call does nothing."""
        self.process.end()
        self.http.close()

    def _url(self, path: str) -> str:
        return self.issuer + path

    def _sign_in(self, user: str, verifier: str, options: TokenOptions) -> str:
        query = {
            **self.web,
            "response_type": "code",
            "scope": f"openid {options.get('scope', '')}".strip(),
            "resource": options.get("audience", AUDIENCE),
            "login_hint": user,
            "state": secrets.token_urlsafe(16),
            "code_challenge": _base64url(hashlib.sha256(verifier.encode()).digest()),
            "code_challenge_method": "S256",
        }
        returned = parse_qs(urlsplit(self._browse(str(httpx.URL(self._url("/auth"), params=query)))).query)
        if returned.get("state") != [query["state"]] or "code" not in returned:
            raise OidcProviderError(f"the sign-in came back with {returned}")
        return returned["code"][0]

    def _browse(self, url: str) -> str:
        """Follow redirects, with cookies, until one leaves for the web client's own address; give that address."""
        with httpx.Client(trust_env=False, verify=False) as browser:  # noqa: S501 - plain http; loading CAs takes time
            for _ in range(10):
                answer = browser.get(url)
                if not answer.is_redirect:
                    raise OidcProviderError(f"GET {url} answered {answer.status_code}: {answer.text}")
                url = urljoin(url, answer.headers["Location"])
                if url.startswith(self.web["redirect_uri"]):
                    return url
        raise OidcProviderError(f"the sign-in still redirects at {url}")


class _Process:
    """The Node process: one JSON line in, one JSON line out."""

    def __init__(self, installation: Installation, settings: Mapping[str, object]) -> None:
        argument = json.dumps({"modules": str(installation.folder), **settings})
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - `end` closes it
        self._popen = subprocess.Popen(
            [installation.node, SOURCE / "provider.mjs", argument],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
        )
        self._lines: SimpleQueue[str] = SimpleQueue()
        self._reader = Thread(target=self._read, name="oidc-provider", daemon=True)
        self._reader.start()

    def command(self, command: str, **options: object) -> dict[str, Any]:
        """Send one command and give its answer."""
        assert self._popen.stdin is not None
        try:
            self._popen.stdin.write(json.dumps({"command": command, **options}) + "\n")
            self._popen.stdin.flush()
        except (OSError, ValueError) as error:
            raise OidcProviderError(f"the provider is gone: {error}") from error
        return self.receive()

    def receive(self) -> dict[str, Any]:
        """Give the next line it says, within 30 seconds."""
        try:
            line = self._lines.get(timeout=_ANSWER_SECONDS)
        except Empty:
            line = ""
        if not line:
            raise OidcProviderError(f"the provider said nothing; its log: {self._log()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise OidcProviderError(f"the provider failed: {answer['error']}")
        return answer

    def end(self) -> None:
        """End it and wait for that; kill it where it hangs."""
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        if not self._popen.stdin.closed:
            _close_pipe(self._popen.stdin)
        # The end of its input would end it, too, if nobody who was forked from here held the pipe open.
        self._popen.terminate()
        try:
            self._popen.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        self._reader.join()
        self._popen.stdout.close()
        self._errors.close()

    def _read(self) -> None:
        assert self._popen.stdout is not None
        for line in self._popen.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _log(self) -> str:
        self._errors.seek(0)
        return self._errors.read()[-4000:].decode(errors="replace")


def start_oidc_provider(cache_dir: Path = CACHE) -> OidcProvider:
    """
    Start a provider on a free port of 127.0.0.1, installing it first where that was not done yet.

    Args:
        cache_dir: Where installations are kept between runs; a folder that version control ignores.

    Raises:
        OidcProviderError: The provider is installed and does not start.
        pytest.skip.Exception: Node or the packages cannot be had here; where `CI` is `true` the test fails instead.
    """
    try:
        installation = install(cache_dir)
    except NotObtainableError as missing:
        unavailable(missing.what, missing.command)
    process, ready = _launch(installation, [free_port()])
    return OidcProvider(
        installation, process, ready["issuer"], ready["kid"], ready["machine"], ready["web"], ready["console"]
    )


@pytest.fixture(scope="session")
def oidc_provider() -> Iterator[OidcProvider]:
    """The provider that the whole run shares. Do not rotate, restart or stop it: take `own_oidc_provider` for that."""
    yield from _running()


@pytest.fixture
def own_oidc_provider() -> Iterator[OidcProvider]:
    """A provider of the test's own."""
    yield from _running()


def _running() -> Iterator[OidcProvider]:
    provider = start_oidc_provider()
    try:
        yield provider
    finally:
        provider.stop()


def _launch(installation: Installation, ports: Sequence[int]) -> tuple[_Process, dict[str, Any]]:
    settings = {"ports": list(ports), "resources": [AUDIENCE, OTHER_AUDIENCE], "scopes": list(Permission)}
    process = _Process(installation, settings)
    try:
        return process, process.receive()
    except BaseException:
        process.end()
        raise


def _choices(options: TokenOptions) -> dict[str, str]:
    claims = dict(options.get("claims", {}))
    if (org_id := options.get("org_id")) is not None:
        claims["org_id"] = org_id
    if (permissions := options.get("permissions")) is not None:
        claims["permissions"] = list(permissions)
    return {
        "resource": options.get("audience", AUDIENCE),
        "token_claims": json.dumps(claims),
        "issued_ago": str(options.get("issued_ago", 0)),
    }


def _access_token(answer: httpx.Response) -> str:
    if answer.status_code != httpx.codes.OK:
        raise OidcProviderError(f"POST {answer.url} answered {answer.status_code}: {answer.text}")
    return str(answer.json()["access_token"])


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _close_pipe(pipe: IO[str]) -> None:
    try:
        pipe.close()
    except OSError:
        # What was left to write goes to a process that has ended: that is what closing asks for anyway.
        return
