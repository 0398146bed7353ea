"""The inventory of docs/security is whole: each table lists what the code has, and nothing else."""

import ast
import re

from tests.markdown import ROOT, bare, code, read, table
from tests.source import TREES, packages_imported

INVENTORY = "docs/security/inventory.md"
CRYPTOGRAPHY = {"cryptography", "hashlib", "hmac", "secrets", "ssl"}
LEVELS = ["secret", "personal", "internal", "public"]


def loggers_of(name: str, tree: ast.Module) -> set[str]:
    """Name the loggers that a module writes to."""
    constants = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    } | {"__name__": "keywright." + name.removesuffix(".py").replace("/", ".")}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args]
    named = [call.args[0] for call in calls if re.search(r"(getLogger|Log)$", ast.unparse(call.func))]
    found = {constants.get(ast.unparse(argument), getattr(argument, "value", None)) for argument in named}
    return {logger for logger in found if isinstance(logger, str) and logger.startswith("keywright.")}


def names(tree: ast.AST) -> set[str]:
    """Give the names and attributes in a module."""
    return {name for node in ast.walk(tree) if (name := getattr(node, "attr", getattr(node, "id", None))) is not None}


def test_every_use_of_cryptography() -> None:
    """Every module that uses cryptography, a hash, TLS or randomness is in the table, and no other."""
    listed = [name for *_, modules in table(read(INVENTORY), "for", "algorithm") for name in code(modules)]
    uses = {name for name, tree in TREES.items() if packages_imported(tree) & CRYPTOGRAPHY or "urandom" in names(tree)}
    assert sorted(set(listed)) == sorted(uses)


def test_every_table_has_a_level() -> None:
    """Every table of the newest schema has one of the four levels, and the levels are those with rules."""
    newest = max((ROOT / "tests" / "storage" / "catalogs").glob("*.sqlite.txt"))
    stored = set(re.findall(r"^table (\w+):", newest.read_text(), re.MULTILINE)) - {"sqlite_sequence"}
    levels = {bare(name): level for name, level, _ in table(read(INVENTORY), "table", "highest level")}
    assert set(levels) == stored
    assert set(levels.values()) <= set(LEVELS)
    assert [level for level, *_ in table(read(INVENTORY), "level", "what")] == LEVELS


def test_every_logger() -> None:
    """Every logger that the code writes to is in the table, and no other."""
    written = {logger for name, tree in TREES.items() for logger in loggers_of(name, tree)}
    assert [bare(name) for name, _ in table(read(INVENTORY), "logger", "lines")] == sorted(written)
