"""Answers to proxies: `/forward-auth` and `/ext-authz`, on a fake store."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from keywright.api.http.problems import KEY_PROBLEMS, PROBLEMS
from keywright.api.verify.forward_auth import ForwardAuth
from keywright.api.verify.routes import ServiceApp
from keywright.app import create_app
from keywright.config import Settings
from keywright.keys.addresses import proxy_networks, read_networks
from keywright.keys.pair import mint, mint_credential
from keywright.keys.rate_limits import RateLimit
from keywright.keys.verdict import Code
from keywright.service.checking.failure_limit import MOST_FAILURES
from tests.api.checking_plane import CREDENTIAL, FACTS, KEY, OTHER_KEY, OUTAGE_SECONDS, PAIR, CheckingPlane
from tests.logs import logging_to
from tests.markdown import bare, read, table

IDENTITY = {
    "x-keywright-org": "6f6f6f6f-6f6f-6f6f-6f6f-6f6f6f6f6f6f",
    "x-keywright-key-id": "6b6b6b6b-6b6b-6b6b-6b6b-6b6b6b6b6b6b",
    "x-keywright-environment": "live",
    "x-keywright-scopes": "orders:read,orders:write",
    "x-keywright-external-id": "",
    "x-keywright-org-external-id": "",
    "x-keywright-created-by": "",
    "x-keywright-metadata": "",
}
FORWARD_AUTH, EXT_AUTHZ = "/forward-auth", "/ext-authz/orders/1"
PROXY = "10.0.0.1"
BEARING = {"Authorization": f"Bearer {KEY}"}
CHALLENGE = 'Bearer realm="keywright"'
LIMITS = (RateLimit("minute", 2, 60), RateLimit("day", 100, 86_400))


class Door(CheckingPlane):
    """Forward auth with everything it stands on, behind a proxy at `PROXY`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        options = {"who": "verifier", "trusted": proxy_networks(["10.0.0.0/8"]), **settings}
        forward_auth = ForwardAuth(self.checker, self.verifiers, **options)
        self.app = ServiceApp(PlainTextResponse("behind", 418), self.checker, self.callers, forward_auth=forward_auth)
        self.http = self.caller()

    def caller(self, address: str = PROXY) -> httpx.AsyncClient:
        """Call from somewhere."""
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app, client=(address, 1)), base_url="http://keywright"
        )

    async def ask(self, path: str, *headers: dict[str, str], method: str = "GET") -> httpx.Response:
        """Ask as a proxy that shows its credential; headers of one name may be given in several dictionaries."""
        sent = [("X-Keywright-Verifier", CREDENTIAL.reveal())]
        sent += [item for part in headers for item in part.items()]
        as_bytes = [(name.encode(), value.encode()) for name, value in sent]
        return await self.http.request(method, path, headers=as_bytes)


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    door = Door()
    async with door.http:
        yield door


def identity(response: httpx.Response) -> dict[str, str]:
    told = {name: value for name, value in response.headers.items() if name.startswith("x-keywright-")}
    # For nginx alone, which passes no body on.
    return {name: value for name, value in told.items() if name not in ("x-keywright-status", "x-keywright-refusal")}


def outcome(response: httpx.Response) -> tuple[int, str]:
    assert identity(response) == {}
    assert response.headers["cache-control"] == "no-store"
    return response.status_code, response.json()["code"]


# Good keys


@pytest.mark.parametrize("path", [FORWARD_AUTH, f"{FORWARD_AUTH}/", "/ext-authz", "/ext-authz/", EXT_AUTHZ])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
async def test_good_key(door: Door, method: str, path: str) -> None:
    """By any method, with either header or both, a good key is answered with 200, whose it is, and nothing else."""
    for headers in (BEARING, {"X-API-Key": KEY}, {**BEARING, "X-API-Key": KEY}, {"Authorization": f"bearer {KEY}"}):
        response = await door.ask(path, headers, method=method)
        assert (response.status_code, response.content) == (200, b"")
        assert identity(response) == IDENTITY
        assert response.headers["cache-control"] == "no-store"
        assert "keywright-stale" not in response.headers
        assert response.headers["x-request-id"]


