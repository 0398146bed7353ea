"""
The settings: `KEYWRIGHT_*` environment variables, read once and frozen. Imported by the wiring only.

docs/reference/configuration.md is generated from this file. A setting that is missing or weak stops the start with one
sentence that names it.
"""

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from keywright import config_values as values
from keywright.config_edge import EdgeSettings
from keywright.service.management.audit_log import LEAST_DAYS_OF_EVENTS
from keywright.service.principal import OrganizationFormat, PermissionPolicy

PREFIX = "KEYWRIGHT_"
_RENAMED = MappingProxyType({"cached_keys": "cache_mib", "known_keys": "cache_mib"})

Kind = TypeVar("Kind", bound=BaseModel)


def _kept(days: int, what: str) -> Any:
    """Make a setting of retention; 0 is for ever."""
    return Field(default=days, ge=0, le=36_500, description=f"How many days {what}; 0 keeps them for ever.")


class SettingsError(Exception):
    """A setting is missing, malformed or weak; the message is one sentence that names it and shows no value."""


class DatabaseSettings(BaseModel):
    """The settings of commands that need the database only, and no issuer."""

    # Built when they are read: an agent imports these classes, and reads others.
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, defer_build=True)

    database_url: SecretStr = Field(
        default=SecretStr("sqlite:///keywright.db"),
        description="`sqlite:///relative.db`, `sqlite:////absolute.db`, or `postgresql://user:password@host,host/database`.",
    )
    key_brand: str = Field(
        default="kw",
        description="The first part of every key. With a brand of your own, secret scanners can recognize your keys.",
    )
    org_claim_format: OrganizationFormat = Field(
        default=OrganizationFormat.AUTO,
        description="`auto`: an organization whose claim is a UUID of any version but 5 has that id, and the id of any "
        "other is derived from issuer and claim. `uuid`: the claim must be a UUID, and is the id; only where tenants "
        "cannot choose the claim's value.",
    )

    @property
    def trusts_org_ids(self) -> bool:
        """Whether `KEYWRIGHT_ORG_CLAIM_FORMAT` is set: then the operator knows where the ids come from."""
        return "org_claim_format" in self.model_fields_set

    _brand = field_validator("key_brand")(values.brand)


