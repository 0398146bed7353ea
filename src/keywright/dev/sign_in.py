"""
Sign-in at the issuer of `keywright dev`: a page with the demo's people, and the authorization code grant with PKCE.

There are no passwords: whoever reaches the loopback address may be any of them. Everything else is as at a real issuer,
so that the console runs the same code.
"""

import hashlib
import json
import secrets
import threading
import time
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hmac import compare_digest
from html import escape
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from keywright.compact_jws import encode_base64url
from keywright.keys.addresses import is_loopback

CLIENT_ID = "keywright-console"
AUTHORIZE_PATH = "/authorize"
TOKEN_PATH = "/oauth/token"  # noqa: S105 - a path
END_SESSION_PATH = "/oidc/logout"
CODE_SECONDS = 60
TOKEN_SECONDS = 8 * 3600
OPERATORS = "operator"
"""The demo's organization of operators."""
_READS = ("read:api_keys", "read:api_key_events")


class Person(NamedTuple):
    """
    Somebody of the demo.

    `organization` is a name of `DEMO_ORGANIZATIONS`, or `OPERATORS`; `permissions` are those of the token, None for a
    token without the claim.
    """

    name: str
    about: str
    organization: str
    permissions: tuple[str, ...] | None = None


PEOPLE: Mapping[str, Person] = {
    "anna": Person("Anna", "manages the keys of Acme", "acme"),
    "ben": Person("Ben", "may only look at the keys of Acme", "acme", _READS),
    "grace": Person("Grace", "manages the keys of Globex", "globex"),
    "olivia": Person("Olivia", "operates the service, for all organizations", OPERATORS, (*_READS, "operate:api_keys")),
}

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>Sign in · Keywright demo</title><link rel="icon" href="data:,">
<style>{style}</style></head>
<body><main><h1>Who are you?</h1><p>This is the sign-in of the demo on this machine. It has no passwords.</p>
<ul>{people}</ul></main></body></html>"""
_STYLE = """
:root { color-scheme: light dark; font-family: system-ui, 'DejaVu Sans', sans-serif; line-height: 1.5; }
body { margin: 0; background: light-dark(#f6f7f9, #14161b); color: light-dark(#1a1d24, #e8eaef); }
main { max-width: 26rem; margin: 10vh auto; padding: 0 1rem; }
h1 { font-size: 1.375rem; margin: 0; } p { color: light-dark(#5a6170, #a3abbb); margin: 0.25rem 0 1.25rem; }
ul { list-style: none; margin: 0; padding: 0; display: grid; gap: 0.75rem; }
a { display: block; padding: 0.75rem 1rem; border: 1px solid light-dark(#868d9b, #6f7787); border-radius: 0.6rem;
  background: light-dark(#fff, #1c1f26); color: inherit; text-decoration: none; }
a:hover, a:focus-visible { outline: 2px solid light-dark(#2f54c8, #9db4ff); }
strong { display: block; } span { color: light-dark(#5a6170, #a3abbb); font-size: 0.875rem; }
"""


class IssuerReply(NamedTuple):
    """An answer of the issuer: status, headers and body."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


class _Grant(NamedTuple):
    person: str
    redirect_uri: str
    nonce: str
    challenge: str
    until: float


@dataclass(slots=True)
class DevSignIn:
    """
    The sign-in of one client, the console.

    Args:
        secret: The client's secret.
        sign: Signs claims.
        access_token: Makes the access token of a person, by name.
        issuer: The issuer's address.
    """

    secret: str
    sign: Callable[[Mapping[str, Any]], str]
    access_token: Callable[[str], str]
    issuer: str
    _grants: dict[str, _Grant] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def metadata(self) -> dict[str, Any]:
        """Give the members of the discovery document."""
        base = self.issuer.rstrip("/")
        return {
            "authorization_endpoint": base + AUTHORIZE_PATH,
            "token_endpoint": base + TOKEN_PATH,
            "end_session_endpoint": base + END_SESSION_PATH,
            "response_types_supported": ["code", "token"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            "authorization_response_iss_parameter_supported": True,
        }

    def get(self, target: str) -> IssuerReply | None:
        """Answer a request of a browser; None for another path."""
        url = urlsplit(target)
        query = dict(parse_qsl(url.query))
        if url.path == AUTHORIZE_PATH:
            return self._authorize(query)
        if url.path == END_SESSION_PATH:
            there = query.get("post_logout_redirect_uri", "")
            return _redirect(there) if _is_ours(there) else _refusal("unknown post_logout_redirect_uri")
        return None

    def post(self, path: str, authorization: str, body: str) -> IssuerReply | None:
        """Answer a request of the client; None for another path."""
        return self._exchange(authorization, dict(parse_qsl(body))) if path == TOKEN_PATH else None

    def _authorize(self, query: Mapping[str, str]) -> IssuerReply:
        redirect_uri = query.get("redirect_uri", "")
        if query.get("client_id") != CLIENT_ID or not _is_ours(redirect_uri):
            return _refusal("unknown client or redirect_uri")
        if query.get("response_type") != "code" or query.get("code_challenge_method") != "S256":
            return _redirect(f"{redirect_uri}?{self._answer(query, error='invalid_request')}")
        person = query.get("person", "")
        if person not in PEOPLE:
            return IssuerReply(200, _HTML, _choices(query).encode())
        code = self._grant(person, redirect_uri, query)
        return _redirect(f"{redirect_uri}?{self._answer(query, code=code)}")

    def _answer(self, query: Mapping[str, str], **what: str) -> str:
        return urlencode({**what, "state": query.get("state", ""), "iss": self.issuer})

    def _grant(self, person: str, redirect_uri: str, query: Mapping[str, str]) -> str:
        code, now = secrets.token_urlsafe(32), time.monotonic()
        challenge = query.get("code_challenge", "")
        grant = _Grant(person, redirect_uri, query.get("nonce", ""), challenge, now + CODE_SECONDS)
        with self._lock:
            self._grants = {each: known for each, known in self._grants.items() if known.until > now}
            self._grants[code] = grant
        return code

    def _exchange(self, authorization: str, form: Mapping[str, str]) -> IssuerReply:
        if not self._is_client(authorization):
            return _json_reply(401, {"error": "invalid_client"})
        with self._lock:
            grant = self._grants.pop(form.get("code", ""), None)
        if grant is None or not _fits(grant, form):
            return _json_reply(400, {"error": "invalid_grant"})
        token = self.access_token(grant.person)
        answer = {"access_token": token, "id_token": self._id_token(grant, token), "token_type": "Bearer"}
        return _json_reply(200, {**answer, "expires_in": TOKEN_SECONDS})

    def _is_client(self, authorization: str) -> bool:
        scheme, _, credentials = authorization.partition(" ")
        try:
            client_id, _, secret = b64decode(credentials, validate=True).decode().partition(":")
        except ValueError:
            return False
        return (
            scheme.lower() == "basic"
            and unquote(client_id) == CLIENT_ID
            and compare_digest(unquote(secret).encode(), self.secret.encode())
        )

    def _id_token(self, grant: _Grant, access_token: str) -> str:
        now = int(time.time())
        half = hashlib.sha256(access_token.encode()).digest()[:16]
        return self.sign(
            {
                "iss": self.issuer,
                "sub": subject_of(grant.person),
                "aud": CLIENT_ID,
                "iat": now,
                "exp": now + TOKEN_SECONDS,
                "nonce": grant.nonce,
                "at_hash": encode_base64url(half).decode(),
                "name": PEOPLE[grant.person].name,
                "org_name": PEOPLE[grant.person].organization.capitalize(),
            }
        )


def subject_of(person: str) -> str:
    """Give the `sub` of a person."""
    return f"auth0|{person}"


_HTML = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


def _choices(query: Mapping[str, str]) -> str:
    people = "".join(
        f'<li><a href="{AUTHORIZE_PATH}?{escape(urlencode({**query, "person": each}))}">'
        f"<strong>{escape(person.name)}</strong><span>{escape(person.about)}</span></a></li>"
        for each, person in PEOPLE.items()
    )
    return _PAGE.format(style=_STYLE, people=people)


def _fits(grant: _Grant, form: Mapping[str, str]) -> bool:
    challenge = encode_base64url(hashlib.sha256(form.get("code_verifier", "").encode()).digest()).decode()
    return (
        grant.until > time.monotonic()
        and form.get("grant_type") == "authorization_code"
        and form.get("redirect_uri") == grant.redirect_uri
        and compare_digest(challenge, grant.challenge)
    )


def _is_ours(address: str) -> bool:
    url = urlsplit(address)
    return url.scheme == "http" and is_loopback(url.hostname or "") and url.path.startswith("/console/")


def _redirect(address: str) -> IssuerReply:
    return IssuerReply(303, {"Location": address, "Cache-Control": "no-store"})


def _refusal(sentence: str) -> IssuerReply:
    return IssuerReply(
        400, {"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store"}, sentence.encode()
    )


def _json_reply(status: int, content: Mapping[str, Any]) -> IssuerReply:
    return IssuerReply(
        status, {"Content-Type": "application/json", "Cache-Control": "no-store"}, json.dumps(content).encode()
    )
