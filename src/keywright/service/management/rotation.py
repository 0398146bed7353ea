"""
Rotation: a key gets a new pair, and the old one works on for a while, so that nothing stops in between.

A key has two pairs at most. The old one ends at a time that is fixed when it is replaced, or sooner: when the new one
is in use and the old one has been idle for long enough.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from keywright.keys.record import ApiKey, Secret, Status
from keywright.service.management.audit_log import Event, rfc3339
from keywright.service.management.commands import Created
from keywright.service.management.ports import Rotation, SealedAnswer
from keywright.service.management.refusals import RefusalCode

OVERLAP_SECONDS = 86_400
"""How long the old pair works on, unless the caller says otherwise."""

QUIET_OVERLAP_SECONDS = 30 * 86_400
"""The same where it ends by quiet: long enough for jobs that run once a month."""


class Retirement(NamedTuple):
    """When a pair that is replaced ends: at a time, and sooner when it was not used for `quiet_seconds`."""

    at: datetime
    quiet_seconds: int | None

    @classmethod
    def of(cls, now: datetime, overlap_seconds: int | None, quiet_seconds: int | None) -> "Retirement":
        """Give that of a pair that is replaced at *now*, with what the caller left open filled in."""
        usual = OVERLAP_SECONDS if quiet_seconds is None else QUIET_OVERLAP_SECONDS
        return cls(now + timedelta(seconds=usual if overlap_seconds is None else overlap_seconds), quiet_seconds)


def obstacle(api_key: ApiKey, now: datetime) -> RefusalCode | None:
    """Say why a key cannot be rotated at *now*, if there is a reason."""
    status = api_key.status_at(now)
    if status is Status.REVOKED:
        return "key_revoked"
    if status is Status.EXPIRED:
        return "key_expired"
    # A third pair that works would be one that nobody thinks of any more.
    return None if api_key.retiring_at(now) is None else "rotation_under_way"


def rotated(api_key: ApiKey, secret: Secret, retirement: Retirement) -> ApiKey:
    """Give a key as it stands after a rotation."""
    old = replace(api_key.secret, retires_at=retirement.at, quiet_seconds=retirement.quiet_seconds)
    return replace(api_key, secret=secret, retiring=old, version=api_key.version + 1)


def stored(
    old: ApiKey, created: Created, retirement: Retirement, event: Event, sealed_answer: SealedAnswer | None
) -> Rotation:
    """Give what the store changes in a rotation."""
    return Rotation(
        version=old.version,
        secret=created.api_key.secret,
        secret_digest=created.private_key.digest,
        retires_at=retirement.at,
        quiet_seconds=retirement.quiet_seconds,
        event=event,
        sealed_answer=sealed_answer,
    )


def rotation_event_data(old: ApiKey, new: ApiKey, retirement: Retirement) -> dict[str, Any]:
    """Give the data of the event of a rotation: which pair was replaced by which, and when it ends."""
    return {
        "public_key": new.secret.public_key.text,
        "replaced_public_key": old.secret.public_key.text,
        **_end_data(retirement.at, retirement.quiet_seconds),
    }


def rescheduled(api_key: ApiKey, retiring: Secret, at: datetime) -> ApiKey:
    """Give a key whose replaced pair was given another end, before which it does not end for being idle."""
    changed = replace(retiring, retires_at=at, quiet_seconds=None)
    return replace(api_key, retiring=changed, version=api_key.version + 1)


def rescheduling_event_data(old: Secret, at: datetime) -> dict[str, Any]:
    """Give the data of the event of another end: which pair, when it was to end, and that it ends at *at* now."""
    return {
        "public_key": old.public_key.text,
        "before": _end_data(old.retires_at, old.quiet_seconds),
        "after": _end_data(at, None),
    }


def _end_data(at: datetime | None, quiet_seconds: int | None) -> dict[str, Any]:
    return {"retires_at": rfc3339(at), "retire_when_quiet_seconds": quiet_seconds}
