"""
The values of settings: each function takes a value as it stands in the environment, and gives the one to use.

It raises `ValueError` with the end of a sentence that begins with the name of the setting.
"""

import re
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from types import MappingProxyType
from typing import get_args
from urllib.parse import urlsplit

from pydantic import BaseModel, SecretStr

from keywright.keys.addresses import is_loopback
from keywright.keys.format import BRAND, ENVIRONMENT
from keywright.keys.record import DESCRIPTION_MAX
from keywright.keys.scopes import is_scope
from keywright.keys.shown_text import flaw_in_description
from keywright.rate_limiting import url
from keywright.service.management.audit_log import LEAST_DAYS_OF_EVENTS

_LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})+", re.IGNORECASE)
_ORIGIN = re.compile(r"https?://[^/\s@,?#*]+")
_PUBLIC_URL = re.compile(r"https?://[^/\s@?#]+(/[^\s@?#]*)?")
_METRICS = re.compile(r"off|path|(\[[0-9a-f:.]+\]|[^:\s/]+):(?P<port>[0-9]{1,5})", re.IGNORECASE)
MAX_PORT = 65535
LEAST_CLIENT_SECRET = 16
REQUIRED = MappingProxyType(
    {
        "KEYWRIGHT_AUDIENCE": "the identifier of your API in Auth0",
        "KEYWRIGHT_URL": "the address of the service",
        "KEYWRIGHT_VERIFIER": "the credential that `keywright verifiers create` printed",
    }
)
"""What the settings without a default are."""
_LONGEST_SECRET = 64 * 1024


def split(value: object) -> object:
    """Split a list that is separated by commas."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def none_if_empty(value: object) -> object:
    """Give None for an empty text: a deployment that sets every variable sets some of them to one."""
    return None if value == "" else value


def catalogue(value: object) -> object:
    """Read a list of scopes; see `read_catalogue`."""
    return read_catalogue(value) if isinstance(value, str) else value


def brand(value: str) -> str:
    """Check the first part of keys."""
    if not BRAND.fullmatch(value):
        raise ValueError("must be 1 to 12 characters, a-z and 0-9, beginning with a letter")
    return value


def bare_domain(value: str | None) -> str | None:
    """Check the domain of an issuer."""
    if value is None:
        return None
    if not _DOMAIN.fullmatch(value):
        raise ValueError("must be a bare domain such as acme.eu.auth0.com, without https:// and without a path")
    return value.lower()


def public_url(value: str | None) -> str | None:
    """Check the address of the service; one slash at its end is left out."""
    if value is not None and not _PUBLIC_URL.fullmatch(value):
        raise ValueError("must be an address such as https://keys.acme.example, without a query")
    return None if value is None else value.rstrip("/")


def client_secret(value: SecretStr | None) -> SecretStr | None:
    """Check the secret of a client; other secrets are derived from it, so that it must not be guessed."""
    if value is not None and len(value.get_secret_value()) < LEAST_CLIENT_SECRET:
        raise ValueError(f"must have at least {LEAST_CLIENT_SECRET} characters")
    return value


def secret_names(kind: type[BaseModel]) -> frozenset[str]:
    """Name the settings that are secrets, as fields; each may come from a file."""
    return frozenset(
        name
        for name, field in kind.model_fields.items()
        if field.annotation is SecretStr or SecretStr in get_args(field.annotation)
    )


def secrets_from_files(kind: type[BaseModel], given: Mapping[str, str], prefix: str) -> dict[str, str]:
    """
    Read the secrets whose `…_FILE` names a file.

    Args:
        kind: The settings.
        given: All variables, in lower case and without the prefix.
        prefix: The prefix, for the sentence.

    Raises:
        ValueError: A secret is set twice, its file cannot be used, or a file is named for what is no secret; the
            message is a whole sentence.
    """
    found: dict[str, str] = {}
    secrets = secret_names(kind)
    for name in sorted(kind.model_fields.keys() - secrets):
        if given.get(f"{name}_file"):
            variable = f"{prefix}{name.upper()}"
            raise ValueError(f"{variable}_FILE is no setting, because {variable} is no secret; set {variable}")
    for name in sorted(secrets):
        path, variable = given.get(f"{name}_file", ""), f"{prefix}{name.upper()}"
        if path and given.get(name):
            raise ValueError(f"{variable} and {variable}_FILE are both set; set one of them")
        if path:
            try:
                found[name] = secret_of_file(path)
            except ValueError as error:
                raise ValueError(f"{variable}_FILE: {error}") from None
    return found


def secret_of_file(path: str) -> str:
    """
    Read a secret out of a file; one line end at its end is left out.

    Raises:
        ValueError: The file cannot be read, is larger than 64 KiB, or is empty.
    """
    try:
        with Path(path).open(encoding="utf-8") as file:
            text = file.read(_LONGEST_SECRET + 1)
    except (OSError, ValueError):
        raise ValueError("the file cannot be read") from None
    if len(text) > _LONGEST_SECRET:
        raise ValueError("the file is too large for a secret")
    secret = text.removesuffix("\n").removesuffix("\r")
    if not secret:
        raise ValueError("the file is empty")
    return secret


def redis_url(value: SecretStr | None) -> SecretStr | None:
    """Check the URL of Redis."""
    if value is not None:
        url.read(value.get_secret_value())
    return value


def environments(value: tuple[str, ...]) -> tuple[str, ...]:
    """Check the names of environments."""
    if not value or len(set(value)) != len(value) or not all(ENVIRONMENT.fullmatch(name) for name in value):
        raise ValueError(
            "must be different names separated by commas, each 1 to 16 characters, a-z and 0-9, beginning with a letter"
        )
    return value


def origins(value: tuple[str, ...]) -> tuple[str, ...]:
    """Check origins of browsers."""
    if not all(_ORIGIN.fullmatch(origin) for origin in value):
        raise ValueError("must be exact origins such as https://dashboard.acme.example, without a path or a star")
    return value


def networks(value: tuple[str, ...]) -> tuple[str, ...]:
    """Check addresses and networks."""
    for network in value:
        try:
            ip_network(network)
        except ValueError:
            raise ValueError("must be addresses or networks such as 10.0.0.0/8, separated by commas") from None
    return value


def metrics(value: str) -> str:
    """Check where metrics are."""
    match = _METRICS.fullmatch(value)
    if match is None or int(match["port"] or 0) > MAX_PORT:
        raise ValueError(f"must be host:port with a port up to {MAX_PORT}, path or off")
    return value.lower()


def days_of_events(value: int) -> int:
    """Check how long events are kept."""
    if 0 < value < LEAST_DAYS_OF_EVENTS:
        raise ValueError(f"must be 0 or at least {LEAST_DAYS_OF_EVENTS}: the database keeps younger events")
    return value


def read_catalogue(text: str) -> Mapping[str, str] | None:
    """
    Read a list of scopes and meanings, in order: `reports:read=Read reports; reports:write=…`.

    Returns:
        The meaning of each scope; None for an empty list, which allows any scope.

    Raises:
        ValueError: The list has another form, a scope twice, or a wildcard.
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


