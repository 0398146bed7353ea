"""The doctor's checks of issuers; a fake transport stands for each issuer."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from keywright.auth.key_source import FetchFailed
from keywright.cli.doctor import issuer as issuer_checks
from keywright.cli.doctor.results import CheckResult, Level
from keywright.dev.issuer import DevIssuer, SigningKey

ADDRESS = "https://acme.eu.auth0.com/"
NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
DISCOVERY = "/.well-known/openid-configuration"
KEYS = "/.well-known/jwks.json"
KEY = SigningKey.generate()


def documents() -> dict[str, Any]:
    return {
        DISCOVERY: {"issuer": ADDRESS, "jwks_uri": f"https://acme.eu.auth0.com{KEYS}"},
        KEYS: {"keys": [KEY.jwk()]},
    }


def transport(documents: Mapping[str, Any], *, clock: datetime | None = NOW) -> httpx.MockTransport:
    def handler(request: httpx.Request) -> httpx.Response:
        document = documents.get(request.url.path)
        headers = {} if clock is None else {"Date": format_datetime(clock, usegmt=True)}
        if document is None:
            return httpx.Response(404, headers=headers)
        return httpx.Response(200, content=json.dumps(document), headers=headers)

    return httpx.MockTransport(handler)


async def look(transport: httpx.AsyncBaseTransport) -> dict[str, CheckResult]:
    found = await issuer_checks.check(ADDRESS, transport=transport, now=lambda: NOW)
    return {finding.subject: finding for finding in found}


async def test_sound_issuer() -> None:
    """An issuer as it should be gives nothing but ok."""
    found = await look(transport(documents()))
    assert {subject: finding.level for subject, finding in found.items()} == {
        "issuer": Level.OK,
        "signing keys": Level.OK,
        "clock": Level.OK,
    }


async def test_embedded_issuer() -> None:
    """The same over real HTTP."""
    with DevIssuer() as issuer:
        found = await issuer_checks.check(issuer.url)
    assert {finding.level for finding in found} == {Level.OK}


async def test_unreachable_issuer() -> None:
    """An unavailable issuer fails, with what to check."""

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("[Errno -2] Name or service not known", request=request)

    found = await look(httpx.MockTransport(refuse))
    assert set(found) == {"issuer"}
    assert found["issuer"].level is Level.FAIL
    assert "Name or service not known" in found["issuer"].message
    assert "HTTPS_PROXY" in (found["issuer"].fix or "")


@pytest.mark.parametrize("announced", ["https://acme.eu.auth0.com", "https://other.eu.auth0.com/", None, 5])
async def test_other_issuer(announced: object) -> None:
    """A discovery document that names another issuer, be it by one slash, fails and shows both."""
    found = await look(transport({**documents(), DISCOVERY: {**documents()[DISCOVERY], "issuer": announced}}))
    assert found["issuer"].level is Level.FAIL
    assert repr(str(announced)) in found["issuer"].message
    assert repr(ADDRESS) in found["issuer"].message
    assert found["signing keys"].level is Level.FAIL


async def test_no_discovery_document() -> None:
    """Without a discovery document the usual address of the keys is used, with a warning."""
    found = await look(transport({KEYS: documents()[KEYS]}))
    assert found["issuer"].level is Level.WARN
    assert found["signing keys"].level is Level.OK


async def test_something_else_at_the_address() -> None:
    """A page that is no discovery document is a warning."""
    found = await look(transport({DISCOVERY: ["welcome"]}))
    assert found["issuer"].level is Level.WARN
    assert found["signing keys"].level is Level.FAIL


@pytest.mark.parametrize(
    "keys",
    [
        [],
        [{**KEY.jwk(), "use": "enc"}],
        [KEY.jwk(), KEY.jwk()],
        [{"kty": "EC", "kid": "x", "crv": "P-256", "x": "AA", "y": "AA"}],
    ],
)
async def test_no_usable_key(keys: list[Any]) -> None:
    """A key set without a usable RSA key fails, and the message has the requirements."""
    found = await look(transport({**documents(), KEYS: {"keys": keys}}))
    assert found["signing keys"].level is Level.FAIL
    assert "2048" in found["signing keys"].message


@pytest.mark.parametrize(
    ("offset", "expected"),
    [(31, "31 s behind"), (-31, "31 s ahead of"), (3600, "3600 s behind")],
)
async def test_clock_difference(offset: int, expected: str) -> None:
    """A difference of more than 30 s between the clocks is a warning with its direction."""
    found = await look(transport(documents(), clock=NOW + timedelta(seconds=offset)))
    assert found["clock"].level is Level.WARN
    assert expected in found["clock"].message


@pytest.mark.parametrize("offset", [-30, 30])
async def test_small_clock_difference(offset: int) -> None:
    """A difference of 30 s is allowed."""
    found = await look(transport(documents(), clock=NOW + timedelta(seconds=offset)))
    assert found["clock"].level is Level.OK


async def test_issuer_without_a_clock() -> None:
    """Without a Date header there is no result about the clock."""
    assert "clock" not in await look(transport(documents(), clock=None))


@pytest.mark.parametrize("date", ["yesterday", "Mon, 99 Nov 2026 22:17:48 GMT", "Mon, 23 Nov 2026 12:00:00 -0000"])
async def test_odd_date(date: str) -> None:
    """An odd Date header does not end the examination."""

    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=documents()[request.url.path], headers={"Date": date})

    assert (await look(httpx.MockTransport(handler)))["issuer"].level is Level.OK


def _codes_of_fetch_failed() -> list[str]:
    documentation = FetchFailed.__doc__ or ""
    return documentation.split("stable:")[1].replace("`", " ").replace(",", " ").replace(".", " ").split()


def test_every_failure_is_explained() -> None:
    """Each code of a failed fetch has a sentence for operators."""
    codes = {code for code in _codes_of_fetch_failed() if code != "or"}
    assert codes == set(issuer_checks._FAILURES)
