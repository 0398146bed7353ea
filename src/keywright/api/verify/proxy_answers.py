"""
The answers to proxies: headers alone.

Every 200 has all identity headers, even if empty: some proxies copy only the headers of the answer, and a forged one
would stay beside them. `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10) have the states of
the key's limits.
"""

from urllib.parse import quote
from uuid import UUID

from starlette.responses import Response

from keywright.api.http.problems import REALM, KeyRefusal
from keywright.api.verify.bodies import retry_after_seconds
from keywright.api.verify.responses import Headers, lines_of
from keywright.keys.cache import cached_by_key
from keywright.keys.rate_limiter import RateLimitDecision, rate_limit_headers
from keywright.keys.verdict import Code, KeyFacts
from keywright.service.checking.verdicts import KeyVerdict

# Characters that are not quoted in a header; a comma separates scopes, and a percent sign begins a quoted character.
_PLAIN = "!#$&'()*+./:;=?@[]^_`{|}~-"
# JSON is visible in a header; only spaces, percent signs and other letters are quoted.
_PLAIN_JSON = _PLAIN + '",\\<>'
_LONGEST_METADATA = 2048
_FIXED_HEADERS = [(b"content-length", b"0"), (b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
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


def accepted_facts(verdict: KeyVerdict) -> KeyFacts:
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
    identity = _identity(accepted_facts(verdict), metadata)
    headers = [*_FIXED_HEADERS, *identity, *_encoded(_rate_limits(verdict.rate_limits))]
    headers.append((b"x-request-id", request_id))
    if verdict.stale:
        headers.append((_STALE.lower().encode(), b"true"))
    return headers


@cached_by_key
def written_identity(facts: KeyFacts, metadata: bool) -> bytes:
    """Write the headers of every answer on a valid key as lines."""
    return lines_of([*_FIXED_HEADERS, *_identity(facts, metadata)])


def written_rate_limits(decision: RateLimitDecision | None) -> bytes:
    """Write the states of a key's limits as lines; none for a key without limits."""
    return b"" if decision is None else lines_of(_encoded(rate_limit_headers(decision.states)))


def _rate_limits(decision: RateLimitDecision | None) -> dict[str, str]:
    return {} if decision is None else rate_limit_headers(decision.states)


def _encoded(headers: dict[str, str]) -> Headers:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


@cached_by_key
def _identity(facts: KeyFacts, metadata: bool) -> tuple[tuple[bytes, bytes], ...]:
    return (
        (b"x-keywright-org", str(UUID(bytes=facts.org_id)).encode()),
        (b"x-keywright-key-id", str(UUID(bytes=facts.id)).encode()),
        (b"x-keywright-environment", quote(facts.environment, safe=_PLAIN).encode()),
        (b"x-keywright-scopes", ",".join(quote(scope, safe=_PLAIN) for scope in facts.scopes).encode()),
        (b"x-keywright-external-id", _quoted(facts.external_id)),
        (b"x-keywright-org-external-id", _quoted(facts.org_external_id)),
        (b"x-keywright-created-by", _quoted(facts.created_by)),
        (b"x-keywright-metadata", _quoted_json(facts.metadata) if metadata else b""),
    )


def _quoted(text: str | None) -> bytes:
    return quote(text or "", safe=_PLAIN).encode()


def _quoted_json(metadata: str | None) -> bytes:
    # Long metadata is not in the facts, and a proxy reads an answer's head into a small buffer.
    quoted = quote(metadata or "", safe=_PLAIN_JSON).encode()
    return quoted if len(quoted) <= _LONGEST_METADATA else b""
