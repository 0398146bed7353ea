"""The door of the cookie: who comes through, with what, and that the two doors never mix."""

import itertools
from typing import Any

import httpx
import pytest

from tests.console.visitor import HOME, OWN_PAGE, SESSION, Visitor
from tests.live import LiveService
from tests.oidc_provider import OidcProvider

KEYS = "/console/api/v2/api-keys"
ABSENT = "00000000-0000-7000-8000-000000000000"
SITES = ("same-origin", "same-site", "cross-site", "none", None, "same-origin, same-origin")
MARKS = ("1", "0", None)
METHODS = {
    "GET": KEYS,
    "POST": KEYS,
    "PUT": f"{KEYS}/{ABSENT}/revoke",
    "PATCH": f"{KEYS}/{ABSENT}",
    "DELETE": f"{KEYS}/{ABSENT}",
}
OPERATOR = "/console/api/v2/operator"
OPERATOR_REQUESTS = {
    ("GET", "api-keys"): None,
    ("POST", "api-keys/find"): {"text": "a key"},
    ("GET", f"api-keys/{ABSENT}"): None,
    ("PUT", f"api-keys/{ABSENT}/revoke"): None,
    ("GET", f"api-keys/{ABSENT}/revocation"): None,
    ("GET", f"api-keys/{ABSENT}/usage"): None,
    ("GET", "api-key-events"): None,
    ("GET", "organizations"): None,
    ("GET", f"organizations/{ABSENT}"): None,
    ("POST", "bulk-revocations"): {"created_by": "auth0|nobody"},
    ("GET", "bulk-revocations"): None,
    ("GET", f"bulk-revocations/{ABSENT}"): None,
    ("PUT", f"bulk-revocations/{ABSENT}/start"): None,
    ("GET", "verifiers"): None,
    ("POST", "verifiers"): {"name": "not/a/name"},
    ("PUT", "verifiers/nobody/revoke"): None,
    ("GET", "figures/verdicts"): None,
    ("GET", "figures/top"): None,
    ("GET", "figures/keys"): None,
    ("GET", "figures/revocations"): None,
    ("GET", "figures/verifiers"): None,
}
"""Every operation of operators, and a body that it takes, or refuses by its content."""
GOOD = {"GET": 200, "POST": 201, "PUT": 404, "PATCH": 404, "DELETE": 404}


@pytest.mark.parametrize("method", METHODS)
def test_forged_requests(visitor: Visitor, method: str) -> None:
    """Of all sites and marks, only requests of the console's own pages are answered, with a good cookie each time."""
    visitor.sign_in()
    body = {"json": {"name": "forged"}} if method in ("POST", "PATCH") else {}
    for site, mark in itertools.product(SITES, MARKS):
        headers = {name: value for name, value in (("Sec-Fetch-Site", site), ("X-Keywright-Console", mark)) if value}
        answer = visitor.send(method, METHODS[method], headers=headers, **body)
        if (site, mark) == ("same-origin", "1"):
            assert answer.status_code == GOOD[method], answer.text
        else:
            assert (answer.status_code, answer.json()["code"]) == (403, "foreign_request"), (site, mark)
    assert len(visitor.fetch(KEYS).json()) == (1 if method == "POST" else 0)


def asked(who: Visitor, method: str, path: str, body: dict[str, str] | None, headers: dict[str, str]) -> httpx.Response:
    more: dict[str, Any] = {} if body is None else {"json": body}
    return who.send(method, f"{OPERATOR}/{path}", headers=headers, **more)


def test_operations_of_operators(operator: Visitor) -> None:
    """An operator's session opens every operation of operators, for the console's own pages alone, and no bearer."""
    for (method, path), body in OPERATOR_REQUESTS.items():
        assert asked(operator, method, path, body, OWN_PAGE).status_code in (200, 201, 404, 409, 422), path
        for site, mark in itertools.product(SITES, MARKS):
            if (site, mark) == ("same-origin", "1"):
                continue
            named = {"Sec-Fetch-Site": site, "X-Keywright-Console": mark}
            answer = asked(operator, method, path, body, {name: value for name, value in named.items() if value})
            assert (answer.status_code, answer.json()["code"]) == (403, "foreign_request"), (path, site, mark)


def test_every_operation_of_operators_has_a_row(visitor: Visitor) -> None:
    """No operation of operators in the document is missing above."""
    paths = visitor.send("GET", "/openapi.json").json()["paths"]
    documented = sum(len(operations) for path, operations in paths.items() if path.startswith("/api/v2/operator/"))
    assert documented == len(OPERATOR_REQUESTS)


