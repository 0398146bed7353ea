"""An OpenID Connect issuer on loopback, so that the service checks real tokens. It knows nothing of Keywright."""

import base64
import json
import tempfile
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

AUDIENCE = "urn:keywright:bench"
TOKEN_SECONDS = 36_000


class Issuer:
    """Signs access tokens with RS256, and serves its two documents in a thread until the process ends."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._folder = tempfile.TemporaryDirectory()
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=self._folder.name))
        self.url = f"http://127.0.0.1:{server.server_port}/"
        numbers = self._key.public_key().public_numbers()
        n, e = (_base64url(each.to_bytes((each.bit_length() + 7) // 8, "big")) for each in (numbers.n, numbers.e))
        keys = {"keys": [{"kty": "RSA", "kid": "bench", "use": "sig", "alg": "RS256", "n": n, "e": e}]}
        documents = Path(self._folder.name, ".well-known")
        documents.mkdir()
        (documents / "jwks.json").write_text(json.dumps(keys))
        discovery = {"issuer": self.url, "jwks_uri": f"{self.url}.well-known/jwks.json"}
        (documents / "openid-configuration").write_text(json.dumps(discovery))
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def token(self, tenant: str) -> str:
        """Sign an access token of an organization."""
        now = int(time.time())
        claims = {"iss": self.url, "aud": AUDIENCE, "sub": f"auth0|{tenant}", "azp": "bench"}
        parts = (
            {"alg": "RS256", "typ": "at+jwt", "kid": "bench"},
            {**claims, "org_id": f"org_{tenant}", "iat": now, "exp": now + TOKEN_SECONDS},
        )
        signed = ".".join(_base64url(json.dumps(part).encode()) for part in parts)
        return f"{signed}.{_base64url(self._key.sign(signed.encode(), padding.PKCS1v15(), SHA256()))}"


class _Quiet(SimpleHTTPRequestHandler):
    def log_request(self, *_: object) -> None:
        """Say nothing."""


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
