"""What a principal wishes a key to be, and what it gets."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from keywright.keys.pair import PrivateKey
from keywright.keys.rate_limits import RateLimit
from keywright.keys.record import ApiKey


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """
    A key as it is wished for. The fields have the shapes of `ApiKey`, which the edge has seen to: lengths, characters,
    canonical networks, no scope, network or limit's name twice.

    Args:
        environment: None for that of new keys.
        expires_at: Aware, in UTC; None for what the policy says of a key without an expiry.
        metadata: A JSON object.
    """

    name: str
    description: str | None = None
    environment: str | None = None
    expires_at: datetime | None = None
    scopes: tuple[str, ...] = ()
    allowed_ips: tuple[str, ...] = ()
    rate_limits: tuple[RateLimit, ...] = ()
    external_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


Changes = Mapping[str, Any]
"""The fields of a key that are to change, by the names and with the types of `NewKey`; only those that were given."""


@dataclass(frozen=True, slots=True)
class Created:
    """A key with a new pair, and the private half of it, which exists nowhere else."""

    api_key: ApiKey
    private_key: PrivateKey
