"""`POST /api/v2/api-keys/verify` and `/verify/batch`: verdicts on presented keys."""

import json
import secrets
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest

from keywright.keys.cache import BOUND_SECONDS
from keywright.keys.pair import mint
from tests.api.caller import KEYS, Caller
from tests.api.raw import exchange
from tests.api.verifier import BATCH, NOT_FOUND, VERIFY, Verifier, create_verifier, revoke_verifier
from tests.conftest import on_any_store

REALM = 'Bearer realm="keywright"'
MAY_VERIFY = ["verify:api_keys"]


def unknown_key(brand: str = "kw") -> str:
    """A key of the right shape that nobody has."""
    return mint(secrets.token_bytes(32), brand=brand, environment="live").private.reveal()


def told_of(created: dict[str, Any]) -> dict[str, Any]:
    """What a verdict tells of a key that was just created."""
    return {
        "id": created["id"],
        "org_id": created["org_id"],
        "name": created["name"],
        "environment": created["environment"],
        "scopes": [],
        "expires_at": None,
        "external_id": None,
        "org_external_id": created["org_external_id"],
        "created_by": created["created_by"],
    }


def until_the_bound(*asks: Callable[[], Any]) -> list[Any]:
    """Ask again and again, and give what the first ones answered that were asked later than the bound from now."""
    acknowledged = time.monotonic()
    while True:
        began = time.monotonic()
        answers = [ask() for ask in asks]
        if began - acknowledged > BOUND_SECONDS:
            return answers
        time.sleep(0.01)


def test_valid(caller: Caller, verifier: Verifier) -> None:
    """A good key is valid, and its verdict tells whose it is, and nothing more; nobody may keep the answer."""
    created = caller.create(name='Grüße "🔑"')
    response = verifier.ask(created["private_key"])
    assert response.status_code == 200
    assert response.json() == {"valid": True, "code": "valid", "api_key": told_of(created)}
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "keywright-stale" not in response.headers
    assert verifier.ask(created["private_key"]).content == response.content


def test_the_last_moment_of_all(caller: Caller, verifier: Verifier) -> None:
    """A key that expires with the last microseconds of the year 9999 is verified as any other, in every way."""
    key = caller.create(name="for ever", expires_at="9999-12-31T23:59:59.999999Z")["private_key"]
    answers = [verifier.ask(key), verifier.ask(key, facts=True), verifier.ask(key)]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert {answer.json()["api_key"]["expires_at"] for answer in answers} == {"9999-12-31T23:59:59.999969Z"}
    assert verifier.code(key) == "valid"


def test_a_new_key_is_valid_at_once(caller: Caller, verifier: Verifier, service_caller: Verifier) -> None:
    """As soon as a creation is acknowledged its key is valid, for every kind of caller."""
    for number in range(20):
        key = caller.create(name=f"key {number}")["private_key"]
        assert (verifier.code(key), service_caller.code(key)) == ("valid", "valid")


def nobodys_keys(caller: Caller, credential: str) -> dict[str, str]:
    created = caller.create()
    key: str = created["private_key"]
    deleted = caller.create()
    caller.http.delete(f"{KEYS}/{deleted['id']}")
    other = "0" if key[-10] != "0" else "1"
    return {
        "unknown": unknown_key(),
        "deleted": deleted["private_key"],
        "wrong checksum": key[:-1] + ("A" if key[-1] != "A" else "B"),
        "wrong secret": key[:-10] + other + key[-9:],
        "foreign brand": unknown_key(brand="acme"),
        "our key under a foreign brand": key.replace("kw_", "ab_", 1),
        "public key": created["public_key"],
        "display": created["private_key_display"],
        "id": created["id"],
        "credential": credential,
        "empty": "",
        "cut": key[:-1],
        "line feed behind": key + "\n",
        "space before": f" {key}",
        "upper case": key.upper(),
        "with its scheme": f"Bearer {key}",
        "NUL": "\0",
        "not ASCII": key.replace("kw_", "kẃ_", 1),
        "fullwidth": key.replace("0", "０") + "０",
        "long": "x" * 10_000,
        "like SQL": "' OR 1=1 --",
    }


