"""The address of a service: check it, and find out whether it is this machine."""

import httpx

from keywright.client.errors import KeywrightError
from keywright.keys.addresses import is_loopback

_MAX_PORT = 65535


def service_address(text: str) -> str:
    """
    Read the address of a service, such as `https://keys.acme.example`; a path after the host is kept.

    Raises:
        KeywrightError: It is no http(s) address, or contains credentials, which the error does not repeat.
    """
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        url = httpx.URL()
    where = url.scheme in ("http", "https") and url.host and (url.port or 0) <= _MAX_PORT
    if not where or url.query or url.fragment or url.userinfo:
        raise KeywrightError("The service's address must be such as https://keys.acme.example, without credentials.")
    return str(url).rstrip("/")


def is_on_this_machine(address: str) -> bool:
    """Tell whether an address is on this machine; requests to it must not use a proxy of the environment."""
    return is_loopback(httpx.URL(address).host)
