"""
What a token must say for us to act on it: the claims of RFC 7519 and RFC 9068 as Auth0 writes them.

Pure: the claims, the rules and the time decide. Whether the claims are genuine is decided elsewhere, before.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeGuard

from keywright.service.faults import InvalidToken, OrganizationRequired
from keywright.service.principal import Organization, PermissionPolicy, Principal, granted

LEEWAY_SECONDS = 5
MAX_AHEAD_SECONDS = 60
MAX_CHARACTERS = 255
# From there on not every whole number has a double of its own, and two readers may see two times.
_INSTANT_LIMIT = 2**53
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

Claims = dict[str, Any]

# The id of an organisation is two SHA-1 hashes of the same few names, over and over.
_organization_named = lru_cache(maxsize=4096)(Organization.named)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRules:
    """
    What claims are held to.

    Args:
        issuer: What `iss` must be, byte for byte.
        audience: What `aud` must be, or contain.
        org_claim: The name of the claim that names the organisation.
        permissions: How permissions are read.
    """

    issuer: str
    audience: str
    org_claim: str
    permissions: PermissionPolicy


def check_issuer(claims: Claims, rules: ClaimRules) -> None:
    """Refuse (`InvalidToken`) what another issuer wrote; nothing is asked of anybody on behalf of such a token."""
    if claims.get("iss") != rules.issuer:
        raise InvalidToken("The token is from another issuer.")


def check(claims: Claims, rules: ClaimRules, *, now: float) -> Principal:
    """
    Hold verified claims to the rules.

    Args:
        claims: The payload, read strictly.
        rules: What they are held to.
        now: Seconds since the epoch.

    Raises:
        InvalidToken: They are malformed, or not meant for us, or not for now.
        OrganizationRequired: They name no organisation.
    """
    check_issuer(claims, rules)
    _check_audience(claims.get("aud"), rules.audience)
    _check_times(claims, now)
    subject = claims.get("sub")
    if not _is_name(subject):
        raise InvalidToken("The sub claim is missing or malformed.")
    if "cnf" in claims:
        # The token is bound to a key or a certificate (RFC 7800) that a bearer request does not show.
        raise InvalidToken("The token is bound to a key, which is not supported.")
    scope = _scope(claims)
    return Principal(
        issuer=rules.issuer,
        subject=subject,
        client_id=_client_id(claims),
        organization=_organization(claims.get(rules.org_claim), rules.issuer),
        granted=granted(rules.permissions, permissions=_permissions(claims), scope=scope),
        scope=scope,
    )


def _check_audience(audience: object, ours: str) -> None:
    members = audience if isinstance(audience, list) else [audience]
    if not all(isinstance(member, str) for member in members):
        raise InvalidToken("The aud claim is missing or malformed.")
    if ours not in members:
        raise InvalidToken("The token is meant for another audience.")


def _check_times(claims: Claims, now: float) -> None:
    if now >= _instant(claims, "exp") + LEEWAY_SECONDS:
        raise InvalidToken("The token has expired.")
    if "nbf" in claims and now < _instant(claims, "nbf") - LEEWAY_SECONDS:
        raise InvalidToken("The token is not valid yet.")
    if now < _instant(claims, "iat") - MAX_AHEAD_SECONDS:
        raise InvalidToken("The token was issued in the future.")


def _instant(claims: Claims, name: str) -> float:
    """Read a NumericDate: seconds since the epoch, whole or not."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < _INSTANT_LIMIT:
        raise InvalidToken(f"The {name} claim is missing or malformed.")
    return value


def _is_name(value: object) -> TypeGuard[str]:
    """Tell whether *value* is 1 to 255 characters, none of them a control character."""
    return isinstance(value, str) and 0 < len(value) <= MAX_CHARACTERS and _CONTROL.search(value) is None


def _client_id(claims: Claims) -> str | None:
    """Give `azp`, as Auth0 calls it, or else RFC 9068's `client_id`."""
    for name in ("azp", "client_id"):
        if name in claims:
            client_id: object = claims[name]
            if not _is_name(client_id):
                raise InvalidToken(f"The {name} claim is malformed.")
            return client_id
    return None


def _organization(name: object, issuer: str) -> Organization:
    if name is None or name == "":
        raise OrganizationRequired
    if not _is_name(name):
        raise InvalidToken("The organization claim is malformed.")
    return _organization_named(issuer, name)


def _permissions(claims: Claims) -> list[str] | None:
    if "permissions" not in claims:
        return None
    permissions = claims["permissions"]
    if not isinstance(permissions, list) or not all(isinstance(permission, str) for permission in permissions):
        raise InvalidToken("The permissions claim is malformed.")
    return permissions


def _scope(claims: Claims) -> frozenset[str]:
    scope = claims.get("scope", "")
    if not isinstance(scope, str):
        raise InvalidToken("The scope claim is malformed.")
    return frozenset(word for word in scope.split(" ") if word)
