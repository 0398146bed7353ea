"""Bodies of verifications: the quick way of reading them means what the strict reader means."""

import json
import os
from random import Random
from typing import Any

import pytest

from keywright.api.http.bodies import as_model
from keywright.api.http.problems import Refusal
from keywright.api.verify.bodies import KeyCheck, check_of, read, read_batch
from keywright.api.verify.schemas import MOST_IN_A_BATCH, BatchRequest, VerifyRequest
from keywright.contract.errors import FieldError
from keywright.keys.verdict import NO_REQUIREMENTS, Requirements
from tests.api.checking_plane import KEY

WHITE = [""] * 80 + [" ", "\n", "\t ", "\r\n"] * 5 + ["\f", "\v", "\0", "\u00a0", "\ufeff"]
Told = tuple[str, str | None, list[FieldError]]


MUTATIONS = int(os.environ.get("MUTATIONS", "10000"))
"""`MUTATIONS=300000 pytest --timeout=0 tests/api/test_verify_bodies.py` compares more."""


def strictly(raw: bytes) -> KeyCheck | Told:
    """Read *raw* as the strict reader and the schema do, and nothing besides."""
    try:
        asked = as_model(VerifyRequest, raw)
    except Refusal as refusal:
        return refusal.code, refusal.detail, list(refusal.errors)
    return check_of(asked)


def quickly(raw: bytes) -> KeyCheck | Told:
    try:
        return read(raw)
    except Refusal as refusal:
        return refusal.code, refusal.detail, list(refusal.errors)


def written(text: str, chance: Random) -> str:
    """A JSON string of *text*: each character as it is, or escaped in one of the ways there are."""

    def way(character: str) -> str:
        if ord(character) < 0x10000 and chance.random() < 0.002:
            return f"\\u{ord(character):{chance.choice(['04x', '04X'])}}"
        return character if character not in '"\\' else f"\\{character}"

    return f'"{"".join(map(way, text))}"'


NAMES = ["key"] * 12 + ["Key", "ke", "k\u00e9y"]
TEXTS = [KEY] * 8 + [KEY[:-1], f"{KEY} ", KEY + "é🔑", 'a"\\b', "[" * 20, "x" * 600, ""]
MEMBERS = [
    '"scopes":["a:read"]', '"scopes":[]', '"scopes":["a:read","b:write"]', '"scopes":[1]', '"scopes":"a"',
    '"environment":"live"', '"environment":null', '"client_ip":"192.0.2.7"', '"client_ip":"\\ud800"', '"method":"GET"',
    '"path":"/a?b=c"', '"path":"\u00e9"', '"cost":1', '"cost":1.0', '"cost":-1', '"cost":NaN', '"cost":1e400',
    '"explain":true', '"explain":1', f'"key":"{KEY}"', '"key":"a"', '"\\u006bey":"a"', '"more":1',
    '"client_ip":null', '"client_ip":"10.0.0.1","client_ip":"192.0.2.7"', '"scopes":["a:read"],"scopes":[]',
    '"scopes":[""]', '"scopes":null', '"scopes":["a"],"client_ip":"192.0.2.7"', '"include":["metadata"]',
    '"include":[]',
    '"include":["metadata","metadata"]', '"include":["more"]', '"cost":-0', '"cost":1e0', '"cost":01', '"cost":0',
    '"cost":1000001', f'"cost":{"9" * 5000}', '"cost":true', '"cost":"1"', '"explain":false,"explain":true',
    f'"scopes":["{"s" * 256}"]', f'"scopes":[{",".join(["1"] * 101)}]', f'"environment":"{"e" * 256}"',
    f'"path":"{"p" * 4097}"', '"path":"\x7f"', '"path":"\x1f"',
    f'"more":{"[" * 16}1{"]" * 16}', f'"method":"{"m" * 600}"', "", " ", "x", "{}", '"', "\ufeff", "//", "\0",
]  # fmt: skip


def writing(chance: Random) -> bytes:
    """A body of any shape: most are of the schema, and some nearly are."""

    def spaced(*parts: str) -> str:
        return "".join(part + chance.choice(WHITE) for part in ("", *parts))

    members = [spaced(written(chance.choice(NAMES), chance), ":", written(chance.choice(TEXTS), chance))]
    members += [spaced(chance.choice(MEMBERS)) for _ in range(chance.choice([0, 0, 1, 1, 2, 3]))]
    return spaced(f"{{{','.join(members)}}}").encode()


def test_both_ways_of_reading_agree() -> None:
    """Whatever a body looks like, it is read, or refused with the same words, as the strict reader does; twice."""
    chance = Random(20261125)
    found = []
    for _ in range(MUTATIONS):
        raw = writing(chance)
        if chance.random() < 0.2:
            place = chance.randrange(len(raw))
            raw = raw[:place] + chance.randbytes(chance.randrange(3)) + raw[place + chance.randrange(2) :]
        expected = strictly(raw)
        assert quickly(raw) == expected, raw
        assert quickly(raw) == expected, raw
        found.append(isinstance(expected, KeyCheck))
    assert 0.2 < sum(found) / len(found) < 0.8


