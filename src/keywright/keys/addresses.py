"""
Networks that a key may be used from: IPv4 and IPv6 addresses and CIDR blocks, in one canonical form.

An address stands for the network of itself alone. IPv4 addresses that came mapped into IPv6 (`::ffff:a.b.c.d`, as a
dual-stack socket shows them) are IPv4 addresses.
"""

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

MOST_NETWORKS = 100


def canonical_network(text: str) -> str | None:
    """
    Give the canonical form of an address or CIDR block: `192.0.2.0/24`, `192.0.2.7/32`, `2001:db8::/32`.

    Returns:
        None where *text* is neither: also for a block with bits beyond its length, which may be a typing error, and
        for an address with a zone.
    """
    # A zone is the name of an interface of one machine; `ipaddress` takes it for a part of the address.
    if "%" in text:
        return None
    try:
        return str(_unmapped(ip_network(text)))
    except ValueError:
        return None


@lru_cache(maxsize=65_536)
def is_allowed(address: str | None, networks: tuple[str, ...]) -> bool:
    """
    Tell whether *address* lies in one of *networks*; never where it is not known or no address.

    Args:
        address: Anything at all, from anyone; the zone of an IPv6 address is passed over.
        networks: In canonical form.
    """
    known = _read(address)
    return known is not None and any(known in network for network in _networks(networks))


def _read(address: str | None) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address((address or "").partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


@lru_cache(maxsize=16_384)
def _networks(texts: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(map(ip_network, texts))


def _unmapped(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is None or network.prefixlen < _MAPPED_BITS:
        return network
    return IPv4Network((mapped, network.prefixlen - _MAPPED_BITS))


_MAPPED_BITS = 96
