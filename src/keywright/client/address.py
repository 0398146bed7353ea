"""The address of a service: check it, and make the settings of an HTTP client for it."""

import os
import ssl
from typing import Any

import httpx

from keywright import __version__
from keywright.client.errors import KeywrightError
from keywright.keys.addresses import is_loopback

ALLOW_HTTP = "KEYWRIGHT_ALLOW_HTTP"
"""The environment variable that allows `http://` to other machines where it is 1."""

_MAX_PORT = 65535


def service_address(text: str, *, allow_http: bool = False) -> str:
    """
    Read the address of a service, such as `https://keys.acme.example`; a path after the host is kept.

    Args:
        text: The address.
        allow_http: Whether `http://` may go to another machine; with `KEYWRIGHT_ALLOW_HTTP=1` it may in any case.

    Raises:
        KeywrightError: It is no http(s) address, contains credentials, which the error does not repeat, or would send
            keys and tokens over a network unencrypted.
    """
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        url = httpx.URL()
    where = url.scheme in ("http", "https") and url.host and (url.port or 0) <= _MAX_PORT
    if not where or url.query or url.fragment or url.userinfo:
        raise KeywrightError("The service's address must be such as https://keys.acme.example, without credentials.")
    if url.scheme == "http" and not (is_loopback(url.host) or allow_http or os.environ.get(ALLOW_HTTP) == "1"):
        raise KeywrightError(
            "Over http:// everyone on the way can read keys and tokens. Use https://; on a network that you trust, set "
            f"allow_http=True or {ALLOW_HTTP}=1."
        )
    return str(url).rstrip("/")


def client_settings(address: str, credential: str) -> dict[str, Any]:
    """Give the arguments of the httpx client that calls *address* with *credential*."""
    url = httpx.URL(address)
    is_here = is_loopback(url.host)
    return {
        "follow_redirects": False,
        "verify": _trusted(url.scheme) if is_here else True,
        # A proxy from the environment would send requests for loopback to another machine.
        "trust_env": not is_here,
        "headers": {
            "Authorization": f"Bearer {credential}",
            "Accept": "application/json",
            "User-Agent": f"keywright-python/{__version__}",
        },
    }


def _trusted(scheme: str) -> ssl.SSLContext:
    """Give the authorities to trust on this machine, where httpx reads none from the environment by itself."""
    if scheme == "http":
        # Nothing is reached through TLS, and to read all trusted certificates takes longer than a call. None is.
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # With the file that SSL_CERT_FILE names.
    return httpx.create_ssl_context(trust_env=True)