@pytest.mark.parametrize("path", ["/", "/forward-authx", "/forward-auth/x", "/ext-authzx", "/api/v2/api-keys"])
async def test_other_paths(door: Door, path: str) -> None:
    """Every other path belongs to what stands behind."""
    assert (await door.ask(path, BEARING)).text == "behind"


async def test_every_header_always(door: Door) -> None:
    """A key of which there is little to say still has all headers; what a header cannot carry is encoded."""
    door.store.facts[PAIR.private.digest] = replace(FACTS, environment="", scopes=())
    assert identity(await door.ask(FORWARD_AUTH, BEARING)) == {
        **IDENTITY, "x-keywright-environment": "", "x-keywright-scopes": "",
    }  # fmt: skip
    door.store.facts[PAIR.private.digest] = replace(FACTS, scopes=("a,b", "c\r\nX-Admin: 1", "é %"))
    response = await door.ask(FORWARD_AUTH, BEARING)
    assert response.headers["x-keywright-scopes"] == "a%2Cb,c%0D%0AX-Admin:%201,%C3%A9%20%25"
    assert "x-admin" not in response.headers


@pytest.mark.parametrize("path", [FORWARD_AUTH, "/ext-authz"])
async def test_whose_the_key_is(door: Door, path: str) -> None:
    """External ids and the creator are in every answer, the metadata in those of a proxy that includes it."""
    facts = replace(FACTS, external_id="customer, 7", org_external_id="org_acme", created_by="auth0|\u00e9")
    door.store.facts[PAIR.private.digest] = replace(facts, metadata='{"plan":"\u00e9 %","n":[1]}')
    whose = {
        "x-keywright-external-id": "customer%2C%207",
        "x-keywright-org-external-id": "org_acme",
        "x-keywright-created-by": "auth0|%C3%A9",
    }
    assert identity(await door.ask(path, BEARING)) == {**IDENTITY, **whose}
    options = "include=metadata"
    address = f"{path}?{options}" if path == FORWARD_AUTH else path
    for _ in range(2):
        response = await door.ask(address, {**BEARING, "X-Keywright-Require": options})
        metadata = response.headers["x-keywright-metadata"]
        assert metadata == '{"plan":"%C3%A9%20%25","n":[1]}'
        assert json.loads(unquote(metadata)) == {"plan": "\u00e9 %", "n": [1]}
    for long in (None, json.dumps({"a": "\u00e9" * 400}, ensure_ascii=False)):
        door.store.facts[PAIR.private.digest] = replace(facts, metadata=long)
        door.cache.drop([PAIR.private.digest])
        response = await door.ask(address, {**BEARING, "X-Keywright-Require": options})
        assert (response.status_code, response.headers["x-keywright-metadata"]) == (200, "")


async def test_use_is_noted(door: Door) -> None:
    """A key that is let through was used, one that is refused was not: both from the customer's network and agent."""
    headers = {**BEARING, "User-Agent": "curl/8.1", "X-Forwarded-For": "203.0.113.9"}
    await door.ask(FORWARD_AUTH, headers)
    await door.ask(FORWARD_AUTH, {**headers, "X-API-Key": OTHER_KEY})
    await door.ask(f"{FORWARD_AUTH}?scopes=no:such", headers)
    seen = [(each.code, each.network, each.agent, each.verifier) for each in (record.source for record in door.uses())]
    place = ("203.0.113.0/24", "curl", "edge")
    assert seen == [("valid", *place), ("insufficient_scope", *place)]


async def test_verdicts_are_counted(door: Door) -> None:
    """Verdicts given to proxies are counted with all others."""
    await door.ask(FORWARD_AUTH, BEARING)
    await door.ask(FORWARD_AUTH, {"X-API-Key": "junk"})
    await asyncio.sleep(0)
    assert door.verdicts == {"valid": 1, "not_found": 1}


