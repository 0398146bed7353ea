"""Creation: a wish becomes a key with a pair of its own."""

from datetime import datetime
from typing import Any
from uuid import UUID

from keywright.keys.pair import KeyPair
from keywright.keys.record import ApiKey, Secret
from keywright.service.changes import told
from keywright.service.policy import Policy
from keywright.service.principal import Principal
from keywright.service.refusals import Flaw
from keywright.service.wishes import NewKey


def flaws(wish: NewKey, policy: Policy, now: datetime) -> list[Flaw]:
    """Name what the policy does not allow of a wish."""
    return policy.flaws(
        now=now,
        since=now,
        environment=environment(wish, policy),
        expires_at=(policy.expiry(wish.expires_at, since=now),),
        scopes=wish.scopes,
    )


def environment(wish: NewKey, policy: Policy) -> str:
    """Give the environment of a new key."""
    return policy.environment if wish.environment is None else wish.environment


def new_key(principal: Principal, wish: NewKey, policy: Policy, *, id: UUID, pair: KeyPair, now: datetime) -> ApiKey:  # noqa: A002 - the field's own name
    """Give the key that is wished for, with *pair*, which was minted for its environment."""
    return ApiKey(
        id=id,
        org_id=principal.organization.id,
        name=wish.name,
        description=wish.description,
        environment=pair.public.environment,
        created_at=now,
        created_by=principal.subject,
        secret=Secret.of(pair, created_at=now),
        expires_at=policy.expiry(wish.expires_at, since=now),
        scopes=wish.scopes,
        allowed_ips=wish.allowed_ips,
        rate_limits=wish.rate_limits,
        external_id=wish.external_id,
        metadata=wish.metadata,
    )


def told_creation(api_key: ApiKey) -> dict[str, Any]:
    """Tell, in values that an event may hold, what a new key was given; what it was not is left out."""
    given = {name: value for name, value in told(api_key).items() if value not in (None, [], "{}")}
    return {**given, "environment": api_key.environment, "public_key": api_key.secret.public_key.text}
