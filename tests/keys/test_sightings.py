"""How a use of a key is described."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keywright.keys.sightings import agent_family, network_of


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
    ("user_agent", "family"),
    [
        ("python-httpx/0.28.1", "python-httpx"),
        ("Mozilla/5.0 (X11; Linux x86_64)", "Mozilla"),
        (" curl/8.0", "curl"),
        ("a" * 100, "a" * 32),
        ("<script>", None),
        ("", None),
        (None, None),
    ],
)
def test_agent(user_agent: str | None, family: str | None) -> None:
    """A user agent is described by the name of its first product."""
    assert agent_family(user_agent) == family


@given(st.text(max_size=60))
def test_anything_may_be_described(text: str) -> None:
    """Whatever a stranger sends is described or left out, and never longer than it should be."""
    network_of(text)
    assert len(agent_family(text) or "") <= 32
