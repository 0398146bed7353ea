"""
Rotation: a key gets a new pair, and the old one still works for a while, so that its holder has time to switch.

At most two pairs of a key work. The old pair ends at a time that is set when it is replaced, or sooner: when the new
pair is in use and the old one was idle for long enough. Rotations of a key have a rate limit, and its pairs a number
that they may reach, because ended pairs are stored for good.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from math import ceil
from typing import Any, NamedTuple

from keywright.keys.record import ApiKey, Secret, Status
from keywright.service.management.audit_log import Event, rfc3339
from keywright.service.management.commands import Created, Policy
from keywright.service.management.ports import Rotation, Rotations, SealedAnswer, Store
from keywright.service.management.refusals import RefusalCode, Refused

OVERLAP_SECONDS = 86_400
"""The default time for which the old pair still works."""

IDLE_OVERLAP_SECONDS = 30 * 86_400
"""The same for a pair that ends when it is idle: long enough for jobs that run once a month."""

_HOUR = timedelta(hours=1)


class Retirement(NamedTuple):
    """The end of a replaced pair: at a time, or sooner when it was idle for `idle_seconds`."""

    at: datetime
    idle_seconds: int | None

    @classmethod
    def of(
        cls, secret: Secret, policy: Policy, now: datetime, overlap_seconds: int | None, idle_seconds: int | None
    ) -> "Retirement":
        """Give the end of a pair that is replaced at *now*; None stands for the default overlap."""
        usual = OVERLAP_SECONDS if idle_seconds is None else IDLE_OVERLAP_SECONDS
        requested = now + timedelta(seconds=usual if overlap_seconds is None else overlap_seconds)
        return cls(policy.end(requested, secret=secret, now=now), idle_seconds)


def obstacle(api_key: ApiKey, now: datetime) -> RefusalCode | None:
    """Give the reason why a key cannot be rotated at *now*; None where it can."""
    if api_key.revoked_at is not None:
        return "key_revoked"
    # The status of a disabled key does not say whether it has expired, too.
    if replace(api_key, disabled_at=None).status_at(now) is Status.EXPIRED:
        return "key_expired"
    # With a third working pair, the oldest would be forgotten.
    return None if api_key.retiring_at(now) is None else "rotation_under_way"


async def limit_reached(store: Store, api_key: ApiKey, policy: Policy, now: datetime) -> Refused | None:
    """
    Give the refusal of a rotation at *now* that would pass a limit of the policy; None for none.

    The count is exact where *api_key* was read before it: a rotation in between makes that version outdated.
    """
    per_hour, most = policy.rotations_per_hour, policy.max_pairs
    if per_hour is None and most is None:
        return None
    past = await store.past_rotations(api_key.org_id, api_key.id, latest=per_hour or 0, most=most or 0)
    if most is not None and past.pairs >= most:
        return Refused("too_many_pairs")
    return None if per_hour is None else _too_often(past, per_hour, now)


def _too_often(past: Rotations, per_hour: int, now: datetime) -> Refused | None:
    """Refuse a rotation within an hour of the one that was so many rotations ago."""
    if len(past.latest) < per_hour:
        return None
    wait = past.latest[per_hour - 1] + _HOUR - now
    return Refused("rotated_too_often", retry_after=ceil(wait.total_seconds())) if wait > timedelta(0) else None


def rotated(api_key: ApiKey, secret: Secret, retirement: Retirement) -> ApiKey:
    """Give the record of a key after a rotation."""
    old = replace(api_key.secret, retires_at=retirement.at, idle_seconds=retirement.idle_seconds)
    return replace(api_key, secret=secret, retiring=old, version=api_key.version + 1)


def stored(
    old: ApiKey, created: Created, retirement: Retirement, event: Event, sealed_answer: SealedAnswer | None
) -> Rotation:
    """Give the changes of a rotation for the store."""
    return Rotation(
        version=old.version,
        secret=created.api_key.secret,
        secret_digest=created.private_key.digest,
        retires_at=retirement.at,
        idle_seconds=retirement.idle_seconds,
        event=event,
        sealed_answer=sealed_answer,
    )


def rotation_event_data(old: ApiKey, new: ApiKey, retirement: Retirement) -> dict[str, Any]:
    """Give the data of the event of a rotation: the new pair, the replaced one, and its end."""
    return {
        "public_key": new.secret.public_key.text,
        "replaced_public_key": old.secret.public_key.text,
        **_end_data(retirement.at, retirement.idle_seconds),
    }


def rescheduled(api_key: ApiKey, retiring: Secret, at: datetime) -> ApiKey:
    """Give the record of a key whose replaced pair ends at *at*, and no longer sooner for being idle."""
    changed = replace(retiring, retires_at=at, idle_seconds=None)
    return replace(api_key, retiring=changed, version=api_key.version + 1)


def rescheduling_event_data(old: Secret, at: datetime) -> dict[str, Any]:
    """Give the data of the event of a changed end: the pair, its end before, and the end *at*."""
    return {
        "public_key": old.public_key.text,
        "before": _end_data(old.retires_at, old.idle_seconds),
        "after": _end_data(at, None),
    }


def _end_data(at: datetime | None, idle_seconds: int | None) -> dict[str, Any]:
    return {"retires_at": rfc3339(at), "retire_when_idle_seconds": idle_seconds}