@pytest.mark.parametrize("claims", [{}, {"permissions": ["operate:api_keys"]}])
def test_no_operator(visitor: Visitor, provider: OidcProvider, subject: str, claims: dict[str, list[str]]) -> None:
    """A session of another organization opens no operation of operators, also with the permission."""
    provider.seat(subject, org_id="org_tenant", **claims)
    visitor.sign_in()
    assert visitor.who()["operates"] is False
    for (method, path), body in OPERATOR_REQUESTS.items():
        answer = asked(visitor, method, path, body, OWN_PAGE)
        assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_permission"), path


def test_the_operators_session(operator: Visitor, provider: OidcProvider) -> None:
    """The page learns who operates; the cookie is worth nothing at the API, and the operator's token nothing here."""
    assert operator.who()["operates"] is True
    bearer = {"Authorization": f"Bearer {provider.token(org_id='org_operators', permissions=['operate:api_keys'])}"}
    for method, path in OPERATOR_REQUESTS:
        plain = operator.fetch(f"/api/v2/operator/{path}", method)
        assert (plain.status_code, plain.json()["code"]) == (401, "missing_token"), path
        assert operator.fetch(f"{OPERATOR}/{path}", method, headers=bearer).status_code == 403, path
        stranger = operator.send(method, f"{OPERATOR}/{path}", headers={**OWN_PAGE, **bearer}, cookies={})
        assert stranger.status_code == 403, path
    assert operator.send("GET", "/api/v2/operator/api-keys", headers=bearer).status_code == 200


def test_operator_without_the_permission(visitor: Visitor, provider: OidcProvider, subject: str) -> None:
    """Somebody of the operators' organization without the permission is no operator."""
    provider.seat(subject, org_id="org_operators", permissions=["read:api_keys"])
    visitor.sign_in()
    assert visitor.who()["operates"] is False
    assert visitor.fetch(f"{OPERATOR}/api-keys").status_code == 403


@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Site": "same-origin"}, {"X-Keywright-Console": "1"}])
@pytest.mark.parametrize(("method", "path"), [("GET", "session"), ("POST", "logout")])
def test_forged_questions(visitor: Visitor, method: str, path: str, headers: dict[str, str]) -> None:
    """No other page learns who is signed in, or signs anybody out."""
    visitor.sign_in()
    answer = visitor.send(method, f"/console/auth/{path}", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "foreign_request")
    assert visitor.who()["signed_in"] is True


def test_no_session(visitor: Visitor) -> None:
    """Without a session the door stays shut."""
    answer = visitor.fetch(KEYS)
    assert (answer.status_code, answer.json()["code"]) == (401, "session_required")


def test_two_cookies(visitor: Visitor) -> None:
    """Of two cookies of the session's name neither counts: one of them is somebody else's."""
    visitor.sign_in()
    cookie = f"{SESSION}={visitor.cookies[SESSION]}; {SESSION}={'A' * 43}"
    assert visitor.send("GET", KEYS, headers={**OWN_PAGE, "Cookie": cookie}, cookies={}).status_code == 401


def test_the_cookie_is_worth_nothing_at_the_api(visitor: Visitor) -> None:
    """`/api/v2` never reads a cookie."""
    visitor.sign_in()
    answer = visitor.fetch("/api/v2/api-keys")
    assert (answer.status_code, answer.json()["code"]) == (401, "missing_token")


def test_a_token_is_worth_nothing_at_the_console(visitor: Visitor, provider: OidcProvider) -> None:
    """`/console/api` takes no bearer token, neither without a cookie nor with a good one."""
    token = provider.token(org_id="org_machine")
    bearer = {"Authorization": f"Bearer {token}"}
    assert visitor.send("GET", "/api/v2/api-keys", headers=bearer).status_code == 200
    assert visitor.send("GET", KEYS, headers=bearer).status_code == 403
    assert visitor.fetch(KEYS, headers=bearer).status_code == 403
    visitor.sign_in()
    assert visitor.fetch(KEYS, headers=bearer).status_code == 403


@pytest.mark.parametrize("path", ["/api-keys/verify", "/api-keys/verify-batch", "/feed", "/../livez"])
def test_only_management_is_behind_the_door(visitor: Visitor, path: str) -> None:
    """Neither verification nor the feed is behind the cookie's door."""
    visitor.sign_in()
    assert visitor.fetch(f"/console/api/v2{path}", "POST", json={"key": "x"}).status_code in (404, 405)