def test_nobodys_keys_are_one_answer(caller: Caller, verifier: Verifier, credential: str) -> None:
    """Whatever is not the private key of one of ours is answered alike, byte for byte, however it is asked for."""
    answers = set()
    headers = set()
    for key in nobodys_keys(caller, credential).values():
        for response in (
            verifier.ask(key),
            verifier.ask(key, explain=True),
            verifier.ask(key, scopes=["read:orders"], environment="sandbox"),
            verifier.ask(key, facts=True, explain=True),
        ):
            assert response.status_code == 200
            answers.add(response.content)
            headers.add(tuple(name for name, _ in response.headers.raw))
    assert answers == {NOT_FOUND}
    assert len(headers) == 1


def test_revoked(caller: Caller, verifier: Verifier, service_caller: Verifier) -> None:
    """A key that was in use is refused by every request that begins later than the bound after its revocation."""
    created = caller.create()
    key = created["private_key"]
    assert (verifier.code(key), service_caller.code(key)) == ("valid", "valid")
    assert caller.http.put(f"{KEYS}/{created['id']}/revoke").status_code == 200
    answers = until_the_bound(lambda: verifier.ask(key), lambda: service_caller.ask(key))
    for answer in answers:
        assert answer.json() == {"valid": False, "code": "revoked", "api_key": told_of(created)}


def test_deleted(caller: Caller, verifier: Verifier) -> None:
    """A key that was in use and is deleted never was, later than the bound after its deletion."""
    created = caller.create()
    assert verifier.code(created["private_key"]) == "valid"
    assert caller.http.delete(f"{KEYS}/{created['id']}").status_code == 204
    assert until_the_bound(lambda: verifier.ask(created["private_key"]).content) == [NOT_FOUND]


@on_any_store
@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({}, "valid"),
        ({"environment": "live"}, "valid"),
        ({"environment": None, "scopes": []}, "valid"),
        ({"environment": "sandbox"}, "wrong_environment"),
        ({"environment": "LIVE"}, "wrong_environment"),
        ({"environment": ""}, "wrong_environment"),
        ({"scopes": ["read:orders"]}, "insufficient_scope"),
        ({"environment": "sandbox", "scopes": ["read:orders"]}, "wrong_environment"),
        ({"client_ip": "203.0.113.7", "method": "GET", "path": "/orders?x=1", "cost": 5}, "valid"),
        ({"client_ip": "not an address", "method": "", "path": "", "cost": 0}, "valid"),
        ({"client_ip": None, "method": None, "path": None}, "valid"),
        ({"cost": 1.0}, "valid"),
    ],
    ids=str,
)
def test_what_a_request_asks(caller: Caller, verifier: Verifier, asked: dict[str, Any], code: str) -> None:
    """A key passes only where it has what the request asks of it, whether it is held in memory or not."""
    created = caller.create()
    for response in (verifier.ask(created["private_key"], **asked) for _ in range(2)):
        assert response.json() == {"valid": code == "valid", "code": code, "api_key": told_of(created)}


def test_revoked_goes_before_everything_else(caller: Caller, verifier: Verifier) -> None:
    """A key that is refused for several reasons is refused for being revoked."""
    created = caller.create()
    caller.http.put(f"{KEYS}/{created['id']}/revoke")
    assert verifier.code(created["private_key"], environment="sandbox", scopes=["read:orders"]) == "revoked"


@on_any_store
def test_explain(caller: Caller, verifier: Verifier) -> None:
    """Who asks is told which rule refused and what would pass, and nothing of a key that passed."""
    created = caller.create()
    key = created["private_key"]
    wrong = verifier.ask(key, environment="sandbox", explain=True).json()
    assert wrong["explanation"] == {
        "reason": "The key belongs to the environment live.",
        "would_pass": "A key of the environment sandbox.",
    }
    lacking = verifier.ask(key, scopes=["read:orders", 'odd "scope"\n'], explain=True).json()
    assert "read:orders" in lacking["explanation"]["reason"]
    assert lacking["explanation"]["would_pass"].endswith('odd "scope"\n.')
    assert "explanation" not in verifier.ask(key, explain=True).json()
    assert "explanation" not in verifier.ask(key, environment="sandbox").json()
    caller.http.put(f"{KEYS}/{created['id']}/revoke")
    (revoked,) = until_the_bound(lambda: verifier.ask(key, explain=True).json())
    assert revoked["explanation"]["reason"] == "The key was revoked."


