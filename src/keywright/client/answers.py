"""How the answers of a service are read: into the dataclasses of `records` and `trail`, or the errors of `errors`."""

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import httpx

from keywright.client.errors import FieldError, KeywrightError, Refused, ServiceUnavailable, UnexpectedAnswer
from keywright.client.fields import read_json, read_list, read_retry_after, read_text
from keywright.client.records import ApiKey, CreatedApiKey, Page
from keywright.client.trail import Event, EventPage

# What gateways answer in the place of a service that is away.
_AWAY = frozenset({502, 503, 504})
_REQUEST_ID_MAX = 200

_Result = TypeVar("_Result")


def read_key(response: httpx.Response) -> ApiKey:
    """Read an answer that holds one key."""
    return _read(response, lambda fields: ApiKey.read(fields, etag=response.headers.get("ETag")))


def read_created(response: httpx.Response) -> CreatedApiKey:
    """Read an answer that holds a key with a new pair."""
    etag, replayed = response.headers.get("ETag"), response.headers.get("Idempotency-Replayed") == "true"
    return _read(response, lambda fields: CreatedApiKey.read(fields, etag=etag, replayed=replayed))


def read_page(response: httpx.Response) -> Page:
    """Read one page of a list of keys."""
    return _read(response, lambda keys: Page(read_list(ApiKey.read, keys), _cursor(response)))


def read_events(response: httpx.Response) -> EventPage:
    """Read one page of a list of events."""
    return _read(response, lambda events: EventPage(read_list(Event.read, events), _cursor(response)))


def reader(read: Callable[[Any], _Result]) -> Callable[[httpx.Response], _Result]:
    """Make what reads an answer out of what reads its body."""
    return lambda response: _read(response, read)


def error_of(response: httpx.Response) -> KeywrightError:
    """Turn an answer that is not the wished-for one into the error to raise."""
    after = read_retry_after(response)
    try:
        body = read_json(response)
        code, detail, request_id = body["code"], body["detail"], str(body["request_id"])[:_REQUEST_ID_MAX]
        errors = [] if isinstance(detail, str) else [_flaw(flaw) for flaw in detail]
    except (KeyError, TypeError, ValueError):
        if response.status_code in _AWAY:
            return ServiceUnavailable("The service is not available right now.", retry_after=after)
        return not_keywright(response)
    sentence = detail if isinstance(detail, str) else " ".join(map(_sentence, errors))
    if response.status_code in _AWAY:
        return ServiceUnavailable(sentence, retry_after=after, request_id=request_id)
    return Refused(str(code), response.status_code, sentence, request_id=request_id, errors=errors, retry_after=after)


def not_keywright(response: httpx.Response) -> UnexpectedAnswer:
    """Make the error for an answer that no Keywright service gives."""
    # The address only, without what it may hold of credentials; nothing of the body, which may hold anything.
    address = response.request.url.copy_with(username=None, password=None, query=None)
    return UnexpectedAnswer(f"{address} answered {response.status_code}, but not as a Keywright service does.")


def _read(response: httpx.Response, read: Callable[[Any], _Result]) -> _Result:
    try:
        return read(read_json(response))
    except (KeyError, TypeError, ValueError):
        # Raised from None: a traceback with the answer's fields might show a private key.
        raise not_keywright(response) from None


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
