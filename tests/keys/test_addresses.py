"""Networks that a key may be used from, and the addresses that requests come from."""

import os
import random
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import pytest

from keywright.keys.addresses import (
    canonical_network,
    client_address,
    failure_networks,
    forwarded_number,
    is_loopback,
    lies_in,
    network_number,
    network_of,
    network_text,
    network_texts,
    packed,
    proxy_networks,
    read_networks,
)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("192.0.2.7", "192.0.2.7/32"),
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("192.0.2.0/255.255.255.0", "192.0.2.0/24"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("2001:db8:0:0:0:0:0:1", "2001:db8::1/128"),
        ("::/0", "::/0"),
        ("::ffff:192.0.2.7", "192.0.2.7/32"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        # Wider than all of IPv4: a network of IPv6.
        ("::fffe:0:0/95", "::fffe:0:0/95"),
        ("::/80", "::/80"),
    ],
)
def test_canonical(text: str, canonical: str) -> None:
    """One network has one text, however it is written; that text stands for itself."""
    assert canonical_network(text) == canonical
    assert canonical_network(canonical) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "",
        "here",
        "192.0.2",
        "192.0.2.256",
        "192.0.2.07",
        "192.0.2.1/24",
        "192.0.2.0/33",
        "2001:db8::1/32",
        "fe80::1%eth0",
        " 192.0.2.1",
        "192.0.2.1\n",
        "192.0.2.0/24/24",
        "::ffff:192.0.2.1/120",
        "٣.0.2.1",
    ],
    ids=ascii,
)
def test_not_a_network(text: str) -> None:
    """Text that is no network, or may be one with a typing error in it, is refused."""
    assert canonical_network(text) is None


@pytest.mark.parametrize(
    ("address", "networks", "allowed"),
    [
        ("192.0.2.7", ("192.0.2.0/24",), True),
        ("192.0.3.7", ("192.0.2.0/24",), False),
        ("192.0.3.7", ("192.0.2.0/24", "192.0.3.7/32"), True),
        ("::ffff:192.0.2.7", ("192.0.2.0/24",), True),
        ("192.0.2.7", ("::/0",), False),
        ("2001:db8::1", ("0.0.0.0/0",), False),
        ("2001:db8::1", ("2001:db8::/32",), True),
        ("fe80::1%eth0", ("fe80::/10",), True),
        ("192.0.2.7", (), False),
        (None, ("0.0.0.0/0", "::/0"), False),
        ("", ("0.0.0.0/0", "::/0"), False),
        ("unknown", ("0.0.0.0/0", "::/0"), False),
        ("192.0.2.7/32", ("0.0.0.0/0",), False),
    ],
)
def test_allowed(address: str | None, networks: tuple[str, ...], allowed: bool) -> None:
    """An address is allowed in the networks it lies in; what is no address, or not known, never is."""
    assert lies_in(packed(address), read_networks(networks)) is allowed


def test_bit_by_bit() -> None:
    """An address lies in a network exactly when it begins with the same bits, for both families and every length."""
    chance = random.Random(7)
    for _ in range(2000):
        kind, bits = chance.choice([(IPv4Address, 32), (IPv6Address, 128)])
        length = chance.randint(0, bits)
        network = chance.getrandbits(bits) >> (bits - length) << (bits - length)
        # Differs in one bit at most, so that both answers are common.
        inside = network | chance.getrandbits(bits) >> length
        address = inside ^ (chance.randint(0, 1) << chance.randint(0, bits - 1))
        same = f"{address:0{bits}b}"[:length] == f"{network:0{bits}b}"[:length]
        networks = read_networks([f"{kind(network)}/{length}"])
        assert network_texts(networks) == (str(ip_network(f"{kind(network)}/{length}")),)
        assert lies_in(packed(str(kind(address))), networks) is same


@pytest.mark.parametrize("text", ["", "here", "192.0.2.0", "192.0.2.0/", "/24", "192.0.2.0/33"])
def test_networks_that_cannot_be_read(text: str) -> None:
    """Text that is no network in canonical form is an error, never a network in which an unknown address lies."""
    with pytest.raises(ValueError, match=r"canonical|literal|negative"):
        read_networks([text])


def an_address_or_nearly(chance: random.Random) -> str:
    """Write an address in one of its forms, with a flaw in one of two."""
    parts = [f"{chance.getrandbits(16):x}" for _ in range(chance.choice([8, 8, 8, 7, 6, 9]))]
    four = ".".join(str(chance.choice([0, 1, 9, 10, 255, 256, chance.randrange(300)])) for _ in range(4))
    text = chance.choice(
        [
            four,
            four,
            ":".join(parts),
            str(IPv6Address(chance.getrandbits(128) & -(1 << chance.randrange(128)) & (1 << 128) - 1)),
            IPv6Address(chance.getrandbits(chance.randrange(1, 129))).exploded,
            f"{':'.join(parts[: chance.randrange(8)])}::{':'.join(parts[: chance.randrange(8)])}",
            f"{chance.choice(['::ffff:', '::FFFF:', '::', '64:ff9b::', '0:0:0:0:0:ffff:', '1:2:3:4:5:6:'])}{four}",
        ]
    )
    for _ in range(chance.choice([0, 0, 0, 1, 1, 2])):
        place = chance.randrange(len(text) + 1)
        inserted = chance.choice(
            ["", "0", "00", ".", ":", "::", "%", "%1", "a", "F", "g", "/", " ", "\n", "\0", "-", "+", "²", "٣"]
        )
        text = text[:place] + inserted + text[place + chance.randrange(3) :]
    return text