def test_whose_the_key_is(caller: Caller, verifier: Verifier) -> None:
    """A verdict tells external ids, the creator and, where the request includes it, the metadata, short or long."""
    for metadata in ({}, {"plan": "\u00c4", "share": [0.5, 1e16, True]}, {"text": "x" * 5000}):
        created = caller.create(external_id="customer-7", metadata=metadata)
        key, told = created["private_key"], {**told_of(created), "external_id": "customer-7"}
        assert told["org_external_id"] == caller.organization
        for _ in range(2):
            assert verifier.ask(key).json()["api_key"] == told
            included = {**told, "metadata": metadata}
            assert verifier.ask(key, include=["metadata"]).json()["api_key"] == included
            asked = [{"key": key, "include": ["metadata"]}, {"key": key}]
            results = verifier.batch(*asked).json()["results"]
            assert [result["api_key"] for result in results] == [included, told]
        assert verifier.ask(key, include=["metadata"], environment="sandbox").json()["api_key"] == included
        short = {"metadata": metadata} if "text" not in metadata else {}
        assert verifier.ask(key, facts=True).json()["api_key"] == {**told, **short}
        assert verifier.ask(key, facts=True, include=["metadata"]).json()["api_key"] == included
    for wrong in (["metadata", "metadata"], ["name"], "metadata", None):
        assert verifier.ask(key, include=wrong).status_code == 422


def test_facts(caller: Caller, verifier: Verifier) -> None:
    """Our own client is told, in addition, what it needs to judge by itself, always read from the database."""
    created = caller.create()
    key = created["private_key"]
    plain = verifier.ask(key).json()
    assert "facts" not in plain
    facts = {"revoked": False, "expires_at": None, "retires_at": None, "allowed_ips": [], "rate_limits": []}
    plain["api_key"]["metadata"] = {}
    assert verifier.ask(key, facts=True).json() == {**plain, "facts": facts}
    refused = verifier.ask(key, facts=True, environment="sandbox").json()
    assert (refused["code"], refused["facts"]) == ("wrong_environment", facts)
    caller.http.put(f"{KEYS}/{created['id']}/revoke")
    at_once = verifier.ask(key, facts=True).json()
    assert (at_once["code"], at_once["facts"]) == ("revoked", {**facts, "revoked": True})
    assert "facts" not in verifier.http.post(VERIFY, json={"key": key}, headers={"Keywright-Facts": "true"}).json()


def test_batch(caller: Caller, verifier: Verifier) -> None:
    """A hundred keys at once are answered in their order, each as it would be alone."""
    created = [caller.create(name=f"key {number}") for number in range(5)]
    caller.http.put(f"{KEYS}/{created[0]['id']}/revoke")
    asked: list[dict[str, Any]] = [{"key": key["private_key"]} for key in created]
    asked += [{"key": unknown_key()}, {"key": "junk"}]
    asked.append({"key": created[1]["private_key"], "environment": "sandbox", "explain": True})
    asked = (asked * 13)[:100]
    response = verifier.batch(*asked)
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    alone = [verifier.http.post(VERIFY, json=one).content for one in asked]
    assert response.content == b'{"results":[' + b",".join(alone) + b"]}"


@on_any_store
def test_a_batch_of_whole_keys_fits(caller: Caller, verifier: Verifier) -> None:
    """A hundred keys with a scope and an address each stay below the limit of a body."""
    key = caller.create()["private_key"]
    one = {"key": key, "scopes": ["read:orders"], "client_ip": "203.0.113.255"}
    assert verifier.batch(*[one] * 100).status_code == 200


