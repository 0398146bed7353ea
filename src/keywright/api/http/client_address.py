"""The caller's address, as far as the trusted proxies pass it on."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import NamedTuple

from starlette.types import Scope

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Peer = tuple[str, int]

# Characters of an IPv6 address whose end is written as an IPv4 address.
_LONGEST = 45


def of(scope: Scope, *, trusted: Sequence[Network]) -> str | None:
    """Give the address of the caller of an ASGI request, as `behind` does."""
    forwarded = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
    return behind(scope.get("client"), forwarded, trusted=trusted)


def behind(peer: Peer | None, forwarded: Sequence[bytes], *, trusted: Sequence[Network]) -> str | None:
    """
    Give the address of the caller behind the trusted proxies.

    `X-Forwarded-For` is read from the right, and only while the hop that wrote an entry is in *trusted*. Entries that a
    caller wrote itself stand further left and are never reached.

    Args:
        peer: Host and port of the connection, from the ASGI scope.
        forwarded: The values of all `X-Forwarded-For` headers.
        trusted: The networks of our proxies.

    Returns:
        An IPv4 or IPv6 address, or None for a Unix socket or a malformed hop behind a proxy.
    """
    hop = _read(peer[0] if peer else "")
    if forwarded and trusted:
        hops = [entry for value in forwarded for entry in value.split(b",")]
        while hop is not None and hops and any(hop.address in network for network in trusted):
            hop = _read(hops.pop().decode("latin-1").strip())
    return None if hop is None else hop.text


class _Hop(NamedTuple):
    address: Address
    text: str


def _read(text: str) -> _Hop | None:
    # A longer text is no address, and would fill the cache.
    return _read_short(text) if len(text) <= _LONGEST else None


@lru_cache(maxsize=4096)
def _read_short(text: str) -> _Hop | None:
    if "%" in text:
        # A zone may be any text, and it names an interface of the other machine.
        return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # A dual-stack socket shows an IPv4 peer as ::ffff:a.b.c.d.
    address = getattr(address, "ipv4_mapped", None) or address
    return _Hop(address, str(address))
