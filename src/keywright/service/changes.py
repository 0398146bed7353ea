"""What changes of a key: the old record with the changes in it, and what the trail tells of the difference."""

import json
from dataclasses import replace
from datetime import datetime
from typing import Any

from keywright.keys.record import ApiKey
from keywright.service.events import rfc3339
from keywright.service.policy import Policy
from keywright.service.refusals import Flaw, Refused
from keywright.service.wishes import Changes

# Made once: json.dumps with arguments makes an encoder for every call.
_sorted = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def changed(old: ApiKey, changes: Changes, policy: Policy, now: datetime) -> ApiKey | Refused:
    """
    Give a key as it is wished for, or what is wrong with the wish.

    The policy looks at what would become different: a client may send back what it has read.
    """
    values = {name: value for name, value in changes.items() if name != "environment"}
    since = old.secret.created_at
    if "expires_at" in values:
        values["expires_at"] = policy.expiry(values["expires_at"], since=since)
    new = replace(old, **values)
    flaws = policy.flaws(
        now=now,
        since=since,
        expires_at=None if new.expires_at == old.expires_at else (new.expires_at,),
        scopes=() if new.scopes == old.scopes else new.scopes,
    )
    if changes.get("environment", old.environment) != old.environment:
        flaws.append(Flaw("environment", "It is part of the key's text and cannot change.", "environment_fixed"))
    return Refused("validation_failed", tuple(flaws)) if flaws else new


def difference(old: ApiKey, new: ApiKey) -> dict[str, Any]:
    """Tell what is different, as `before` and `after`; nothing at all where nothing is."""
    before, after = told(old), told(new)
    names = [name for name in before if before[name] != after[name]]
    if not names:
        return {}
    return {"before": {name: before[name] for name in names}, "after": {name: after[name] for name in names}}


def told(api_key: ApiKey) -> dict[str, Any]:
    """
    Tell, in values that an event may hold, everything that can be changed of a key.

    The metadata is told as the text of its JSON, with sorted names: it may hold fractions, of which a database keeps
    the value and not the spelling, so that the event would have another digest when it is read again.
    """
    return {
        "name": api_key.name,
        "description": api_key.description,
        "expires_at": rfc3339(api_key.expires_at),
        "scopes": list(api_key.scopes),
        "allowed_ips": list(api_key.allowed_ips),
        "rate_limits": [limit._asdict() for limit in api_key.rate_limits],
        "external_id": api_key.external_id,
        "metadata": _sorted(dict(api_key.metadata)),
    }
