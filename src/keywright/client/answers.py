"""How the answers of a service are read: into the dataclasses below, or into the errors of `errors`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import httpx

from keywright.client.errors import FieldError, KeywrightError, Refused, ServiceUnavailable, UnexpectedAnswer
from keywright.client.fields import read_json, read_optional, read_retry_after, read_text, read_time, read_truth
from keywright.keys import format as text_format
from keywright.keys.format import Kind
from keywright.keys.pair import PrivateKey

# What gateways answer in the place of a service that is away.
_AWAY = frozenset({502, 503, 504})
_REQUEST_ID_MAX = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """An API key as the service shows it. Times are aware."""

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

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Self:
        """
        Read a key; fields that are not known here are passed over.

        Raises:
            KeyError, TypeError, ValueError: It is no key.
        """
        return cls(**_common_fields(fields))


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedApiKey(ApiKey):
    """
    A key that was just created, with its private half, which the service shows this once.

    `private_key` prints as its display; `private_key.reveal()` gives the text. It is None in an answer without one.
    """

    private_key: PrivateKey | None

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Self:
        """Read a new key; see `ApiKey.read`."""
        text = fields.get("private_key")
        return cls(**_common_fields(fields), private_key=None if text is None else _private_key(text))


@dataclass(frozen=True, slots=True)
class Page:
    """Keys, newest first; `next` is the cursor of the following page, None on the last one."""

    api_keys: tuple[ApiKey, ...]
    next: str | None


def read_key(response: httpx.Response) -> ApiKey:
    """Read an answer that holds one key."""
    try:
        return ApiKey.read(read_json(response))
    except (KeyError, TypeError, ValueError):
        raise not_keywright(response) from None


def read_created(response: httpx.Response) -> CreatedApiKey:
    """Read the answer to a creation."""
    try:
        return CreatedApiKey.read(read_json(response))
    except (KeyError, TypeError, ValueError):
        # Raised from None: a traceback with the answer's fields would show the private key.
        raise not_keywright(response) from None


def read_page(response: httpx.Response) -> Page:
    """Read one page of a list."""
    try:
        keys = read_json(response)
        if not isinstance(keys, list):
            raise TypeError("not a list")
        return Page(tuple(map(ApiKey.read, keys)), _cursor(response))
    except (KeyError, TypeError, ValueError):
        raise not_keywright(response) from None


def error_of(response: httpx.Response) -> KeywrightError:
    """Turn an answer that is not the wished-for one into the error to raise."""
    try:
        body = read_json(response)
        code, detail, request_id = body["code"], body["detail"], str(body["request_id"])[:_REQUEST_ID_MAX]
        errors = [] if isinstance(detail, str) else [_flaw(flaw) for flaw in detail]
    except (KeyError, TypeError, ValueError):
        if response.status_code in _AWAY:
            return ServiceUnavailable("The service is not available right now.", retry_after=read_retry_after(response))
        return not_keywright(response)
    sentence = detail if isinstance(detail, str) else " ".join(map(_sentence, errors))
    if response.status_code in _AWAY:
        return ServiceUnavailable(sentence, retry_after=read_retry_after(response), request_id=request_id)
    return Refused(str(code), response.status_code, sentence, request_id=request_id, errors=errors)


def not_keywright(response: httpx.Response) -> UnexpectedAnswer:
    """Make the error for an answer that no Keywright service gives."""
    # The address only, without what it may hold of credentials; nothing of the body, which may hold anything.
    address = response.request.url.copy_with(username=None, password=None, query=None)
    return UnexpectedAnswer(f"{address} answered {response.status_code}, but not as a Keywright service does.")


def _common_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": UUID(read_text(fields["id"])),
        "org_id": UUID(read_text(fields["org_id"])),
        "name": read_text(fields["name"]),
        "description": read_optional(read_text, fields["description"]),
        "environment": read_optional(read_text, fields["environment"]),
        "public_key": read_text(fields["public_key"]),
        "private_key_display": read_text(fields["private_key_display"]),
        "created_at": read_time(fields["created_at"]),
        "expires_at": read_optional(read_time, fields.get("expires_at")),
        "is_revoked": read_truth(fields["is_revoked"]),
        "revoked_at": read_optional(read_time, fields["revoked_at"]),
        "last_used_at": read_optional(read_time, fields["last_used_at"]),
    }


def _private_key(text: Any) -> PrivateKey:
    parts = text_format.decode(read_text(text))
    if parts is None or parts.kind is not Kind.PRIVATE:
        raise ValueError("not a private key")
    return PrivateKey(parts)


def _flaw(flaw: Any) -> FieldError:
    return FieldError(tuple(flaw["loc"]), read_text(flaw["msg"]), read_text(flaw["type"]))


def _sentence(error: FieldError) -> str:
    where = ".".join(str(part) for part in error.loc if part not in ("body", "query", "path"))
    return f"{where}: {error.msg}" if where else error.msg


def _cursor(response: httpx.Response) -> str | None:
    # Only the cursor is taken from the link: following the address itself could carry the token to another host.
    link = response.links.get("next", {}).get("url")
    if link is None:
        return None
    (cursor,) = parse_qs(urlsplit(link).query, strict_parsing=True)["cursor"]
    return cursor
