"""How the answers of a service are read: into the dataclasses below, or into the errors of `errors`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self, TypeVar
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import httpx

from keywright.client.errors import FieldError, KeywrightError, Refused, ServiceUnavailable, UnexpectedAnswer
from keywright.keys import format as text_format
from keywright.keys.format import Kind
from keywright.keys.pair import PrivateKey

# What gateways answer in the place of a service that is away.
_AWAY = frozenset({502, 503, 504})
_REQUEST_ID_MAX = 200

_Read = TypeVar("_Read")


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
        return ApiKey.read(_json(response))
    except (KeyError, TypeError, ValueError):
        raise _not_keywright(response) from None


def read_created(response: httpx.Response) -> CreatedApiKey:
    """Read the answer to a creation."""
    try:
        return CreatedApiKey.read(_json(response))
    except (KeyError, TypeError, ValueError):
        # Raised from None: a traceback with the answer's fields would show the private key.
        raise _not_keywright(response) from None


def read_page(response: httpx.Response) -> Page:
    """Read one page of a list."""
    try:
        keys = _json(response)
        if not isinstance(keys, list):
            raise TypeError("not a list")
        return Page(tuple(map(ApiKey.read, keys)), _cursor(response))
    except (KeyError, TypeError, ValueError):
        raise _not_keywright(response) from None


def error_of(response: httpx.Response) -> KeywrightError:
    """Turn an answer that is not the wished-for one into the error to raise."""
    try:
        body = _json(response)
        code, detail, request_id = body["code"], body["detail"], str(body["request_id"])[:_REQUEST_ID_MAX]
        errors = [] if isinstance(detail, str) else [_flaw(flaw) for flaw in detail]
    except (KeyError, TypeError, ValueError):
        if response.status_code in _AWAY:
            return ServiceUnavailable("The service is not available right now.", retry_after=_retry_after(response))
        return _not_keywright(response)
    sentence = detail if isinstance(detail, str) else " ".join(map(_sentence, errors))
    if response.status_code in _AWAY:
        return ServiceUnavailable(sentence, retry_after=_retry_after(response), request_id=request_id)
    return Refused(str(code), response.status_code, sentence, request_id=request_id, errors=errors)


def _not_keywright(response: httpx.Response) -> UnexpectedAnswer:
    # The address only, without what it may hold of credentials; nothing of the body, which may hold anything.
    address = response.request.url.copy_with(username=None, password=None, query=None)
    return UnexpectedAnswer(f"{address} answered {response.status_code}, but not as a Keywright service does.")


def _common_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": UUID(_text(fields["id"])),
        "org_id": UUID(_text(fields["org_id"])),
        "name": _text(fields["name"]),
        "description": _optional(_text, fields["description"]),
        "environment": _optional(_text, fields["environment"]),
        "public_key": _text(fields["public_key"]),
        "private_key_display": _text(fields["private_key_display"]),
        "created_at": _time(fields["created_at"]),
        "expires_at": _optional(_time, fields.get("expires_at")),
        "is_revoked": _truth(fields["is_revoked"]),
        "revoked_at": _optional(_time, fields["revoked_at"]),
        "last_used_at": _optional(_time, fields["last_used_at"]),
    }


def _optional(read: Callable[[Any], _Read], value: Any) -> _Read | None:
    return None if value is None else read(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a string")
    return value


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("not a boolean")
    return value


def _time(value: Any) -> datetime:
    time = datetime.fromisoformat(_text(value))
    if time.tzinfo is None:
        raise ValueError("a time without an offset")
    return time


def _private_key(text: Any) -> PrivateKey:
    parts = text_format.decode(_text(text))
    if parts is None or parts.kind is not Kind.PRIVATE:
        raise ValueError("not a private key")
    return PrivateKey(parts)


def _flaw(flaw: Any) -> FieldError:
    return FieldError(tuple(flaw["loc"]), _text(flaw["msg"]), _text(flaw["type"]))


def _sentence(error: FieldError) -> str:
    where = ".".join(str(part) for part in error.loc if part not in ("body", "query", "path"))
    return f"{where}: {error.msg}" if where else error.msg


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except RecursionError:
        raise ValueError("nested too deep") from None


def _cursor(response: httpx.Response) -> str | None:
    # Only the cursor is taken from the link: following the address itself could carry the token to another host.
    link = response.links.get("next", {}).get("url")
    if link is None:
        return None
    (cursor,) = parse_qs(urlsplit(link).query, strict_parsing=True)["cursor"]
    return cursor


def _retry_after(response: httpx.Response) -> int | None:
    value = response.headers.get("Retry-After", "")
    # The other form, a date, is not one that the service uses.
    return int(value) if value.isdecimal() and len(value) < 10 else None
