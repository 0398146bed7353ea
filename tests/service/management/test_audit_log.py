"""The trail: what is hashed of an event, and how events are chained."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest

from keywright.service.management.audit_log import CHAIN_BEGINS, EventType, Origin, canonical, link, rfc3339, storable
from tests.service.managing import ALICE, NOW, an_event

EVENT = an_event(
    EventType.UPDATED,
    1,
    key_id=UUID(int=2),
    data={"before": {"name": "é"}, "after": {"name": "b", "scopes": ["a:b"]}},
)


def test_the_digest_is_written_down() -> None:
    """The digest is over the documented form: JSON with sorted names, no spaces, and escapes."""
    text = (
        '{"address":"192.0.2.1","client_id":"dashboard",'
        '"data":{"after":{"name":"b","scopes":["a:b"]},"before":{"name":"\\u00e9"}},'
        '"id":"00000000-0000-0000-0000-000000000001","issuer":"https://issuer.example/",'
        '"key_id":"00000000-0000-0000-0000-000000000002","occurred_at":"2026-11-23T12:00:00.000001+00:00",'
        f'"org_id":"{ALICE.organization.id}","request_id":"request-1","subject":"auth0|alice",'
        '"type":"api_key.updated"}'
    )
    assert EVENT.digest == sha256(text.encode("ascii")).digest()


@pytest.mark.parametrize(
    "change",
    [
        {"id": UUID(int=3)},
        {"type": EventType.CREATED},
        {"org_id": UUID(int=3)},
        {"key_id": UUID(int=3)},
        {"occurred_at": NOW + timedelta(microseconds=1)},
        {"issuer": "https://other.example/"},
        {"subject": "auth0|bob"},
        {"client_id": None},
        {"origin": Origin(request_id="request-2", address="192.0.2.1")},
        {"origin": Origin(request_id="request-1", address=None)},
        {"data": {}},
        {"data": {"before": {"name": "e"}, "after": {"name": "b", "scopes": ["a:b"]}}},
    ],
    ids=str,
)
def test_everything_counts(change: dict[str, Any]) -> None:
    """An event with any other field has another digest."""
    assert replace(EVENT, **change).digest != EVENT.digest


def test_a_way_through_a_database_changes_nothing() -> None:
    """An event has the digest it had when its data has been JSON meanwhile, with its names in any order."""
    data = json.loads(json.dumps(dict(reversed(EVENT.data.items()))))
    assert replace(EVENT, data=data).digest == EVENT.digest


@pytest.mark.parametrize(
    ("number", "as_stored"),
    [
        (1.0, "1.0"),
        (1e16, "10000000000000000"),
        (1e23, "100000000000000000000000"),
        (-0.0, "0.0"),
        (1e-7, "0.0000001"),
        (0.1, "0.1"),
        (2.5e-300, f"0.{'0' * 299}25"),
        (1e308, f"1{'0' * 308}"),
        (12345678901234567890, "12345678901234567890"),
    ],
)
def test_numbers_survive_a_database(number: float, as_stored: str) -> None:
    """An event has the same digest when a database has stored the value of a number, and not its spelling."""
    data = {"after": {"metadata": {"number": [number]}}}
    read = json.loads(f'{{"after": {{"metadata": {{"number": [{as_stored}]}}}}}}')
    assert replace(EVENT, data=data).digest == replace(EVENT, data=read).digest
    assert replace(EVENT, data=data).digest != replace(EVENT, data={"after": {"metadata": {"number": [7.5]}}}).digest


def test_whole_numbers_are_hashed_as_before() -> None:
    """The form of data without fractions, as all events of earlier versions have it, has not changed."""
    data = {"a": [1, True, None, "1.0"], "b": {"c": -7}}
    assert canonical(data) == '{"a":[1,true,null,"1.0"],"b":{"c":-7}}'


def test_storable() -> None:
    """Every NUL, in names and texts at any depth, becomes U+FFFD; all other values stay."""
    value = {"a\0": ["\0", {"b": "c\0d"}], "e": [1, 0.5, None, True]}
    assert storable(value) == {"a\ufffd": ["\ufffd", {"b": "c\ufffdd"}], "e": [1, 0.5, None, True]}


def test_link() -> None:
    """A hash covers the one before it and the digest: a change of either changes every later hash."""
    first = link(CHAIN_BEGINS, b"a" * 32)
    assert first == sha256(bytes(32) + b"a" * 32).digest()
    assert len({link(first, b"b" * 32), link(CHAIN_BEGINS, b"b" * 32), link(first, b"c" * 32), first}) == 4


def test_times() -> None:
    """A time is written in UTC to the microsecond, also where that is 0."""
    assert rfc3339(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) == "2026-01-02T03:04:05.000000Z"
    assert rfc3339(datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=1)))) == "2026-01-02T02:04:05.000000Z"
    assert rfc3339(None) is None
