"""
The rules for the claims of a token: RFC 7519 and RFC 9068, as Auth0 writes them.

Pure functions of claims, rules and time. The signature is verified before, in `access_token`.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeGuard

from keywright.keys.scopes import is_scope
from keywright.service.faults import InvalidToken, OrganizationRequired
from keywright.service.principal import (
    Organization,
    OrganizationFormat,
    Permission,
    PermissionPolicy,
    Principal,
    granted,
)

LEEWAY_SECONDS = 5
MAX_AHEAD_SECONDS = 60
MAX_CHARACTERS = 255
# Above this a double cannot represent every whole number, and two readers may read two times.
_INSTANT_LIMIT = 2**53
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

Claims = dict[str, Any]

# An organization id costs two SHA-1 hashes, and few names recur in all tokens.
_organization_named = lru_cache(maxsize=4096)(Organization.named)
_organization_of_uuid = lru_cache(maxsize=4096)(Organization.of_uuid)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRules:
    """
    The values that claims must have.

    Args:
        issuer: The exact value of `iss`.
        audience: The value of `aud`, or one of its members.
        org_claim: The name of the organization claim.
        permissions: How permissions are read from the claims.
        org_format: Which organization claims are accepted.
        grantable_claim: The name of the claim with the scopes that the token may give to keys; None for any scope.
    """

    issuer: str
    audience: str
    org_claim: str
    permissions: PermissionPolicy
    org_format: OrganizationFormat = OrganizationFormat.AUTO
    grantable_claim: str | None = None


def check_issuer(claims: Claims, rules: ClaimRules) -> None:
    """Refuse (`InvalidToken`) a token of another issuer, before it can cause a fetch of keys."""
    if claims.get("iss") != rules.issuer:
        raise InvalidToken("The token is from another issuer.")


def check(claims: Claims, rules: ClaimRules, *, now: float) -> Principal:
    """
    Check the claims of a token. The principal counts only if the signature is verified, too.

    Args:
        claims: The payload, read strictly.
        rules: The values that they must have.
        now: Seconds since the epoch.

    Raises:
        InvalidToken: A claim is malformed, or the token is for another audience or time.
        OrganizationRequired: The organization claim is absent, null or empty.
    """
    check_issuer(claims, rules)
    _refuse_other_kinds(claims)
    check_audience(claims.get("aud"), rules.audience)
    check_times(claims, now)
    subject = claims.get("sub")
    if not is_name(subject):
        raise InvalidToken("The sub claim is missing or malformed.")
    if "cnf" in claims:
        # The token is bound to a key or a certificate (RFC 7800) that a bearer request does not show.
        raise InvalidToken("The token is bound to a key, which is not supported.")
    organization = _organization(claims.get(rules.org_claim), rules)
    permissions = _permissions(claims)
    return Principal(
        issuer=rules.issuer,
        subject=subject,
        client_id=_client_id(claims),
        organization=organization,
        granted=granted(rules.permissions, permissions=permissions, scope=_scope(claims)),
        grantable=_grantable(claims, rules.grantable_claim),
        # Never from `scope`: without RBAC, an issuer grants any scope that a client asks for.
        operates=permissions is not None and Permission.OPERATE in permissions,
    )


def _refuse_other_kinds(claims: Claims) -> None:
    """Refuse ID tokens (OpenID Connect Core 1.0), as Cognito marks them, too, and security events (RFC 8417)."""
    if "nonce" in claims or "at_hash" in claims or claims.get("token_use") == "id":
        raise InvalidToken("The token is an ID token. Send an access token.")
    if "events" in claims:
        raise InvalidToken("The token is a security event. Send an access token.")


def check_audience(audience: object, ours: str) -> None:
    """Refuse (`InvalidToken`) a token for another audience; `aud` is one text, or an array of texts."""
    members = audience if isinstance(audience, list) else [audience]
    if not all(isinstance(member, str) for member in members):
        raise InvalidToken("The aud claim is missing or malformed.")
    if ours not in members:
        raise InvalidToken("The token is meant for another audience.")


def check_times(claims: Claims, now: float) -> None:
    """Refuse (`InvalidToken`) a token that is not valid at *now*, in seconds since the epoch."""
    if now >= _instant(claims, "exp") + LEEWAY_SECONDS:
        raise InvalidToken("The token has expired.")
    if "nbf" in claims and now < _instant(claims, "nbf") - LEEWAY_SECONDS:
        raise InvalidToken("The token is not valid yet.")
    if now < _instant(claims, "iat") - MAX_AHEAD_SECONDS:
        raise InvalidToken("The token was issued in the future.")


def _instant(claims: Claims, name: str) -> float:
    """Read a NumericDate (RFC 7519, section 2): seconds since the epoch, whole or not."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < _INSTANT_LIMIT:
        raise InvalidToken(f"The {name} claim is missing or malformed.")
    return value


def is_name(value: object) -> TypeGuard[str]:
    """Return whether *value* is 1 to 255 characters, none of them a control character."""
    return isinstance(value, str) and 0 < len(value) <= MAX_CHARACTERS and _CONTROL.search(value) is None


def _client_id(claims: Claims) -> str | None:
    """Return Auth0's `azp`, or else `client_id` (RFC 9068), or None."""
    for name in ("azp", "client_id"):
        if name in claims:
            client_id: object = claims[name]
            if not is_name(client_id):
                raise InvalidToken(f"The {name} claim is malformed.")
            return client_id
    return None


def _organization(name: object, rules: ClaimRules) -> Organization:
    if name is None or name == "":
        raise OrganizationRequired
    if not is_name(name):
        raise InvalidToken("The organization claim is malformed.")
    if rules.org_format is OrganizationFormat.AUTO:
        return _organization_named(rules.issuer, name)
    organization = _organization_of_uuid(rules.issuer, name)
    if organization is None:
        raise InvalidToken("The organization claim is not a UUID.")
    return organization


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


def _grantable(claims: Claims, name: str | None) -> tuple[str, ...] | None:
    """Read the scopes that a token may give to keys: an array, or a text with spaces between them; absent for none."""
    if name is None:
        return None
    value = claims.get(name, [])
    words = value.split(" ") if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise InvalidToken("The claim with the grantable scopes is malformed.")
    # The claim may be `scope` itself, which has other words, too.
    return tuple(filter(is_scope, words))
