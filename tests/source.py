"""The project's Python files as trees, for tests that read code without running it."""

import ast
from functools import cache
from pathlib import Path

from tests.markdown import ROOT

SOURCE = ROOT / "src" / "keywright"
TREES = {path.relative_to(SOURCE).as_posix(): ast.parse(path.read_text()) for path in sorted(SOURCE.rglob("*.py"))}
"""The modules of the package, each by its path in the package."""


def packages_imported(tree: ast.AST) -> set[str]:
    """Name the top packages that a module imports."""
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level]
    return {name.split(".")[0] for name in names}


@cache
def names_of_tests(path: Path) -> frozenset[str]:
    """Name the tests of a file, those of a class as `Class::test`; none where there is no file."""
    return frozenset(_tests_of(ast.parse(path.read_text(encoding="utf-8")))) if path.is_file() else frozenset()


def _tests_of(scope: ast.Module | ast.ClassDef) -> set[str]:
    found: set[str] = set()
    for node in scope.body:
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{name}" for name in _tests_of(node)}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            found.add(node.name)
    return found