@on_any_store
@pytest.mark.parametrize(
    ("body", "where", "type_"),
    [
        ({"keys": []}, ["body", "keys"], "too_short"),
        ({"keys": [{"key": "x"}] * 101}, ["body", "keys"], "too_long"),
        ({}, ["body", "keys"], "missing"),
        ({"keys": {"key": "x"}}, ["body", "keys"], "list_type"),
        ({"keys": ["x"]}, ["body", "keys", 0], "model_type"),
        ({"keys": [{"key": "x"}, {"key": "x", "more": 1}]}, ["body", "keys", 1, "more"], "extra_forbidden"),
        ({"keys": [{"key": "x"}], "explain": True}, ["body", "explain"], "extra_forbidden"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_batches_that_are_refused(verifier: Verifier, body: object, where: list[str | int], type_: str) -> None:
    """An empty batch, one of more than a hundred keys, and one with a flaw in any of them are refused whole."""
    response = verifier.http.post(BATCH, json=body)
    assert response.status_code == 422
    assert [(flaw["loc"], flaw["type"]) for flaw in response.json()["detail"]] == [(where, type_)]


@on_any_store
@pytest.mark.parametrize(
    ("body", "where", "type_"),
    [
        ({}, ["body", "key"], "missing"),
        ({"key": None}, ["body", "key"], "string_type"),
        ({"key": 1}, ["body", "key"], "string_type"),
        ({"key": ["x"]}, ["body", "key"], "string_type"),
        ({"key": "x", "scopes": "read"}, ["body", "scopes"], "list_type"),
        ({"key": "x", "scopes": [""]}, ["body", "scopes", 0], "string_too_short"),
        ({"key": "x", "scopes": ["s"] * 101}, ["body", "scopes"], "too_long"),
        ({"key": "x", "environment": 1}, ["body", "environment"], "string_type"),
        ({"key": "x", "environment": "e" * 256}, ["body", "environment"], "string_too_long"),
        ({"key": "x", "cost": -1}, ["body", "cost"], "greater_than_equal"),
        ({"key": "x", "cost": 1.5}, ["body", "cost"], "int_type"),
        ({"key": "x", "cost": 1e300}, ["body", "cost"], "less_than_equal"),
        ({"key": "x", "cost": True}, ["body", "cost"], "int_type"),
        ({"key": "x", "cost": "1"}, ["body", "cost"], "int_type"),
        ({"key": "x", "explain": "true"}, ["body", "explain"], "bool_type"),
        ({"key": "x", "explain": 1}, ["body", "explain"], "bool_type"),
        ({"key": "x", "org_id": "x"}, ["body", "org_id"], "extra_forbidden"),
        ({"key": "x", "Key": "x"}, ["body", "Key"], "extra_forbidden"),
        ({"key": "x", "kw_sk_live_secret-word-that-is-long-enough": 1}, ["body", "?"], "extra_forbidden"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_flaws(verifier: Verifier, body: object, where: list[str | int], type_: str) -> None:
    """A flaw answers 422 with its place and kind, and nothing of what was sent."""
    response = verifier.http.post(VERIFY, json=body)
    assert response.status_code == 422
    answer = response.json()
    assert answer["code"] == "validation_failed"
    assert [(flaw["loc"], flaw["type"]) for flaw in answer["detail"]] == [(where, type_)]
    assert "secret-word" not in response.text


@on_any_store
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"secret-word",
        b'"secret-word"',
        b'["secret-word"]',
        b"null",
        b'{"key": "secret-word",}',
        b'{"key": "secret-word"} x',
        b'{"key": "secret-word", "key": "secret-word"}',
        b'{"key": "a", "\\u006bey": "secret-word"}',
        b"{'key': 'secret-word'}",
        b'{"key": secret-word}',
        b'{"key": "secret-word\n"}',
        b'{"key": "secret-word\\x41"}',
        b'{"key": "secret-word\xff"}',
        b'\xef\xbb\xbf{"key": "secret-word"}',
        b'\x0c{"key": "secret-word"}',
        b'{"key":\x0b"secret-word"}',
        b'{"key": "x", "cost": NaN}',
        '{"key": "secret-word"}'.encode("utf-16"),
        b'{"key": ' + b"[" * 1000,
    ],
    ids=lambda body: repr(body[:30]),
)
@pytest.mark.parametrize("path", [VERIFY, BATCH])
def test_what_is_not_strict_json(verifier: Verifier, path: str, body: bytes) -> None:
    """A body that two readers could read in two ways answers 400, and nothing of it is told back."""
    response = verifier.post(body, path=path)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_json")
    assert "secret-word" not in response.text


@on_any_store
@pytest.mark.parametrize("text", ["\\ud800", "kw_sk_live_\\udfff", "\\u0000", "\\ud83d\\udd11"])
def test_keys_that_are_no_text(verifier: Verifier, text: str) -> None:
    """A key that cannot be a text in UTF-8 is refused or nobody's, and never an error of ours."""
    for path, body in ((VERIFY, f'{{"key": "{text}"}}'), (BATCH, f'{{"keys": [{{"key": "{text}"}}]}}')):
        response = verifier.post(body.encode(), path=path)
        assert response.status_code in (200, 422)
        assert b'"valid":true' not in response.content


@on_any_store
@pytest.mark.parametrize("member", ["environment", "client_ip", "method", "path"])
def test_members_that_are_no_text(caller: Caller, verifier: Verifier, member: str) -> None:
    """A member that cannot be a text in UTF-8 is refused and never an error of ours."""
    key = caller.create()["private_key"]
    body = f'{{"key": "{key}", "explain": true, "{member}": "\\ud800"}}'
    assert verifier.post(body.encode()).status_code == 422


def test_a_token_checks_keys_of_its_organization(caller: Caller, service_caller: Verifier) -> None:
    """A token with the permission sees its organisation's keys as a verifier does, and another's not at all."""
    created = caller.create()
    assert service_caller.ask(created["private_key"]).json()["api_key"] == told_of(created)
    with caller.another() as other:
        theirs = other.create()["private_key"]
        answers = [service_caller.ask(theirs, explain=True, environment="live") for _ in range(2)]
        answers.append(service_caller.ask(theirs, facts=True, explain=True))
        answers.append(service_caller.ask(theirs))
    assert {answer.content for answer in answers} == {NOT_FOUND}
    batch = service_caller.batch({"key": theirs}, {"key": created["private_key"]})
    assert [result["code"] for result in batch.json()["results"]] == ["not_found", "valid"]


@on_any_store
@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"permissions": MAY_VERIFY}, 200),
        ({"scope": "openid verify:api_keys"}, 200),
        ({}, 403),
        ({"permissions": []}, 403),
        ({"permissions": ["create:api_keys", "read:api_keys", "revoke:api_keys", "delete:api_keys"]}, 403),
        ({"permissions": [], "scope": "verify:api_keys"}, 403),
        ({"scope": "read:api_keys"}, 403),
    ],
    ids=str,
)
@pytest.mark.parametrize("path", [VERIFY, BATCH])
def test_the_permission(caller: Caller, path: str, claims: dict[str, Any], status: int) -> None:
    """Checking keys never goes without saying: the token has to carry the permission."""
    key = {"key": caller.create()["private_key"]}
    token = caller.issuer.token(caller.organization, **claims)
    with Verifier(caller.service, f"Bearer {token}") as verifier:
        response = verifier.http.post(path, json={"keys": [key]} if path == BATCH else key)
    assert response.status_code == status
    if status == 403:
        assert response.json()["code"] == "insufficient_permission"
        challenge = f'{REALM}, error="insufficient_scope", scope="verify:api_keys"'
        assert response.headers["www-authenticate"] == challenge


