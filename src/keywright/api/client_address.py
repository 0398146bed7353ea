"""The caller's address, where it can be known."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from starlette.types import Scope

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def of(scope: Scope, *, trusted: Sequence[Network]) -> str | None:
    """
    Give the address of the caller, not of the proxies before us.

    `X-Forwarded-For` is read from the right, and only for as long as the hop that wrote it is one of *trusted*;
    whatever a caller put there itself stands further left and is never reached.

    Returns:
        An IPv4 or IPv6 address, or None when it cannot be known (a Unix socket, a malformed hop behind a proxy).
    """
    hop = _read((scope.get("client") or ("",))[0])
    forwarded = [entry for name, value in scope["headers"] if name == b"x-forwarded-for" for entry in value.split(b",")]
    while hop is not None and forwarded and any(hop in network for network in trusted):
        hop = _read(forwarded.pop().decode("latin-1").strip())
    return None if hop is None else str(hop)


def _read(text: str) -> Address | None:
    if "%" in text:
        # A zone may be any text; nothing of it tells where somebody is.
        return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # A dual-stack socket shows an IPv4 peer as ::ffff:a.b.c.d.
    return getattr(address, "ipv4_mapped", None) or address
