"""The running service on access tokens of a certified provider, from the sign-in to the rotation of signing keys."""

import asyncio
import json
import os
import resource
import signal
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, uuid4, uuid5

import httpx
import pytest

from keywright.auth.jwks import UNKNOWN_KEY_PAUSE_SECONDS
from keywright.service.principal import Permission
from tests.api.caller import KEYS
from tests.conftest import database_url
from tests.live import PATIENCE_SECONDS, LiveService, start_service
from tests.oidc_provider import OTHER_AUDIENCE, OidcProvider, start_oidc_provider
from tests.provision import unavailable
from tests.stored import rows
from tests.waiting import eventually

ORG_CLAIM = "https://acme.example/org_id"
CROWD = 1000
STRANGERS = 300


def settings(provider: OidcProvider, **named: str) -> dict[str, str]:
    """Give the settings of a service that trusts *provider*."""
    chosen = {"issuer": provider.issuer, "audience": provider.audience, "metrics": "off", **named}
    return {f"KEYWRIGHT_{name.upper()}": value for name, value in chosen.items()}


def http(service: LiveService, token: str) -> httpx.Client:
    return httpx.Client(
        base_url=service.base_url,
        headers={"Authorization": f"Bearer {token}"},
        trust_env=False,
        timeout=PATIENCE_SECONDS,
    )


def status(service: LiveService, token: str, method: str = "GET") -> int:
    """Call the service once, on a connection of its own, and give the status."""
    with http(service, token) as caller:
        return caller.request(method, KEYS, json={"name": "a key"} if method == "POST" else None).status_code


def ready(service: LiveService) -> bool:
    return httpx.get(f"{service.base_url}/readyz", trust_env=False).status_code == 200


def fetches(provider: OidcProvider) -> int:
    """Count how often the key set was fetched."""
    return provider.requests().get("/jwks", 0)


def an_organization() -> str:
    return f"org_{uuid4().hex[:16]}"


def uuid_of(provider: OidcProvider, organization: str) -> str:
    """Say the id that the documentation promises for *organization*."""
    return str(uuid5(uuid5(NAMESPACE_URL, provider.issuer), organization))


@pytest.fixture(scope="module", autouse=True)
def rotating() -> Iterator[tuple[OidcProvider, LiveService]]:
    """
    A service and a provider of this file's own, for the test that rotates keys.

    Started before all others, because keys that were fetched just now are not fetched again for half a minute: that
    long ago is what this start should be when its test is due.
    """
    provider = start_oidc_provider()
    try:
        with start_service(settings(provider)) as service:
            yield provider, service
    finally:
        provider.stop()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database of each kind."""
    return database_url(request.param, tmp_path_factory.mktemp("db"), request)


@pytest.fixture(scope="module")
def trusting(store_url: str, oidc_provider: OidcProvider) -> Iterator[LiveService]:
    """A service on each store that trusts the provider."""
    with start_service(settings(oidc_provider, database_url=store_url)) as service:
        service.await_ready()
        yield service


def live_a_life(caller: httpx.Client) -> dict[str, Any]:
    """Create, list, read, revoke and delete a key; give what the creation answered."""
    created: dict[str, Any] = caller.post(KEYS, json={"name": "Billing export"}).raise_for_status().json()
    one = f"{KEYS}/{created['id']}"
    shown = {name: value for name, value in created.items() if name != "private_key"}
    assert caller.get(KEYS).json() == [shown]
    assert caller.get(one).json() == shown
    assert caller.put(f"{one}/revoke").json()["is_revoked"] is True
    assert caller.delete(one).status_code == 204
    assert caller.get(one).status_code == 404
    assert caller.get(KEYS).json() == []
    return created


def test_machine_token(trusting: LiveService, oidc_provider: OidcProvider, store_url: str) -> None:
    """A machine's token does all that can be done with a key, and the trail names the machine."""
    organization = an_organization()
    with http(trusting, oidc_provider.token(org_id=organization)) as caller:
        created = live_a_life(caller)
    assert created["org_id"] == uuid_of(oidc_provider, organization)
    machine = oidc_provider.machine["client_id"]
    assert trail(store_url, created["id"]) == [
        (event, oidc_provider.issuer, machine, machine)
        for event in ("api_key.created", "api_key.revoked", "api_key.deleted")
    ]


def test_user_token(trusting: LiveService, oidc_provider: OidcProvider, store_url: str) -> None:
    """The token of a user who signed in does the same, and the trail names the user and the application."""
    organization = an_organization()
    with http(trusting, oidc_provider.user_token("auth0|alice", org_id=organization)) as caller:
        created = live_a_life(caller)
    assert created["org_id"] == uuid_of(oidc_provider, organization)
    assert trail(store_url, created["id"])[0] == (
        "api_key.created",
        oidc_provider.issuer,
        "auth0|alice",
        oidc_provider.web["client_id"],
    )


