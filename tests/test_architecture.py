"""The rules of the house that import-linter cannot hold."""

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter
from http import HTTPStatus

import pytest

from tests.source import SOURCE, TREES

MODULES = [SOURCE / name for name in TREES]

# Who may see the text of a private key, and why.
REVEALERS = {
    "keys/pair.py": "computes its digest and compares it",
    "contract/codec.py": "writes it into the answer of a creation",
    "cli/keys/output.py": "prints it once to the person who created or rotated it",
    "dev/session.py": "gives the credential of the demo's verifier to the printed session and the file `env`",
    "cli/verifiers.py": "prints a verifier's credential once to the operator who made it",
}
SQL = re.compile(
    r"\b(SELECT\s.+\sFROM|INSERT\s+INTO|UPDATE\s.+\sSET|DELETE\s+FROM|CREATE\s+(TABLE|INDEX))\b", re.DOTALL
)
IMPURE = {"time", "os", "random", "secrets", "uuid_utils", "socket", "threading", "logging"}
# They read and write the text of an address, and open nothing.
PURE_ALL_THE_SAME = {"AF_INET", "AF_INET6", "inet_pton"}
WIRING = {"app.py", "console_wiring.py", "cross_origin.py", "agent/application.py", "agent/health.py"}
MOST_MODULES_IN_A_PACKAGE = 16
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 50
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}


def nodes(kind: type[ast.AST]) -> Iterator[tuple[str, ast.AST]]:
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, kind):
                yield name, node


def test_who_reveals_private_keys() -> None:
    """Only the listed files call the one method that gives the text of a private key."""
    callers = {
        name
        for name, node in nodes(ast.Attribute)
        if isinstance(node, ast.Attribute) and node.attr in ("reveal", "_text")
    }
    assert callers == set(REVEALERS)


def test_statuses_live_at_the_edge() -> None:
    """No room behind the edge speaks HTTP's language, and at the edge the statuses of errors stand in one table."""
    speakers = {
        name
        for name, node in nodes(ast.ImportFrom)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("fastapi", "starlette", "http")
    }
    assert {name for name in speakers if not name.startswith(("api/", "console/", "dev/", "cli/"))} <= WIRING
    errors = {status.value for status in HTTPStatus if status.value >= 400}
    tables = {
        name
        for name, node in nodes(ast.Call)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Problem"
        if isinstance(node.args[0], ast.Constant) and node.args[0].value in errors
    }
    assert tables == {"api/http/problems.py"}


def test_sql_lives_in_storage() -> None:
    """No statement stands outside the storage room."""
    found = {
        name
        for name, node in nodes(ast.Constant)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.search(node.value)
    }
    assert {name for name in found if not name.startswith("storage/")} == set()


def test_the_inner_rooms_are_pure() -> None:
    """Keys and use cases read no clock, environment or randomness of their own."""
    found = set()
    for name, tree in TREES.items():
        if not name.startswith(("keys/", "service/")):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found |= {(name, alias.name) for alias in node.names if alias.name.split(".")[0] in IMPURE}
            elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in IMPURE:
                if not {alias.name for alias in node.names} <= PURE_ALL_THE_SAME:
                    found.add((name, node.module or ""))
            elif isinstance(node, ast.Attribute) and node.attr in ("now", "utcnow", "today", "uuid4", "urandom"):
                found.add((name, node.attr))
    assert found == set()


def test_rooms_can_be_read_in_one_go() -> None:
    """No module and no function has grown past one reading."""
    long_modules = {path.name for path in MODULES if len(path.read_text().splitlines()) > MAX_MODULE_LINES}
    long_functions = {
        f"{name}:{node.name}"
        for name, node in nodes(ast.AST)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= MAX_FUNCTION_LINES
    }
    assert long_modules == set()
    assert long_functions == set()


def test_packages_can_be_read_at_a_glance() -> None:
    """No package has more than a screen of modules side by side."""
    found = Counter(name.rpartition("/")[0] for name in TREES if not name.endswith("__init__.py"))
    assert {package: modules for package, modules in found.items() if modules > MOST_MODULES_IN_A_PACKAGE} == {}


def test_no_import_circles() -> None:
    """No modules import each other in a circle, imports for type checkers and inside functions included."""
    # Fails with the circle.
    TopologicalSorter({name: imported(name) for name in TREES}).prepare()


def imported(name: str) -> set[str]:
    """Give the modules of ours that a module imports."""
    found: set[str] = set()
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "keywright":
            found |= {file_of(f"{node.module}.{alias.name}") or file_of(node.module or "") for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {file_of(alias.name) for alias in node.names if alias.name.split(".")[0] == "keywright"}
    return found - {""}


def file_of(module: str) -> str:
    """Give the file of a module, relative to the source; empty where there is none."""
    path = "/".join(module.split(".")[1:])
    return next((file for file in (f"{path}.py", f"{path}/__init__.py".lstrip("/")) if file in TREES), "")


def test_modules_are_named_for_what_they_hold() -> None:
    """No module is called after nothing in particular."""
    assert {path.stem for path in MODULES} & VAGUE_NAMES == set()


def test_public_names_are_documented() -> None:
    """Every module, and every public class and function, says what it is."""
    silent = {name for name, tree in TREES.items() if tree.body and not ast.get_docstring(tree)}
    for name, tree in TREES.items():
        for node in tree.body:
            named = isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            if named and not node.name.startswith("_") and not ast.get_docstring(node):
                silent.add(f"{name}:{node.name}")
    assert {entry for entry in silent if "migrations/" not in entry} == set()


@pytest.mark.parametrize(
    "module",
    [
        "keywright.client",
        "keywright.keys.pair",
        "keywright.service.checking.verification",
        "keywright.service.checking.usage",
        "keywright.service.checking.local_rate_limiter",
        "keywright.compact_jws",
    ],
)
def test_the_client_runs_on_the_bare_install(module: str) -> None:
    """What other people install imports nothing but its three dependencies and theirs."""
    probe = (
        f"import sys, {module}; "
        "server = {'fastapi', 'starlette', 'uvicorn', 'pydantic', 'asyncpg'}; "
        "print(sorted(server & {name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
