"""
The settings: `KEYWRIGHT_*` environment variables, read once and frozen. Imported by `app.py`, `cli` and `dev` only.

docs/reference/configuration.md is generated from this file. A setting that is missing or weak stops the start with one
sentence that names it.
"""

import os
import re
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from types import MappingProxyType
from typing import Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from keywright.keys.addresses import is_loopback
from keywright.keys.format import BRAND, ENVIRONMENT
from keywright.keys.record import DESCRIPTION_MAX, flaw_in_description
from keywright.keys.scopes import is_scope
from keywright.rate_limiting import url as redis_url
from keywright.service.principal import PermissionPolicy

PREFIX = "KEYWRIGHT_"
_LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})+", re.IGNORECASE)
_ORIGIN = re.compile(r"https?://[^/\s@,?#*]+")
_METRICS = re.compile(r"off|path|(\[[0-9a-f:.]+\]|[^:\s/]+):(?P<port>[0-9]{1,5})", re.IGNORECASE)
_MAX_PORT = 65535


Kind = TypeVar("Kind", bound="DatabaseSettings")


class SettingsError(Exception):
    """A setting is missing, malformed or weak; the message is one sentence that names it and shows no value."""


class DatabaseSettings(BaseModel):
    """The settings of commands that work on the database alone: they know no issuer."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    database_url: SecretStr = Field(
        default=SecretStr("sqlite:///keywright.db"),
        description="`sqlite:///relative.db`, `sqlite:////absolute.db`, or `postgresql://user:password@host/database`.",
    )
    key_brand: str = Field(
        default="kw",
        description="What every key begins with. A brand of your own lets secret scanners tell your keys from others'.",
    )

    @field_validator("key_brand")
    @classmethod
    def _brand(cls, value: str) -> str:
        if not BRAND.fullmatch(value):
            raise ValueError("must be 1 to 12 characters, a-z and 0-9, beginning with a letter")
        return value


class Settings(DatabaseSettings):
    """Everything an operator may choose."""

    auth0_domain: str | None = Field(
        default=None,
        description="Auth0 tenant or custom domain, such as `acme.eu.auth0.com`. The issuer is `https://{domain}/`. "
        "Required unless `KEYWRIGHT_ISSUER` is set.",
    )
    issuer: str = Field(
        default="",
        description="The exact `iss` of the access tokens, for any other OpenID Connect provider. Auth0's ends in `/`. "
        "`http://` only on a loopback host. Set this or `KEYWRIGHT_AUTH0_DOMAIN`, not both.",
    )
    audience: str = Field(
        min_length=1,
        max_length=255,
        description="The identifier of your API in Auth0, exactly as it is there. Required.",
    )
    org_claim: str = Field(
        default="org_id",
        min_length=1,
        max_length=255,
        description="The claim that names the caller's organisation, such as `org_id` or `https://acme.example/org_id`.",
    )
    permissions: PermissionPolicy = Field(
        default=PermissionPolicy.AUTO,
        description="`auto`: a token with a `permissions` claim is held to it, one without may do all that its "
        "organisation may. `enforce`: every right must be in `permissions`, or in `scope` where that claim is absent.",
    )
    environments: tuple[str, ...] = Field(
        default=("live", "sandbox"),
        description="The environments a key may belong to, separated by commas; the first is that of new keys.",
    )
    max_life_days: int | None = Field(
        default=None,
        ge=1,
        le=36_500,
        description="How many days a key may live, counted from the making of its current secret. A key that is "
        "created without an expiry gets the latest there may be. Any number unless set.",
    )
    require_expiry: bool = Field(default=False, description="`true`: whoever creates a key has to say when it expires.")
    max_active_keys: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000_000,
        description="How many active keys an organisation may have. Any number unless set.",
    )
    scopes: Mapping[str, str] | None = Field(
        default=None,
        description="Every scope there is and what it means, separated by semicolons, such as `reports:read=Read "
        "reports; reports:write=Change reports`. A key can be given these, and wildcards that grant at least one of "
        "them. Without it, any scope.",
    )
    outage_seconds: int = Field(
        default=300,
        ge=0,
        le=86_400,
        description="How long keys known in memory go on working while the database is away, in seconds; 0 forbids it. "
        "Answers are marked stale meanwhile; after that they are 503.",
    )
    redis_url: SecretStr | None = Field(
        default=None,
        description="Where processes count the rate limits of keys together: `redis://user:password@host:6379/0`, "
        "`rediss://…` for TLS, `unix:///run/redis.sock`. Without it every process counts alone.",
    )
    limits_on_outage: Literal["local", "refuse"] = Field(
        default="local",
        description="What happens to keys with rate limits while Redis is away. `local`: every process counts alone. "
        "`refuse`: they are 503.",
    )
    cached_keys: int = Field(
        default=200_000, ge=2, le=100_000_000, description="How many keys each worker holds in memory at most."
    )
    forward_auth: Literal["verifier", "open", "off"] = Field(
        default="verifier",
        description="Who may ask `/forward-auth` and `/ext-authz`. `verifier`: a proxy that sends its verifier "
        "credential in `X-Keywright-Verifier`. `open`: whoever reaches the port, so only on a private network. "
        "`off`: nobody; both are 404.",
    )
    fast_path: Literal["on", "off"] = Field(
        default="on",
        description="Whether verifications, and questions of proxies, that need nobody else are answered before they "
        "take the way of other requests. The answers are the same; `off` is for finding out whether that is true.",
    )
    host: str = Field(default="127.0.0.1", min_length=1, description="The address to listen on.")
    port: int = Field(default=8080, ge=0, le=_MAX_PORT, description="The port to listen on; 0 takes any free one.")
    workers: int = Field(default=1, ge=1, le=64, description="How many processes answer.")
    cors_origins: tuple[str, ...] = Field(
        default=(),
        description="Origins whose pages may call the API from a browser, separated by commas, such as "
        "`https://dashboard.acme.example`. None by default.",
    )
    trusted_proxies: tuple[str, ...] = Field(
        default=(),
        description="Addresses or networks of proxies whose `X-Forwarded-For` is believed, separated by commas.",
    )
    metrics: str = Field(
        default="127.0.0.1:9464",
        description="Where Prometheus metrics are served: an address of its own (`host:port`), `path` for `/metrics` "
        "on the API's own port, or `off`.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least important messages that are logged."
    )
    start_seconds: int = Field(
        default=60,
        ge=1,
        le=3600,
        description="How long a start may take until requests are answered, migrations aside, and with several workers "
        "that of each that replaces another one. The log then says what was waited for.",
    )
    shutdown_seconds: int = Field(
        default=20, ge=1, le=600, description="How long requests in flight may take to finish when the service stops."
    )

    @field_validator("environments", "cors_origins", "trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("max_life_days", "max_active_keys", mode="before")
    @classmethod
    def _unset(cls, value: object) -> object:
        # A deployment that sets every variable sets some of them to nothing.
        return None if value == "" else value

    @field_validator("scopes", mode="before")
    @classmethod
    def _catalogue(cls, value: object) -> object:
        return read_catalogue(value) if isinstance(value, str) else value

    @field_validator("auth0_domain", mode="before")
    @classmethod
    def _bare_domain(cls, value: object) -> object:
        if value in (None, ""):
            return None
        if not isinstance(value, str) or not _DOMAIN.fullmatch(value):
            raise ValueError("must be a bare domain such as acme.eu.auth0.com, without https:// and without a path")
        return value.lower()

    @field_validator("redis_url")
    @classmethod
    def _redis_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        redis_url.read(value.get_secret_value())
        return value

    @field_validator("environments")
    @classmethod
    def _environments(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or len(set(value)) != len(value) or not all(ENVIRONMENT.fullmatch(name) for name in value):
            raise ValueError(
                "must be different names separated by commas, each 1 to 16 characters, a-z and 0-9, "
                "beginning with a letter"
            )
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(_ORIGIN.fullmatch(origin) for origin in value):
            raise ValueError("must be exact origins such as https://dashboard.acme.example, without a path or a star")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            try:
                ip_network(network)
            except ValueError:
                raise ValueError("must be addresses or networks such as 10.0.0.0/8, separated by commas") from None
        return value

    @field_validator("metrics")
    @classmethod
    def _metrics(cls, value: str) -> str:
        match = _METRICS.fullmatch(value)
        if match is None or int(match["port"] or 0) > _MAX_PORT:
            raise ValueError(f"must be host:port with a port up to {_MAX_PORT}, path or off")
        return value.lower()

    @model_validator(mode="after")
    def _one_issuer(self) -> Self:
        if self.auth0_domain is not None and self.issuer:
            raise ValueError("KEYWRIGHT_AUTH0_DOMAIN and KEYWRIGHT_ISSUER are both set; set one of them")
        if self.auth0_domain is not None:
            object.__setattr__(self, "issuer", f"https://{self.auth0_domain}/")
        elif not self.issuer:
            raise ValueError("KEYWRIGHT_AUTH0_DOMAIN is required, unless KEYWRIGHT_ISSUER is set")
        elif not _is_acceptable_issuer(self.issuer):
            raise ValueError(
                "KEYWRIGHT_ISSUER must be an https:// URL without query or fragment (http:// only on a loopback host)"
            )
        return self

    @property
    def proxy_networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """The networks whose `X-Forwarded-For` is believed."""
        return tuple(ip_network(network) for network in self.trusted_proxies)


def read_catalogue(text: str) -> Mapping[str, str] | None:
    """
    Read the scopes there are, in their order, with what they mean: `reports:read=Read reports; reports:write=…`.

    Returns:
        None where there are none, which allows any.

    Raises:
        ValueError: It is written otherwise, names a scope twice, or a wildcard, which is no scope of its own.
    """
    found: dict[str, str] = {}
    for entry in filter(str.strip, text.split(";")):
        scope, _, meaning = map(str.strip, entry.partition("="))
        # An equals sign in the meaning is that of a second scope, after a comma that should be a semicolon.
        if not is_scope(scope) or "*" in scope or scope in found or "=" in meaning:
            raise ValueError("must be different scopes such as reports:read=Read reports, separated by semicolons")
        if len(meaning) > DESCRIPTION_MAX or flaw_in_description(meaning) is not None:
            raise ValueError(f"must describe each scope in at most {DESCRIPTION_MAX} characters that can be seen")
        found[scope] = meaning
    return MappingProxyType(found) if found else None


def load(**overrides: Any) -> Settings:
    """
    Read the settings from the environment, whatever the case of its names; *overrides*, by field name, go before it.

    Raises:
        SettingsError: One of them is missing, malformed or weak.
    """
    return _validated(Settings, overrides)


def load_database() -> DatabaseSettings:
    """
    Read the settings of the database as `load` does; the other settings may be missing or wrong.

    Raises:
        SettingsError: One of the two is malformed.
    """
    return _validated(DatabaseSettings, {})


def _validated(kind: type[Kind], overrides: Mapping[str, Any]) -> Kind:
    named = {name.upper(): value for name, value in os.environ.items()}
    given = {name.removeprefix(PREFIX).lower(): value for name, value in named.items() if name.startswith(PREFIX)}
    try:
        return kind.model_validate({**given, **overrides})
    except ValidationError as error:
        raise SettingsError(_sentence(error)) from None


def _is_acceptable_issuer(issuer: str) -> bool:
    try:
        url = urlsplit(issuer)
        host, _ = url.hostname, url.port
    except ValueError:
        return False
    if not host or url.query or url.fragment or url.username or any(c.isspace() for c in issuer):
        return False
    return url.scheme == "https" or (url.scheme == "http" and is_loopback(host))


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    message = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return f"{message}."
    name = f"{PREFIX}{str(first['loc'][0]).upper()}"
    if first["type"] == "missing":
        return f"{name} is required: the identifier of your API in Auth0."
    if name == "KEYWRIGHT_PORT":
        message += " (Kubernetes sets this variable for a service called keywright; use enableServiceLinks: false)"
    return f"{name}: {message[0].lower()}{message[1:]}."
