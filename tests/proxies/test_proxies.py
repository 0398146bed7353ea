"""
Every documented proxy, run as documented, lets good keys through and nothing else.

Whatever a request is refused with, the backend must not have seen it: that is what each test looks at.
"""

import itertools
import json
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import httpx
import pytest

from keywright.keys.pair import mint
from tests.proxies.backend import Arrived, Backend
from tests.proxies.documented import RunningProxy
from tests.proxies.keywright import IDENTITY, Keywright, stand_in, until_refused

_numbers = itertools.count(1)


class Outcome(NamedTuple):
    """What a client was answered, and what the backend saw of its request."""

    status: int
    headers: httpx.Headers
    arrived: list[Arrived]
    body: bytes = b""

    def json(self) -> dict[str, Any]:
        """Read the body of an answer."""
        found: dict[str, Any] = json.loads(self.body)
        return found


class Client:
    """A client of the API behind the proxy; each request has a path of its own."""

    def __init__(self, http: httpx.Client, backend: Backend) -> None:
        self._http = http
        self._backend = backend

    def ask(self, *headers: tuple[str, str], method: str = "GET", query: str = "", content: bytes = b"") -> Outcome:
        path = f"/orders/{next(_numbers)}"
        try:
            response = self._http.request(method, f"{path}{query}", headers=list(headers), content=content)
        except httpx.ReadTimeout:
            return Outcome(0, httpx.Headers(), self._backend.arrived(path))
        return Outcome(response.status_code, response.headers, self._backend.arrived(path), response.content)


@pytest.fixture
def client(proxy: RunningProxy, backend: Backend) -> Iterator[Client]:
    with httpx.Client(base_url=proxy.url, trust_env=False, timeout=6) as http:
        yield Client(http, backend)


@pytest.fixture(scope="package")
def key(keywright: Keywright) -> dict[str, str]:
    """A good key."""
    created: dict[str, str] = keywright.create_key()
    return created


def bearing(text: str) -> tuple[str, str]:
    return "Authorization", f"Bearer {text}"


def api_key(text: str) -> tuple[str, str]:
    return "X-API-Key", text


def unknown() -> str:
    return mint(bytes(range(32)), brand="kw", environment="live").private.reveal()


def expected_identity(key: dict[str, str]) -> dict[str, str]:
    told = (key["org_id"], key["id"], "live", "", "", key["org_external_id"], key["created_by"], "")
    return dict(zip(IDENTITY, told, strict=True))


def seen_identity(arrived: Arrived) -> dict[str, str]:
    """What a careless backend makes of the headers: of several of one name it may take any."""
    return {name: ",".join(arrived.values(name)) for name in IDENTITY}


def test_good_key(client: Client, key: dict[str, str]) -> None:
    """A good key is let through in either header; the backend gets the request as it was, but for the key."""
    for headers in (
        [bearing(key["private_key"])],
        [api_key(key["private_key"])],
        [bearing(key["private_key"]), api_key(key["private_key"])],
    ):
        outcome = client.ask(*headers, method="POST", query="?scopes=no:such&proxy=x&a=1&a=2", content=b'{"order": 1}')
        assert outcome.status == 200
        (arrived,) = outcome.arrived
        assert seen_identity(arrived) == expected_identity(key)
        assert (arrived.method, arrived.body) == ("POST", b'{"order": 1}')
        assert arrived.path.endswith("?scopes=no:such&proxy=x&a=1&a=2")
        assert not any(key["private_key"] in value or "_vk_" in value for _, value in arrived.headers)


def test_bad_key(client: Client, keywright: Keywright, key: dict[str, str]) -> None:
    """Without a key, and with one that is not good, the answer is 401 with a challenge."""
    revoked, deleted = keywright.create_key(), keywright.create_key()
    for gone in (revoked, deleted):
        assert client.ask(bearing(gone["private_key"])).status == 200
    keywright.revoke(revoked["id"])
    keywright.delete(deleted["id"])
    for gone in (revoked, deleted):
        assert until_refused(partial(client.ask, bearing(gone["private_key"]))).status == 401
    good = key["private_key"]
    presented = {
        "nothing": [],
        "another scheme": [("Authorization", "Basic YTpi")],
        "an alias": [("X_API_Key", good), ("x-api_key", good)],
        "unknown": [bearing(unknown())],
        "malformed": [api_key("hello")],
        "longer": [bearing(good + "0")],
        "public": [api_key(key["public_key"])],
        "credential": [bearing(keywright.credential)],
        "revoked": [bearing(revoked["private_key"])],
        "deleted": [api_key(deleted["private_key"])],
    }
    outcomes = {name: client.ask(*headers) for name, headers in presented.items()}
    # What refuses headers with underscores outright has no need to ask.
    assert outcomes.pop("an alias").status in (400, 401)
    assert {name: outcome.status for name, outcome in outcomes.items()} == dict.fromkeys(outcomes, 401)
    assert all("Bearer realm=" in outcome.headers["www-authenticate"] for outcome in outcomes.values())
    assert [name for name, outcome in outcomes.items() if outcome.arrived] == []


