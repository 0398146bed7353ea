"""The client of a proxy, out of `X-Forwarded-For`."""

import logging
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from random import Random

import pytest

from keywright.api.verify.proxy_clients import Peer, ProxyClients
from keywright.keys.addresses import Network, address_text, proxy_networks

CASES = 20_000
HOPS = [
    "10.0.0.1", "10.1.2.3", "192.0.2.7", "198.51.100.255", "::ffff:10.0.0.9", "::ffff:c000:207", "2001:db8::1",
    "2001:DB8:0::2",
    "fe80::1%a", "fe80::1", "::", "0.0.0.0", "255.255.255.255", "01.2.3.4", "1.2.3", "1.2.3.4.5", "nonsense", "", " ",
    "1.2.3.4:80", "[::1]", "::1", "127.0.0.1", "::ffff:0:0", "1::2::3", "\t192.0.2.7 ", "64:ff9b::192.0.2.7",
    "0000:0000:0000:0000:0000:ffff:192.168.100.228", "00000:0000:0000:0000:0000:0000:0000:0000", "1" * 60,
]  # fmt: skip
TRUSTED: list[list[Network]] = [
    [],
    [ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")],
    [ip_network("0.0.0.0/0")],
    [ip_network("::/0"), ip_network("127.0.0.1/32")],
    [ip_network("0.0.0.0/0"), ip_network("::/0")],
]


def a_forwarded(chance: Random) -> str:
    hops = [chance.choice(HOPS) for _ in range(chance.choice([1, 1, 1, 2, 3]))]
    return chance.choice([",", ", ", " , "]).join(hops)


def a_reading(peer: Peer | None, forwarded: Sequence[str], trusted: Sequence[Network]) -> str | None:
    """Give the client by `ipaddress`: one hop after the other from the right, and never the proxy itself."""
    hops = [entry.strip() for value in forwarded for entry in value.split(",")]
    chain = [a_hop("" if peer is None else peer[0]), *map(a_hop, reversed(hops))]
    for number, hop in enumerate(chain):
        if hop is None or number == len(chain) - 1 or not any(hop in network for network in trusted):
            return None if hop == chain[0] or hop is None else str(hop)
    raise AssertionError


def a_hop(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = None if "%" in text else ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


@pytest.mark.parametrize("trusted", TRUSTED, ids=str)
def test_the_client(trusted: Sequence[Network]) -> None:
    """For any chain of hops, from any proxy, the client is that of a plain reading by `ipaddress`."""
    chance = Random(20261203)
    clients = ProxyClients(proxy_networks(map(str, trusted)))
    for _ in range(CASES // len(TRUSTED)):
        peer: Peer | None = chance.choice([None, *((hop, 5) for hop in HOPS)])
        forwarded = [a_forwarded(chance) for _ in range(chance.choice([0, 1, 1, 1, 2]))]
        expected = a_reading(peer, forwarded, trusted)
        assert address_text(clients.number(peer, forwarded)) == expected, (peer, forwarded)


def test_an_untrusted_proxy(caplog: pytest.LogCaptureFixture) -> None:
    """A proxy that is not trusted is named in the log once, and only if it sends the header."""
    clients = ProxyClients(())
    with caplog.at_level(logging.WARNING):
        for forwarded in ([], ["192.0.2.7"], ["192.0.2.7"]):
            assert clients.number(("10.0.0.1", 5), forwarded) == 0
            assert len(caplog.records) == (1 if forwarded else 0)
