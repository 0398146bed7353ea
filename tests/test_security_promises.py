"""SECURITY.md promises nothing without a test."""

import re

import pytest

from tests.markdown import ROOT, read
from tests.source import names_of_tests

PROMISES = read("SECURITY.md")
NAMED = sorted(set(re.findall(r"`(tests/[^`]+)`", PROMISES)))
ROWS = re.findall(
    r"^\| (?P<promise>.+?) \| (?P<tests>.+) \|$", PROMISES.partition("## What we promise")[2], re.MULTILINE
)


@pytest.mark.parametrize("named", NAMED)
def test_named_tests_exist(named: str) -> None:
    """Every test that SECURITY.md names exists, under exactly that name, in a file that pytest collects."""
    file, _, name = named.partition("::")
    path = ROOT / file
    assert path.name.startswith("test_")
    assert path.is_file()
    assert name in names_of_tests(path)
    assert all(part.startswith("Test") for part in name.split("::")[:-1])


def test_every_promise_names_its_tests() -> None:
    """No row of promises stands without a test, and nothing else stands in the column of the tests."""
    promises = {promise: tests for promise, tests in ROWS if promise != "promise"}
    assert len(promises) > len(re.findall(r"^### ", PROMISES, re.MULTILINE))
    one = r"`tests/[\w/]+\.py::[\w:]+`"
    assert [promise for promise, tests in promises.items() if not re.fullmatch(rf"{one}(, {one})*", tests)] == []
