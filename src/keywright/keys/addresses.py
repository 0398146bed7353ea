"""
Addresses: the networks that a key is bound to, and the address of a client, also behind proxies.

An address is also a network of one address. IPv4 addresses mapped into IPv6 (`::ffff:a.b.c.d`, as a dual-stack socket
shows them) are IPv4 addresses.
"""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from socket import AF_INET, AF_INET6, inet_pton

MOST_NETWORKS = 100

Network = IPv4Network | IPv6Network

Networks = tuple[int, ...]
"""
The networks that a key is bound to: for each a shift, then the address of `packed` shifted by it to the right.

One flat tuple, because each process may cache hundreds of thousands of them.
"""

_IPV4_BITS, _IPV6_BITS = 32, 128
_IPV4, _IPV6 = 1 << _IPV4_BITS, 1 << _IPV6_BITS
# Larger than every IPv4 address of `packed`.
_FIRST_IPV6 = _IPV4 << 1
_LAST_32_BITS = _IPV4 - 1
# The first 96 bits of an IPv4 address mapped into IPv6.
_MAPPED = 0xFFFF
_number = int.from_bytes


def canonical_network(text: str) -> str | None:
    """
    Give the canonical form of an address or CIDR block: `192.0.2.0/24`, `192.0.2.7/32`, `2001:db8::/32`.

    Returns:
        None where *text* is neither: also for a block with bits beyond its length, which may be a typing error, and
        for an address with a zone.
    """
    # A zone names an interface of one machine; `ipaddress` would keep it as part of the address.
    if "%" in text:
        return None
    try:
        return str(_unmapped(ip_network(text)))
    except ValueError:
        return None


def packed(text: str | None) -> int:
    """
    Read an address as one number that says its version, too; 0 for text that is no address.

    `1 << 32 | address` for IPv4 and for IPv4 mapped into IPv6, `1 << 128 | address` for IPv6. Shifted to the right, two
    numbers of different versions are never equal.

    Args:
        text: Anything at all, from anyone; the zone of an address is ignored. Read as `ipaddress` reads it.
    """
    if not text:
        return 0
    if "%" in text:
        text = text[: text.index("%")]
    try:
        if ":" not in text:
            return _IPV4 | _number(inet_pton(AF_INET, text), "big")
        found = _number(inet_pton(AF_INET6, text), "big")
    except (OSError, ValueError):
        return 0
    return _IPV4 | found & _LAST_32_BITS if found >> 32 == _MAPPED else _IPV6 | found


def address_text(address: int) -> str | None:
    """Give an address of `packed` in canonical form; None for 0."""
    if not address:
        return None
    if address < _FIRST_IPV6:
        # A fifth of the time of `ipaddress`, for every event.
        return f"{address >> 24 & 255}.{address >> 16 & 255}.{address >> 8 & 255}.{address & 255}"
    return str(IPv6Address(address ^ _IPV6))


def network_number(address: int) -> int:
    """
    Give the number of the network that stands for a source: the /24 of an IPv4 address, the /48 of an IPv6 address.

    An owner can recognise a source of requests by it; it does not identify a person.

    Args:
        address: Of `packed`; 0, which is unknown, gives 0.
    """
    return address >> 8 if address < _FIRST_IPV6 else address >> 80


def network_text(number: int) -> str | None:
    """Give a number of `network_number` in CIDR form; None for 0."""
    if not number:
        return None
    if number < _IPV4:
        # An eighth of the time of `ipaddress`, for every record of usage.
        return f"{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}.0/24"
    return _written(80, number)


def network_of(address: str | None) -> str | None:
    """Give the network that stands for an address in CIDR form; None for text that is no address."""
    return network_text(network_number(packed(address)))


