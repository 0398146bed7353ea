"""
How a use of a key is described: enough for a person to recognise the place, too little to follow a person around.

Shared by the service and the in-process verifier, so that one place has one description.
"""

import re
from functools import lru_cache
from ipaddress import ip_address, ip_network

_FAMILY = re.compile(r"[A-Za-z][A-Za-z0-9._+-]{0,31}")


@lru_cache(maxsize=4096)
def network_of(address: str | None) -> str | None:
    """
    Give the network of an address in CIDR form: /24 for IPv4, /48 for IPv6; None for what is no address.

    Args:
        address: Anything at all, from anyone.
    """
    try:
        found = ip_address((address or "").partition("%")[0])
    except ValueError:
        return None
    # A dual-stack socket shows an IPv4 peer as ::ffff:a.b.c.d.
    found = getattr(found, "ipv4_mapped", None) or found
    return str(ip_network(f"{found}/{24 if found.version == 4 else 48}", strict=False))


@lru_cache(maxsize=4096)
def agent_family(user_agent: str | None) -> str | None:
    """
    Give the family of a user agent: the name of its first product, such as `python-httpx` of `python-httpx/0.28.1`.

    Args:
        user_agent: Anything at all, from anyone.

    Returns:
        At most 32 letters, digits, dots, underscores, pluses and hyphens; None where there is no such name.
    """
    match = _FAMILY.match((user_agent or "").strip())
    return None if match is None else match[0]
