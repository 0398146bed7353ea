"""`If-Match`, read as RFC 9110 has it."""

import pytest

from keywright.api.http.conditions import matching
from keywright.api.http.problems import Refusal

VERSION = 7


@pytest.mark.parametrize(
    ("if_match", "goes_through"),
    [
        (['"7"'], True),
        (['"6"'], False),
        (['"07"'], False),
        (['""'], False),
        (["*"], True),
        ([" * "], True),
        (['"6", "7"'], True),
        (['"6","7"'], True),
        (['"6" , \t"7"'], True),
        ([', ,"7",,'], True),
        (['"6"', '"7"'], True),
        (['W/"7"'], False),
        (['W/"7", "7"'], True),
        (['"a,7"'], False),
        (['"a", "b,c", "7"'], True),
        (['"\xfc"'], False),
        ([""], False),
        ([","], False),
    ],
)
def test_strong_comparison(if_match: list[str], goes_through: bool) -> None:
    """A list matches when one strong tag is the key's; weak tags never match, and `*` always does."""
    wanted = matching(if_match)
    assert wanted is not None
    assert wanted(VERSION) is goes_through


def test_no_condition() -> None:
    """Without the header there is no condition."""
    assert matching([]) is None


@pytest.mark.parametrize(
    "if_match",
    [
        ["7"],
        ["'7'"],
        ['"7'],
        ['7"'],
        ['"7" "8"'],
        ['"7";"8"'],
        ['w/"7"'],
        ['W/ "7"'],
        ["W/7"],
        ['*, "7"'],
        ["*", '"7"'],
        ["**"],
        ['"a b"'],
        ['"a\x7f"'],
        ['"7", 8'],
        ['"7"\n'],
        [" " * 30_000 + "x"],
        ["," * 30_000 + "x"],
        [" ," * 15_000 + "x"],
    ],
    ids=lambda if_match: repr(if_match)[:20],
)
def test_malformed(if_match: list[str]) -> None:
    """Anything else is refused, however long, and not echoed."""
    with pytest.raises(Refusal) as caught:
        matching(if_match)
    assert caught.value.code == "invalid_request"
