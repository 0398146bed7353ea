"""How a use of a key is described."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keywright.keys.sightings import agent_family


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
    assert len(agent_family(text) or "") <= 32