def assert_error(response: httpx.Response, status: int, code: str) -> None:
    """Every error is in the contract's form."""
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    assert answer.keys() == {"detail", "code", "request_id"}
    assert answer["request_id"] == response.headers["x-request-id"]
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "no-store"


@on_any_store
@pytest.mark.parametrize("path", [VERIFY, BATCH])
def test_who_shows_nothing_good(caller: Caller, verifier: Verifier, credential: str, path: str) -> None:
    """Without a good credential nothing is told, not even the shape of the body, and it says why."""
    key = caller.create()["private_key"]
    unknown = credential[:8] + unknown_key()[-49:]
    for authorization, code in {
        f"Bearer {key}": "invalid_token",
        f"Bearer {unknown}": "invalid_token",
        f"Bearer {credential[:-1]}": "invalid_token",
        f"Bearer {credential}=": "invalid_token",
        f"Bearer {caller.issuer.token(caller.organization, expires_in=-60, permissions=MAY_VERIFY)}": "invalid_token",
        f"Basic {credential}": "missing_token",
        f"{credential}": "missing_token",
    }.items():
        response = verifier.post(b"nonsense", path=path, Authorization=authorization)
        assert_error(response, 401, code)
        assert response.headers["www-authenticate"].startswith(REALM)
        assert credential not in response.text
    assert_error(verifier.post(b"nonsense", path=path, Authorization=f"Bearer {credential} x"), 400, "invalid_request")


