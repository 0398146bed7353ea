"""The faults and their codes."""

import pytest

from keywright.service import faults


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (faults.InvalidToken("The token has expired"), "invalid_token"),
        (faults.OrganizationRequired(), "organization_required"),
        (faults.PermissionMissing("create:api_keys"), "insufficient_permission"),
        (faults.SessionRequired(), "session_required"),
        (faults.ForeignRequest("There is an Authorization header."), "foreign_request"),
        (faults.SignInRefused("The issuer refused the code."), "sign_in_refused"),
        (faults.AuthUnavailable("no keys"), "auth_unavailable"),
        (faults.StorageUnavailable("away", retry_after=3), "storage_unavailable"),
    ],
)
def test_codes_are_stable(fault: faults.Fault, code: str) -> None:
    """Programs rely on these words; they do not change."""
    assert fault.code == code


def test_our_own_trouble_says_when_to_try_again() -> None:
    """Every fault of ours carries a number of seconds for `Retry-After`."""
    assert faults.AuthUnavailable("no keys").retry_after == 1
    assert faults.StorageUnavailable("away", retry_after=3).retry_after == 3


@pytest.mark.parametrize("kind", [faults.InvalidToken, faults.ForeignRequest, faults.SignInRefused])
def test_the_log_says_why(kind: type[faults.InvalidToken | faults.ForeignRequest | faults.SignInRefused]) -> None:
    """The reason of a refusal is kept for the log, as it was given."""
    assert kind("A sentence.").reason == "A sentence."
