"""The settings of the HTTP client for an address."""

import ssl

import pytest

from keywright.client.address import client_settings


@pytest.mark.parametrize("address", ["http://127.0.0.1:8080", "http://[::1]:8080", "http://localhost"])
def test_loopback_without_tls(address: str) -> None:
    """On loopback without TLS no certificate is read; the context that stands in its place trusts none."""
    settings = client_settings(address, "a.b.c")
    context = settings["verify"]
    assert isinstance(context, ssl.SSLContext)
    assert (context.verify_mode, context.check_hostname, context.get_ca_certs()) == (ssl.CERT_REQUIRED, True, [])
    assert settings["trust_env"] is False


@pytest.mark.parametrize("address", ["https://127.0.0.1", "https://keys.acme.example", "http://keys.acme.example"])
def test_all_others(address: str) -> None:
    """Certificates are checked against those of the system for every other address, which a proxy may stand before."""
    assert client_settings(address, "a.b.c")["verify"] is True