def test_forged_identity(client: Client, key: dict[str, str]) -> None:
    """Whatever identity a client claims, by whatever spelling, never reaches the backend."""
    words = [name.split("-") for name in (*IDENTITY, "X-Keywright-Verifier", "X-Keywright-Require")]
    spellings = {joint.join(name) for name in words for joint in "-_"}
    spellings |= {name.upper() for name in spellings} | {name.lower() for name in spellings}
    spellings |= {"X-Keywright_Org", "X_Keywright-Org", "X-Keywright-Key_Id", "X.Keywright.Org"}
    let_through = 0
    for name in sorted(spellings):
        outcome = client.ask((name, "forged"), bearing(key["private_key"]), (name, "forged"))
        assert (outcome.status, name) in ((200, name), (400, name))
        for arrived in outcome.arrived:
            let_through += 1
            assert seen_identity(arrived) == expected_identity(key)
            assert not arrived.names() & {"X_KEYWRIGHT_VERIFIER", "X_KEYWRIGHT_REQUIRE"}
    assert let_through >= len(IDENTITY)
    assert client.ask(("X-Keywright-Org", key["org_id"])).arrived == []


def test_ambiguous_keys(client: Client, keywright: Keywright, key: dict[str, str]) -> None:
    """Two Authorization headers, two X-API-Key headers and two different keys are refused, good ones too."""
    good, other = key["private_key"], keywright.create_key()["private_key"]
    presented = [
        [bearing(good), bearing(other)],
        [bearing(good), bearing(good)],
        [bearing(good), ("Authorization", "Basic YTpi")],
        [("Authorization", "Basic YTpi"), bearing(good)],
        [api_key(good), api_key(other)],
        [api_key(other), api_key(good)],
        [api_key(good), api_key("")],
        [bearing(good), api_key(other)],
        [bearing(good), api_key(unknown())],
    ]
    outcomes = [client.ask(*headers) for headers in presented]
    # Envoy joins headers of one name, and what then begins with Basic is no key at all: 401.
    assert {outcome.status for outcome in outcomes} <= {400, 401, 403}
    assert [outcome.arrived for outcome in outcomes if outcome.arrived] == []


def test_upgrade(client: Client) -> None:
    """A request for another protocol needs a key like any other."""
    websocket = [
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
    ]
    for upgrade in (websocket, [("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQAAP__")]):
        outcome = client.ask(("Connection", "Upgrade, HTTP2-Settings"), *upgrade)
        # Envoy itself answers 403 to those that are not configured.
        assert outcome.status in (401, 403)
        assert outcome.arrived == []


@pytest.mark.parametrize("proxy", [pytest.param("nginx", marks=pytest.mark.xdist_group("nginx"))], indirect=True)
def test_refusals_of_nginx(client: Client, keywright: Keywright, key: dict[str, str]) -> None:
    """Behind nginx a client gets Keywright's status, its JSON with the code, and the time of the next attempt."""
    good, other = key["private_key"], keywright.create_key()["private_key"]
    limited = keywright.create_key(rate_limits=[{"name": "hour", "limit": 1, "window_seconds": 3600}])["private_key"]
    assert client.ask(bearing(limited)).status == 200
    outcomes = {
        400: client.ask(bearing(good), api_key(other)),
        401: client.ask(bearing(unknown())),
        429: client.ask(bearing(limited)),
    }
    assert {status: outcome.status for status, outcome in outcomes.items()} == {400: 400, 401: 401, 429: 429}
    codes = {status: outcome.json()["code"] for status, outcome in outcomes.items()}
    assert codes == {400: "invalid_request", 401: "not_found", 429: "rate_limited"}
    for outcome in outcomes.values():
        assert outcome.headers["content-type"] == "application/json"
        assert outcome.headers.get_list("cache-control") == ["no-store"]
        assert outcome.json().keys() >= {"detail", "request_id"}
    assert len(outcomes[401].headers.get_list("www-authenticate")) == 1
    assert 0 < int(outcomes[429].headers["retry-after"]) <= 3600
    with keywright.away():
        away = client.ask(bearing(good))
    assert (away.status, away.json()["code"], away.headers["retry-after"]) == (503, "unavailable", "1")
    assert client.ask(bearing(good)).status == 200


def answer(status: str, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", "Content-Length: 0", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode()


INSTEAD = {
    "503": answer("503 Service Unavailable", "Retry-After: 1"),
    "500": answer("500 Internal Server Error"),
    "404": answer("404 Not Found"),
    "302": answer("302 Found", "Location: /"),
    "closes": b"",
    "half an answer": b"HTTP/1.1 200",
    "no HTTP": b"what?",
    "hangs": None,
}


def test_killed(client: Client, keywright: Keywright, key: dict[str, str]) -> None:
    """Without Keywright, and with anything else in its place, nothing is let through; afterwards all is well again."""
    good = bearing(key["private_key"])
    claim = ("X-Keywright-Org", key["org_id"])
    assert client.ask(good).status == 200
    with keywright.away():
        outcomes = {"killed": client.ask(good, claim)}
        for name, instead in INSTEAD.items():
            with stand_in(keywright.port, instead):
                outcomes[name] = client.ask(good, claim)
    assert [name for name, outcome in outcomes.items() if outcome.arrived] == []
    # Redirects and 404 are passed on by some; what hangs may be given up by the client first.
    failed = {name: outcome.status for name, outcome in outcomes.items() if name not in ("302", "404", "hangs")}
    assert all(500 <= status < 600 for status in failed.values()), failed
    assert not 200 <= outcomes["hangs"].status < 300
    assert client.ask(good).status == 200
