"""Refusals of use cases, as the edge answers them."""

from typing import get_args

import pytest

from keywright.api.http.problems import PROBLEMS, refusal_of
from keywright.contract.errors import FieldError
from keywright.service.management.refusals import Flaw, RefusalCode, Refused

CODES: tuple[RefusalCode, ...] = get_args(RefusalCode)


@pytest.mark.parametrize("code", CODES)
def test_every_code_is_in_the_table(code: RefusalCode) -> None:
    """Whatever a use case refuses has a status for callers, and is never a success or our own trouble."""
    assert 400 <= PROBLEMS[refusal_of(Refused(code)).code].status < 500


def test_flaws() -> None:
    """A flaw that a use case found is answered like one of the body: location, sentence and stable word."""
    flaws = (Flaw("scopes", "There is no such scope.", "scope_unknown", (1,)), Flaw("expires_at", "Too late.", "late"))
    assert list(refusal_of(Refused("validation_failed", flaws)).errors) == [
        FieldError(("body", "scopes", 1), "There is no such scope.", "scope_unknown"),
        FieldError(("body", "expires_at"), "Too late.", "late"),
    ]


def test_when_to_try_again() -> None:
    """Only a refusal that may soon succeed unchanged has a Retry-After."""
    told = {code for code in CODES if "Retry-After" in refusal_of(Refused(code)).headers}
    assert told == {"idempotency_key_in_use", "changed_meanwhile"}
