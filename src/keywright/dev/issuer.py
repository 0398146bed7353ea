"""
An OpenID Connect issuer on loopback, for `keywright dev` and the tests: RS256, discovery and a key set over real HTTP,
so that the service runs the same code as with Auth0.

Any code with the object can sign any claims. For a console, `sign_in` adds a page on which people choose who they are.
"""

import hashlib
import json
import socket
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from keywright.compact_jws import encode_base64url
from keywright.dev.sign_in import PEOPLE, TOKEN_SECONDS, DevSignIn, IssuerReply, subject_of

AUDIENCE = "urn:keywright:dev"
KEY_BITS = 2048
DISCOVERY_PATH = "/.well-known/openid-configuration"
KEY_SET_PATH = "/.well-known/jwks.json"

# The names of the two demo organizations, and their ids in Auth0's form.
DEMO_ORGANIZATIONS = {"acme": "org_AcmeDemo00000001", "globex": "org_GlobexDemo000001"}


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An RSA key; its `kid` is its RFC 7638 thumbprint."""

    key: rsa.RSAPrivateKey

    @classmethod
    def generate(cls) -> Self:
        """Generate a key of 2048 bits; this takes about a tenth of a second."""
        return cls(rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS))

    @property
    def kid(self) -> str:
        """The thumbprint: base64url of a SHA-256, 43 characters."""
        required = {name: self._numbers[name] for name in ("e", "kty", "n")}
        return _base64url(hashlib.sha256(_json(required)).digest())

    def jwk(self) -> dict[str, str]:
        """Return the public key as a JSON Web Key (RFC 7517)."""
        return {**self._numbers, "kid": self.kid, "use": "sig", "alg": "RS256"}

    def sign(self, claims: Mapping[str, Any], header: Mapping[str, Any] | None = None) -> str:
        """
        Sign *claims*, unchanged, with RS256.

        Args:
            claims: The payload; nothing is added to it.
            header: Members that replace `alg`, `typ` and `kid`, or are added; the signature is always RS256.
        """
        head = {"alg": "RS256", "typ": "JWT", "kid": self.kid, **(header or {})}
        signed = f"{_base64url(_json(head))}.{_base64url(_json(claims))}"
        return f"{signed}.{_base64url(self.key.sign(signed.encode(), padding.PKCS1v15(), SHA256()))}"

    @property
    def _numbers(self) -> dict[str, str]:
        public = self.key.public_key().public_numbers()
        return {"e": _base64url(_big_endian(public.e)), "kty": "RSA", "n": _base64url(_big_endian(public.n))}


class DevIssuer:
    """
    An issuer: a signing key, its documents, and an HTTP server for them in a thread.

    Args:
        key: The key to sign with; a new one by default.
        host: A loopback address.
        port: The port of the HTTP server; 0 takes a free one when the server starts, and keeps it from then on.
        audience: The `aud` of `token`.
    """

    def __init__(
        self, key: SigningKey | None = None, *, host: str = "127.0.0.1", port: int = 0, audience: str = AUDIENCE
    ) -> None:
        self.audience = audience
        self.fetches = 0
        self._keys = [key or SigningKey.generate()]
        self.host = host
        self.port = port
        self._server: _Server | None = None
        self.sign_in: DevSignIn | None = None

    @property
    def url(self) -> str:
        """The `iss` of the tokens; it ends in a slash, as Auth0's does."""
        if not self.port:
            raise RuntimeError("the issuer has no port before it is started")
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/"

    def sign(self, claims: Mapping[str, Any], header: Mapping[str, Any] | None = None) -> str:
        """Sign *claims*, unchanged, with the current key; *header* replaces `alg`, `typ` and `kid`."""
        return self._keys[0].sign(claims, header)

    def token(
        self,
        organization: str | None,
        *,
        subject: str = "auth0|demo",
        permissions: Iterable[str] | None = None,
        scope: str | None = None,
        audience: str | None = None,
        expires_in: int = 3600,
    ) -> str:
        """
        Sign an access token of the form of Auth0's.

        Args:
            organization: The `org_id`: a name of `DEMO_ORGANIZATIONS`, or an id; None omits the claim.
            permissions: The `permissions` claim; None omits it, as Auth0 does without RBAC.
            scope: The `scope` claim; None omits it.
            audience: The `aud`; the issuer's own by default.
            expires_in: Seconds from now; negative for an expired token.
        """
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.url,
            "sub": subject,
            "aud": [self.audience if audience is None else audience],
            "iat": min(now, now + expires_in),
            "exp": now + expires_in,
            "azp": "keywright-dev",
            "jti": uuid4().hex,
        }
        if organization is not None:
            claims["org_id"] = DEMO_ORGANIZATIONS.get(organization, organization)
        if permissions is not None:
            claims["permissions"] = list(permissions)
        if scope is not None:
            claims["scope"] = scope
        return self.sign(claims)

    def offer_sign_in(self, secret: str) -> None:
        """Offer sign-ins to the console, whose client secret is *secret*; the issuer must have its port."""

        def access_token(person: str) -> str:
            known = PEOPLE[person]
            return self.token(
                known.organization,
                subject=subject_of(person),
                permissions=known.permissions,
                expires_in=TOKEN_SECONDS,
            )

        self.sign_in = DevSignIn(secret, self.sign, access_token, self.url)

    def jwks(self) -> dict[str, Any]:
        """Return the key set (RFC 7517), the current key first."""
        return {"keys": [key.jwk() for key in self._keys]}

    def discovery(self) -> dict[str, Any]:
        """Return the discovery document (OpenID Connect Discovery 1.0, section 3)."""
        return {
            "issuer": self.url,
            "jwks_uri": self.url.rstrip("/") + KEY_SET_PATH,
            "id_token_signing_alg_values_supported": ["RS256"],
            "response_types_supported": ["token"],
            "subject_types_supported": ["public"],
            **({} if self.sign_in is None else self.sign_in.metadata()),
        }

    def rotate(self, *, keep: bool = True) -> None:
        """Sign with a new key from now on; with *keep*, the former ones stay published."""
        self._keys = [SigningKey.generate(), *(self._keys if keep else [])]

    def start(self) -> None:
        """
        Serve the documents in a thread; after a `stop`, at the same port.

        Raises:
            OSError: The port is in use.
        """
        self._server = _Server(self, self.host, self.port)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True, name="dev-issuer").start()

    def stop(self) -> None:
        """Stop serving; tokens can still be signed."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def answer(self, path: str) -> dict[str, Any] | None:
        """Return the document at *path*, or None; `fetches` counts the requests for the key set."""
        if path == KEY_SET_PATH:
            self.fetches += 1
            return self.jwks()
        return self.discovery() if path == DISCOVERY_PATH else None


class _Server(ThreadingTCPServer):
    # http.server's own server would look up the name of its address before it listens.
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, issuer: DevIssuer, host: str, port: int) -> None:
        self.issuer = issuer
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    # HTTP/1.0: every connection ends with its answer, so none is open after `stop`.
    server: _Server
    timeout = 10

    def do_GET(self) -> None:
        sign_in = self.server.issuer.sign_in
        reply = None if sign_in is None else sign_in.get(self.path)
        self._reply(reply or self._document())

    def do_POST(self) -> None:
        sign_in = self.server.issuer.sign_in
        length = self.headers.get("Content-Length", "0")
        body = self.rfile.read(min(int(length), _MOST_BYTES) if length.isdecimal() else 0).decode(errors="replace")
        authorization = self.headers.get("Authorization", "")
        reply = None if sign_in is None else sign_in.post(self.path, authorization, body)
        self._reply(reply or _NOT_FOUND)

    def _document(self) -> IssuerReply:
        document = self.server.issuer.answer(self.path)
        if document is None:
            return _NOT_FOUND
        return IssuerReply(
            200, {"Content-Type": "application/json", "Cache-Control": "public, max-age=15"}, _json(document)
        )

    def _reply(self, reply: IssuerReply) -> None:
        self.send_response(reply.status)
        for name, value in {**reply.headers, "Content-Length": str(len(reply.body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the overridden method's own name
        """Log nothing; the service logs its fetches."""


_MOST_BYTES = 64 * 1024
_NOT_FOUND = IssuerReply(
    404, {"Content-Type": "application/json", "Cache-Control": "public, max-age=15"}, b'{"error":"not_found"}'
)


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _base64url(raw: bytes) -> str:
    return encode_base64url(raw).decode()


def _big_endian(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
