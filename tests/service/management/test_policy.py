"""What an operator allows keys to be."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from keywright.service.management.commands import Policy
from tests.service.managing import DAY, ENVIRONMENTS, NOW, SECOND

MONTH = timedelta(days=30)


def policy(**rules: Any) -> Policy:
    return Policy(environments=ENVIRONMENTS, **rules)


def flaw_types(found: Policy, **fields: Any) -> list[str]:
    return [flaw.type for flaw in found.flaws(now=NOW, **{"since": NOW, **fields})]


def test_without_rules_anything_goes() -> None:
    """Without rules only the time and the environments limit a new key."""
    assert policy().environment_of(None) == "live"
    assert policy().environment_of("sandbox") == "sandbox"
    assert flaw_types(policy()) == []
    assert flaw_types(policy(), environment="sandbox", expires_at=(None,), scopes=("any:thing",)) == []
    assert flaw_types(policy(), environment="test") == ["environment_unknown"]
    assert policy().expiry(None, since=NOW) is None


@pytest.mark.parametrize(
    ("rules", "expires_at", "word"),
    [
        ({}, NOW + SECOND, None),
        ({}, NOW, "expiry_in_the_past"),
        ({}, NOW - SECOND, "expiry_in_the_past"),
        ({"expiry_required": True}, None, "expiry_required"),
        ({"expiry_required": True}, NOW + SECOND, None),
        ({"max_life": MONTH}, NOW + MONTH, None),
        ({"max_life": MONTH}, NOW + MONTH + SECOND, "expiry_too_late"),
        ({"max_life": MONTH}, NOW, "expiry_in_the_past"),
        ({"max_life": MONTH, "expiry_required": True}, None, "expiry_required"),
    ],
)
def test_expiry(rules: dict[str, Any], expires_at: datetime | None, word: str | None) -> None:
    """An expiry lies in the future and within the longest life; it has to be given where that is the rule."""
    found = policy(**rules)
    assert flaw_types(found, expires_at=(found.expiry(expires_at, since=NOW),)) == ([] if word is None else [word])


def test_the_longest_life_is_that_of_keys_without_an_expiry() -> None:
    """Without an expiry a key gets the latest allowed one, counted from the creation of the secret."""
    assert policy(max_life=MONTH).expiry(None, since=NOW - DAY) == NOW - DAY + MONTH
    assert policy(max_life=MONTH).expiry(NOW + DAY, since=NOW) == NOW + DAY


def test_a_life_is_counted_from_the_secret() -> None:
    """A secret that was made earlier has to end earlier."""
    assert flaw_types(policy(max_life=MONTH), since=NOW - DAY, expires_at=(NOW + MONTH,)) == ["expiry_too_late"]


@pytest.mark.parametrize("scope", ["reports:read", "reports:*", "*:read", "*:*", "bills:write"])
def test_known_scopes(scope: str) -> None:
    """A listed scope is allowed, and so is a wildcard that grants a listed one."""
    assert flaw_types(policy(scopes={"reports:read": "", "bills:write": ""}), scopes=(scope,)) == []


@pytest.mark.parametrize("scope", ["reports:write", "bills:read", "books:*", "*:delete", "Reports:read"])
def test_unknown_scopes(scope: str) -> None:
    """Any other scope is refused, with its index in the list."""
    found = policy(scopes={"reports:read": "", "bills:write": ""})
    (flaw,) = found.flaws(now=NOW, since=NOW, scopes=("reports:read", scope))
    assert (flaw.field, flaw.type, flaw.path) == ("scopes", "scope_unknown", (1,))
    assert scope not in flaw.msg


def test_flaws_quote_nothing() -> None:
    """No sentence quotes the value."""
    found = policy(scopes={}, max_life=MONTH)
    flaws = found.flaws(now=NOW, since=NOW, environment="x-1", expires_at=(NOW + 99 * DAY,), scopes=("x-1:x-1",))
    assert len(flaws) == 3
    assert all("x-1" not in flaw.msg and "2027" not in flaw.msg for flaw in flaws)