# Keys that are not good


@pytest.mark.parametrize(
    ("change", "query", "status", "code"),
    [
        ({"revoked": True}, "", 401, "revoked"),
        ({"expires_at": 1_000_000.0}, "", 401, "expired"),
        ({}, "environment=sandbox", 403, "wrong_environment"),
        ({}, "scopes=orders:read,orders:delete", 403, "insufficient_scope"),
        ({"scopes": ()}, "scopes=orders:read", 403, "insufficient_scope"),
        ({}, "scopes=orders", 403, "insufficient_scope"),
        ({"revoked": True}, "scopes=orders", 401, "revoked"),
    ],
)
async def test_refused(door: Door, change: dict[str, Any], query: str, status: int, code: str) -> None:
    """A refusal has its status on both paths, and is noted; only a key that can never do is challenged."""
    door.store.facts[PAIR.private.digest] = replace(FACTS, **change)
    required = {"X-Keywright-Require": query} if query else {}
    for response in (await door.ask(f"{FORWARD_AUTH}?{query}", BEARING), await door.ask(EXT_AUTHZ, BEARING, required)):
        assert outcome(response) == (status, code)
        challenge = response.headers.get("www-authenticate")
        assert challenge == (f'{CHALLENGE}, error="invalid_token"' if status == 401 else None)
    assert [(record.source.code, record.uses) for record in door.uses()] == [(code, 2)]


@pytest.mark.parametrize("query", ["environment=live", "scopes=orders:read", "scopes=orders%3Aread,orders:write", ""])
async def test_requirements_that_are_met(door: Door, query: str) -> None:
    """A key that has what is required is good."""
    assert (await door.ask(f"{FORWARD_AUTH}?{query}", BEARING)).status_code == 200
    assert (await door.ask(EXT_AUTHZ, BEARING, {"X-Keywright-Require": query})).status_code == 200


async def test_no_key(door: Door) -> None:
    """Without a key there is a challenge; other schemes, empty headers and underscores bring none."""
    for headers in (
        {}, {"Authorization": "Basic YTpi"}, {"X-API-Key": ""}, {"X_API_Key": KEY}, {"X-Api_Key": KEY},
        {"Api-Key": KEY}, {"Cookie": f"X-API-Key={KEY}"},
    ):  # fmt: skip
        response = await door.ask(f"{FORWARD_AUTH}?proxy=nginx", headers)
        assert outcome(response) == (401, "missing_key")
        assert response.headers["www-authenticate"] == CHALLENGE


async def test_nothing_is_told_without_the_secret(door: Door) -> None:
    """Malformed, unknown, wrong and foreign keys, and what is no key at all, get one answer."""
    texts = [
        "junk", OTHER_KEY, KEY[:-1], KEY + "0", KEY.replace("kw", "ab", 1), PAIR.public.text, CREDENTIAL.reveal(),
        KEY.upper(), "0" * 20_000,
    ]  # fmt: skip
    presented = [{"X-API-Key": "é"}, *({"X-API-Key": text} for text in texts)]
    presented += [{"Authorization": f"Bearer {text}"} for text in texts]
    answers = set()
    for headers in presented:
        response = await door.ask(FORWARD_AUTH, headers)
        assert outcome(response) == (401, "not_found")
        request_id = response.headers.pop("x-request-id")
        answers.add((response.text.replace(request_id, ""), response.headers["www-authenticate"]))
    assert len(answers) == 1


