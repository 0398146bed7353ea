"""Whose request it is, behind proxies or not."""

from ipaddress import ip_network

import pytest

from keywright.api.http import client_address

PROXIES = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


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
        ("", [], None),
    ],
)
def test_address(peer: str | None, forwarded: list[str], address: str | None) -> None:
    """A forwarded address counts only as far as trusted proxies wrote it; a forged entry is never reached."""
    scope = {
        "client": None if peer is None else (peer, 1),
        "headers": [(b"x-forwarded-for", value.encode()) for value in forwarded],
    }
    assert client_address.of(scope, trusted=PROXIES) == address
