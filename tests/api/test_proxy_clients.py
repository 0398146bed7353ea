"""The client of a proxy is found alike by the text of its address and by its number."""

import logging
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from random import Random

import pytest

from keywright.api.verify.proxy_clients import Peer, ProxyClients
from keywright.keys.addresses import packed

CASES = 20_000
HOPS = [
    "10.0.0.1", "10.1.2.3", "192.0.2.7", "198.51.100.255", "::ffff:10.0.0.9", "::ffff:c000:207", "2001:db8::1",
    "2001:DB8:0::2",
    "fe80::1%a", "fe80::1", "::", "0.0.0.0", "255.255.255.255", "01.2.3.4", "1.2.3", "1.2.3.4.5", "nonsense", "", " ",
    "1.2.3.4:80", "[::1]", "::1", "127.0.0.1", "::ffff:0:0", "1::2::3", "\t192.0.2.7 ", "64:ff9b::192.0.2.7",
    "0000:0000:0000:0000:0000:ffff:192.168.100.228", "00000:0000:0000:0000:0000:0000:0000:0000", "1" * 60,
]  # fmt: skip
TRUSTED: list[list[IPv4Network | IPv6Network]] = [
    [],
    [ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")],
    [ip_network("0.0.0.0/0")],
    [ip_network("::/0"), ip_network("127.0.0.1/32")],
    [ip_network("0.0.0.0/0"), ip_network("::/0")],
]


def a_forwarded(chance: Random) -> str:
    hops = [chance.choice(HOPS) for _ in range(chance.choice([1, 1, 1, 2, 3]))]
    return chance.choice([",", ", ", " , "]).join(hops)


@pytest.mark.parametrize("trusted", TRUSTED, ids=str)
def test_number_and_text(trusted: Sequence[IPv4Network | IPv6Network]) -> None:
    """For any chain of hops, from any proxy, the number is that of the text, and 0 where there is none."""
    chance = Random(20261203)
    clients = ProxyClients(trusted)
    for _ in range(CASES // len(TRUSTED)):
        peer: Peer | None = chance.choice([None, *((hop, 5) for hop in HOPS)])
        forwarded = a_forwarded(chance) if chance.random() < 0.9 else None
        text = clients.address(peer, [] if forwarded is None else [forwarded])
        assert clients.number(peer, forwarded) == packed(text), (peer, forwarded)


@pytest.mark.parametrize("by_number", [False, True])
def test_an_untrusted_proxy(caplog: pytest.LogCaptureFixture, by_number: bool) -> None:
    """A proxy that is not trusted is named in the log once, and only if it sends the header."""
    clients = ProxyClients([])
    with caplog.at_level(logging.WARNING):
        for forwarded in (None, "192.0.2.7", "192.0.2.7"):
            peer = ("10.0.0.1", 5)
            if by_number:
                assert clients.number(peer, forwarded) == 0
            else:
                assert clients.address(peer, [] if forwarded is None else [forwarded]) is None
            assert len(caplog.records) == (0 if forwarded is None else 1)