@pytest.mark.parametrize(
    "headers",
    [
        [BEARING, BEARING],
        [BEARING, {"Authorization": "Basic YTpi"}],
        [{"Authorization": ""}, BEARING],
        [{"X-API-Key": KEY}, {"X-API-Key": KEY}],
        [{"X-API-Key": KEY}, {"X-API-Key": ""}],
        [{"X-API-Key": f"{KEY}, {OTHER_KEY}"}],
        [{"X-API-Key": f"{KEY},"}],
        [{"Authorization": f"Bearer {KEY}, Bearer {OTHER_KEY}"}],
        [{"Authorization": f"Bearer  {KEY}"}],
        [{"Authorization": "Bearer"}],
        [BEARING, {"X-API-Key": OTHER_KEY}],
        [BEARING, {"X-API-Key": "junk"}],
    ],
)
async def test_ambiguous_keys(door: Door, headers: list[dict[str, str]]) -> None:
    """Two keys, two headers of one name, joined or not, and a malformed one are refused; nginx gets 403."""
    for path, status in ((FORWARD_AUTH, 400), (EXT_AUTHZ, 400), (f"{FORWARD_AUTH}?proxy=nginx", 403)):
        response = await door.ask(path, *headers)
        assert outcome(response) == (status, "invalid_request")
        assert response.headers["www-authenticate"] == f'{CHALLENGE}, error="invalid_request"'
    assert door.store.look_ups == 3  # the credential's
    assert KEY not in response.text


# Too often, and outages


async def exhaust(door: Door, forwarded: str) -> httpx.Response:
    for number in range(MOST_FAILURES + 1):
        text = mint(number.to_bytes(32, "big"), brand="kw", environment="live").private.reveal()
        response = await door.ask(FORWARD_AUTH, {"X-API-Key": text, "X-Forwarded-For": forwarded})
    return response


async def test_too_often(door: Door) -> None:
    """The failure limit refuses a client that tries many unknown keys, and no other; nginx gets 403."""
    response = await exhaust(door, "203.0.113.9")
    assert outcome(response) == (429, "rate_limited")
    assert response.headers["retry-after"] == "1"
    unlucky = {**BEARING, "X-Forwarded-For": "198.51.100.1, 203.0.113.9"}
    assert outcome(await door.ask(f"{FORWARD_AUTH}?proxy=nginx", unlucky)) == (403, "rate_limited")
    assert (await door.ask(FORWARD_AUTH, {**BEARING, "X-Forwarded-For": "198.51.100.1"})).status_code == 200


@pytest.mark.parametrize(("trusted", "forwarded"), [("10.0.0.0/8", ""), ("192.0.2.0/24", "203.0.113.9")])
async def test_the_proxy_is_not_its_client(trusted: str, forwarded: str) -> None:
    """Without the client's address no failure limit applies, and usage has no network."""
    door = Door(trusted=proxy_networks([trusted]))
    assert outcome(await exhaust(door, forwarded)) == (401, "not_found")
    assert (await door.ask(FORWARD_AUTH, {**BEARING, "X-Forwarded-For": forwarded})).status_code == 200
    (record,) = door.uses()
    assert record.source.network is None


async def test_outage(door: Door) -> None:
    """While the database is unavailable, cached keys are accepted and marked stale; others are 503, never 401."""
    door.verifiers.cache.synced(door.time())
    door.cache.synced(door.time())
    assert (await door.ask(FORWARD_AUTH, BEARING)).status_code == 200
    door.store.away = True
    door.time.seconds += 30
    stale = await door.ask(FORWARD_AUTH, BEARING)
    assert (stale.status_code, stale.headers["keywright-stale"], identity(stale)) == (200, "true", IDENTITY)
    refused = await door.ask(f"{FORWARD_AUTH}?environment=sandbox", BEARING)
    assert (outcome(refused), refused.headers["keywright-stale"]) == ((403, "wrong_environment"), "true")
    for path in (FORWARD_AUTH, f"{FORWARD_AUTH}?proxy=nginx", EXT_AUTHZ):
        response = await door.ask(path, {"X-API-Key": OTHER_KEY})
        assert outcome(response) == (503, "storage_unavailable")
        assert int(response.headers["retry-after"]) >= 1
    door.time.seconds += OUTAGE_SECONDS
    assert outcome(await door.ask(FORWARD_AUTH, BEARING)) == (503, "storage_unavailable")