@pytest.mark.parametrize(
    "raw", [b"", b'{"key":"a', b'{"key":"a"', b'{"key":"a"}', b'{"key":"a","key":"a"}', b'{"key":"a"\xff}']
)
def test_edges(raw: bytes) -> None:
    """Bodies that are cut, and those with a flaw right behind the key, are read alike as well."""
    assert quickly(raw) == strictly(raw)


def test_a_body_that_is_damaged_anywhere() -> None:
    """A body in which any byte was changed, left out or put in is still read as the strict reader does."""
    whole = json.dumps({"key": KEY, "scopes": ["a:read"], "client_ip": "192.0.2.7", "cost": 1}).encode()
    for place in range(len(whole)):
        for damage in (b"", b'"', b"\\", b"}", b",", b"\0", b"\xff", b"a"):
            for end in (place, place + 1):
                raw = whole[:place] + damage + whole[end:]
                assert quickly(raw) == strictly(raw), raw


@pytest.mark.parametrize(
    ("body", "requirements"),
    [
        ({}, NO_REQUIREMENTS),
        ({"scopes": [], "environment": None, "method": "GET", "path": "/"}, NO_REQUIREMENTS),
        ({"scopes": ["a:read"], "client_ip": "192.0.2.7"}, Requirements(scopes=("a:read",), client_ip="192.0.2.7")),
    ],
)
def test_what_is_asked(body: dict[str, Any], requirements: Requirements) -> None:
    """What counts for the verdict is found in the body, and a body that asks for nothing is known to."""
    question = read(json.dumps({"key": KEY, **body}).encode())
    assert (question.text, question.requirements) == (KEY, requirements)
    assert (question.requirements is NO_REQUIREMENTS) is (requirements is NO_REQUIREMENTS)


# Batches


def strictly_as_batch(raw: bytes) -> list[KeyCheck] | Told:
    """Read *raw* as the strict reader and the schema do, and nothing besides."""
    try:
        batch = as_model(BatchRequest, raw)
    except Refusal as refusal:
        return refusal.code, refusal.detail, list(refusal.errors)
    return list(map(check_of, batch.keys))


def quickly_as_batch(raw: bytes) -> list[KeyCheck] | Told:
    try:
        return read_batch(raw)
    except Refusal as refusal:
        return refusal.code, refusal.detail, list(refusal.errors)


BATCH_NAMES = ["keys"] * 40 + ["Keys", "key", "k\u00e9ys"]
AROUND = ["", "", "", "", "", "", "", '"explain":true', '"keys":[]', '"more":{}', "1", "]", "}", ","]


def writing_batch(chance: Random) -> bytes:
    """A batch of any shape: most are of the schema, and some nearly are."""

    def white() -> bytes:
        return chance.choice(WHITE).encode() if chance.random() < 0.2 else b""

    usual = json.dumps({"key": KEY}).encode()
    number = chance.choice([0, *[1, 2, 3] * 8, MOST_IN_A_BATCH, MOST_IN_A_BATCH + 1])
    objects = [usual if chance.random() < 0.6 or number > 3 else writing(chance) for _ in range(number)]
    between = b"".join((white(), chance.choice([b","] * 60 + [b"", b",,", b"},{", b"],["]), white()))
    whole = white() + between.join(objects) + white()
    if chance.random() < 0.03:
        whole += b","
    pieces = [b"{", json.dumps(chance.choice(BATCH_NAMES)).encode(), b":", b"[", whole, b"]", b"}"]
    if chance.random() < 0.1:
        pieces.insert(chance.choice([1, 5, 6]), chance.choice(AROUND).encode())
    return b"".join(white() + piece for piece in pieces) + white()


def test_both_ways_of_reading_batches_agree() -> None:
    """Whatever a batch looks like, it is read, or refused with the same words, as the strict reader does; twice."""
    chance = Random(20261126)
    found = []
    for _ in range(MUTATIONS):
        raw = writing_batch(chance)
        if chance.random() < 0.2:
            place = chance.randrange(len(raw))
            raw = raw[:place] + chance.randbytes(chance.randrange(3)) + raw[place + chance.randrange(2) :]
        expected = strictly_as_batch(raw)
        assert quickly_as_batch(raw) == expected, raw
        assert quickly_as_batch(raw) == expected, raw
        found.append(isinstance(expected, list))
    assert 0.2 < sum(found) / len(found) < 0.8


def test_a_batch_that_is_damaged_anywhere() -> None:
    """A batch in which any byte was changed, left out or put in is still read as the strict reader does."""
    asked = [{"key": KEY, "scopes": ["a:read"], "cost": 1}, {"key": KEY}, {"key": "a", "path": '{"key":"b"'}]
    whole = json.dumps({"keys": asked}).encode()
    for place in range(len(whole)):
        for damage in (b"", b'"', b"\\", b"}", b"]", b",", b"{", b"\0", b"\xff", b"a"):
            for end in (place, place + 1):
                raw = whole[:place] + damage + whole[end:]
                assert quickly_as_batch(raw) == strictly_as_batch(raw), raw