def read_networks(texts: Iterable[str]) -> Networks:
    """
    Read the networks that a key is bound to.

    Args:
        texts: In canonical form.

    Raises:
        ValueError: One of them is not.
    """
    numbers: list[int] = []
    for text in texts:
        address, _, length = text.partition("/")
        number = packed(address)
        if not number:
            raise ValueError("it is no network in canonical form")
        shift = (_IPV4_BITS if number < _FIRST_IPV6 else _IPV6_BITS) - int(length)
        numbers += (shift, number >> shift)
    return tuple(numbers)


def proxy_networks(texts: Iterable[str]) -> Networks:
    """
    Read the networks of proxies, as people write them.

    Raises:
        ValueError: One of them is malformed.
    """
    return read_networks(str(_unmapped(ip_network(text))) for text in texts)


def network_texts(networks: Networks) -> tuple[str, ...]:
    """Give networks in canonical form."""
    return tuple(map(_written, networks[::2], networks[1::2]))


def lies_in(address: int, networks: Networks) -> bool:
    """
    Tell whether an address lies in one of *networks*.

    Args:
        address: Of `packed`; 0, which is unknown, lies in none.
        networks: Of `read_networks`.
    """
    numbers = iter(networks)
    for shift in numbers:  # noqa: SIM110 - a generator would take twice as long
        if address >> shift == next(numbers):
            return True
    return False


def failure_networks(address: str | None) -> tuple[str, ...]:
    """
    Give the networks under which failures of an address are counted, the narrowest first, in CIDR form.

    One for IPv4, its /24. Two for IPv6: its /64, the smallest network that a customer gets, and its /48, because who
    has a /48 has 65,536 of the others.

    Args:
        address: Anything at all, from anyone; text that is no address has no networks.
    """
    found = packed(address)
    if not found:
        return ()
    return tuple(_written(shift, found >> shift) for shift in ((8,) if found < _FIRST_IPV6 else (64, 80)))


def client_address(peer: str | None, forwarded: Sequence[str], trusted: Networks) -> str | None:
    """
    Give the address of the client, not of a trusted proxy.

    Args:
        peer: The address of the other end of the connection; None or anything else where it has none.
        forwarded: The values of all `X-Forwarded-For` headers.
        trusted: The networks of trusted proxies.

    Returns:
        An IPv4 or IPv6 address without a zone, or None when it is unknown (a Unix socket, a malformed hop behind a
        proxy).
    """
    found = hop_number(peer or "")
    return address_text(forwarded_number(forwarded, trusted) if forwarded and lies_in(found, trusted) else found)


def forwarded_number(forwarded: Sequence[str], trusted: Networks) -> int:
    """
    Give the address of the client behind a trusted proxy, as the number of `packed`; 0 when it is unknown.

    `X-Forwarded-For` is read from the right, as long as the hop that wrote an entry is trusted. Entries that a client
    wrote itself stand further left and are never reached.

    Args:
        forwarded: The values of all `X-Forwarded-For` headers, at least one.
        trusted: The networks of trusted proxies.
    """
    hops = ",".join(forwarded).split(",")
    while True:
        found = hop_number(hops.pop().strip())
        if not hops or not lies_in(found, trusted):
            return found


def hop_number(text: str) -> int:
    """Read the address of a hop as `packed` does; 0 for one with a zone, which may be any text."""
    return 0 if "%" in text else packed(text)


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine: `localhost`, or an address of 127.0.0.0/8 or ::1, without brackets."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _written(shift: int, base: int) -> str:
    """Write the network of an address of `packed` shifted to the right."""
    number = base << shift
    if number < _FIRST_IPV6:
        return str(IPv4Network((number ^ _IPV4, _IPV4_BITS - shift)))
    return str(IPv6Network((number ^ _IPV6, _IPV6_BITS - shift)))


def _unmapped(network: Network) -> Network:
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is None or network.prefixlen < _MAPPED_BITS:
        return network
    return IPv4Network((mapped, network.prefixlen - _MAPPED_BITS))


_MAPPED_BITS = 96
