"""
The commands to create and to update a key, the operator's policy for them, the resulting records, and the data of
their events.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from keywright.keys.pair import KeyPair, PrivateKey
from keywright.keys.rate_limits import RateLimit
from keywright.keys.record import ApiKey, Secret, Status
from keywright.keys.scopes import is_of, missing
from keywright.service.management.audit_log import rfc3339, storable
from keywright.service.management.refusals import Flaw, Refused
from keywright.service.principal import Principal

MOST_METADATA_CHARACTERS = 2048
"""The most characters of changed metadata in the event of an update, before and after together, as JSON."""

# json.dumps with arguments would make an encoder for every call.
_sorted = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
_written = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_ABSENT = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """
    The command to create a key.

    The edge has checked the shapes of the fields: lengths, characters, canonical networks, and that no scope, network
    or name of a limit stands twice.

    Args:
        environment: None for the policy's default.
        expires_at: Aware, in UTC; None for the policy's default.
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
"""
The command to update a key: the fields to change, with the names and types of `NewKey`, and `enabled`, a boolean.
"""


@dataclass(frozen=True, slots=True)
class Created:
    """A key with a new pair, and the private key, which exists nowhere else."""

    api_key: ApiKey
    private_key: PrivateKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """
    The rules for every organization.

    `environments` are those of keys, the default of new keys first. `max_life` counts from the creation of the current
    secret, so that a rotation allows a later expiry; a key without an expiry gets the longest life. With
    `expiry_required` every new key must name its expiry. `max_active` is the most active keys of an organization.
    `rotations_per_hour` and `max_pairs` are of one key: how often it may be rotated, and how many pairs it may have,
    with the ended ones. `scopes` maps each allowed scope to its description; None allows any well-formed scope.
    """

    environments: tuple[str, ...]
    max_life: timedelta | None = None
    expiry_required: bool = False
    max_active: int | None = None
    rotations_per_hour: int | None = None
    max_pairs: int | None = None
    scopes: Mapping[str, str] | None = None

    def environment_of(self, requested: str | None) -> str:
        """Give the environment of a new key: the requested one, or else the first."""
        return self.environments[0] if requested is None else requested

    def expiry(self, requested: datetime | None, *, since: datetime) -> datetime | None:
        """Give the expiry of a key with a secret created at *since*: the requested one, or else the latest allowed."""
        if requested is None and self.max_life is not None and not self.expiry_required:
            return since + self.max_life
        return requested

    def end(self, requested: datetime, *, secret: Secret, now: datetime) -> datetime:
        """Give the end of a replaced secret: as requested, but within its longest life, and not before *now*."""
        latest = requested if self.max_life is None else secret.created_at + self.max_life
        return max(now, min(requested, latest))

    def flaws(
        self,
        *,
        now: datetime,
        since: datetime,
        environment: str | None = None,
        expires_at: tuple[datetime | None] | None = None,
        scopes: tuple[str, ...] = (),
    ) -> list[Flaw]:
        """
        Give the flaws of the given fields; a field that is not given is not checked.

        Args:
            now: The time of the command.
            since: When the key's current secret was created.
            environment: The environment of a new key.
            expires_at: The result of `expiry` in a tuple, because None is an expiry too.
            scopes: The scopes to grant.
        """
        found = [*self._flaws_in_scopes(scopes)]
        if environment is not None and environment not in self.environments:
            known = ", ".join(self.environments)
            found.append(Flaw("environment", f"There are these environments: {known}.", "environment_unknown"))
        if expires_at is not None and (flaw := self._flaw_in_expiry(*expires_at, now=now, since=since)) is not None:
            found.append(flaw)
        return found

    def _flaw_in_expiry(self, expires_at: datetime | None, *, now: datetime, since: datetime) -> Flaw | None:
        if expires_at is None:
            return Flaw("expires_at", "Every key has to expire.", "expiry_required") if self.expiry_required else None
        if expires_at <= now:
            return Flaw("expires_at", "It has to be in the future.", "expiry_in_the_past")
        if self.max_life is not None and expires_at > since + self.max_life:
            latest = f"at most {self.max_life.days} days after its secret was made"
            return Flaw("expires_at", f"A key has to expire {latest}.", "expiry_too_late")
        return None

    def _flaws_in_scopes(self, scopes: tuple[str, ...]) -> Iterator[Flaw]:
        for index, scope in enumerate(scopes):
            if self.scopes is not None and not is_of(self.scopes, scope):
                yield Flaw("scopes", "There is no such scope.", "scope_unknown", (index,))


def flaws(new: NewKey, policy: Policy, now: datetime) -> list[Flaw]:
    """Give the fields of a new key that the policy does not allow."""
    return policy.flaws(
        now=now,
        since=now,
        environment=policy.environment_of(new.environment),
        expires_at=(policy.expiry(new.expires_at, since=now),),
        scopes=new.scopes,
    )


