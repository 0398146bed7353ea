"""The settings of an agent: combinations that would have no effect stop its start."""

import os

import pytest

from keywright.agent.settings import load
from keywright.config import SettingsError
from keywright.keys.addresses import network_texts


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment with nothing but what an agent needs."""
    for name in [name for name in os.environ if name.upper().startswith("KEYWRIGHT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("KEYWRIGHT_URL", "https://keys.acme.example")
    monkeypatch.setenv("KEYWRIGHT_VERIFIER", "kw_vk_x")
    return monkeypatch


SOCKET = {"AGENT_LISTEN": "unix:/run/agent.sock"}
NETWORKS = {"FORWARD_AUTH_FROM": "10.0.0.0/8"}
CERTIFICATE = {"TLS_CERTIFICATE": "/run/tls.pem", "TLS_KEY": "/run/tls.pem"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({**SOCKET, **CERTIFICATE}, "KEYWRIGHT_TLS_CERTIFICATE has no effect on a Unix socket"),
        ({**SOCKET, **NETWORKS}, "KEYWRIGHT_FORWARD_AUTH_FROM has no effect on a Unix socket"),
        (
            {**SOCKET, **NETWORKS, "AGENT_ACCESS": "credential"},
            "KEYWRIGHT_FORWARD_AUTH_FROM has no effect on a Unix socket",
        ),
        ({**NETWORKS, "AGENT_ACCESS": "open"}, "KEYWRIGHT_FORWARD_AUTH_FROM has no effect with KEYWRIGHT_AGENT_ACCESS"),
        ({**NETWORKS, "FORWARD_AUTH": "off"}, "KEYWRIGHT_FORWARD_AUTH_FROM has no effect with KEYWRIGHT_FORWARD_AUTH"),
        ({"TLS_KEY": "/run/tls.pem"}, "KEYWRIGHT_TLS_CERTIFICATE is required with KEYWRIGHT_TLS_KEY"),
    ],
)
def test_without_an_effect(env: pytest.MonkeyPatch, given: dict[str, str], expected: str) -> None:
    """A setting that could have no effect beside another one is refused with both of them."""
    for name, value in given.items():
        env.setenv(f"KEYWRIGHT_{name}", value)
    with pytest.raises(SettingsError) as caught:
        load()
    assert str(caught.value).startswith(expected)
    assert str(caught.value).endswith(".")


def test_on_a_port(env: pytest.MonkeyPatch) -> None:
    """On a port an agent may have a certificate, and proxies that need no credential."""
    for name, value in {**NETWORKS, **CERTIFICATE}.items():
        env.setenv(f"KEYWRIGHT_{name}", value)
    settings = load()
    assert settings.tls_files == ("/run/tls.pem", "/run/tls.pem")
    assert network_texts(settings.forward_auth_networks) == ("10.0.0.0/8",)
