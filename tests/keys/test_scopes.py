"""Scopes: the grammar, and what grants what."""

from itertools import product

import pytest

from keywright.keys.scopes import are_granted, is_of, is_scope, missing


@pytest.mark.parametrize(
    "text", ["a:b", "reports:read", "*:read", "reports:*", "*:*", "A.b_c-9:0", f"{'a' * 63}:{'b' * 63}"]
)
def test_scopes(text: str) -> None:
    """Two words, each of which may be a star, are a scope."""
    assert is_scope(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "a",
        "a:",
        ":b",
        "a:b:c",
        "a b:c",
        "a:b ",
        "a:b\n",
        "a*:b",
        "**:b",
        "-a:b",
        ".a:b",
        "_a:b",
        "ä:b",
        "a:b\0",
        f"{'a' * 64}:b",
    ],
    ids=ascii,
)
def test_no_scopes(text: str) -> None:
    """Whatever else is none, and is granted by no scopes."""
    assert not is_scope(text)
    assert missing(("*:*", "a:b", "a:*"), [text]) == [text]


def plainly_grants(granted: str, wanted: str) -> bool:
    """A second reading of the rule: part by part, a star grants all, and anything grants itself."""
    parts = zip(granted.split(":"), wanted.split(":"), strict=True)
    return all(has in ("*", wants) for has, wants in parts)


def test_every_pair() -> None:
    """Of two scopes the first grants the second exactly when each part of it is a star or the same."""
    scopes = [f"{resource}:{action}" for resource, action in product(("a", "b", "A", "*"), repeat=2)]
    for granted, wanted in product(scopes, repeat=2):
        assert (missing((granted,), [wanted]) == []) is plainly_grants(granted, wanted)
        assert are_granted((granted,), (wanted,)) is plainly_grants(granted, wanted)


def test_what_is_missing_is_named() -> None:
    """What is not granted is named, as often and in the order in which it is wanted."""
    assert missing(("a:read", "b:*"), ["c:x", "b:write", "a:write", "a:read", "c:x"]) == ["c:x", "a:write", "c:x"]
    assert missing((), ["a:read"]) == ["a:read"]
    assert missing((), []) == []


@pytest.mark.parametrize("scope", ["a:read", "b:write", "a:*", "*:write", "*:*"])
def test_what_a_catalogue_has(scope: str) -> None:
    """A catalogue has its own scopes and every wildcard that grants one of them."""
    assert is_of({"a:read": "", "b:write": ""}, scope)


@pytest.mark.parametrize("scope", ["a:write", "b:read", "c:*", "*:delete", "A:read", "a:read:*", ""])
def test_what_a_catalogue_does_not_have(scope: str) -> None:
    """Whatever else is not of it, and nothing is of an empty one."""
    assert not is_of({"a:read": "", "b:write": ""}, scope)
    assert not is_of((), "*:*")