def created(principal: Principal, new: NewKey, policy: Policy, *, id: UUID, pair: KeyPair, now: datetime) -> ApiKey:  # noqa: A002 - the field's own name
    """Give the record of a new key with *pair*, which was minted for its environment."""
    return ApiKey(
        id=id,
        org_id=principal.organization.id,
        name=new.name,
        description=new.description,
        environment=pair.public.environment,
        created_at=now,
        created_by=principal.subject,
        secret=Secret.of(pair, created_at=now),
        expires_at=policy.expiry(new.expires_at, since=now),
        scopes=new.scopes,
        allowed_ips=new.allowed_ips,
        rate_limits=new.rate_limits,
        external_id=new.external_id,
        metadata=new.metadata,
    )


def updated(old: ApiKey, changes: Changes, policy: Policy, now: datetime) -> ApiKey | Refused:
    """
    Give the record of a key with the changes, or `validation_failed`.

    The policy checks only fields that would change: a client may send back what it has read.
    """
    values = {name: value for name, value in changes.items() if name not in ("environment", "enabled")}
    if "enabled" in changes:
        values["disabled_at"] = None if changes["enabled"] else old.disabled_at or now
    since = old.secret.created_at
    if "expires_at" in values:
        values["expires_at"] = policy.expiry(values["expires_at"], since=since)
    new = replace(old, **values)
    found = policy.flaws(
        now=now,
        since=since,
        expires_at=None if new.expires_at == old.expires_at else (new.expires_at,),
        scopes=() if new.scopes == old.scopes else new.scopes,
    )
    if changes.get("environment", old.environment) != old.environment:
        found.append(Flaw("environment", "It is part of the key's text and cannot change.", "environment_fixed"))
    return Refused("validation_failed", tuple(found)) if found else new


def given_scopes(old: ApiKey, new: ApiKey, now: datetime) -> tuple[str, ...]:
    """
    Give the scopes that an update gives to a key: those that it did not grant before.

    All of them where the update makes an expired or disabled key active: its holder has a key with these scopes again.
    """
    if old.status_at(now) is not Status.ACTIVE and new.status_at(now) is Status.ACTIVE:
        return new.scopes
    return tuple(missing(old.scopes, new.scopes))


def creation_event_data(api_key: ApiKey) -> dict[str, Any]:
    """Give the data of the event of a creation: the fields of the new key that are not empty."""
    data = {**_event_data(api_key), "metadata": storable(api_key.metadata)}
    del data["enabled"]
    given = {name: value for name, value in data.items() if value or value == ""}
    return {**given, "environment": api_key.environment, "public_key": api_key.secret.public_key.text}


def update_event_data(old: ApiKey, new: ApiKey) -> dict[str, Any]:
    """
    Give the data of the event of an update: the fields that differ, as `before` and `after`; empty if none does.

    Of the metadata both contain the members that differ, up to `MOST_METADATA_CHARACTERS`. A member that is absent in
    one of them was added or removed. `metadata_omitted` is the number of differing members that are in neither, because
    there was no room.
    """
    before, after = _event_data(old), _event_data(new)
    names = [name for name in before if before[name] != after[name]]
    differing = [name for name in sorted({*old.metadata, *new.metadata}) if _differs(old, new, name)]
    if not names and not differing:
        return {}
    data: dict[str, Any] = {
        "before": {name: before[name] for name in names},
        "after": {name: after[name] for name in names},
    }
    if differing:
        shown = _fitting(old, new, differing)
        data["before"]["metadata"], data["after"]["metadata"] = _members(old, shown), _members(new, shown)
        if len(shown) < len(differing):
            data["metadata_omitted"] = len(differing) - len(shown)
    return data


def _members(api_key: ApiKey, names: Iterable[str]) -> Any:
    """Give the members of the metadata that the key has of these names."""
    return storable({name: api_key.metadata[name] for name in names if name in api_key.metadata})


def _differs(old: ApiKey, new: ApiKey, name: str) -> bool:
    """Tell whether a member of the metadata differs as JSON, in which 1 and true are different values."""
    before, after = old.metadata.get(name, _ABSENT), new.metadata.get(name, _ABSENT)
    if before is _ABSENT or after is _ABSENT:
        return True
    return _sorted(before) != _sorted(after)


def _fitting(old: ApiKey, new: ApiKey, names: Iterable[str]) -> list[str]:
    """Give those of *names* whose members fit into the event, in order."""
    room, fitting = MOST_METADATA_CHARACTERS, []
    for name in names:
        taken = sum(len(_written({name: key.metadata[name]})) for key in (old, new) if name in key.metadata)
        if taken <= room:
            room -= taken
            fitting.append(name)
    return fitting


def _event_data(api_key: ApiKey) -> dict[str, Any]:
    """Give every field of a key that can change, but for the metadata, as values of an event's data."""
    return {
        "name": api_key.name,
        "description": api_key.description,
        "expires_at": rfc3339(api_key.expires_at),
        "enabled": api_key.disabled_at is None,
        "scopes": list(api_key.scopes),
        "allowed_ips": list(api_key.allowed_ips),
        "rate_limits": [limit._asdict() for limit in api_key.rate_limits] if api_key.rate_limits else [],
        "external_id": api_key.external_id,
    }
