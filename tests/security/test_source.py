"""The source uses nothing that runs its input, reads objects from it, or makes numbers that can be guessed."""

import ast
from collections.abc import Iterator

from tests.source import TREES, packages_imported

# They run text as code or as a command, or make any object that their input names.
RUNS_ITS_INPUT = {"code", "dill", "jinja2", "marshal", "pickle", "plistlib", "shelve", "subprocess", "xml", "yaml"}
# Its numbers follow from a few hundred others.
CAN_BE_GUESSED = {"random"}
ALLOWED = {("cli/server/workers.py", "pickle")}
"""A worker's answers to its supervisor, over a pipe between the two that uvicorn makes."""
FORMATTED = {("api/openapi.py", "_REFERENCE"), ("dev/session.py", "_SESSION"), ("dev/sign_in.py", "_PAGE")}
CALLS = {"eval", "exec", "os.system", "os.popen", "hashlib.md5", "hashlib.sha1", "ssl._create_unverified_context"}


def calls(tree: ast.AST) -> Iterator[str]:
    """Name what is called in a tree, as it is written."""
    yield from (ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call))


def test_nothing_runs_its_input() -> None:
    """No module imports what runs or unpickles text, or a random generator that can be guessed."""
    refused = RUNS_ITS_INPUT | CAN_BE_GUESSED
    found = {(name, package) for name, tree in TREES.items() for package in packages_imported(tree) & refused}
    assert found == ALLOWED


def test_no_dangerous_call() -> None:
    """No module evaluates text, runs a command, uses a broken hash for security, or switches TLS checks off."""
    found = {(name, call) for name, tree in TREES.items() for call in calls(tree) if call in CALLS}
    assert found == {("rate_limiting/script.py", "hashlib.sha1")}
    switched_off = [
        (name, node.arg)
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword) and node.arg == "verify"
        if isinstance(node.value, ast.Constant) and node.value.value is False
    ]
    assert switched_off == []


def test_no_pattern_is_made_of_input() -> None:
    """Every regular expression is a constant, or is compiled while its module is imported."""
    made = [
        (name, ast.unparse(node))
        for name, tree in TREES.items()
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("re.")
        if not isinstance(node.args[0], ast.Constant)
    ]
    assert made == []


def test_format_strings_are_ours() -> None:
    """`str.format` fills constants of the OpenAPI document and of `keywright dev`, and SQL of `storage`; no input."""
    formatted = {
        (name, call.removesuffix(".format"))
        for name, tree in TREES.items()
        for call in calls(tree)
        if call.endswith(".format") and not name.startswith("storage/")
    }
    assert formatted == FORMATTED
