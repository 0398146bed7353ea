"""ARCHITECTURE.md walks two requests through the files that they really pass, and few of them."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.live import clean_environment
from tests.markdown import ROOT, read

SOURCE = ROOT / "src" / "keywright"
# How many modules a request may pass, from its first byte to its last.
MOST = {"create": 33, "verify, not yet cached": 20, "verify, cached": 10, "verify, refused": 24}


@pytest.fixture(scope="module")
def passed() -> dict[str, set[str]]:
    """The modules that each kind of request passes."""
    command = [sys.executable, str(ROOT / "scripts" / "trace_request.py"), "--json"]
    done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {kind: set(modules) for kind, modules in json.loads(done.stdout).items()}


def walk(heading: str) -> set[str]:
    """Give the files that a section of ARCHITECTURE.md names."""
    section = read("ARCHITECTURE.md").split(f"## {heading}\n")[1].split("\n## ")[0]
    return set(re.findall(r"`([\w/]+\.py)`", section))


def test_a_creation(passed: dict[str, set[str]]) -> None:
    """Every file that the walk of a creation names is passed by one."""
    named = walk("A creation, file by file")
    assert len(named) > 10
    assert named - passed["create"] == set()


def test_a_verification(passed: dict[str, set[str]]) -> None:
    """Every file that the walk of a verification names is passed by one: of a cached key, a new or a refused one."""
    named = walk("A verification, file by file")
    assert len(named) > 10
    assert named - passed["verify, not yet cached"] - passed["verify, cached"] - passed["verify, refused"] == set()


def test_named_files_exist() -> None:
    """Every file that ARCHITECTURE.md names exists."""
    named = set(re.findall(r"`([\w/]+/[\w/]+\.py)`", read("ARCHITECTURE.md")))
    assert {name for name in named if not any((base / name).exists() for base in (SOURCE, Path(ROOT)))} == set()


@pytest.mark.parametrize("kind", MOST)
def test_a_request_passes_few_modules(kind: str, passed: dict[str, set[str]]) -> None:
    """A request passes no more modules than a reader can follow."""
    assert len(passed[kind]) <= MOST[kind], sorted(passed[kind])
