"""The settings of an agent: `KEYWRIGHT_*` environment variables, read once and frozen."""

import re
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from keywright import config
from keywright import config_values as values
from keywright.config_edge import EdgeSettings

_UNIX = "unix:"
_LISTEN = re.compile(r"unix:/[^\0]+|(\[[0-9a-f:.]+\]|[^:\s/]+):[0-9]{1,5}", re.IGNORECASE)
_NAME = re.compile("[!-~]{1,100}")
# RFC 6750, section 2.1: what stands behind `Bearer`.
_BEARER = re.compile(r"[A-Za-z0-9\-._~+/]+=*")


class AgentSettings(EdgeSettings):
    """All settings of an agent."""

    url: str = Field(
        min_length=1, description="The address of the service, such as `https://keys.acme.example`. Required."
    )
    verifier: SecretStr = Field(
        description="The credential of a verifier, which `keywright verifiers create` printed. Required."
    )
    agent_listen: str = Field(
        default="127.0.0.1:8089",
        description="Where the agent listens: `host:port`, or `unix:/run/keywright/agent.sock` for a Unix socket with "
        "the mode 0660.",
    )
    agent_access: Literal["credential", "open"] | None = Field(
        default=None,
        description="Which requests are answered. `credential`: those with `KEYWRIGHT_AGENT_CREDENTIAL`. `open`: all "
        "that reach the socket. By default `open` for a Unix socket, and `credential` for a port.",
    )
    agent_credential: SecretStr | None = Field(
        default=None,
        description="The credential of callers, in `Authorization: Bearer …`, of proxies in `X-Keywright-Verifier`; at "
        "least 16 letters, digits and `-._~+/`. By default that in `KEYWRIGHT_VERIFIER`, so that an API server that "
        "called the service before changes nothing but the address.",
    )
    agent_name: str | None = Field(
        default=None,
        description="The name of the agent in receipts of revocations. By default host and process number.",
    )
    allow_http: bool = Field(
        default=False, description="`true`: `http://` to another machine is allowed; only on a network that you trust."
    )
    key_brand: str = Field(default="kw", description="The first part of every key of the service.")
    outage_seconds: int = Field(
        default=300,
        ge=0,
        le=86_400,
        description="How long cached keys are accepted while the service is unavailable, in seconds; 0 forbids it. "
        "Such answers are marked stale; after that time they are 503.",
    )
    cache_mib: int = Field(
        default=128, ge=1, le=1_048_576, description="The memory of the cache of keys, in MiB, filled as keys are used."
    )
    redis_url: SecretStr | None = Field(
        default=None,
        description="The Redis in which the service and all agents count rate limits together. Without it every agent "
        "counts alone.",
    )
    limits_on_outage: Literal["local", "refuse"] = Field(
        default="local",
        description="What happens to keys with rate limits while Redis is unavailable; as for the service.",
    )
    forward_auth: Literal["on", "off"] = Field(
        default="on", description="Whether proxies may call `/forward-auth` and `/ext-authz`; `off`: both are 404."
    )
    max_connections: int = Field(
        default=4096, ge=16, le=1_000_000, description="How many connections the agent keeps open."
    )
    metrics: str = Field(
        default="off",
        description="The address of the Prometheus metrics: `host:port`, `path` for `/metrics` on the agent's "
        "own address, or `off`.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The lowest level that is logged."
    )
    shutdown_seconds: int = Field(
        default=20, ge=1, le=600, description="How long requests in progress may take to finish when the agent stops."
    )

    # fmt: off
    _unset = field_validator(
        "agent_access", "agent_credential", "agent_name", "redis_url", mode="before",
    )(values.none_if_empty)
    _redis = field_validator("redis_url")(values.redis_url)
    _listening = field_validator("metrics")(values.metrics)
    _secret = field_validator("agent_credential")(values.client_secret)
    _brand = field_validator("key_brand")(values.brand)
    # fmt: on

    @field_validator("agent_listen")
    @classmethod
    def _listen(cls, value: str) -> str:
        if not _LISTEN.fullmatch(value):
            raise ValueError("must be host:port, or unix: and the path of a socket")
        return value

    @field_validator("agent_credential")
    @classmethod
    def _bearer(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _BEARER.fullmatch(value.get_secret_value()):
            raise ValueError("must be of letters, digits and -._~+/")
        return value

    @field_validator("agent_name")
    @classmethod
    def _name(cls, value: str | None) -> str | None:
        if value is not None and not _NAME.fullmatch(value):
            raise ValueError("must be 1 to 100 printable ASCII characters without a space")
        return value

    @model_validator(mode="after")
    def _nothing_without_an_effect(self) -> Self:
        name = "KEYWRIGHT_FORWARD_AUTH_FROM" if self.forward_auth_from else "KEYWRIGHT_TLS_CERTIFICATE"
        if self.socket_path is not None and (self.forward_auth_from or self.tls_certificate is not None):
            raise ValueError(f"{name} has no effect on a Unix socket; remove it, or listen on a port")
        if self.forward_auth_from and (self.forward_auth == "off" or self.credential is None):
            other = "KEYWRIGHT_FORWARD_AUTH=off" if self.forward_auth == "off" else "KEYWRIGHT_AGENT_ACCESS=open"
            raise ValueError(f"{name} has no effect with {other}; set one of them")
        return self

    @property
    def socket_path(self) -> str | None:
        """The path of the Unix socket; None for a port."""
        return self.agent_listen.removeprefix(_UNIX) if self.agent_listen.startswith(_UNIX) else None

    @property
    def credential(self) -> str | None:
        """The credential of callers; None where they need none."""
        access = self.agent_access or ("credential" if self.socket_path is None else "open")
        return None if access == "open" else (self.agent_credential or self.verifier).get_secret_value()


def load(**overrides: Any) -> AgentSettings:
    """
    Read the settings from the environment; *overrides*, by field name, win.

    Raises:
        SettingsError: A setting is missing, malformed or weak.
    """
    return config.validated(AgentSettings, overrides)
