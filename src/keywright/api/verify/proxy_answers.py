"""
The answers to proxies: headers alone.

Every 200 has all identity headers, even if empty: some proxies copy only the headers of the answer, and a forged one
would stay beside them. `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10) have the states of
the key's limits.
"""

import re
from sys import getsizeof
from typing import Any
from urllib.parse import quote

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from keywright.api.http.problems import REALM, KeyRefusal
from keywright.api.verify.bodies import retry_after_seconds, uuid_text
from keywright.api.verify.responses import Headers, lines_of
from keywright.keys.bounded import BoundedDict
from keywright.keys.rate_limiter import RateLimitDecision, rate_limit_headers
from keywright.keys.verdict import Code, KeyFacts
from keywright.service.checking.verdicts import KeyVerdict

# Characters that are not quoted in a header; a comma separates scopes, and a percent sign begins a quoted character.
_PLAIN = "!#$&'()*+./:;=?@[]^_`{|}~-"
_ALL_PLAIN = re.compile(rf"[A-Za-z0-9{re.escape(_PLAIN)}]*")
# JSON is visible in a header; only spaces, percent signs and other letters are quoted.
_PLAIN_JSON = _PLAIN + '",\\<>'
_LONGEST_METADATA = 2048
_FIXED_HEADERS = [(b"content-length", b"0"), (b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
_LAST_NAME = b"x-request-id: "
_BEHIND_METADATA = b"\r\n" + _LAST_NAME
_END = b"\r\n\r\n"
_EXTERNAL_ID = b"\r\nx-keywright-external-id: "
_UUID_LENGTH = 36
_LONGEST_SHARED = 1024
_shared: BoundedDict[Any, bytes] = BoundedDict(4096)
_STALE = "Keywright-Stale"
_NOT_VALID = (Code.NOT_FOUND, Code.REVOKED, Code.DISABLED, Code.EXPIRED, Code.REPLACED)
# nginx passes 401 and 403 on to its client, without their bodies, and answers 500 for every other refusal.
_FORBIDDEN = 403
_UNKNOWN_TO_NGINX = frozenset({400, 429})


def for_nginx(response: Response) -> Response:
    """Put what nginx does not pass on into headers, out of which its configuration makes the answer."""
    response.headers["X-Keywright-Status"] = str(response.status_code)
    response.headers["X-Keywright-Refusal"] = bytes(response.body).decode()
    if response.status_code in _UNKNOWN_TO_NGINX:
        response.status_code = _FORBIDDEN
    return response


def _accepted_facts(verdict: KeyVerdict) -> KeyFacts:
    """Give the facts of a valid key; raise the refusal of every other verdict."""
    if verdict.code is Code.VALID and verdict.facts is not None:
        return verdict.facts
    headers = {_STALE: "true"} if verdict.stale else {}
    if verdict.code in _NOT_VALID:
        headers["WWW-Authenticate"] = f'{REALM}, error="invalid_token"'
    elif verdict.code is Code.RATE_LIMITED:
        headers |= _rate_limits(verdict.rate_limits)
        seconds = retry_after_seconds(verdict.rate_limits)
        if seconds is not None:
            headers["Retry-After"] = str(seconds)
    raise KeyRefusal(verdict.code.value, headers=headers)


def accepted_headers(verdict: KeyVerdict, request_id: bytes, *, metadata: bool) -> Headers:
    """Give the headers of the answer on a valid key; raise the refusal of every other verdict."""
    identity = _identity(_accepted_facts(verdict), metadata=metadata)
    headers = [*_FIXED_HEADERS, *identity, *_encoded(_rate_limits(verdict.rate_limits))]
    headers.append((b"x-request-id", request_id))
    if verdict.stale:
        headers.append((_STALE.lower().encode(), b"true"))
    return headers


def prepare(facts: KeyFacts) -> int:
    """
    Write the part of the headers that is the same for many keys, once, when the key is cached; see `written_answer`.

    Keys that differ in id, name and external id only share it. Give the memory of what was made, in bytes.
    """
    headers, size = _written_headers(facts)
    facts.keep(headers=headers)
    return size


def opening(default_headers: Headers) -> bytes:
    """Write the beginning of every answer on a valid key, from the status line up to the key's id."""
    return STATUS_LINE[200] + lines_of([*default_headers, *_FIXED_HEADERS]) + b"x-keywright-key-id: "


def written_answer(
    opened: bytes, facts: KeyFacts, decision: RateLimitDecision | None, request_id: bytes, *, metadata: bool
) -> bytes:
    """
    Write the answer on a valid key.

    Args:
        opened: Of `opening`.
        facts: The facts of the key; those in the cache have `prepare`'s part.
        decision: The decision on its limits; None for a key without limits.
        request_id: The id of the answer.
        metadata: Whether the proxy wants the metadata.
    """
    headers = facts.headers or _written_headers(facts)[0]
    if metadata or decision is not None:
        told = _quoted_json(facts.metadata) if metadata else b""
        limits = b"" if decision is None else lines_of(_encoded(_rate_limits(decision)))
        headers = b"%b%b\r\n%b%b" % (headers[: -len(_BEHIND_METADATA)], told, limits, _LAST_NAME)
    external_id = b"" if facts.external_id is None else _quoted(facts.external_id)
    return b"".join(
        (opened, facts.body[:_UUID_LENGTH] or uuid_text(facts.id), _EXTERNAL_ID, external_id, headers, request_id, _END)
    )


def _written_headers(facts: KeyFacts) -> tuple[bytes, int]:
    same = facts.org_id, facts.environment, facts.scopes, facts.org_external_id, facts.created_by
    headers = _shared.get(same)
    if headers is not None:
        return headers, 0
    headers = b"\r\n" + lines_of(_identity(facts, metadata=False)[2:]) + _LAST_NAME
    if len(headers) <= _LONGEST_SHARED:
        _shared.keep(same, headers)
    return headers, getsizeof(headers)


def _rate_limits(decision: RateLimitDecision | None) -> dict[str, str]:
    return {} if decision is None else rate_limit_headers(decision.states)


def _encoded(headers: dict[str, str]) -> Headers:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


def _identity(facts: KeyFacts, *, metadata: bool) -> Headers:
    """Give all identity headers; the first two are of the key alone."""
    return [
        (b"x-keywright-key-id", uuid_text(facts.id)),
        (b"x-keywright-external-id", _quoted(facts.external_id)),
        (b"x-keywright-org", uuid_text(facts.org_id)),
        (b"x-keywright-environment", _quoted(facts.environment)),
        (b"x-keywright-scopes", b",".join(map(_quoted, facts.scopes))),
        (b"x-keywright-org-external-id", _quoted(facts.org_external_id)),
        (b"x-keywright-created-by", _quoted(facts.created_by)),
        (b"x-keywright-metadata", _quoted_json(facts.metadata) if metadata else b""),
    ]


def _quoted(text: str | None) -> bytes:
    if not text:
        return b""
    # Most texts are plain, and `quote` takes a few times as long.
    return text.encode() if _ALL_PLAIN.fullmatch(text) else quote(text, safe=_PLAIN).encode()


def _quoted_json(metadata: str | None) -> bytes:
    # Long metadata is not in the facts, and a proxy reads an answer's head into a small buffer.
    quoted = quote(metadata or "", safe=_PLAIN_JSON).encode()
    return quoted if len(quoted) <= _LONGEST_METADATA else b""
