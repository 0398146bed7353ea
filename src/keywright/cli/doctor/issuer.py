"""The checks of the issuer: its discovery document, its signing keys and its clock."""

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from keywright.auth.key_source import DEADLINE_SECONDS, FetchFailed, KeySource, is_on_this_machine
from keywright.cli.doctor import results
from keywright.cli.doctor.results import CheckResult

CLOCK_SECONDS = 30
_SHOWN_ISSUER = 200

_UNREACHABLE = "Check the domain, the name service and the firewall; behind a proxy, set HTTPS_PROXY."
# A message and a fix for each code of FetchFailed.
_FAILURES = {
    "timeout": (f"It did not return its signing keys within {DEADLINE_SECONDS:g} s.", _UNREACHABLE),
    "network": ("Its signing keys cannot be reached.", _UNREACHABLE),
    "status": ("It does not return a key set.", "Check that the domain is that of the tenant."),
    "encoding": (
        "Its answers are compressed, against the request.",
        "Check the proxy in between.",
    ),
    "too_large": ("Its key set is larger than 1 MiB.", "Check that the domain is that of the tenant."),
    "not_json": ("Its answer is no key set.", "Check that the domain is that of the tenant."),
    "issuer": ("Its discovery document names another issuer.", "Set KEYWRIGHT_ISSUER to the iss of the tokens."),
    "jwks_uri": ("Its discovery document has a jwks_uri that is not https.", "Ask its operator."),
    "too_many_keys": ("Its key set has more than 32 keys.", "Ask its operator to retire old ones."),
    "no_usable_key": (
        "None of its keys can be used: RSA, 2048 to 8192 bits, for signatures, each with a kid of its own.",
        "In Auth0, set the API's signing algorithm to RS256.",
    ),
}


async def check(
    address: str,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> list[CheckResult]:
    """
    Send the issuer the same requests as the service does.

    Args:
        address: As in `iss`.
        transport: The transport of the requests; by default the network.
        now: The current time, aware.
    """
    discovery = f"{address.rstrip('/')}/.well-known/openid-configuration"
    try:
        async with _client(address, transport) as client:
            answer = await client.get(discovery)
    except httpx.HTTPError as error:
        reason = str(error) or type(error).__name__
        return [results.fail("issuer", f"{discovery} cannot be reached: {reason}.", _UNREACHABLE)]
    return [_discovery(answer, address), await _keys(address, transport), *_clock(answer, now())]


def _client(address: str, transport: httpx.AsyncBaseTransport | None) -> httpx.AsyncClient:
    # As in the service: a proxy would not reach a loopback address of this host.
    return httpx.AsyncClient(transport=transport, timeout=DEADLINE_SECONDS, trust_env=not is_on_this_machine(address))


def _discovery(answer: httpx.Response, address: str) -> CheckResult:
    if answer.status_code != httpx.codes.OK:
        return results.warn(
            "issuer",
            f"{answer.request.url} answers {answer.status_code}; keys are fetched from /.well-known/jwks.json.",
            "Check that the domain is that of the tenant.",
        )
    try:
        announced = answer.json()["issuer"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return results.warn("issuer", f"{answer.request.url} is no discovery document.", "Check the domain.")
    if announced != address:
        return results.fail(
            "issuer",
            f"The discovery document names the issuer {str(announced)[:_SHOWN_ISSUER]!r}, the settings {address!r}.",
            "Set KEYWRIGHT_ISSUER to the exact iss of the tokens; the two must be equal to the last character.",
        )
    return results.ok("issuer", f"{address} is available and its document names it.")


async def _keys(address: str, transport: httpx.AsyncBaseTransport | None) -> CheckResult:
    source = KeySource(address, transport=transport, deadline=DEADLINE_SECONDS)
    try:
        keys = await source.fetch()
    except FetchFailed as failure:
        message, fix = _FAILURES[failure.code]
        return results.fail("signing keys", message, fix)
    finally:
        await source.close()
    return results.ok("signing keys", f"{len(keys)} usable.")


def _clock(answer: httpx.Response, now: datetime) -> list[CheckResult]:
    try:
        theirs = parsedate_to_datetime(answer.headers["Date"]).replace(tzinfo=UTC)
    except (KeyError, ValueError):
        return []
    return [
        results.clock("the issuer", round((now - theirs).total_seconds()), CLOCK_SECONDS, "good tokens may be refused")
    ]