# Where a key may be used from, and how often


async def test_addresses(door: Door) -> None:
    """A key that is bound to networks is let through from there alone, as far as trusted proxies tell where that is."""
    door.store.facts[PAIR.private.digest] = replace(FACTS, networks=read_networks(["203.0.113.0/24"]))
    inside, outside = ({**BEARING, "X-Forwarded-For": address} for address in ("203.0.113.9", "198.51.100.1"))
    assert (await door.ask(FORWARD_AUTH, inside)).status_code == 200
    forged = {**BEARING, "X-Forwarded-For": "203.0.113.9, 198.51.100.1"}
    for refused in (BEARING, outside, forged):
        assert outcome(await door.ask(FORWARD_AUTH, refused)) == (403, "ip_not_allowed")


async def test_limits(door: Door) -> None:
    """A key is accepted until one of its limits is used up; every answer has their states, also for nginx."""
    door.store.facts[PAIR.private.digest] = replace(FACTS, rate_limits=LIMITS)
    first = await door.ask(FORWARD_AUTH, BEARING)
    assert (first.status_code, identity(first)) == (200, IDENTITY)
    policy = '"minute";q=2;w=60, "day";q=100;w=86400'
    assert (first.headers["ratelimit-policy"], first.headers["ratelimit"]) == (
        policy, '"minute";r=1;t=30, "day";r=99;t=864',
    )  # fmt: skip
    await door.ask(EXT_AUTHZ, BEARING)
    for path, status in ((FORWARD_AUTH, 429), (f"{FORWARD_AUTH}?proxy=nginx", 403)):
        spent = await door.ask(path, BEARING)
        assert outcome(spent) == (status, "rate_limited")
        assert spent.headers["retry-after"] == "30"
        assert spent.headers["ratelimit-policy"] == policy
        assert spent.headers["ratelimit"] == '"minute";r=0;t=60, "day";r=98;t=1728'
    door.time.seconds += 30
    assert (await door.ask(FORWARD_AUTH, BEARING)).status_code == 200


async def test_limits_are_for_good_keys(door: Door) -> None:
    """A request that another rule refuses takes nothing of a limit, and its answer has no states."""
    door.store.facts[PAIR.private.digest] = replace(FACTS, rate_limits=LIMITS)
    response = await door.ask(f"{FORWARD_AUTH}?scopes=no:such", BEARING)
    assert outcome(response) == (403, "insufficient_scope")
    assert "ratelimit" not in response.headers
    assert door.limiter.asked == []


async def test_a_key_without_limits(door: Door) -> None:
    """The answer on a key without limits has no `RateLimit` headers."""
    assert "ratelimit" not in (await door.ask(FORWARD_AUTH, BEARING)).headers


async def test_limits_out_of_reach(door: Door) -> None:
    """While limits cannot be counted, keys that have some are 503 and all others go on working."""
    door.store.facts[PAIR.private.digest] = replace(FACTS, rate_limits=LIMITS)
    door.limiter.away = True
    response = await door.ask(f"{FORWARD_AUTH}?proxy=nginx", BEARING)
    assert outcome(response) == (503, "limits_unavailable")
    assert response.headers["retry-after"] == "1"
    door.store.facts[PAIR.private.digest] = FACTS
    assert (await door.ask(FORWARD_AUTH, BEARING)).status_code == 200


# The proxy itself


async def test_proxy_without_credential(door: Door) -> None:
    """A proxy that shows no credential, two, or a bad one learns nothing, whatever the key."""
    await door.verifiers.create("revoked")
    good = CREDENTIAL.reveal()
    revoked = mint_credential(bytes(32), brand="kw")
    await door.verifiers.revoke("revoked")
    for shown in ([], [good, good], [f"{good}, {good}"], [""], ["junk"], [KEY], [revoked.reveal()], [good + "0"]):
        for headers in (BEARING, {"X-API-Key": "junk"}, {}):
            sent = [*(("X-Keywright-Verifier", text) for text in shown), *headers.items()]
            response = await door.http.get(FORWARD_AUTH, headers=sent)
            assert outcome(response) == (401, "verifier_required")
            assert response.headers["www-authenticate"] == CHALLENGE
    assert outcome(await door.http.get(FORWARD_AUTH, headers={**BEARING, "X_Keywright_Verifier": good}))[0] == 401
    assert len(door.usage) == 0


