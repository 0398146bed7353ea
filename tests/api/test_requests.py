"""The bodies that a client may send: their meaning, the refused ones, and the agreement of the schema."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel

from keywright.api.http.bodies import as_model
from keywright.api.http.problems import Refusal
from keywright.api.keys.requests import (
    CreateApiKeyRequestV2,
    RevokeApiKeyRequest,
    RotateApiKeyRequest,
    SetRotationRequest,
    UpdateApiKeyRequest,
)
from keywright.contract.errors import FieldError
from keywright.keys.rate_limits import RateLimit
from keywright.keys.record import RevocationReason
from keywright.service.management.commands import NewKey

LIMIT = {"name": "minute", "limit": 100, "window_seconds": 60}


def flaws(model: type[BaseModel], body: dict[str, Any]) -> list[tuple[list[str | int], str]]:
    """Give location and type of every flaw, none for a good body; and check that no flaw quotes the body."""
    told: Sequence[FieldError] = []
    try:
        as_model(model, json.dumps(body).encode())
    except Refusal as refusal:
        told = refusal.errors
    assert "xyzzy" not in repr(told)
    return [(list(error.loc[1:]), error.type) for error in told]


def command_of(**body: Any) -> NewKey:
    return as_model(CreateApiKeyRequestV2, json.dumps({"name": "a key", **body}).encode()).command()


def test_a_name_is_enough() -> None:
    """A body with a name alone sets no other field."""
    assert command_of() == NewKey(name="a key")


def test_a_whole_wish() -> None:
    """Every field arrives as the use cases know it."""
    assert command_of(
        description="what for",
        environment="sandbox",
        expires_at="2099-01-31T12:00:00.123456789+02:00",
        scopes=["a:b", "*:*"],
        allowed_ips=["192.0.2.7", "2001:DB8::/32", "::ffff:192.0.2.0/120"],
        rate_limits=[{**LIMIT, "limit": 100.0}],
        external_id="customer",
        metadata={"a": [1, {"b": None}]},
    ) == NewKey(
        name="a key",
        description="what for",
        environment="sandbox",
        expires_at=datetime(2099, 1, 31, 10, 0, 0, 123456, tzinfo=UTC),
        scopes=("a:b", "*:*"),
        allowed_ips=("192.0.2.7/32", "2001:db8::/32", "192.0.2.0/24"),
        rate_limits=(RateLimit("minute", 100, 60),),
        external_id="customer",
        metadata={"a": [1, {"b": None}]},
    )


@pytest.mark.parametrize("field", ["description", "environment", "expires_at", "external_id"])
def test_null_is_absent(field: str) -> None:
    """An optional field of a new key may be null."""
    assert command_of(**{field: None}) == command_of()


GOOD = [
    {"expires_at": "2099-01-31t12:00:00z"},
    {"expires_at": "9999-12-31T23:59:59Z"},
    {"expires_at": "0001-01-01T00:00:00Z"},
    {"scopes": [f"a:{number}" for number in range(100)]},
    {"scopes": ["A-z_0.9:" + "x" * 63]},
    {"allowed_ips": [f"192.0.2.{number}" for number in range(100)]},
    {"allowed_ips": ["0.0.0.0/0", "::/0", "2001:0db8:0000:0000:0000:0000:0000:0001/128"]},
    {"rate_limits": [{**LIMIT, "name": f"l{number}"} for number in range(4)]},
    {"rate_limits": [{"name": "x" * 32, "limit": 1_000_000_000, "window_seconds": 31 * 86_400}]},
    {"external_id": "🔑" * 255},
    {"metadata": {"a": "x" * (8192 - 8)}},
    {"metadata": {"a": "\U0001f511" * 2046}},
    {"metadata": {"line\nbreak": "\t\0"}},
    {"metadata": {"a": [10**4000, -0.5, 1e300, None, True, {}]}},
]
BAD: list[tuple[dict[str, Any], list[str | int], str]] = [
    *[
        ({"expires_at": value}, ["expires_at"], "date_time_malformed")
        for value in (
            "xyzzy",
            "2099-01-31",
            "2099-01-31T12:00:00",
            "2099-01-31T12:00Z",
            "2099-01-31 12:00:00Z",
            "2099-02-30T12:00:00Z",
            "2099-01-31T24:00:01Z",
            "2099-01-31T12:00:60Z",
            "2099-01-31T12:00:00+24:00",
            "2099-01-31T12:00:00,5Z",
            "2099-W05-6T12:00:00Z",
            "٢٠٩٩-01-31T12:00:00Z",
            "9999-12-31T23:59:59-01:00",
            "0001-01-01T00:00:00+01:00",
            "2099-01-31T12:00:00Z\n",
            "2099-01-31T12:00:00." + "0" * 60 + "Z",
            "4102444800",
            4102444800,
            True,
            [],
        )
    ],
    ({"scopes": None}, ["scopes"], "list_type"),
    ({"scopes": "a:b"}, ["scopes"], "list_type"),
    ({"scopes": {"xyzzy": 1}}, ["scopes"], "list_type"),
    ({"scopes": [1]}, ["scopes", 0], "string_type"),
    ({"scopes": ["a:b", "a:b"]}, ["scopes"], "given_twice"),
    ({"scopes": [f"a:{number}" for number in range(101)]}, ["scopes"], "too_long"),
    *[
        ({"scopes": ["a:b", scope]}, ["scopes", 1], "scope_malformed")
        for scope in ("", "xyzzy", ":", "a:", "a:b:c", "a:b\n", "a b:c", "a*:b", "**:b", "-a:b", "a:" + "x" * 64, "é:b")
    ],
    ({"allowed_ips": None}, ["allowed_ips"], "list_type"),
    ({"allowed_ips": ["192.0.2.7", "192.0.2.7/32"]}, ["allowed_ips"], "given_twice"),
    ({"allowed_ips": ["192.0.2.7", "::ffff:192.0.2.7"]}, ["allowed_ips"], "given_twice"),
    ({"allowed_ips": [f"10.0.0.{number}" for number in range(101)]}, ["allowed_ips"], "too_long"),
    ({"allowed_ips": ["1" * 65]}, ["allowed_ips", 0], "string_too_long"),
    *[
        ({"allowed_ips": [network]}, ["allowed_ips", 0], "network_malformed")
        for network in (
            "",
            "xyzzy",
            "192.0.2.1/24",
            "192.0.2.0/33",
            "fe80::1%eth0",
            "192.0.2.0/24/1",
            "192.0.2",
            "::/129",
        )
    ],
    ({"allowed_ips": [3221225991]}, ["allowed_ips", 0], "string_type"),
    ({"rate_limits": None}, ["rate_limits"], "list_type"),
    ({"rate_limits": [LIMIT, {**LIMIT, "limit": 5}]}, ["rate_limits"], "given_twice"),
    ({"rate_limits": [{**LIMIT, "name": f"l{number}"} for number in range(5)]}, ["rate_limits"], "too_long"),
    ({"rate_limits": [{"name": "minute", "limit": 1}]}, ["rate_limits", 0, "window_seconds"], "missing"),
    ({"rate_limits": [{**LIMIT, "more": 1}]}, ["rate_limits", 0, "more"], "extra_forbidden"),
    ({"rate_limits": [{**LIMIT, "name": "Xyzzy"}]}, ["rate_limits", 0, "name"], "string_pattern_mismatch"),
    ({"rate_limits": [{**LIMIT, "name": "minute\n"}]}, ["rate_limits", 0, "name"], "string_pattern_mismatch"),
    ({"rate_limits": [{**LIMIT, "limit": 0}]}, ["rate_limits", 0, "limit"], "greater_than_equal"),
    ({"rate_limits": [{**LIMIT, "limit": 10**9 + 1}]}, ["rate_limits", 0, "limit"], "less_than_equal"),
    ({"rate_limits": [{**LIMIT, "limit": 1.5}]}, ["rate_limits", 0, "limit"], "int_type"),
    ({"rate_limits": [{**LIMIT, "limit": True}]}, ["rate_limits", 0, "limit"], "int_type"),
    ({"rate_limits": [{**LIMIT, "window_seconds": 0}]}, ["rate_limits", 0, "window_seconds"], "greater_than_equal"),
    (
        {"rate_limits": [{**LIMIT, "window_seconds": 31 * 86_400 + 1}]},
        ["rate_limits", 0, "window_seconds"],
        "less_than_equal",
    ),
    ({"external_id": ""}, ["external_id"], "string_too_short"),
    ({"external_id": "x" * 256}, ["external_id"], "string_too_long"),
    ({"external_id": "xyzzy\0"}, ["external_id"], "characters_not_allowed"),
    ({"metadata": None}, ["metadata"], "dict_type"),
    ({"metadata": []}, ["metadata"], "dict_type"),
    ({"metadata": {"a": "x" * (8192 - 7)}}, ["metadata"], "metadata_too_large"),
    ({"metadata": {"a": "xyzzy\ud800"}}, ["metadata"], "characters_not_allowed"),
    ({"metadata": {"xyzzy\ud800": 1}}, ["metadata"], "characters_not_allowed"),
    ({"metadata": {"a": [{"b": "xyzzy\ud800"}]}}, ["metadata"], "characters_not_allowed"),
]


def identify(value: object) -> str:
    return ascii(value)[:50]


@pytest.mark.parametrize("fields", GOOD, ids=identify)
def test_up_to_the_limit(fields: dict[str, Any]) -> None:
    """A value at its limit is accepted, in a creation and in an update."""
    assert flaws(CreateApiKeyRequestV2, {"name": "a key", **fields}) == []
    assert flaws(UpdateApiKeyRequest, fields) == []


@pytest.mark.parametrize(("fields", "place", "kind"), BAD, ids=identify)
def test_what_is_refused(fields: dict[str, Any], place: list[str | int], kind: str) -> None:
    """A value beyond is refused with location and type, in a creation and in an update, and not quoted."""
    assert flaws(CreateApiKeyRequestV2, {"name": "a key", **fields}) == [(place, kind)]
    assert flaws(UpdateApiKeyRequest, fields) == [(place, kind)]


def test_changes_are_what_was_given() -> None:
    """A change has the fields that were given, null among them, and no others."""
    body = as_model(UpdateApiKeyRequest, b'{"description": null, "scopes": [], "allowed_ips": ["::1"]}')
    assert body.changes() == {"description": None, "scopes": (), "allowed_ips": ("::1/128",)}
    assert as_model(UpdateApiKeyRequest, b"{}").changes() == {}


@pytest.mark.parametrize("field", ["name", "environment", "scopes", "allowed_ips", "rate_limits", "metadata"])
def test_what_cannot_be_cleared(field: str) -> None:
    """A field that a key always has is not changed to null."""
    ((place, _),) = flaws(UpdateApiKeyRequest, {field: None})
    assert place == [field]


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        ({}, None),
        ({"overlap_seconds": 0}, None),
        ({"overlap_seconds": 2_592_000, "retire_when_idle_seconds": 2_592_000}, None),
        ({"retire_when_idle_seconds": 60.0}, None),
        ({"overlap_seconds": -1}, "greater_than_equal"),
        ({"overlap_seconds": 2_592_001}, "less_than_equal"),
        ({"overlap_seconds": "60"}, "int_type"),
        ({"overlap_seconds": None}, "int_type"),
        ({"retire_when_idle_seconds": 59}, "greater_than_equal"),
        ({"retire_when_idle_seconds": 2_592_001}, "less_than_equal"),
        ({"overlap": 5}, "extra_forbidden"),
    ],
)
def test_rotation(body: dict[str, Any], refused: str | None) -> None:
    """Both times of a rotation may be left out, and have bounds."""
    assert [kind for _, kind in flaws(RotateApiKeyRequest, body)] == ([] if refused is None else [refused])


def test_the_end_of_a_rotation_is_said() -> None:
    """Another end for the old secret has to be named."""
    assert flaws(SetRotationRequest, {}) == [(["overlap_seconds"], "missing")]


def test_reasons() -> None:
    """A reason is one of the words that there are; none is unspecified."""
    assert as_model(RevokeApiKeyRequest, b"{}").reason is RevocationReason.UNSPECIFIED
    for reason in RevocationReason:
        assert as_model(RevokeApiKeyRequest, json.dumps({"reason": reason}).encode()).reason is reason
    for flawed in ("xyzzy", "KEY_COMPROMISE", "", None, 1, ["superseded"]):
        assert flaws(RevokeApiKeyRequest, {"reason": flawed}) == [(["reason"], "enum")]
