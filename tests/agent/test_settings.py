"""The settings of an agent: combinations that would have no effect stop its start."""

import os
from pathlib import Path

import pytest

from keywright.agent.settings import AgentSettings, load
from keywright.config import SettingsError
from keywright.config_values import secret_names
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


@pytest.mark.parametrize(
    ("name", "value"),
    [("VERIFIER", "kw_vk_y"), ("AGENT_CREDENTIAL", "a-credential-of-callers"), ("REDIS_URL", "redis://:hunter22@here")],
)
def test_secret_from_a_file(env: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str) -> None:
    """Every secret of an agent can come from a file, and is refused where it is set twice."""
    (tmp_path / "secret").write_text(f"{value}\n")
    env.delenv(f"KEYWRIGHT_{name}", raising=False)
    env.setenv(f"KEYWRIGHT_{name}_FILE", str(tmp_path / "secret"))
    assert getattr(load(), name.lower()).get_secret_value() == value
    env.setenv(f"KEYWRIGHT_{name}", value)
    with pytest.raises(SettingsError, match=f"^KEYWRIGHT_{name} and KEYWRIGHT_{name}_FILE are both set"):
        load()


def test_every_secret_can_be_a_file() -> None:
    """The secrets are those three; a new one is read from files without further code."""
    assert secret_names(AgentSettings) == {"verifier", "agent_credential", "redis_url"}