async def test_credential_in_the_query(door: Door) -> None:
    """A credential in a query is none."""
    response = await door.http.get(f"{FORWARD_AUTH}?x-keywright-verifier={CREDENTIAL.reveal()}", headers=BEARING)
    assert outcome(response) == (400, "misconfigured_proxy")


async def test_open() -> None:
    """In the mode `open` no credential is needed, and a credential is not checked."""
    door = Door(who="open")
    for headers in ({}, {"X-Keywright-Verifier": "junk"}):
        assert identity(await door.http.get(FORWARD_AUTH, headers={**BEARING, **headers})) == IDENTITY
    assert outcome(await door.http.get(FORWARD_AUTH)) == (401, "missing_key")
    assert door.uses()[0].source.verifier == "forward-auth"


ADMITTED = proxy_networks(["172.16.0.0/12", "2001:db8:1::/48"])


@pytest.mark.parametrize("path", [FORWARD_AUTH, EXT_AUTHZ])
@pytest.mark.parametrize("address", ["172.16.0.1", "::ffff:172.31.255.254", "2001:db8:1::7"])
async def test_admitted_by_its_address(path: str, address: str) -> None:
    """A proxy whose connection comes from a network of the settings needs no credential, and none is looked at."""
    door = Door(admitted=ADMITTED)
    async with door.caller(address) as http:
        for headers in ({}, {"X-Keywright-Verifier": "junk"}, {"X-Keywright-Verifier": CREDENTIAL.reveal()}):
            assert identity(await http.get(path, headers={**BEARING, **headers})) == IDENTITY
        assert outcome(await http.get(path)) == (401, "missing_key")
        assert outcome(await http.get(path, headers={"X-API-Key": OTHER_KEY})) == (401, "not_found")
    assert door.uses()[0].source.verifier == "forward-auth"


@pytest.mark.parametrize("address", ["172.32.0.1", "2001:db8:2::1", "::ac10:1", "10.0.0.1", "a", "", "172.16.0.1%a"])
async def test_not_admitted_by_its_address(address: str) -> None:
    """From elsewhere a proxy needs its credential, whatever its headers say about an address."""
    door = Door(admitted=ADMITTED)
    forged = {"X-Forwarded-For": "172.16.0.1", "X-Real-IP": "172.16.0.1", "Forwarded": "for=172.16.0.1"}
    async with door.caller(address) as http:
        for headers in (BEARING, {**BEARING, **forged}, {**BEARING, **forged, "X-Keywright-Verifier": "junk"}):
            response = await http.get(FORWARD_AUTH, headers=headers)
            assert outcome(response) == (401, "verifier_required")
            assert response.headers["www-authenticate"] == CHALLENGE
        good = {**BEARING, "X-Keywright-Verifier": CREDENTIAL.reveal()}
        assert identity(await http.get(FORWARD_AUTH, headers=good)) == IDENTITY
    assert {each.source.verifier for each in door.uses()} == {"edge"}


async def test_a_unix_socket_has_no_address() -> None:
    """A peer without an address is in no network, not even in that of all addresses."""
    door = Door(admitted=proxy_networks(["0.0.0.0/0", "::/0"]))
    app = without_peer(door.app)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://keywright") as http:
        assert outcome(await http.get(FORWARD_AUTH, headers=BEARING)) == (401, "verifier_required")