def is_acceptable_issuer(issuer: str) -> bool:
    """Tell whether a text is the URL of an issuer: https, or http on loopback, without query or fragment."""
    try:
        parts = urlsplit(issuer)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or parts.query or parts.fragment or parts.username or any(c.isspace() for c in issuer):
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))


def is_secure_enough(address: str, *, plain_on_loopback: bool) -> bool:
    """Tell whether a console may be at *address*: a bare origin, https, or http on a loopback host where allowed."""
    parts = urlsplit(address)
    if parts.path or not parts.hostname:
        return False
    return parts.scheme == "https" or (plain_on_loopback and is_loopback(parts.hostname))


def one_issuer(auth0_domain: str | None, issuer: str) -> str:
    """
    Give the issuer that one of two settings names.

    Raises:
        ValueError: Both are set, none is, or the issuer is no acceptable URL.
    """
    if auth0_domain is not None and issuer:
        raise ValueError("KEYWRIGHT_AUTH0_DOMAIN and KEYWRIGHT_ISSUER are both set; set one of them")
    if auth0_domain is not None:
        return f"https://{auth0_domain}/"
    if not issuer:
        raise ValueError("KEYWRIGHT_AUTH0_DOMAIN is required, unless KEYWRIGHT_ISSUER is set")
    if not is_acceptable_issuer(issuer):
        raise ValueError(
            "KEYWRIGHT_ISSUER must be an https:// URL without query or fragment (http:// only on a loopback host)"
        )
    return issuer


def require_console(secret: SecretStr | None, public_url: str | None, *, loopback: bool) -> None:
    """
    Require what the console needs beside its client id; with *loopback*, its host may be one without TLS.

    Raises:
        ValueError: A setting is missing, or the address of the service is not secure enough.
    """
    if secret is None:
        raise ValueError("KEYWRIGHT_CONSOLE_CLIENT_SECRET is required with KEYWRIGHT_CONSOLE_CLIENT_ID")
    if public_url is None:
        raise ValueError("KEYWRIGHT_PUBLIC_URL is required with KEYWRIGHT_CONSOLE_CLIENT_ID")
    if not is_secure_enough(public_url, plain_on_loopback=loopback):
        raise ValueError("KEYWRIGHT_PUBLIC_URL must be an https:// address for the console, without a path")