def trail(url: str, key_id: str) -> list[tuple[str, ...]]:
    """Read the events of one key, the oldest first."""
    found = rows(url, "SELECT key_id, type, issuer, subject, client_id FROM events ORDER BY id")
    return [tuple(event) for key, *event in found if str(key) == key_id]


def test_organizations_are_kept_apart(trusting: LiveService, oidc_provider: OidcProvider) -> None:
    """Two tokens of one user for two organizations are two callers; of one organization, one."""
    here, there = an_organization(), an_organization()
    with http(trusting, oidc_provider.user_token("auth0|bob", org_id=here)) as caller:
        one = f"{KEYS}/{caller.post(KEYS, json={'name': 'a key'}).json()['id']}"
    with http(trusting, oidc_provider.user_token("auth0|bob", org_id=there)) as caller:
        assert caller.get(one).status_code == 404
        assert caller.delete(one).status_code == 404
        assert caller.get(KEYS).json() == []
    with http(trusting, oidc_provider.token(org_id=here)) as caller:
        assert caller.get(one).status_code == 200


def test_permissions_are_held_to(trusting: LiveService, oidc_provider: OidcProvider) -> None:
    """A token with permissions can do what they name and no more; an empty claim names nothing."""
    organization = an_organization()
    creating = oidc_provider.token(org_id=organization, permissions=[Permission.CREATE])
    none = oidc_provider.user_token(org_id=organization, permissions=[])
    assert status(trusting, creating, "POST") == 201
    for token in (creating, none):
        with http(trusting, token) as caller:
            refused = caller.get(KEYS)
        assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_permission")
        assert 'error="insufficient_scope", scope="read:api_keys"' in refused.headers["WWW-Authenticate"]
    assert status(trusting, none, "POST") == 403


@pytest.mark.parametrize("user", [False, True], ids=["machine", "user"])
def test_tokens_that_are_refused(trusting: LiveService, oidc_provider: OidcProvider, user: bool) -> None:
    """Tokens that have expired, are for another API, were altered, or name no organization do nothing at all."""
    issue = oidc_provider.user_token if user else oidc_provider.token
    organization = an_organization()
    expired = issue(org_id=organization, issued_ago=7200)
    foreign = issue(org_id=organization, audience=OTHER_AUDIENCE)
    good = issue(org_id=organization)
    altered = ".".join([*good.split(".")[:2], expired.split(".")[2]])
    for token in (expired, foreign, altered):
        with http(trusting, token) as caller:
            for refused in (caller.get(KEYS), caller.post(KEYS, json={"name": "a key"})):
                assert (refused.status_code, refused.json()["code"]) == (401, "invalid_token")
                assert 'error="invalid_token"' in refused.headers["WWW-Authenticate"]
    with http(trusting, issue()) as caller:
        refused = caller.post(KEYS, json={"name": "a key"})
    assert (refused.status_code, refused.json()["code"]) == (403, "organization_required")
    with http(trusting, good) as caller:
        assert caller.get(KEYS).json() == []


def test_namespaced_organization(oidc_provider: OidcProvider) -> None:
    """The organization comes from the claim that the settings name, and no other; a UUID in it is used as it is."""
    uuid = str(uuid4())
    with start_service(settings(oidc_provider, org_claim=ORG_CLAIM)) as service:
        service.await_ready()
        for value, expected in (("acme", uuid_of(oidc_provider, "acme")), (uuid, uuid)):
            for issue in (oidc_provider.token, oidc_provider.user_token):
                with http(service, issue(org_id="org_other", claims={ORG_CLAIM: value})) as caller:
                    assert live_a_life(caller)["org_id"] == expected
        assert status(service, oidc_provider.token(org_id="acme")) == 403


def test_enforced_permissions(oidc_provider: OidcProvider) -> None:
    """Where permissions are enforced, the scope grants them, unless there are permissions, which then decide alone."""
    organization = an_organization()
    with start_service(settings(oidc_provider, permissions="enforce")) as service:
        service.await_ready()
        for issue in (oidc_provider.token, oidc_provider.user_token):
            nothing = issue(org_id=organization)
            scoped = issue(org_id=organization, scope=Permission.CREATE)
            both = issue(org_id=organization, scope=Permission.CREATE, permissions=[Permission.READ])
            answers = [(status(service, token, "POST"), status(service, token)) for token in (nothing, scoped, both)]
            assert answers == [(403, 403), (201, 403), (403, 200)]


