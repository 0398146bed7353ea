"""SECURITY.md promises nothing without a test."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROMISES = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[^`]+)`", PROMISES)))
ROWS = re.findall(
    r"^\| (?P<promise>.+?) \| (?P<tests>.+) \|$", PROMISES.partition("## What we promise")[2], re.MULTILINE
)


@cache
def names_in(path: Path) -> frozenset[str]:
    """Name the tests of a file as pytest does within it, without running any of it."""
    return frozenset(_tests_of(ast.parse(path.read_text(encoding="utf-8"))))


def _tests_of(scope: ast.Module | ast.ClassDef) -> set[str]:
    found: set[str] = set()
    for node in scope.body:
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            found |= {f"{node.name}::{name}" for name in _tests_of(node)}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            found.add(node.name)
    return found


@pytest.mark.parametrize("named", NAMED)
def test_named_tests_exist(named: str) -> None:
    """Every test that SECURITY.md names exists, under exactly that name, in a file that pytest collects."""
    file, _, name = named.partition("::")
    path = ROOT / file
    assert path.name.startswith("test_")
    assert path.is_file()
    assert name in names_in(path)


def test_every_promise_names_its_tests() -> None:
    """No row of promises stands without a test, and nothing else stands in the column of the tests."""
    promises = {promise: tests for promise, tests in ROWS if promise != "promise"}
    assert len(promises) > len(re.findall(r"^### ", PROMISES, re.MULTILINE))
    one = r"`tests/[\w/]+\.py::[\w:]+`"
    assert [promise for promise, tests in promises.items() if not re.fullmatch(rf"{one}(, {one})*", tests)] == []
