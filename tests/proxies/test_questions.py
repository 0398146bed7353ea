"""
What each proxy asks, to the byte, and what it is told, on both stores.

The questions are those that the proxies' manuals describe, and that the configurations in docs/operate/proxies.md make
the real ones ask. They hold where a proxy is not at hand, and against versions that come later.
"""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from keywright.dev.issuer import DevIssuer
from tests.api.raw import Answer, Connection
from tests.conftest import database_url
from tests.proxies.keywright import IDENTITY, Keywright, until_refused

# `{}` is where the headers go that carry the client's key. A proxy writes the rest, or passes it on.
QUESTIONS = {
    "nginx": """\
GET /forward-auth?proxy=nginx HTTP/1.1
X-Keywright-Verifier: {credential}
X-Forwarded-For: 203.0.113.9
Host: keywright
Accept: */*
Accept-Encoding: gzip, deflate
{key}User-Agent: shop/1

""",
    "HAProxy": """\
GET /forward-auth HTTP/1.1
user-agent: shop/1
{key}x-forwarded-for: 203.0.113.9
x-keywright-verifier: {credential}
host: 127.0.0.1:8080
accept: */*

""",
    "Caddy": """\
GET /forward-auth HTTP/1.1
Host: api.acme.example
User-Agent: shop/1
Accept: */*
{key}Content-Type: application/json
Via: 1.1 Caddy
X-Forwarded-For: 203.0.113.9
X-Forwarded-Host: api.acme.example
X-Forwarded-Method: POST
X-Forwarded-Proto: https
X-Forwarded-Uri: /orders/7?a=1&b=2
X-Keywright-Verifier: {credential}
Accept-Encoding: gzip

""",
    "Traefik": """\
GET /forward-auth HTTP/1.1
Host: 127.0.0.1:8080
User-Agent: shop/1
{key}X-Forwarded-For: 203.0.113.9
X-Forwarded-Host: api.acme.example
X-Forwarded-Method: POST
X-Forwarded-Port: 443
X-Forwarded-Proto: https
X-Forwarded-Uri: /orders/7?a=1&b=2
X-Keywright-Verifier: {credential}
Accept-Encoding: gzip

""",
    "Envoy": """\
POST /ext-authz/orders/7?a=1&a=2&proxy=nginx&scopes=no:such HTTP/1.1
host: api.acme.example
content-length: 0
x-forwarded-for: 6.6.6.6,203.0.113.9
user-agent: shop/1
{key}x-keywright-verifier: {credential}
x-envoy-internal: true
x-envoy-expected-rq-timeout-ms: 2000

""",
    "Envoy, path of a stranger's making": """\
DELETE /ext-authz/..%2f../api/v2/api-keys/%zz//;x?& HTTP/1.1
host: api.acme.example
content-length: 0
{key}x-keywright-verifier: {credential}

""",
}

Ask = Callable[..., Answer]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def keywright(
    request: pytest.FixtureRequest, issuer: DevIssuer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Keywright]:
    """The service on each store."""
    service = Keywright(issuer, database_url=database_url(request.param, tmp_path_factory.mktemp("db"), request))
    yield service
    service.kill()


@pytest.fixture
def ask(keywright: Keywright) -> Iterator[Ask]:
    """Ask on one connection, and on another one when that was idle for too long, as proxies do."""
    with contextlib.ExitStack() as connections:
        connection = connections.enter_context(Connection(keywright.url))

        def ask(asker: str, *key: str, credential: str = keywright.credential) -> Answer:
            nonlocal connection
            question = QUESTIONS[asker].format(credential=credential, key="".join(f"{line}\n" for line in key))
            if connection.ended:
                connection = connections.enter_context(Connection(keywright.url))
            assert connection.send(question.replace("\n", "\r\n").encode())
            return connection.read()

        yield ask


def identity(answer: Answer) -> list[str | None]:
    return [answer.headers.get(name.lower()) for name in IDENTITY]


@pytest.mark.parametrize("asker", QUESTIONS)
def test_good_key(ask: Ask, keywright: Keywright, asker: str) -> None:
    """Every proxy's question about a good key is answered with 200 and all headers, again and again."""
    key = keywright.create_key()
    for line in (f"Authorization: Bearer {key['private_key']}", f"X-API-Key: {key['private_key']}"):
        for _ in range(2):
            answer = ask(asker, line)
            assert (answer.status, answer.body) == (200, b"")
            named = [key["org_external_id"], key["created_by"]]
            assert identity(answer) == [key["org_id"], key["id"], "live", "", "", *named, ""]
            assert "connection" not in answer.headers


