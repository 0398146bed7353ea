"""The table of cases and the files that it names."""

import ast
import re
from pathlib import Path

import pytest

from bench.__main__ import SECTIONS
from bench.cases import CASES
from bench.clients import CLIENTS
from bench.peers.installing import CONTESTANTS
from tests.markdown import ROOT

BENCH = ROOT / "bench"
TRAFFIC = BENCH / "traffic"
# Not a case's own: what all share, what fills a database, and what peers are sent.
OTHERS = {"common", "fill", "revoke", "requests"}


def test_every_case_has_its_script_and_every_script_its_case() -> None:
    """Nothing in bench/traffic and bench/clients is left over, and nothing is missing."""
    named = {case.script for case in CASES if case.script}
    assert named | OTHERS == {path.stem for path in TRAFFIC.glob("*.lua")} | CLIENTS.keys()
    assert set(CLIENTS.values()) == {path.name for path in (BENCH / "clients").glob("with_*")}


def test_every_option_is_known() -> None:
    """What a case asks of its script is read there."""
    read = "".join(path.read_text() for path in TRAFFIC.glob("*.lua"))
    for case in CASES:
        assert all(f'"BENCH_{name}"' in read for name in case.options)


def test_every_other_case_has_its_section() -> None:
    """A case that sends no script has a section of its own, and every section has its case."""
    assert [case.name for case in CASES if not case.script] == list(SECTIONS)


def test_repeated_traffic_is_named_so_and_comes_last() -> None:
    """The headline is varied traffic; the best case is the last row over HTTP, and is named so."""
    http = [case for case in CASES if case.script]
    assert next(case for case in http if case.warm).name == "verify"
    assert http[-1].script == "verify_repeated"
    assert "best case" in http[-1].title
    assert all("repeated" in case.title for case in http if "repeated" in case.script)


def test_names_are_unique() -> None:
    """`--only` means one case."""
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("path", sorted(BENCH.rglob("*.py")), ids=lambda path: path.name)
def test_only_the_public_surface(path: Path) -> None:
    """The benchmark drives any tree: it imports no tests, and the SDK in one file alone, by its public name."""
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module or "")
    ours = {name for name in imported if re.match(r"(keywright|tests)\b", name)}
    assert ours == ({"keywright.client"} if path.name == "in_tree.py" else set())


def test_every_peer_is_there() -> None:
    """Every peer has its program, and no lock of the project knows it."""
    locks = "".join(path.read_text() for path in (ROOT / "requirements").glob("*.txt"))
    for contestant in CONTESTANTS:
        assert (BENCH / "peers" / contestant.program).exists()
        name = contestant.requirements[0].rpartition("=")[0].rstrip("=").partition("[")[0]
        assert f"\n{name}==" not in locks
