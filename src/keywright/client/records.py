"""API keys as a service shows them: dataclasses, read strictly out of the members of an answer. Times are aware."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from keywright.client.fields import (
    read_list,
    read_object,
    read_optional,
    read_rate_limit,
    read_text,
    read_time,
    read_truth,
    read_whole,
)
from keywright.keys import format as text_format
from keywright.keys.format import Kind
from keywright.keys.pair import PrivateKey
from keywright.keys.rate_limits import RateLimit
from keywright.keys.record import RevocationReason, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """
    One pair of a key, as far as it may be known.

    `retires_at` is None for the current pair, and the end of one that a rotation replaced; where
    `retire_when_quiet_seconds` is given, it ends sooner, once it has not been used for so long after the first use of
    the pair that replaced it.
    """

    public_key: str
    private_key_display: str
    created_at: datetime
    first_used_at: datetime | None
    last_used_at: datetime | None
    retires_at: datetime | None
    retire_when_quiet_seconds: int | None

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Self:
        """Read a pair; see `ApiKey.read`."""
        return cls(
            public_key=read_text(fields["public_key"]),
            private_key_display=read_text(fields["private_key_display"]),
            created_at=read_time(fields["created_at"]),
            first_used_at=read_optional(read_time, fields["first_used_at"]),
            last_used_at=read_optional(read_time, fields["last_used_at"]),
            retires_at=read_optional(read_time, fields["retires_at"]),
            retire_when_quiet_seconds=read_optional(read_whole, fields["retire_when_quiet_seconds"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """
    An API key as the service shows it.

    `secrets` are the pairs that still work or are current, newest first: two while a rotation is under way. `etag`
    names the state of everything that management can change, for `if_match`; None in a list.
    """

    id: UUID
    org_id: UUID
    name: str
    description: str | None
    environment: str | None
    public_key: str
    private_key_display: str
    created_at: datetime
    expires_at: datetime | None
    is_revoked: bool
    revoked_at: datetime | None
    last_used_at: datetime | None
    status: Status
    revocation_reason: RevocationReason | None
    scopes: tuple[str, ...]
    allowed_ips: tuple[str, ...]
    rate_limits: tuple[RateLimit, ...]
    external_id: str | None
    metadata: Mapping[str, Any] = field(hash=False)
    secrets: tuple[Secret, ...]
    etag: str | None = None

    @property
    def retiring(self) -> Secret | None:
        """The pair that a rotation replaced and that still works, if there is one."""
        return next((secret for secret in self.secrets if secret.retires_at is not None), None)

    @classmethod
    def read(cls, fields: Mapping[str, Any], *, etag: str | None = None) -> Self:
        """
        Read a key; fields that are not known here are passed over.

        Raises:
            KeyError, TypeError, ValueError: It is no key.
        """
        return cls(**_identity(fields), **_state(fields), **_rules(fields), etag=etag)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedApiKey(ApiKey):
    """
    A key with a new pair, and the private half of it, which the service shows this once.

    `private_key` prints as its display; `private_key.reveal()` gives the text. It is None in an answer without one.
    `replayed` tells that this was done before, by a try whose answer was lost.
    """

    private_key: PrivateKey | None
    replayed: bool = False

    @classmethod
    def read(cls, fields: Mapping[str, Any], *, etag: str | None = None, replayed: bool = False) -> Self:
        """Read a key with a new pair; see `ApiKey.read`."""
        return cls(
            **_identity(fields),
            **_state(fields),
            **_rules(fields),
            etag=etag,
            private_key=read_optional(_private_key, fields.get("private_key")),
            replayed=replayed,
        )


@dataclass(frozen=True, slots=True)
class Page:
    """Keys, newest first; `next` is the cursor of the following page, None on the last one."""

    api_keys: Sequence[ApiKey]
    next: str | None


def _identity(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": UUID(read_text(fields["id"])),
        "org_id": UUID(read_text(fields["org_id"])),
        "name": read_text(fields["name"]),
        "description": read_optional(read_text, fields["description"]),
        "environment": read_optional(read_text, fields["environment"]),
        "external_id": read_optional(read_text, fields["external_id"]),
        "metadata": read_object(fields["metadata"]),
    }


def _state(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "public_key": read_text(fields["public_key"]),
        "private_key_display": read_text(fields["private_key_display"]),
        "created_at": read_time(fields["created_at"]),
        "is_revoked": read_truth(fields["is_revoked"]),
        "revoked_at": read_optional(read_time, fields["revoked_at"]),
        "last_used_at": read_optional(read_time, fields["last_used_at"]),
        "status": Status(fields["status"]),
        "revocation_reason": read_optional(RevocationReason, fields["revocation_reason"]),
        "secrets": read_list(Secret.read, fields["secrets"]),
    }


def _rules(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "expires_at": read_optional(read_time, fields["expires_at"]),
        "scopes": read_list(read_text, fields["scopes"]),
        "allowed_ips": read_list(read_text, fields["allowed_ips"]),
        "rate_limits": read_list(read_rate_limit, fields["rate_limits"]),
    }


def _private_key(text: Any) -> PrivateKey:
    parts = text_format.decode(read_text(text))
    if parts is None or parts.kind is not Kind.PRIVATE:
        raise ValueError("not a private key")
    return PrivateKey(parts)