@pytest.mark.parametrize("asker", QUESTIONS)
def test_bad_key(ask: Ask, keywright: Keywright, asker: str) -> None:
    """A key that is missing, revoked, deleted or unknown is answered with 401, a challenge, and nobody's identity."""
    revoked, deleted = keywright.create_key(), keywright.create_key()
    assert ask(asker, f"X-API-Key: {revoked['private_key']}").status == 200
    assert ask(asker, f"X-API-Key: {deleted['private_key']}").status == 200
    keywright.revoke(revoked["id"])
    keywright.delete(deleted["id"])
    lines = [
        [],
        ["X-API-Key: junk"],
        *([f"Authorization: Bearer {gone['private_key']}"] for gone in (revoked, deleted)),
    ]
    codes = [b'"missing_key"', b'"not_found"', b'"revoked"', b'"not_found"']
    for line, code in zip(lines, codes, strict=True):
        answer = until_refused(partial(ask, asker, *line))
        assert answer.status == 401
        assert code in answer.body
        assert answer.headers["www-authenticate"].startswith('Bearer realm="keywright"')
        assert identity(answer) == [None] * 8


@pytest.mark.parametrize("asker", QUESTIONS)
def test_two_keys(ask: Ask, keywright: Keywright, asker: str) -> None:
    """Two keys are refused, as two lines and as the one that Envoy makes of them."""
    one, other = (keywright.create_key()["private_key"] for _ in range(2))
    expected = 403 if asker == "nginx" else 400
    for lines in (
        [f"Authorization: Bearer {one}", f"Authorization: Bearer {other}"],
        [f"Authorization: Bearer {one},Bearer {other}"],
        [f"X-API-Key: {one}", f"X-API-Key: {other}"],
        [f"X-API-Key: {one},{other}"],
        [f"Authorization: Bearer {one}", f"X-API-Key: {other}"],
    ):
        answer = ask(asker, *lines)
        assert (answer.status, identity(answer)) == (expected, [None] * 8)


def test_body_nobody_asked_for(keywright: Keywright) -> None:
    """A proxy that passes a body on gets its answer, and the next question on that connection is understood."""
    key = keywright.create_key()["private_key"]
    credential = f"X-Keywright-Verifier: {keywright.credential}"
    head = f"POST /forward-auth HTTP/1.1\r\nHost: keywright\r\nX-API-Key: {key}\r\n{credential}\r\n"
    with Connection(keywright.url) as connection:
        for body in ("Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"):
            assert connection.send((head + body).encode())
            assert connection.read().status == 200


def test_misconfiguration_is_told_apart(ask: Ask, keywright: Keywright) -> None:
    """A proxy without a good credential is warned of in the log, a bad key is not; neither is written there."""
    key = keywright.create_key()["private_key"]
    before = len(keywright.warnings())
    assert ask("Caddy", "X-API-Key: junk").status == 401
    assert len(keywright.warnings()) == before
    missing = ask("Caddy", f"X-API-Key: {key}", "X-Keywright-Verifier: a second one")
    unknown = ask("Caddy", f"X-API-Key: {key}", credential=keywright.credential[:-1])
    assert [answer.status for answer in (missing, unknown)] == [401, 401]
    sent, bad = keywright.warnings()[before:]
    assert (sent["level"], sent["event"], sent["proxy"]) == ("warning", "a proxy is misconfigured", "127.0.0.1")
    assert "2 X-Keywright-Verifier headers" in sent["reason"]
    assert "no credential" in bad["reason"]
    assert sent["request_id"] == missing.headers["x-request-id"]
    assert not any(secret in keywright.log() for secret in (key[-40:], keywright.credential[-40:-1]))


def test_revoked_verifier(ask: Ask, keywright: Keywright) -> None:
    """A proxy whose verifier is revoked learns nothing any more."""
    key = f"X-API-Key: {keywright.create_key()['private_key']}"
    credential = keywright.make_verifier("gone")
    assert ask("Traefik", key, credential=credential).status == 200
    keywright.revoke_verifier("gone")
    answer = until_refused(partial(ask, "Traefik", key, credential=credential))
    assert answer.status == 401
    assert b'"verifier_required"' in answer.body
    assert ask("Traefik", key).status == 200
