"""The settings of the HTTP client for an address."""

import ssl
from pathlib import Path

import pytest

from keywright.client.address import client_settings
from tests.certificates import Authority


@pytest.mark.parametrize("address", ["http://127.0.0.1:8080", "http://[::1]:8080", "http://localhost"])
def test_loopback_without_tls(address: str) -> None:
    """On loopback without TLS no certificate is read; the context that stands in its place trusts none."""
    settings = client_settings(address, "a.b.c")
    context = settings["verify"]
    assert isinstance(context, ssl.SSLContext)
    assert (context.verify_mode, context.check_hostname, context.get_ca_certs()) == (ssl.CERT_REQUIRED, True, [])
    assert settings["trust_env"] is False


def test_loopback_with_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On loopback certificates are checked by the authority of the environment, and a proxy of it is not used."""
    monkeypatch.setenv("SSL_CERT_FILE", str(Authority(tmp_path).path))
    settings = client_settings("https://127.0.0.1", "a.b.c")
    context = settings["verify"]
    assert isinstance(context, ssl.SSLContext)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    (authority,) = context.get_ca_certs()
    assert "trustme" in str(authority["subject"])
    assert settings["trust_env"] is False


@pytest.mark.parametrize("address", ["https://keys.acme.example", "http://keys.acme.example"])
def test_all_others(address: str) -> None:
    """Certificates are checked against those of the system for every other address, which a proxy may stand before."""
    assert client_settings(address, "a.b.c")["verify"] is True