def test_tenancy(visitor: Visitor, console: LiveService, provider: OidcProvider) -> None:
    """A key of one organization does not exist for somebody of another, whatever the request."""
    visitor.sign_in()
    key = visitor.fetch(KEYS, "POST", json={"name": "mine"}).json()["id"]
    other = Visitor(console.base_url)
    provider.seat("auth0|other", org_id="org_other")
    other.sign_in()
    paths = [f"{KEYS}/{key}", *(f"{KEYS}/{key}/{part}" for part in ("usage", "revocation"))]
    requests: list[tuple[str, str, dict[str, Any]]] = [("GET", path, {}) for path in paths]
    requests += [("PATCH", paths[0], {"json": {"name": "theirs"}}), ("PUT", f"{paths[0]}/revoke", {})]
    requests += [("DELETE", paths[0], {}), ("POST", f"{paths[0]}/rotate", {})]
    for method, path, more in requests:
        answer = other.fetch(path, method, **more)
        assert answer.status_code == 404, (method, path, answer.text)
    assert other.fetch(KEYS).json() == []
    assert visitor.fetch(f"{KEYS}/{key}").json()["name"] == "mine"


def test_permissions(visitor: Visitor, provider: OidcProvider, subject: str) -> None:
    """A session may do what its access token may, and no more."""
    provider.seat(subject, org_id="org_readers", permissions=["read:api_keys"])
    visitor.sign_in()
    assert visitor.fetch(KEYS).status_code == 200
    answer = visitor.fetch(KEYS, "POST", json={"name": "no"})
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_permission")


def test_the_log_of_both_doors_is_the_same(visitor: Visitor, subject: str) -> None:
    """An act through the door is in the audit log, with the person as its subject."""
    visitor.sign_in()
    visitor.fetch(KEYS, "POST", json={"name": "logged"})
    (event,) = visitor.fetch("/console/api/v2/api-key-events").json()
    assert (event["type"], event["actor"]["subject"]) == ("api_key.created", subject)


def test_no_other_origin(visitor: Visitor) -> None:
    """Nothing of the console is for another origin, not even one that may call the API."""
    visitor.sign_in()
    foreign = {"Origin": "https://app.test"}
    asked = {**foreign, "Access-Control-Request-Method": "GET"}
    for path in (KEYS, "/console", "/console/auth/session", "/console/auth/login"):
        for answer in (visitor.fetch(path, headers=foreign), visitor.send("OPTIONS", path, headers=asked)):
            assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert "access-control-allow-origin" in visitor.send("GET", "/api/v2/api-keys", headers=foreign).headers


def test_the_shell(visitor: Visitor) -> None:
    """The page is the same for everybody, with the headers that shut it."""
    paths = ("/console", "/console/signed-out", "/console/operator")
    before = [visitor.send("GET", path).text for path in paths]
    visitor.sign_in()
    for path, text in zip(paths, before, strict=True):
        page = visitor.send("GET", path)
        assert (page.status_code, page.text) == (200, text)
        assert page.headers["Content-Security-Policy"] == (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
            "trusted-types keywright"
        )
        assert page.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert page.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert page.headers["Referrer-Policy"] == "no-referrer"
        assert page.headers["X-Frame-Options"] == "DENY"
        assert "clipboard-write=(self)" in page.headers["Permissions-Policy"]
        assert page.headers["Cache-Control"] == "no-cache"
    slash = visitor.send("GET", "/console/")
    assert (slash.status_code, slash.headers["Location"]) == (308, "../console")


def test_files(visitor: Visitor) -> None:
    """Files that the page names are there, of the right type and for a year; templates and other paths are not."""
    page = visitor.send("GET", "/console").text + visitor.send("GET", "/console/operator").text
    found = [part.partition('"')[0] for part in page.split(f'"{HOME}')[1:] if part.startswith("/console/static/")]
    types = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
    assert {path[path.rindex(".") :] for path in found} == set(types)
    for path in found:
        answer = visitor.send("GET", path)
        assert answer.headers["Content-Type"] == types[path[path.rindex(".") :]]
        assert "immutable" in answer.headers["Cache-Control"]
        assert visitor.send("GET", path, headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304
    folder = found[0].rpartition("/")[0]
    assert visitor.send("GET", f"{found[0].partition('/console/console')[0]}/element/list.js").status_code == 200
    for absent in (
        f"{folder}/index.html",
        f"{folder}/operator.html",
        f"{folder}/../console.js",
        f"{folder}/",
        "/console/x",
        "/console/static/x",
    ):
        assert visitor.send("GET", absent).status_code == 404
    assert visitor.send("POST", found[0]).status_code == 405


def test_off(service: LiveService) -> None:
    """Without a client id there is no console at all."""
    for path in ("/console", "/console/auth/login", KEYS):
        answer = httpx.get(f"{service.base_url}{path}", headers=OWN_PAGE, trust_env=False)
        assert answer.status_code == 404
