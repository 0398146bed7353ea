"""An OpenID Connect issuer on loopback, so that the service checks real tokens. It knows nothing of Keywright."""

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

AUDIENCE = "urn:keywright:bench"
TOKEN_SECONDS = 36_000


class Issuer:
    """Signs access tokens with RS256, and serves its documents in a thread until the process ends."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def document(self, path: str) -> object:
        """Give the key set, or the discovery document."""
        if not path.endswith("jwks.json"):
            return {"issuer": self.url, "jwks_uri": f"{self.url}.well-known/jwks.json"}
        numbers = self._key.public_key().public_numbers()
        n, e = (_base64url(each.to_bytes((each.bit_length() + 7) // 8, "big")) for each in (numbers.n, numbers.e))
        return {"keys": [{"kty": "RSA", "kid": "bench", "use": "sig", "alg": "RS256", "n": n, "e": e}]}

    def token(self, organization: str = "org_bench") -> str:
        """Sign an access token of an organization."""
        now = int(time.time())
        claims = {"iss": self.url, "aud": AUDIENCE, "sub": "auth0|bench", "azp": "bench", "org_id": organization}
        claims |= {"iat": now, "exp": now + TOKEN_SECONDS}
        parts = ({"alg": "RS256", "typ": "at+jwt", "kid": "bench"}, claims)
        signed = ".".join(_base64url(json.dumps(part).encode()) for part in parts)
        return f"{signed}.{_base64url(self._key.sign(signed.encode(), padding.PKCS1v15(), SHA256()))}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _handler(issuer: Issuer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(issuer.document(self.path)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_request(self, *_: object) -> None:
            """Say nothing."""

    return Handler
