"""The checks of the settings and of their ports."""

from collections.abc import Iterable
from difflib import get_close_matches

import httpx

from keywright.agent.settings import AgentSettings
from keywright.cli.doctor import results
from keywright.cli.doctor.results import CheckResult
from keywright.cli.server import listening, tls
from keywright.cli.server.listening import CannotListen
from keywright.config import PREFIX, Settings
from keywright.config_values import secret_names
from keywright.keys.addresses import network_texts

# Settings of `keywright keys`, of API servers and of agents, which call the service; the service does not read them.
_OF_CLIENTS = frozenset(
    {
        "KEYWRIGHT_URL",
        "KEYWRIGHT_TOKEN",
        "KEYWRIGHT_TOKEN_FILE",
        *(f"{PREFIX}{name.upper()}" for name in AgentSettings.model_fields),
        *(f"{PREFIX}{name.upper()}_FILE" for name in secret_names(AgentSettings)),
    }
)
_OF_KUBERNETES = ("KEYWRIGHT_SERVICE_", "KEYWRIGHT_PORT_")


def check(settings: Settings) -> list[CheckResult]:
    """Check the settings of the issuer and of forward authentication."""
    found = [results.ok("settings", f"issuer {settings.issuer}, audience {settings.audience}")]
    if not settings.issuer.endswith("/"):
        found.append(
            results.warn(
                "settings",
                "The issuer does not end in a slash; Auth0's does, and it must equal the tokens' `iss` exactly.",
                "Compare KEYWRIGHT_ISSUER with the `iss` of a token, or set KEYWRIGHT_AUTH0_DOMAIN instead.",
            )
        )
    return [*found, *_forward_auth(settings)]


def _forward_auth(settings: Settings) -> list[CheckResult]:
    """Say who may call without a credential, where anybody may."""
    if settings.forward_auth == "open":
        message = "Whoever reaches the port may try keys: /forward-auth and /ext-authz need no credential."
        return [results.ok("forward auth", message)]
    if not settings.forward_auth_from:
        return []
    networks = ", ".join(network_texts(settings.forward_auth_networks))
    message = (
        f"Whoever connects from {networks} may try keys: /forward-auth and /ext-authz need no credential there. "
        "A proxy there must pass no request of a stranger on to them."
    )
    if any(network.endswith("/0") for network in network_texts(settings.forward_auth_networks)):
        fix = "Name the addresses of your proxies alone in KEYWRIGHT_FORWARD_AUTH_FROM."
        return [results.warn("forward auth", message, fix)]
    return [results.ok("forward auth", message)]


def unknown_variables(names: Iterable[str]) -> list[CheckResult]:
    """Warn about variables with the prefix that are no settings: usually typing errors, which have no effect."""
    settings = [*Settings.model_fields, *(f"{name}_file" for name in secret_names(Settings))]
    known = {f"{PREFIX}{name.upper()}" for name in settings} | _OF_CLIENTS
    strange = sorted(name for name in names if name.upper().startswith(PREFIX) and name.upper() not in known)
    return [_unknown(name, known) for name in strange]


async def ports(settings: Settings) -> list[CheckResult]:
    """Check that the ports are free, or that a running service has them."""
    own = settings.tls_certificate
    found = [await _port("port", settings.host, settings.port, "/livez", "KEYWRIGHT_PORT", certificate=own)]
    if settings.metrics in ("off", "path"):
        where = "switched off" if settings.metrics == "off" else "at /metrics on the API's own port"
        return [*found, results.ok("metrics", f"The metrics are {where}.")]
    host, port = listening.split(settings.metrics)
    return [*found, await _port("metrics", host, port, "/metrics", "KEYWRIGHT_METRICS")]


def _unknown(name: str, known: set[str]) -> CheckResult:
    if name.upper().startswith(_OF_KUBERNETES):
        fix = "Kubernetes sets it for a service called keywright: put enableServiceLinks: false into the pod's spec."
        return results.warn("settings", f"{name} is no setting.", fix)
    near = get_close_matches(name.upper().removeprefix(PREFIX), [other.removeprefix(PREFIX) for other in known], n=1)
    fix = f"Did you mean {PREFIX}{near[0]}?" if near else "Remove it."
    return results.warn("settings", f"{name} is no setting and has no effect.", fix)


async def _port(
    subject: str, host: str, port: int, path: str, variable: str, *, certificate: str | None = None
) -> CheckResult:
    shown = listening.shown(host, port)
    try:
        listening.listen(host, port).close()
    except CannotListen as error:
        if port <= listening.MAX_PORT and await _is_ours(f"{shown}{path}", certificate):
            return results.ok(subject, f"A running service has {shown}.")
        return results.fail(subject, str(error), f"Stop the program that uses it, or choose another {variable}.")
    return results.ok(subject, f"{shown} is free.")


async def _is_ours(where: str, certificate: str | None) -> bool:
    url = f"{'http' if certificate is None else 'https'}://{where}"
    try:
        async with httpx.AsyncClient(timeout=2, trust_env=False, verify=tls.trust_in(certificate)) as client:
            answer = await client.get(url)
    except (httpx.HTTPError, httpx.InvalidURL, OSError):
        return False
    return answer.text == '{"status":"ok"}' or "keywright_http_requests_total" in answer.text
