"""The options of new keys, for a form that creates them."""

from dataclasses import dataclass

from keywright.contract.codec import Count


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeResponse:
    """One scope that the operator listed."""

    scope: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyResponse:
    """The rules for every organization."""

    max_life_seconds: Count | None
    """The longest life of a key; null for no limit"""
    expiry_required: bool
    """Whether a new key must have an expiry"""
    max_active_keys: Count | None
    """The most active keys an organization may have; null for no limit"""


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionsResponse:
    """The environments, scopes and rules for new keys."""

    environments: tuple[str, ...]
    """The first is the default of new keys"""
    scopes: tuple[ScopeResponse, ...] | None
    """The scopes that may be granted; null where any well-formed scope may be"""
    policy: PolicyResponse
    permissions: tuple[str, ...] = ()
    """What the access token may do, such as `create:api_keys`"""
    grantable_scopes: tuple[str, ...] | None = None
    """The scopes that the access token may give to keys, wildcards included; null for any"""
    client_ip: str | None = None
    """The address that the request came from, as the events name it; null where it is not known"""