def test_outage_of_the_provider(own_oidc_provider: OidcProvider) -> None:
    """While the provider is away its tokens go on working, those not seen before too, and the service stays ready."""
    with start_service(settings(own_oidc_provider)) as service:
        service.await_ready()
        tokens = [own_oidc_provider.token(org_id=an_organization()), own_oidc_provider.user_token(org_id="org_1")]
        assert status(service, tokens[0]) == 200
        before = fetches(own_oidc_provider)
        with own_oidc_provider.outage():
            for token in tokens:
                with http(service, token) as caller:
                    live_a_life(caller)
            assert ready(service)
        assert status(service, own_oidc_provider.token(org_id="org_1")) == 200
        assert (before, fetches(own_oidc_provider)) == (1, 1)


def test_provider_away_at_the_start(own_oidc_provider: OidcProvider) -> None:
    """A service that never had keys answers 503 and is not ready, and recovers by itself."""
    token = own_oidc_provider.token(org_id="org_1")
    with own_oidc_provider.outage():
        service = start_service(settings(own_oidc_provider))
        with http(service, token) as caller:
            refused = caller.get(KEYS)
        assert (refused.status_code, refused.json()["code"]) == (503, "auth_unavailable")
        assert int(refused.headers["Retry-After"]) > 0
        assert not ready(service)
    with service:
        service.await_ready()
        assert status(service, token) == 200


async def test_simultaneous_first_requests(own_oidc_provider: OidcProvider) -> None:
    """A thousand requests that arrive before the first keys do cause two fetches of them at most, and are answered."""
    token = own_oidc_provider.token(org_id="org_1")
    with many_open_files():
        with frozen(own_oidc_provider):
            service = start_service(settings(own_oidc_provider))
            host, port = urlsplit(service.base_url).netloc.split(":")
            crowd = await asyncio.gather(*(asyncio.open_connection(host, int(port)) for _ in range(CROWD)))
            for _, writer in crowd:
                writer.write(f"GET {KEYS} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".encode())
                writer.write(f"Authorization: Bearer {token}\r\n\r\n".encode())
            await asyncio.gather(*(writer.drain() for _, writer in crowd))
        with service:
            answers = await asyncio.gather(*(reader.read() for reader, _ in crowd))
            for _, writer in crowd:
                writer.close()
            # On a machine so busy that the fetch ran out of time they are told to come again, and may.
            eventually(lambda: status(service, token) == 200)
    statuses = {answer.partition(b"\r\n")[0] for answer in answers}
    assert statuses <= {b"HTTP/1.1 200 OK", b"HTTP/1.1 503 Service Unavailable"}
    assert fetches(own_oidc_provider) <= 2


@contextmanager
def frozen(provider: OidcProvider) -> Iterator[None]:
    """Let the provider accept connections and answer none within the block."""
    pid = provider.process._popen.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def many_open_files() -> Iterator[None]:
    """Let this process, and those it starts, have a connection for everyone in the crowd."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * CROWD
    if hard != resource.RLIM_INFINITY and hard < wanted:
        unavailable(f"{wanted} open files", f"ulimit -Hn {wanted}")
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_rotation_and_unknown_keys(rotating: tuple[OidcProvider, LiveService]) -> None:
    """A new signing key is fetched when a token names it; any number of unknown ones cause a fetch in 6 s at most."""
    provider, service = rotating
    service.await_ready()
    old = provider.token(org_id="org_1")
    assert status(service, old) == 200
    before, since = fetches(provider), time.monotonic()
    provider.rotate()
    new = provider.token(org_id="org_1")
    with http(service, new) as caller:

        def known_by_now() -> bool:
            assert unknown_keys(caller, new, 10) <= {401, 503}
            answer = caller.get(KEYS)
            # It may be new, so it is never refused.
            assert answer.status_code in {200, 503}
            return answer.status_code == 200

        eventually(known_by_now)
        assert unknown_keys(caller, new, STRANGERS) <= {401, 503}
    allowed = 2 + (time.monotonic() - since) // UNKNOWN_KEY_PAUSE_SECONDS
    assert 1 <= fetches(provider) - before <= allowed
    assert [status(service, token) for token in (old, new, provider.user_token(org_id="org_1"))] == [200, 200, 200]


def unknown_keys(caller: httpx.Client, token: str, count: int) -> set[int]:
    """Call with *token* as if signed by *count* keys that there are not, and give the statuses."""
    _, payload, signature = token.split(".")
    statuses = set()
    for _ in range(count):
        header = json.dumps({"alg": "RS256", "typ": "at+jwt", "kid": str(uuid4())}).encode()
        forged = ".".join([urlsafe_b64encode(header).rstrip(b"=").decode(), payload, signature])
        statuses.add(caller.get(KEYS, headers={"Authorization": f"Bearer {forged}"}).status_code)
    return statuses