def without_peer(app: ASGIApp) -> ASGIApp:
    """Answer as at a Unix socket."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "client": None}, receive, send)

    return answer


async def test_admitted_proxies_and_failures() -> None:
    """Failed attempts through admitted proxies are limited by the network of their clients, as everywhere."""
    door = Door(admitted=proxy_networks(["10.0.0.0/8"]))
    assert outcome(await exhaust(door, "203.0.113.9")) == (429, "rate_limited")
    other = {**BEARING, "X-Forwarded-For": "198.51.100.1"}
    assert (await door.ask(FORWARD_AUTH, other)).status_code == 200


async def test_why_a_proxy_was_refused() -> None:
    """The log says of a refused proxy that its address is not one of those that need no credential."""
    stream = io.StringIO()
    with logging_to(stream):
        async with Door(admitted=ADMITTED).caller("192.0.2.1") as http:
            await http.get(FORWARD_AUTH, headers=BEARING)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    (line,) = [line for line in lines if line["event"] == "a proxy is misconfigured"]
    assert "KEYWRIGHT_FORWARD_AUTH_FROM" in line["reason"]
    assert line["proxy"] == "192.0.2.1"


@pytest.mark.parametrize("path", [FORWARD_AUTH, EXT_AUTHZ])
async def test_off(path: str) -> None:
    """Where it is off there is no such path."""
    settings = Settings(issuer="https://id.acme.example/", audience="urn:acme", forward_auth="off")
    app = create_app(settings)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://keywright") as http:
        assert outcome(await http.post(path, headers=BEARING)) == (404, "not_found")


@pytest.mark.parametrize(
    "query",
    [
        "scope=orders:read", "scopes=orders:read&scopes=orders:write", "environment=live&environment=live",
        "scopes=", "scopes=a,,b", "scopes=a,", "environment=", "environment=Live", "environment=live,sandbox", "proxy=",
        "proxy=envoy", "scopes", "&", "a=1&scopes=orders:read", "scopes=%FF", "scopes=\xff",
        f"scopes={'x' * 256}", f"scopes={','.join('x' * 101)}", "environment=live;scopes=orders:read",
    ],
)  # fmt: skip
async def test_unreadable_requirements(door: Door, query: str) -> None:
    """Malformed, repeated or empty requirements are a misconfigured proxy, and no key is accepted."""
    if query.isascii():
        assert outcome(await door.ask(f"{FORWARD_AUTH}?{query}", BEARING)) == (400, "misconfigured_proxy")
    by_header = await door.ask(EXT_AUTHZ, BEARING, {"X-Keywright-Require": query})
    assert outcome(by_header) == (400, "misconfigured_proxy")


async def test_who_may_require(door: Door) -> None:
    """What a client can write requires nothing: neither the header on one path, nor the query on the other."""
    required = {"X-Keywright-Require": "scopes=no:such"}
    assert (await door.ask(FORWARD_AUTH, BEARING, required)).status_code == 200
    assert (await door.ask(f"{EXT_AUTHZ}?scopes=no:such&x=1&x=2", BEARING)).status_code == 200
    assert outcome(await door.ask(f"{EXT_AUTHZ}?environment=live", BEARING, required)) == (403, "insufficient_scope")
    twice = await door.ask(EXT_AUTHZ, BEARING, required, {"X-Keywright-Require": "environment=live"})
    assert outcome(twice) == (400, "misconfigured_proxy")


# What is written elsewhere


def test_documented_answers() -> None:
    """The page on proxies has every code with its status, and no other; every verdict that refuses has one."""
    documented = {
        bare(code): int(status)
        for status, codes, *_ in table(read("docs/operate/proxies.md"), "status", "`code`")
        for code in filter(None, codes.split(", "))
    }
    for code in ("storage_unavailable", "limits_unavailable"):
        assert documented.pop(code) == PROBLEMS[code].status
    assert documented == {code: problem.status for code, problem in KEY_PROBLEMS.items()}
    assert {code.value for code in Code} - {"valid"} <= KEY_PROBLEMS.keys()
