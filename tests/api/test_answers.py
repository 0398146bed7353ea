"""How answers are written: to the byte as pydantic writes the same classes, which wrote them before."""

import math
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json, to_json

from keywright.api.keys.answers import api_key_response, created_response, event_response, used_response
from keywright.contract import written
from keywright.contract.api_keys import ApiKeyResponse, CreatedApiKeyResponse, UsedApiKeyResponse
from keywright.contract.codec import HEADER, read
from keywright.keys.pair import PrivateKey, mint
from keywright.keys.rate_limits import RateLimit
from keywright.keys.record import ApiKey, RevocationReason, Secret
from keywright.service.management.audit_log import Event, EventType, Origin
from keywright.service.management.commands import Created
from keywright.service.management.ports import Link
from keywright.service.management.usage_reports import Count
from tests.service.managing import ALICE as PRINCIPAL

moments = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)) | st.just(  # noqa: DTZ001
    datetime(2026, 11, 23, tzinfo=UTC)
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([1e16, 1e-7, -0.0, 1.0, math.pi])
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(texts, values, max_size=4)
pairs = st.binary(min_size=32, max_size=32).map(lambda seed: mint(seed, brand="kw", environment="live"))


@st.composite
def secrets_of(draw: st.DrawFn) -> Secret:
    pair, optional = draw(pairs), st.none() | moments
    return Secret(
        public_key=pair.public,
        display=pair.private.display,
        created_at=draw(moments),
        first_used_at=draw(optional),
        last_used_at=draw(optional),
        retires_at=draw(optional),
        idle_seconds=draw(st.none() | st.integers(60, 10**6)),
    )


@st.composite
def api_keys(draw: st.DrawFn) -> ApiKey:
    optional = st.none() | moments
    limits = st.builds(RateLimit, texts, st.integers(1, 2**53), st.integers(1, 2**31))
    return ApiKey(
        id=draw(st.uuids()),
        org_id=draw(st.uuids()),
        name=draw(texts),
        description=draw(st.none() | texts),
        environment="live",
        created_at=draw(moments),
        created_by="auth0|alice",
        secret=draw(secrets_of()),
        retiring=draw(st.none() | secrets_of()),
        expires_at=draw(optional),
        revoked_at=draw(optional),
        revocation_reason=draw(st.none() | st.sampled_from(RevocationReason)),
        scopes=tuple(draw(st.lists(texts, max_size=3))),
        allowed_ips=tuple(draw(st.lists(texts, max_size=3))),
        rate_limits=tuple(draw(st.lists(limits, max_size=2))),
        external_id=draw(st.none() | texts),
        metadata=draw(objects),
    )


def place_of(position: int, hash_: bytes) -> Link:
    return Link(position=position, hash=hash_, digest=bytes(32), event=None)


def by_pydantic(answer: Any) -> bytes:
    members = answer
    if not isinstance(answer, dict):
        members = {member.name: getattr(answer, member.name) for member in fields(answer)}
    plain = {name: _plain(value) for name, value in members.items() if value is not msgspec.UNSET}
    return to_json(plain, inf_nan_mode="null")


def _plain(value: Any) -> Any:
    if isinstance(value, msgspec.Raw):
        return from_json(bytes(value))
    return value.reveal() if isinstance(value, PrivateKey) else value


@given(st.lists(api_keys(), max_size=2), moments)
def test_keys(listed: list[ApiKey], now: datetime) -> None:
    """A list of keys is written to the byte as pydantic writes it."""
    answers = [api_key_response(key, PRINCIPAL, now) for key in listed]
    assert written(answers) == b"[" + b",".join(map(by_pydantic, answers)) + b"]"


@given(api_keys(), pairs.map(lambda pair: pair.private), moments)
def test_a_new_key(api_key: ApiKey, private_key: Any, now: datetime) -> None:
    """So is a key with its private half."""
    answer = created_response(Created(api_key, private_key), PRINCIPAL, now)
    assert written(answer) == by_pydantic(answer)


counts = st.integers(0, 10**12)
days_of_keys = st.builds(
    Count, start=moments, count=counts, refused=st.dictionaries(st.sampled_from(["revoked", "expired"]), counts)
)


@given(api_keys(), st.lists(days_of_keys, max_size=3), moments)
def test_a_key_with_its_usage(api_key: ApiKey, days: list[Count], now: datetime) -> None:
    """So is a key with the uses and refusals of its last days."""
    answer = used_response(api_key, PRINCIPAL, now, days)
    assert written(answer) == by_pydantic(answer)


@given(api_keys(), pairs.map(lambda pair: pair.private), moments)
def test_members_of_the_contract(api_key: ApiKey, private_key: Any, now: datetime) -> None:
    """The members of a key's answer are those of the class of the contract, in its order, and it can be read as one."""
    written_as: list[tuple[dict[str, Any], type]] = [
        (api_key_response(api_key, PRINCIPAL, now), ApiKeyResponse),
        (created_response(Created(api_key, private_key), PRINCIPAL, now), CreatedApiKeyResponse),
        (used_response(api_key, PRINCIPAL, now, []), UsedApiKeyResponse),
    ]
    for members, contract in written_as:
        assert [*members] == [member.name for member in fields(contract) if HEADER not in member.metadata]
        read(contract, written(members))


@given(api_keys(), moments)
def test_free_form(api_key: ApiKey, now: datetime) -> None:
    """Metadata is written as pydantic writes it, numbers that are written in several ways included."""
    assert b'"metadata":%b,"secrets"' % to_json(dict(api_key.metadata)) in written(
        api_key_response(api_key, PRINCIPAL, now)
    )


@given(
    st.builds(
        Event,
        id=st.uuids(),
        type=st.sampled_from(EventType),
        org_id=st.uuids(),
        key_id=st.uuids(),
        occurred_at=moments,
        issuer=texts,
        subject=texts,
        client_id=st.none() | texts,
        origin=st.builds(Origin, request_id=texts, address=st.none() | texts),
        data=objects,
    ),
    st.none() | st.builds(place_of, st.integers(1, 2**40), st.binary(min_size=32, max_size=32)),
)
def test_an_event(event: Event, place: Link | None) -> None:
    """So is an event, with its link of the chain or without."""
    answer = event_response(event, place)
    assert written(answer) == by_pydantic(answer)


def test_ids_and_moments() -> None:
    """An id is written in lower case, a moment in UTC with a Z, its fraction left out where there is none."""
    key = ApiKey(
        id=UUID("019A5D2E-7C1F-7C44-9B0E-2D0C8F3A1B55"),
        org_id=UUID(int=0),
        name="a",
        description=None,
        environment="live",
        created_at=datetime(2026, 11, 23, 21, 48, 5, tzinfo=UTC),
        created_by="s",
        secret=Secret.of(
            mint(bytes(32), brand="kw", environment="live"), created_at=datetime(2026, 1, 1, 0, 0, 0, 1, UTC)
        ),
    )
    body = written(api_key_response(key, PRINCIPAL, key.created_at))
    assert b'"id":"019a5d2e-7c1f-7c44-9b0e-2d0c8f3a1b55"' in body
    assert b'"created_at":"2026-11-23T21:48:05Z"' in body
    assert b'"created_at":"2026-01-01T00:00:00.000001Z"' in body
