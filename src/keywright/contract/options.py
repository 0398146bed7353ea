"""What a form for keys may offer."""

from dataclasses import dataclass

from keywright.contract.codec import Count


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeResponse:
    """A scope that there is."""

    scope: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyResponse:
    """The rules for every organization."""

    max_life_seconds: Count | None
    """How long a key may live at most; null for any time"""
    expiry_required: bool
    """Whether a new key has to say when it expires"""
    max_active_keys: Count | None
    """How many active keys an organization may have; null for any"""


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionsResponse:
    """What a form for keys may offer."""

    environments: tuple[str, ...]
    """The first is that of new keys unless they say another"""
    scopes: tuple[ScopeResponse, ...] | None
    """Every scope there is; null for any of the grammar"""
    policy: PolicyResponse