def test_addresses_are_read_as_the_library_reads_them() -> None:
    """
    Of 30,000 generated texts the same ones are addresses, and the same ones, as for `ipaddress`.

    `ADDRESSES=1000000 pytest tests/keys/test_addresses.py` generates more.
    """
    chance, read = random.Random(7), 0
    for _ in range(int(os.environ.get("ADDRESSES", "30000"))):
        text = an_address_or_nearly(chance)
        number = packed(text)
        try:
            found = ip_address(text.partition("%")[0])
        except ValueError:
            assert number == 0, text
            continue
        found = getattr(found, "ipv4_mapped", None) or found
        assert number == 1 << found.max_prefixlen | int(found), text
        kind, length = (IPv4Network, 24) if isinstance(found, IPv4Address) else (IPv6Network, 48)
        assert network_text(network_number(number)) == str(kind((int(found), length), strict=False)), text
        read += 1
    assert read > 10_000


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("0.0.0.1", "0.0.0.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("::1", "::/48"),
        ("fe80::1%eth0", "fe80::/48"),
        (None, None),
        ("", None),
        ("localhost", None),
        ("192.0.2.77:443", None),
    ],
)
def test_network(address: str | None, network: str | None) -> None:
    """An address is described by its /24 or /48, and what is no address by nothing."""
    assert network_of(address) == network


@pytest.mark.parametrize(
    ("address", "networks"),
    [
        ("192.0.2.77", ("192.0.2.0/24",)),
        ("::ffff:192.0.2.77", ("192.0.2.0/24",)),
        ("2001:db8:1:2::3", ("2001:db8:1:2::/64", "2001:db8:1::/48")),
        ("localhost", ()),
        (None, ()),
    ],
)
def test_networks_of_failures(address: str | None, networks: tuple[str, ...]) -> None:
    """Failures are counted under a /24, or under both a /64 and a /48."""
    assert failure_networks(address) == networks


PROXIES = proxy_networks(["10.0.0.0/8", "fd00::/8"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["203.0.113.9"], "192.0.2.1"),
        ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["198.51.100.66, 203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["198.51.100.66", "203.0.113.9, 10.2.3.4"], "203.0.113.9"),
        ("10.0.0.1", ["10.9.9.9"], "10.9.9.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.9, nonsense"], None),
        ("10.0.0.1", [""], None),
        ("::ffff:10.0.0.1", ["2001:db8::1"], "2001:db8::1"),
        ("fd00::1", ["2001:db8::1"], "2001:db8::1"),
        ("10.0.0.1", ["fe80::1%eth0"], None),
        ("10.0.0.1", ["2001:db8::1%" + "A" * 200 + "<script>"], None),
        ("10.0.0.1", ["203.0.113.9%1"], None),
        ("10.0.0.1", ["203.0.113.9, fe80::1%eth0"], None),
        ("fd00::1%eth0", ["203.0.113.9"], None),
        ("10.0.0.1", ["203.0.113.9:4711"], None),
        (None, ["203.0.113.9"], None),
        ("/run/socket", [], None),
        ("", [], None),
    ],
)
def test_client_address(peer: str | None, forwarded: list[str], address: str | None) -> None:
    """A forwarded address counts only as far as trusted proxies wrote it; what a caller forged is never reached."""
    assert client_address(peer, forwarded, PROXIES) == address


def test_proxies_in_ipv6_form() -> None:
    """A network of IPv4 addresses that are mapped into IPv6 is that of the IPv4 addresses."""
    trusted = proxy_networks(["::ffff:10.0.0.0/104"])
    assert client_address("10.0.0.1", ["203.0.113.9"], trusted) == "203.0.113.9"


def test_malformed_proxies() -> None:
    """A text that is no network is refused."""
    with pytest.raises(ValueError, match="does not appear"):
        proxy_networks(["10.0.0.0/8", "nowhere"])


def test_without_trusted_proxies() -> None:
    """Where no proxy is trusted, the address is the peer's."""
    assert client_address("10.0.0.1", ["203.0.113.9"], ()) == "10.0.0.1"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("192.168.0.1", False),
        ("localhost.example", False),
        ("", False),
    ],
)
def test_loopback(host: str, expected: bool) -> None:
    """A host is this machine where its name or its address says so, without asking a name server."""
    assert is_loopback(host) is expected


@pytest.mark.parametrize("forwarded", ["203.0.113.9", "203.0.113.9, 10.0.0.2", "10.0.0.2", "x, 10.0.0.2", "fe80::1%a"])
def test_forwarded_number(forwarded: str) -> None:
    """The client behind a trusted proxy is the same as a number and as a text."""
    assert forwarded_number([forwarded], PROXIES) == packed(client_address("10.0.0.1", [forwarded], PROXIES))
