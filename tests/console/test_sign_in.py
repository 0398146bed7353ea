"""Sign-in at the console with a certified provider: the chain, the cookies, and what ends a session."""

from urllib.parse import parse_qs, urlsplit

import pytest

from tests.console.visitor import HOME, SESSION, SIGN_IN, Visitor
from tests.live import LiveService
from tests.oidc_provider import OidcProvider
from tests.stored import rows

KEYS = "/console/api/v2/api-keys"


def query_of(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def test_the_request(visitor: Visitor, provider: OidcProvider) -> None:
    """The issuer is asked for a code with PKCE, for our audience and the organization, and for no refresh token."""
    answer = visitor.begin(organization="org_1", return_to="/console#/keys/1")
    query = query_of(answer.headers["Location"])
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith(f"{provider.issuer}/auth?")
    assert query["response_type"] == "code"
    assert (query["code_challenge_method"], len(query["code_challenge"])) == ("S256", 43)
    assert query["redirect_uri"] == f"{HOME}/console/auth/callback"
    assert (query["audience"], query["organization"]) == (provider.audience, "org_1")
    assert query["scope"] == "openid profile email"
    assert len(query["state"]) == len(query["nonce"]) == 43
    assert "no-store" in answer.headers["Cache-Control"]


def test_signed_in(visitor: Visitor, subject: str) -> None:
    """After the callback the session's cookie acts: who is signed in is known, and a key can be created."""
    assert visitor.who() == {"signed_in": False}
    answer = visitor.sign_in(return_to="/console#/keys/1")
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{HOME}/console?signed-in#/keys/1")
    assert visitor.who()["subject"] == subject
    made = visitor.fetch(KEYS, "POST", json={"name": "Staging"})
    assert made.status_code == 201
    assert [key["id"] for key in visitor.fetch(KEYS).json()] == [made.json()["id"]]


def test_cookies(visitor: Visitor) -> None:
    """The session's cookie is for this host, TLS and no script, and Strict; that of a sign-in is Lax and short."""
    visitor.sign_in()
    session = next(line for line in visitor.written if line.startswith(f"{SESSION}="))
    assert session.partition("; ")[2] == "Path=/; HttpOnly; Secure; SameSite=Strict"
    sign_in = next(line for line in visitor.written if line.startswith(SIGN_IN))
    assert sign_in.partition("; ")[2] == "Path=/; HttpOnly; Secure; SameSite=Lax; Max-Age=600"
    # That of the sign-in went with the callback.
    assert list(visitor.cookies) == [SESSION]


def test_new_session_at_every_sign_in(visitor: Visitor) -> None:
    """A sign-in has a cookie of its own, and ends the session that the browser had."""
    visitor.sign_in()
    before = dict(visitor.cookies)
    visitor.sign_in()
    assert visitor.cookies[SESSION] != before[SESSION]
    assert visitor.who()["signed_in"] is True
    answer = visitor.fetch("/console/auth/session", cookies=before)
    assert answer.json() == {"signed_in": False}


def test_planted_cookie(visitor: Visitor) -> None:
    """A session never takes its cookie from the browser."""
    visitor.cookies[SESSION] = "A" * 43
    visitor.sign_in()
    assert visitor.cookies[SESSION] != "A" * 43
    assert visitor.fetch(KEYS, cookies={SESSION: "A" * 43}).status_code == 401


def test_two_tabs(visitor: Visitor) -> None:
    """Sign-ins in two tabs do not end each other, in whichever order they come back."""
    first, second = (visitor.begin(return_to=f"/console#/{tab}").headers["Location"] for tab in "12")
    for tab, url in (("2", second), ("1", first)):
        answer = visitor.come_back(visitor.at_the_issuer(url))
        assert answer.headers["Location"] == f"{HOME}/console?signed-in#/{tab}"


def test_three_sign_ins_at_most(visitor: Visitor) -> None:
    """A browser has three sign-ins under way at most; the oldest is given up."""
    urls = [visitor.begin().headers["Location"] for _ in range(5)]
    kept = {name.removeprefix(SIGN_IN) for name in visitor.cookies}
    assert kept == {query_of(url)["state"] for url in urls[-3:]}


def refused(answer: object) -> bool:
    text = getattr(answer, "text", "")
    return "Sign in again" in text and getattr(answer, "status_code", 0) == 400


def test_replayed_callback(visitor: Visitor) -> None:
    """A callback works once; again it is a page with a way to begin anew, and the session goes on."""
    url = visitor.at_the_issuer(visitor.begin().headers["Location"])
    assert visitor.come_back(url).status_code == 303
    assert refused(visitor.come_back(url))
    assert visitor.who()["signed_in"] is True


@pytest.mark.parametrize("state", ["", "x", "A" * 43, "A" * 43 + "\n", "%00"])
def test_foreign_state(visitor: Visitor, state: str) -> None:
    """A callback with a state that this browser did not begin signs nobody in: login CSRF."""
    visitor.begin()
    assert refused(visitor.send("GET", "/console/auth/callback", params={"state": state, "code": "c"}))
    assert SESSION not in visitor.cookies


def test_callback_in_another_browser(visitor: Visitor, console: LiveService) -> None:
    """The callback of one browser signs nobody in at another one."""
    url = visitor.at_the_issuer(visitor.begin().headers["Location"])
    other = Visitor(console.base_url)
    other.begin()
    assert refused(other.come_back(url))
    assert other.who() == {"signed_in": False}


def test_swapped_cookies(visitor: Visitor) -> None:
    """What is sealed for one sign-in opens under no other state."""
    first, second = (query_of(visitor.begin().headers["Location"])["state"] for _ in range(2))
    visitor.cookies[SIGN_IN + first] = visitor.cookies[SIGN_IN + second]
    assert refused(visitor.send("GET", "/console/auth/callback", params={"state": first, "code": "c"}))


def test_code_of_another_sign_in(visitor: Visitor) -> None:
    """A code that was issued for another state does not fit the PKCE verifier, and is refused."""
    url = visitor.at_the_issuer(visitor.begin().headers["Location"])
    state = query_of(visitor.begin().headers["Location"])["state"]
    answer = visitor.send(
        "GET",
        "/console/auth/callback",
        params={**query_of(url), "state": state},
        headers={"Sec-Fetch-Dest": "document"},
    )
    assert refused(answer)
    assert SESSION not in visitor.cookies


def test_other_issuer_in_the_callback(visitor: Visitor) -> None:
    """A callback that names another issuer (RFC 9207), or none, is refused before the code goes anywhere."""
    for change in ({"iss": "https://evil.test"}, None):
        url = visitor.at_the_issuer(visitor.begin().headers["Location"])
        query = {**query_of(url), **(change or {})}
        if change is None:
            del query["iss"]
        assert refused(visitor.send("GET", "/console/auth/callback", params=query))


def test_denied(visitor: Visitor, provider: OidcProvider, subject: str) -> None:
    """Somebody who declines at the issuer gets a page with a way to begin again, and no session."""
    provider.seat(subject, refuses=True)
    assert refused(visitor.sign_in())
    assert visitor.who() == {"signed_in": False}


def test_no_organization(visitor: Visitor, provider: OidcProvider, subject: str) -> None:
    """Somebody without an organization is told so, and has no session."""
    provider.seat(subject)
    answer = visitor.sign_in()
    assert answer.status_code == 403
    assert "No organization" in answer.text
    assert visitor.who() == {"signed_in": False}


def test_other_organization(visitor: Visitor) -> None:
    """A token of another organization than was asked for is refused."""
    assert refused(visitor.sign_in(organization="org_other"))


@pytest.mark.parametrize(
    "path",
    ["https://evil.test/", "//evil.test", "/\\evil.test", "/console/../evil", "/consoleevil", "/api/v2/api-keys",
     "/console#//evil\r\nX: y", "javascript:alert(1)", "/console?x"],
)  # fmt: skip
def test_foreign_return(visitor: Visitor, path: str) -> None:
    """Nobody is sent anywhere but to the console after a sign-in."""
    assert visitor.sign_in(return_to=path).headers["Location"] == f"{HOME}/console?signed-in"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_callback_is_a_navigation(visitor: Visitor, method: str) -> None:
    """The callback takes GET alone: a form of another site gets nothing."""
    assert visitor.send(method, "/console/auth/callback").status_code == 405


@pytest.mark.parametrize("path", ["login", "callback"])
@pytest.mark.parametrize("destination", ["image", "iframe", "script", "empty"])
def test_not_behind_the_back(visitor: Visitor, path: str, destination: str) -> None:
    """An image, a frame or a script of a page begins and ends no sign-in."""
    answer = visitor.send("GET", f"/console/auth/{path}", headers={"Sec-Fetch-Dest": destination})
    assert answer.status_code == 400
    assert visitor.cookies == {}


def test_sign_out_everywhere(visitor: Visitor, console: LiveService, provider: OidcProvider) -> None:
    """Sign-out ends the sessions of a person in every browser, then leads to the issuer; others stay signed in."""
    other, stranger = Visitor(console.base_url), Visitor(console.base_url)
    visitor.sign_in()
    other.sign_in()
    provider.seat("auth0|stranger", org_id="org_stranger")
    stranger.sign_in()
    answer = visitor.fetch("/console/auth/logout", "POST")
    assert answer.status_code == 200
    assert answer.headers["Clear-Site-Data"] == '"cache", "storage"'
    there = answer.json()["location"]
    assert there.startswith(f"{provider.issuer}/session/end?")
    assert query_of(there)["post_logout_redirect_uri"] == f"{HOME}/console/signed-out"
    assert "id_token_hint" in query_of(there)
    assert visitor.cookies == {}
    assert [each.who()["signed_in"] for each in (visitor, other, stranger)] == [False, False, True]


def test_a_thief_of_the_database_finds_nothing(visitor: Visitor, console: LiveService) -> None:
    """No column of the table contains the cookie, a token, or the subject, and what is there is no cookie."""
    visitor.sign_in()
    who = visitor.who()
    found = rows(console.database_url, "SELECT * FROM console_sessions")
    text = repr(found).encode() + b"".join(value for row in found for value in row if isinstance(value, bytes))
    cookie = visitor.cookies[SESSION]
    for secret in (cookie, who["subject"], who["name"], who["organization"], "eyJ"):
        assert secret.encode() not in text
    for row in found:
        for value in row:
            if isinstance(value, bytes) and len(value) == 32:
                stolen = {SESSION: value.hex()[:43]}
                assert visitor.fetch(KEYS, cookies=stolen).status_code == 401


def test_logs_have_no_secret(visitor: Visitor, console: LiveService) -> None:
    """The log has no code, no state, no cookie and no token of a sign-in."""
    url = visitor.at_the_issuer(visitor.begin().headers["Location"])
    visitor.come_back(url)
    console.await_log_line(route="/console/auth/callback")
    log = console.log_path.read_text()
    for secret in (query_of(url)["code"], query_of(url)["state"], visitor.cookies[SESSION], "eyJ"):
        assert secret not in log