class Settings(EdgeSettings, DatabaseSettings):
    """All settings of the service."""

    plain_on_loopback: ClassVar[bool] = False
    """Whether the console may be at an `http://` address of a loopback host, where its cookies are not `Secure`."""

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
        description="The claim with the caller's organization, such as `org_id` or `https://acme.example/org_id`.",
    )
    permissions: PermissionPolicy = Field(
        default=PermissionPolicy.AUTO,
        description="`auto`: a token with a `permissions` claim has those permissions; without the claim, one whose "
        "`scope` has a permission of this API has those of its `scope`; one with neither has all but "
        "`verify:api_keys`. `enforce`: a permission must be in `permissions`, or in `scope` where that claim "
        "is absent.",
    )
    operator_org: str | None = Field(
        default=None,
        min_length=1,
        max_length=255,
        description="The operator's own organization, as the organization claim names it. A token of it whose "
        "`permissions` claim has `operate:api_keys` may use `/api/v2/operator/`. Nobody may unless set.",
    )
    grantable_scopes_claim: str | None = Field(
        default=None,
        max_length=255,
        description="The claim with the scopes that a token may give to keys, such as "
        "`https://acme.example/grantable_scopes`: an array, or a text with spaces between them; wildcards as in keys. "
        "A token without the claim gives none. Any scope unless set.",
    )
    environments: tuple[str, ...] = Field(
        default=("live", "sandbox"),
        description="The environments of keys, separated by commas; the first is the default for new keys.",
    )
    max_life_days: int | None = Field(
        default=None,
        ge=1,
        le=36_500,
        description="The longest life of a key in days, counted from the creation of its current secret. A key that is "
        "created without an expiry gets the latest one allowed. No limit unless set.",
    )
    require_expiry: bool = Field(default=False, description="`true`: a request to create a key must have an expiry.")
    max_active_keys: int | None = Field(
        default=100_000,
        ge=1,
        le=1_000_000_000,
        description="How many active keys an organization may have, disabled ones among them. Set to nothing for any "
        "number.",
    )
    rotations_per_hour: int | None = Field(
        default=10,
        ge=1,
        le=100_000,
        description="How often a key may be rotated within an hour; more is 429. Set to nothing for any number.",
    )
    max_pairs: int | None = Field(
        default=1000,
        ge=2,
        le=1_000_000,
        description="How many pairs a key may have, with the ended ones, which are stored for good; one more is 409. "
        "Set to nothing for any number.",
    )
    changes_per_second: int = Field(
        default=100,
        ge=1,
        le=1_000_000,
        description="How many changes a second an organization may make for good, in each process: requests to create, "
        "update and rotate keys; as many to revoke and delete them.",
    )
    changes_burst: int = Field(
        default=50_000,
        ge=1,
        le=1_000_000_000,
        description="How many changes an organization may make at once after a pause, in each process.",
    )
    scopes: Mapping[str, str] | None = Field(
        default=None,
        description="All scopes and their meanings, separated by semicolons, such as `reports:read=Read "
        "reports; reports:write=Change reports`. A key may have these, and wildcards that grant at least one of "
        "them. Without it, any scope.",
    )
    outage_seconds: int = Field(
        default=300,
        ge=0,
        le=86_400,
        description="How long cached keys are accepted while the database is unavailable, in seconds; 0 forbids it. "
        "Such answers are marked stale; after that time they are 503.",
    )
    keep_events_days: int = _kept(
        400,
        f"events of the audit log are kept: a year, and a month to look at it. At least {LEAST_DAYS_OF_EVENTS} days",
    )
    keep_usage_days: int = _kept(90, "uses and refusals of keys by hour are kept: a quarter of a year, for a report")
    keep_sources_days: int = _kept(
        90, "a network and user agent that used a key, or was refused, is kept after the last time: personal data"
    )
    keep_receipts_days: int = _kept(90, "revocation receipts are kept, with the acknowledgements of every process")
    keep_sessions_days: int = _kept(
        90,
        "the session of a process or verifier is kept after its end; not less than `KEYWRIGHT_KEEP_RECEIPTS_DAYS`, "
        "since receipts name sessions",
    )
    redis_url: SecretStr | None = Field(
        default=None,
        description="The Redis in which all processes count rate limits together: `redis://user:password@host:6379/0`, "
        "`rediss://…` for TLS, `unix:///run/redis.sock`. Without it every process counts alone.",
    )
    limits_on_outage: Literal["local", "refuse"] = Field(
        default="local",
        description="What happens to keys with rate limits while Redis is unavailable. `local`: every process counts "
        "alone. `refuse`: the answer is 503.",
    )
    cache_mib: int = Field(
        default=384,
        ge=1,
        le=1_048_576,
        description="The memory of the cache of keys in each process, in MiB, filled as keys are used; keys in use "
        "stay while they take at most half of it. A key with a name, two scopes and three networks of its own takes "
        "about 840 bytes, its written answer included; long names, scopes, networks and metadata take more.",
    )
    poll_seconds: float = Field(
        default=0.1,
        ge=0.05,
        le=0.4,
        description="The pause between two readings of the changes, in seconds; half of it without notifications.",
    )
    warm_keys: int = Field(
        default=200_000,
        ge=0,
        le=10_000_000,
        description="How many of the latest uses of keys each process reads after its start, to cache these keys in "
        "the background, in at most half of the cache; 0 for none.",
    )
    public_url: str | None = Field(
        default=None,
        description="The address of the service for its clients, such as `https://keys.acme.example`: the `servers` of "
        "the OpenAPI document, and where the console is. The console needs `https://`.",
    )
    console_client_id: str | None = Field(
        default=None,
        max_length=255,
        description="The client id of the console at the issuer: in Auth0, of a Regular Web Application. It switches "
        "the console on; without it `/console` is 404. Needs `KEYWRIGHT_CONSOLE_CLIENT_SECRET` and "
        "`KEYWRIGHT_PUBLIC_URL`.",
    )
    console_client_secret: SecretStr | None = Field(
        default=None,
        description="The client secret of the console, at least 16 characters. All processes need the same one: it "
        "seals sign-ins under way, too.",
    )
    forward_auth: Literal["verifier", "open", "off"] = Field(
        default="verifier",
        description="Who may call `/forward-auth` and `/ext-authz`. `verifier`: a proxy that sends its verifier "
        "credential in `X-Keywright-Verifier`, or calls from `KEYWRIGHT_FORWARD_AUTH_FROM`. `open`: every client, so "
        "only on a private network. `off`: no client; both are 404.",
    )
    fast_path: Literal["on", "off"] = Field(
        default="on",
        description="Whether valid keys in the cache are answered from the bytes of a request, before it is parsed. "
        "Refusals and unusual requests always take the application. The answers are the same; set `off` to check that.",
    )
    host: str = Field(default="127.0.0.1", min_length=1, description="The address to listen on.")
    port: int = Field(
        default=8080, ge=0, le=values.MAX_PORT, description="The port to listen on; 0 takes any free one."
    )
    workers: int = Field(default=1, ge=1, le=64, description="How many processes answer requests.")
    max_connections: int = Field(
        default=4096,
        ge=16,
        le=1_000_000,
        description="How many connections each process keeps open, without those of the feed. With unread answers they "
        "cost up to 64 KiB each, so 4096 cost 256 MiB at most. Past it, new connections get 503 and are closed; "
        "`/livez`, `/readyz` and the feed are still answered. The limit of open files bounds them, too.",
    )
    openapi: Literal["on", "off", "token"] = Field(
        default="on",
        description="Who may read `/openapi.json`: `on`, everybody; `token`, callers with an access token of any "
        "permission; `off`, nobody: it is 404.",
    )
    docs: Literal["on", "off"] = Field(
        default="on",
        description="Whether `/docs` shows the OpenAPI document as a page on which calls can be tried. While it does, "
        "the API also answers pages of the origin `null`, without cookies. `off`, or `KEYWRIGHT_OPENAPI` other than "
        "`on`: it is 404.",
    )
    cors_origins: tuple[str, ...] = Field(
        default=(),
        description="Origins whose pages may call the API from a browser, separated by commas, such as "
        "`https://dashboard.acme.example`. None by default.",
    )
    metrics: str = Field(
        default="127.0.0.1:9464",
        description="The address of the Prometheus metrics: one of their own (`host:port`), `path` for `/metrics` "
        "on the API's own port, or `off`.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The lowest level that is logged."
    )
    start_seconds: int = Field(
        default=60,
        ge=1,
        le=3600,
        description="How long a start may take until requests are answered, without migrations; also the limit for a "
        "worker that replaces another one. After that the start fails, and the log names what it waited for.",
    )
    shutdown_seconds: int = Field(
        default=20, ge=1, le=600, description="How long requests in progress may take to finish when the service stops."
    )

    # fmt: off
    _split = field_validator("environments", "cors_origins", mode="before")(values.split)
    _unset = field_validator(
        "max_life_days", "max_active_keys", "rotations_per_hour", "max_pairs", "grantable_scopes_claim", "public_url",
        "auth0_domain", "redis_url", "console_client_id", "console_client_secret", mode="before",
    )(values.none_if_empty)
    _catalogue = field_validator("scopes", mode="before")(values.catalogue)
    _domain = field_validator("auth0_domain")(values.bare_domain)
    _address = field_validator("public_url")(values.public_url)
    _redis = field_validator("redis_url")(values.redis_url)
    _client_secret = field_validator("console_client_secret")(values.client_secret)
    _names = field_validator("environments")(values.environments)
    _origins = field_validator("cors_origins")(values.origins)
    _listening = field_validator("metrics")(values.metrics)
    _days_kept = field_validator("keep_events_days")(values.days_of_events)
    # fmt: on

    @model_validator(mode="after")
    def _sessions_outlive_receipts(self) -> Self:
        sessions, receipts = self.keep_sessions_days, self.keep_receipts_days
        if sessions and (not receipts or sessions < receipts):
            raise ValueError("KEYWRIGHT_KEEP_SESSIONS_DAYS must not be less than KEYWRIGHT_KEEP_RECEIPTS_DAYS")
        return self

    @model_validator(mode="after")
    def _one_issuer(self) -> Self:
        object.__setattr__(self, "issuer", values.one_issuer(self.auth0_domain, self.issuer))
        return self

    @model_validator(mode="after")
    def _one_way_to_recognize_proxies(self) -> Self:
        if self.forward_auth_from and self.forward_auth != "verifier":
            other = f"KEYWRIGHT_FORWARD_AUTH={self.forward_auth}"
            raise ValueError(f"KEYWRIGHT_FORWARD_AUTH_FROM has no effect with {other}; set one of them")
        return self

    @model_validator(mode="after")
    def _console_is_complete(self) -> Self:
        if self.console_client_id is not None:
            values.require_console(self.console_client_secret, self.public_url, loopback=self.plain_on_loopback)
        return self

    @property
    def serves_docs(self) -> bool:
        """Whether `/docs` is served: it contains the whole document, so only where everybody may read that."""
        return self.docs == "on" and self.openapi == "on"


