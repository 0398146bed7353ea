"""A service that holds tokens to the scopes that they may give: over HTTP, from the claim to the answer."""

from collections.abc import Iterator

import httpx
import pytest

from keywright.dev.issuer import DevIssuer
from tests.api.caller import KEYS
from tests.live import LiveService, bearer, environment, start_service

MAY = "create:api_keys update:api_keys read:api_keys"


@pytest.fixture(scope="module")
def strict(issuer: DevIssuer) -> Iterator[LiveService]:
    """A service where the claim is `scope` itself."""
    with start_service(environment(issuer, grantable_scopes_claim="scope")) as service:
        yield service


def caller(service: LiveService, issuer: DevIssuer, scope: str) -> httpx.Client:
    headers = bearer(issuer, "org_grantable", scope=scope)
    return httpx.Client(base_url=service.base_url, headers=headers, trust_env=False, timeout=20)


def test_missing_scopes(strict: LiveService, issuer: DevIssuer) -> None:
    """A creation, an update and a rotation that give too much are 403 with the missing scopes, in both forms."""
    with caller(strict, issuer, f"{MAY} *:*") as strong, caller(strict, issuer, f"{MAY} reports:read") as weak:
        body = {"name": "a", "scopes": ["reports:read", "reports:write", "admin:*"]}
        key = strong.post(KEYS, json=body).json()
        refused = weak.post(KEYS, json=body)
        assert refused.status_code == 403
        assert "WWW-Authenticate" not in refused.headers
        assert {name: refused.json()[name] for name in ("code", "missing_scopes")} == {
            "code": "scopes_not_grantable",
            "missing_scopes": ["reports:write", "admin:*"],
        }
        problem = weak.post(KEYS, json=body, headers={"Accept": "application/problem+json"}).json()
        assert (problem["status"], problem["missing_scopes"]) == (403, ["reports:write", "admin:*"])
        assert weak.post(f"{KEYS}/{key['id']}/rotate").json()["missing_scopes"] == ["reports:write", "admin:*"]
        wider = weak.patch(f"{KEYS}/{key['id']}", json={"scopes": ["reports:read", "bills:read"]})
        assert wider.json()["missing_scopes"] == ["bills:read"]
        narrower = weak.patch(f"{KEYS}/{key['id']}", json={"scopes": ["reports:read"]})
        assert (narrower.status_code, narrower.json()["scopes"]) == (200, ["reports:read"])
        assert weak.post(KEYS, json={"name": "b", "scopes": ["reports:read"]}).status_code == 201