@on_any_store
def test_two_credentials(verifier: Verifier, credential: str) -> None:
    """Two Authorization headers are a bad request, whether or not both are good."""
    fields = [("Authorization", f"Bearer {credential}")] * 2
    response = httpx.post(f"{verifier.service.base_url}{VERIFY}", json={"key": "x"}, headers=fields, trust_env=False)
    assert_error(response, 400, "invalid_request")


@on_any_store
@pytest.mark.parametrize("path", [VERIFY, BATCH])
def test_no_credential_in_the_query(caller: Caller, credential: str, path: str) -> None:
    """A credential is taken from the Authorization header alone, never from a query, another header or the body."""
    key = caller.create()["private_key"]
    with Verifier(caller.service, None) as nobody:
        for name in ("access_token", "token", "authorization", "Authorization", "credential", "key", "api_key"):
            for value in (credential, f"Bearer {credential}"):
                response = nobody.http.post(path, params={name: value}, json={"key": key})
                assert_error(response, 401, "missing_token")
        for name in ("X-API-Key", "Proxy-Authorization", "X-Keywright-Verifier", "Cookie"):
            assert_error(nobody.http.post(path, json={"key": key}, headers={name: credential}), 401, "missing_token")
        assert_error(nobody.http.post(path, json={"key": key, "access_token": credential}), 401, "missing_token")


