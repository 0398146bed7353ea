"""How answers become JSON and are read back."""

import traceback
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from keywright.contract import (
    ApiKeyResponse,
    BatchResponse,
    ContractError,
    CountResponse,
    CreatedApiKeyResponse,
    ErrorResponse,
    EventResponse,
    FieldError,
    ProblemResponse,
    VerifyResponse,
    read,
    written,
)
from keywright.contract.examples import EXAMPLES
from keywright.keys.pair import mint

KEY = msgspec.json.encode(EXAMPLES[ApiKeyResponse])
NO_LIMIT = {"name": "a", "limit": 0, "window_seconds": 1}
PAIR = mint(bytes(range(32)), brand="kw", environment="live")


# Written by hand, without the members that are absent.
BY_HAND = {VerifyResponse, BatchResponse}


@pytest.mark.parametrize("type_", EXAMPLES, ids=lambda type_: type_.__name__)
def test_there_and_back(type_: type) -> None:
    """An answer that is read and written again is the same to the byte, in the order of the members."""
    body = msgspec.json.encode(EXAMPLES[type_])
    found = read(type_, body)
    assert type_ in BY_HAND or written(found) == body


def test_members_of_headers_are_not_written() -> None:
    """A member that travels in a header is absent from a body, until a client sets it."""
    key = read(ApiKeyResponse, KEY)
    assert b"etag" not in written(key)
    assert written(replace(key, etag='"7"')) == KEY[:-1] + b',"etag":"\\"7\\""}'


def test_a_private_key() -> None:
    """A private key is written as its text, read as the guarded type, and printed as its display."""
    body = KEY[:-1] + b',"private_key":"%b"}' % PAIR.private.reveal().encode()
    created = read(CreatedApiKeyResponse, body)
    assert created.private_key == PAIR.private
    assert PAIR.private.reveal() not in repr(created)
    assert PAIR.private.reveal().encode() in written(created)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 11, 23, 21, 48, 5, tzinfo=UTC), b"2026-11-23T21:48:05Z"),
        (datetime(2026, 11, 23, 21, 48, 5, 120340, UTC), b"2026-11-23T21:48:05.120340Z"),
    ],
)
def test_times(moment: datetime, text: bytes) -> None:
    """A time is written in UTC with `Z`, with microseconds where there are any."""
    assert (
        written(CountResponse(moment, 1, {"revoked": 2})) == b'{"start":"%b","count":1,"refused":{"revoked":2}}' % text
    )


def test_a_time_of_another_zone() -> None:
    """A time with any offset is read as the moment that it is."""
    count = read(CountResponse, b'{"start":"2026-11-23T22:48:05+01:00","count":1,"refused":{}}')
    assert count.start == datetime(2026, 11, 23, 21, 48, 5, tzinfo=UTC)
    assert count.start.tzinfo == timezone(timedelta(hours=1))


def test_unknown_members_are_passed_over() -> None:
    """A client reads the answer of a newer service that has further members, at any depth."""
    newer = {**EXAMPLES[EventResponse], "added_later": [1], "actor": {**EXAMPLES[EventResponse]["actor"], "new": {}}}
    assert read(EventResponse, msgspec.json.encode(newer)) == read(
        EventResponse, msgspec.json.encode(EXAMPLES[EventResponse])
    )


@pytest.mark.parametrize(
    ("change", "flaw"),
    [
        ({"name": None}, "Expected `str`, got `null` - at `$.name`"),
        ({"created_at": "2026-11-23T21:48:05"}, "Expected `datetime` with a timezone component - at `$.created_at`"),
        ({"status": "kw_sk_live_secret"}, "Invalid enum value - at `$.status`"),
        ({"is_revoked": 1}, "Expected `bool`, got `int` - at `$.is_revoked`"),
        ({"rate_limits": [NO_LIMIT]}, "Expected `int` >= 1 - at `$.rate_limits[0].limit`"),
        ({"secrets": [{}]}, "Object missing required field `public_key` - at `$.secrets[0]`"),
        ({"private_key": "kw_sk_live_secret"}, "Expected a private key - at `$.private_key`"),
        ({"private_key": PAIR.public.text}, "Expected a private key - at `$.private_key`"),
    ],
)
def test_flaws(change: dict[str, Any], flaw: str) -> None:
    """A flaw is reported with its location and without any value."""
    body = msgspec.json.encode(EXAMPLES[CreatedApiKeyResponse] | change)
    with pytest.raises(ContractError) as caught:
        read(CreatedApiKeyResponse, body)
    assert str(caught.value) == flaw
    assert caught.value.__context__ is None


@pytest.mark.parametrize("name", EXAMPLES[ApiKeyResponse])
def test_every_member_is_required(name: str) -> None:
    """A missing member is an error that names it."""
    body = {other: value for other, value in EXAMPLES[ApiKeyResponse].items() if other != name}
    with pytest.raises(ContractError, match=f"missing required field `{name}`"):
        read(ApiKeyResponse, msgspec.json.encode(body))


@pytest.mark.parametrize("body", [b"", b"<h1>", b"[" * 100_000, b'{"detail":"\xff"}', b'{"detail":NaN}', b"[]"])
def test_what_is_no_json(body: bytes) -> None:
    """A body that is not JSON, or not an object, is an error of the contract, too."""
    with pytest.raises(ContractError) as caught:
        read(ErrorResponse, body)
    assert "During handling" not in "".join(traceback.format_exception(caught.value))


def test_nested_too_deep() -> None:
    """Free-form JSON that is nested too deep is an error of the contract, not a crash."""
    body = KEY.replace(b'"team"', b"[" * 100_000 + b"]" * 100_000)
    with pytest.raises(ContractError, match="nested too deep"):
        read(ApiKeyResponse, body)


def test_refusals() -> None:
    """A refusal has a sentence or its flaws as `detail`; a problem has `errors` only where there are any."""
    flaw = FieldError(("body", "scopes", 1), "There is no such scope.", "scope_unknown")
    as_json = b'[{"loc":["body","scopes",1],"msg":"There is no such scope.","type":"scope_unknown"}]'
    refusal = ErrorResponse(detail=(flaw,), code="validation_failed", request_id="r")
    assert written(refusal) == b'{"detail":%b,"code":"validation_failed","request_id":"r"}' % as_json
    assert read(ErrorResponse, written(refusal)) == refusal
    members = {"type": "t", "title": "T", "status": 422, "detail": "d", "code": "c", "request_id": "r"}
    plain = b'{"type":"t","title":"T","status":422,"detail":"d","code":"c","request_id":"r"'
    assert written(ProblemResponse(**members)) == plain + b"}"
    assert written(ProblemResponse(**members, errors=(flaw,))) == plain + b',"errors":%b}' % as_json


def test_what_is_not_of_the_contract() -> None:
    """A value of a class that JSON does not know is an error, not its printed form."""
    with pytest.raises(NotImplementedError, match="object is not of the contract"):
        written({"x": object()})
