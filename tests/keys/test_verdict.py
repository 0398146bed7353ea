"""The verdict."""

from itertools import product

import pytest

from keywright.keys.verdict import ANY_USE, Ask, Code, KeyFacts, explain, judge

NOW = 1_000_000.0


def facts(**changes: object) -> KeyFacts:
    return KeyFacts(**{"id": b"k" * 16, "org_id": b"o" * 16, "name": "n", "environment": "live", **changes})  # type: ignore[arg-type]


def plainly(revoked: bool, expires_at: float, key_scopes: tuple[str, ...], ask: Ask) -> str:
    """A second reading of the rules, in their order."""
    refused = [
        ("revoked", revoked),
        ("expired", expires_at <= NOW),
        ("wrong_environment", ask.environment not in (None, "live")),
        ("insufficient_scope", any(scope not in key_scopes for scope in ask.scopes)),
    ]
    return next((word for word, applies in refused if applies), "valid")


def test_every_combination() -> None:
    """In every combination of conditions the first rule that refuses is the verdict."""
    environments = (None, "live", "sandbox")
    scopes = ((), ("a:read",), ("a:read", "a:write"))
    for revoked, expires_at, has, environment, needs in product(
        (False, True), (NOW - 1, NOW, NOW + 1, float("inf")), scopes, environments, scopes
    ):
        ask = Ask(environment=environment, scopes=needs)
        key = facts(revoked=revoked, expires_at=expires_at, scopes=has)
        assert judge(key, ask, NOW) == plainly(revoked, expires_at, has, ask)


def test_what_is_not_known() -> None:
    """A key that is not known is not found, whatever is asked of it, and nothing is explained."""
    for ask in (ANY_USE, Ask(environment="live", scopes=("a:read",))):
        assert judge(None, ask, NOW) is Code.NOT_FOUND
        assert explain(Code.NOT_FOUND, None, ask) is None


def test_asking_for_nothing() -> None:
    """The shortcut for requests that ask for nothing decides like an ask that says so."""
    for key in (facts(), facts(revoked=True), facts(expires_at=NOW)):
        assert judge(key, ANY_USE, NOW) is judge(key, Ask(), NOW)


@pytest.mark.parametrize(
    ("key", "ask", "words"),
    [
        (facts(revoked=True), ANY_USE, ("revoked", "Another key")),
        (facts(expires_at=NOW), ANY_USE, ("expired", "later expiry")),
        (facts(), Ask(environment="sandbox"), ("live", "sandbox")),
        (facts(scopes=("a:read",)), Ask(scopes=("a:read", "a:write")), ("a:write", "a:read, a:write")),
    ],
)
def test_explanations(key: KeyFacts, ask: Ask, words: tuple[str, str]) -> None:
    """An explanation names the rule that refused and what would pass."""
    explanation = explain(judge(key, ask, NOW), key, ask)
    assert explanation is not None
    assert words[0] in explanation.rule
    assert words[1] in explanation.would_pass


def test_nothing_to_explain() -> None:
    """A key that passed needs no explanation."""
    assert explain(Code.VALID, facts(), ANY_USE) is None


def test_the_words() -> None:
    """The codes are part of the contract."""
    assert [code.value for code in Code] == [
        "valid",
        "not_found",
        "revoked",
        "expired",
        "wrong_environment",
        "insufficient_scope",
        "ip_not_allowed",
        "rate_limited",
    ]