@on_any_store
@pytest.mark.parametrize("path", [VERIFY, f"{VERIFY}/", BATCH, f"{BATCH}/"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_method_not_allowed(verifier: Verifier, method: str, path: str) -> None:
    """Verdicts are asked for by POST alone, and so never by a URL that a log could keep."""
    response = verifier.http.request(method, path)
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    if method != "HEAD":
        assert_error(response, 405, "method_not_allowed")


@on_any_store
@pytest.mark.parametrize(
    "content_type", [None, "", "text/plain", "application/x-www-form-urlencoded", "application/jsonp"]
)
def test_media_type(verifier: Verifier, content_type: str | None) -> None:
    """A body that does not say it is JSON is not read as such."""
    headers = {} if content_type is None else {"Content-Type": content_type}
    assert_error(verifier.http.post(VERIFY, content=b'{"key": "x"}', headers=headers), 415, "unsupported_media_type")


@on_any_store
@pytest.mark.parametrize(
    "content_type", ["Application/JSON", "application/json; charset=utf-8", 'application/json;charset="UTF-8"']
)
def test_media_type_in_any_writing(caller: Caller, verifier: Verifier, content_type: str) -> None:
    """The media type is read without regard to case, and may name UTF-8."""
    body = json.dumps({"key": caller.create()["private_key"]}).encode()
    assert verifier.post(body, **{"Content-Type": content_type}).json()["code"] == "valid"


@on_any_store
def test_compressed_body(verifier: Verifier) -> None:
    """A compressed body is refused as such, since it could be of any size."""
    assert_error(verifier.post(b"\x1f\x8b", **{"Content-Encoding": "gzip"}), 415, "unsupported_media_type")


@on_any_store
@pytest.mark.parametrize("path", [VERIFY, BATCH])
def test_large_bodies(verifier: Verifier, credential: str, path: str) -> None:
    """A body is read up to 16 KiB, announced or not; a larger one answers 413 before it is whole."""
    fitting = b'{"key": "x"}' if path == VERIFY else b'{"keys": [{"key": "x"}]}'
    fitting += b" " * (16 * 1024 - len(fitting))
    assert verifier.post(fitting, path=path).status_code == 200
    assert_error(verifier.post(fitting + b" ", path=path), 413, "payload_too_large")
    chunks = iter([fitting, b" "])
    headers = {"Content-Type": "application/json"}
    assert_error(verifier.http.post(path, content=chunks, headers=headers), 413, "payload_too_large")
    announced = [f"POST {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {credential}\r\n".encode()]
    announced.append(b"Content-Type: application/json\r\nContent-Length: 1000000000\r\n\r\n{")
    assert exchange(verifier.service.base_url, announced).status == 413


@on_any_store
def test_a_body_in_pieces(caller: Caller, verifier: Verifier) -> None:
    """A body that arrives piece by piece means what it means in one."""
    body = json.dumps({"key": caller.create()["private_key"]}).encode()
    pieces = iter(body[place : place + 7] for place in range(0, len(body), 7))
    response = verifier.http.post(VERIFY, content=pieces, headers={"Content-Type": "application/json"})
    assert response.json()["code"] == "valid"


@on_any_store
def test_both_urls_answer_directly(caller: Caller, verifier: Verifier) -> None:
    """With a trailing slash or without, the operations answer themselves; nothing redirects."""
    key = {"key": caller.create()["private_key"]}
    for path in (VERIFY, f"{VERIFY}/"):
        assert verifier.http.post(path, json=key, follow_redirects=False).json()["valid"]
    for path in (BATCH, f"{BATCH}/"):
        assert verifier.http.post(path, json={"keys": [key]}, follow_redirects=False).json()["results"][0]["valid"]


@on_any_store
@pytest.mark.parametrize("path", [f"{VERIFY}x", f"{VERIFY}//", f"{VERIFY}/x", f"{BATCH}/x", f"{VERIFY}/batches"])
def test_paths_beside_it(verifier: Verifier, path: str) -> None:
    """A path that only begins like the operation is another one."""
    response = verifier.http.post(path, json={"key": "x"})
    assert response.status_code in (404, 405)
    assert response.headers["x-request-id"] == response.json()["request_id"]


@on_any_store
def test_problem_documents(verifier: Verifier) -> None:
    """Who asks for RFC 9457 gets errors in that form."""
    response = verifier.post(b"nonsense", Accept="application/problem+json")
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["type"] == "urn:keywright:problem:invalid_json"
    assert response.json()["request_id"] == response.headers["x-request-id"]


@on_any_store
def test_request_ids(verifier: Verifier) -> None:
    """Every answer has a request id of its own."""
    ids = {verifier.ask("x").headers["x-request-id"] for _ in range(20)}
    assert len(ids) == 20
    assert all(8 <= len(request_id) <= 64 for request_id in ids)


def test_a_revoked_verifier(caller: Caller) -> None:
    """A verifier that was at work is refused by every request that begins later than the bound after its revocation."""
    name = f"going-{uuid4().hex[:8]}"
    key = caller.create()["private_key"]
    with Verifier(caller.service, f"Bearer {create_verifier(caller.service, name)}") as going:
        assert going.code(key) == "valid"
        revoke_verifier(caller.service, name)
        session = {"session": str(uuid4()), "name": "going"}
        answers = until_the_bound(
            lambda: going.ask(key),
            lambda: going.batch({"key": key}),
            lambda: going.http.get("/api/v2/verifier/feed", params=session),
            lambda: going.http.post("/api/v2/verifier/ack", json={"session": session["session"], "seqs": []}),
        )
        for answer in answers:
            assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")


def test_a_verifier_of_a_name_that_was_revoked(caller: Caller) -> None:
    """A name is free again after its verifier was revoked; the new credential works, the old one does not."""
    name = f"again-{uuid4().hex[:8]}"
    key = caller.create()["private_key"]
    old = create_verifier(caller.service, name)
    revoke_verifier(caller.service, name)
    new = create_verifier(caller.service, name)
    with Verifier(caller.service, f"Bearer {new}") as verifier, Verifier(caller.service, f"Bearer {old}") as gone:
        assert verifier.code(key) == "valid"
        assert gone.ask(key).status_code == 401


@on_any_store
def test_who_fails_too_often_is_turned_away(caller: Caller, verifier: Verifier) -> None:
    """An address that tries unknown keys is turned away after a while; keys in use there and others are not."""
    held = caller.create()["private_key"]
    # Networks of this test's own, out of a documentation range (RFC 3849).
    network, elsewhere = (f"2001:db8:{half}{secrets.token_hex(1)}" for half in ("1", "2"))
    address, neighbour, stranger = f"{network}::1", f"{network}::2", f"{elsewhere}::1"
    assert verifier.code(held, client_ip=address) == "valid"
    typing_errors = {verifier.code("junk", client_ip=address, facts=number % 2 == 0) for number in range(100)}
    assert typing_errors == {"not_found"}
    codes = [verifier.code(unknown_key(), client_ip=address)]
    while codes[-1] == "not_found" and len(codes) < 1000:
        codes.append(verifier.code(unknown_key(), client_ip=address))
    assert set(codes) == {"not_found", "rate_limited"}
    assert len(codes) > 60
    for facts in (False, True):
        refused = verifier.ask(unknown_key(), client_ip=neighbour, explain=True, facts=facts)
        assert refused.content == b'{"valid":false,"code":"rate_limited","api_key":null,"retry_after_seconds":1}'
        assert verifier.code(held, client_ip=address, facts=facts) == "valid"
        assert verifier.code("junk", client_ip=address, facts=facts) == "not_found"
        assert verifier.code(unknown_key(), client_ip=stranger, facts=facts) == "not_found"
        assert verifier.code(unknown_key(), facts=facts) == "not_found"


def counted(verifier: Verifier) -> dict[str, float]:
    """Read how many verdicts of each code were given."""
    text = httpx.get(str(verifier.service.metrics_url), trust_env=False).text
    lines = [line for line in text.splitlines() if line.startswith("keywright_verdicts_total{")]
    return {line.split('"')[1]: float(line.rsplit(" ", 1)[1]) for line in lines}


@on_any_store
def test_verdicts_are_counted(caller: Caller, verifier: Verifier) -> None:
    """Every verdict is counted by its code, those of a batch one by one."""
    key = caller.create()["private_key"]
    before = counted(verifier)
    verifier.ask(key)
    verifier.ask(key, environment="sandbox")
    verifier.ask("junk")
    verifier.batch({"key": key}, {"key": unknown_key()}, {"key": key, "scopes": ["read:orders"]})
    after = counted(verifier)
    more = {code: count - before.get(code, 0) for code, count in after.items() if count != before.get(code, 0)}
    assert more == {"valid": 2, "wrong_environment": 1, "not_found": 2, "insufficient_scope": 1}


def test_no_trace_of_what_was_presented(caller: Caller, verifier: Verifier, credential: str) -> None:
    """Neither keys, good or bad, nor credentials reach the log or the metrics, however wrongly they are sent."""
    good, bad = caller.create()["private_key"], unknown_key()
    for key in (good, bad):
        verifier.ask(key)
        verifier.ask(key, facts=True, explain=True, environment=key, scopes=[key])
        verifier.post(key.encode())
        verifier.http.post(VERIFY, json={"key": "x", key: 1})
        verifier.http.post(f"{VERIFY}/{key}", json={})
        verifier.http.get(VERIFY, params={"key": key})
        verifier.http.post(VERIFY, json={"key": key}, headers={"Authorization": f"Bearer {key}"})
    verifier.http.get(f"/{credential}")
    caller.http.get(KEYS, headers={"X-Request-Id": "after-all-of-them"})
    caller.service.await_log_line(request_id="after-all-of-them")
    kept = caller.service.log_path.read_text() + httpx.get(str(verifier.service.metrics_url), trust_env=False).text
    for secret in (good, bad, credential):
        assert secret[-40:] not in kept