class DevSettings(Settings):
    """The settings of `keywright dev`."""

    plain_on_loopback: ClassVar[bool] = True


def load(**overrides: Any) -> Settings:
    """
    Read the settings from the environment, in which names may have any case; *overrides*, by field name, win.

    Raises:
        SettingsError: A setting is missing, malformed or weak, or has an old name.
    """
    return validated(Settings, overrides)


def load_dev(**overrides: Any) -> DevSettings:
    """Read the settings of `keywright dev`, as `load` does."""
    return validated(DevSettings, overrides)


def load_database() -> DatabaseSettings:
    """
    Read the settings of the database as `load` does; the other settings may be missing or wrong.

    Raises:
        SettingsError: One of these settings is malformed.
    """
    return validated(DatabaseSettings, {})


def validated(kind: type[Kind], overrides: Mapping[str, Any]) -> Kind:
    """Read the settings of a kind, as `load` does."""
    named = {name.upper(): value for name, value in os.environ.items()}
    given = {name.removeprefix(PREFIX).lower(): value for name, value in named.items() if name.startswith(PREFIX)}
    for old in given.keys() & _RENAMED.keys() if issubclass(kind, Settings) else ():
        raise SettingsError(
            f"{PREFIX}{old.upper()} is now {PREFIX}{_RENAMED[old].upper()}, which counts MiB of memory and not keys."
        )
    try:
        given |= values.secrets_from_files(kind, given, PREFIX)
    except ValueError as error:
        raise SettingsError(f"{error}.") from None
    try:
        return kind.model_validate({**given, **overrides})
    except ValidationError as error:
        raise SettingsError(_sentence(error)) from None


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    message = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return f"{message}."
    name = f"{PREFIX}{str(first['loc'][0]).upper()}"
    if first["type"] == "missing":
        return f"{name} is required: {values.REQUIRED[name]}."
    if name == "KEYWRIGHT_PORT":
        message += " (Kubernetes sets this variable for a service called keywright; use enableServiceLinks: false)"
    return f"{name}: {message[0].lower()}{message[1:]}."
