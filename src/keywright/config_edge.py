"""
The settings of the edge, which the service and an agent have in common: TLS, and the proxies in front.

docs/reference/configuration.md is generated from this file, too.
"""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from keywright import config_values as values
from keywright.keys.addresses import Networks, proxy_networks


class EdgeSettings(BaseModel):
    """How clients and proxies reach a server."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    trusted_proxies: tuple[str, ...] = Field(
        default=(),
        description="Addresses or networks of proxies whose `X-Forwarded-For` is trusted, separated by commas.",
    )
    forward_auth_from: tuple[str, ...] = Field(
        default=(),
        description="Addresses or networks, separated by commas, from which `/forward-auth` and `/ext-authz` may be "
        "called without a credential, for proxies that cannot send one. The address of the connection counts, and "
        "never `X-Forwarded-For`. All other callers still need a credential.",
    )
    tls_certificate: str | None = Field(
        default=None,
        description="The path of a PEM file with the certificate of the server and its intermediate certificates, for "
        "TLS without a proxy; plain HTTP unless set. Read again when it changes.",
    )
    tls_key: str | None = Field(
        default=None,
        description="The path of a PEM file with the private key of `KEYWRIGHT_TLS_CERTIFICATE`, without a passphrase; "
        "may be the same file.",
    )

    # fmt: off
    _split_networks = field_validator("trusted_proxies", "forward_auth_from", mode="before")(values.split)
    _unset_paths = field_validator("tls_certificate", "tls_key", mode="before")(values.none_if_empty)
    _are_networks = field_validator("trusted_proxies", "forward_auth_from")(values.networks)
    # fmt: on

    @model_validator(mode="after")
    def _certificate_with_its_key(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            names = ("KEYWRIGHT_TLS_CERTIFICATE", "KEYWRIGHT_TLS_KEY")
            missing, present = names if self.tls_certificate is None else reversed(names)
            raise ValueError(f"{missing} is required with {present}")
        return self

    @property
    def tls_files(self) -> tuple[str, str] | None:
        """The paths of the certificate and of its key; None for plain HTTP."""
        if self.tls_certificate is None or self.tls_key is None:
            return None
        return self.tls_certificate, self.tls_key

    @property
    def proxy_networks(self) -> Networks:
        """The networks of the proxies whose `X-Forwarded-For` is trusted."""
        return proxy_networks(self.trusted_proxies)

    @property
    def forward_auth_networks(self) -> Networks:
        """The networks of the proxies that need no credential."""
        return proxy_networks(self.forward_auth_from)
