"""What the tests need and a machine may lack is named aloud, with the command that provides it."""

import os
from typing import NoReturn

import pytest


def unavailable(what: str, command: str) -> NoReturn:
    """
    Skip the test that needs *what*; where `CI` is `true`, fail it, so that no run there is green by leaving things out.

    Args:
        what: What is missing, and why where that is known.
        command: What to type in order to have it.
    """
    reason = f"{what} is not available here; provide it with: {command}"
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
