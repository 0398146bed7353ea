"""The audit of the locked packages, and the software bill of materials, as `make audit` and `make sbom` run them."""

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.markdown import ROOT

LOCKED = "one==1.0 \\\n    --hash=sha256:" + "0" * 64 + "\n"
SOUND: Mapping[str, Any] = {"name": "one", "version": "1.0", "vulns": []}
FLAWED: Mapping[str, Any] = {**SOUND, "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"]}]}
SKIPPED: Mapping[str, Any] = {"name": "one", "skip_reason": "not found"}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The script of `make audit`."""
    spec = importlib.util.spec_from_file_location("dependency_audit", ROOT / "scripts" / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(
    script: ModuleType,
    folder: Path,
    *,
    found: Mapping[str, Sequence[Any]] | None = None,
    available: Sequence[str] = (),
    ci: bool = True,
) -> int:
    lock = folder / "requirements.txt"
    lock.write_text(LOCKED)
    code: int = script.main(
        lock,
        lambda _, database: (found or {}).get(database, [SKIPPED]),
        lambda database: database in available,
        {"CI": "true"} if ci else {},
    )
    return code


@pytest.mark.parametrize("database", ["pypi", "osv"])
def test_what_is_looked_up_is_judged(
    script: ModuleType, tmp_path: Path, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A known vulnerability fails the audit, by whichever database answers; none passes it."""
    assert run(script, tmp_path, found={database: [SOUND]}) == 0
    assert run(script, tmp_path, found={database: [FLAWED, SKIPPED]}) == 1
    printed = capsys.readouterr().out
    assert "one 1.0: PYSEC-1" in printed
    assert "SKIPPED 1 packages" in printed


@pytest.mark.parametrize("available", [("pypi",), ("osv",), ("pypi", "osv")])
def test_nothing_was_looked_up_though_a_database_answers(
    script: ModuleType, tmp_path: Path, available: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """In continuous integration that reaches advisories, an audit that looked nothing up fails; elsewhere it warns."""
    assert run(script, tmp_path, available=available) == 1
    assert run(script, tmp_path, found={"pypi": [], "osv": []}, available=available) == 1
    assert "FAILED, nothing was looked up" in capsys.readouterr().out
    assert run(script, tmp_path, available=available, ci=False) == 0
    assert "NOTHING WAS LOOKED UP" in capsys.readouterr().out


def test_no_database_answers(script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where no advisory database answers, the audit says so in lines that stand out, and passes."""
    assert run(script, tmp_path) == 0
    assert "NOTHING WAS LOOKED UP" in capsys.readouterr().out


def test_a_package_without_a_hash(script: ModuleType, tmp_path: Path) -> None:
    """A locked package without a hash fails the audit before anything is looked up."""
    (tmp_path / "lock.txt").write_text("one==1.0\n")
    assert script.main(tmp_path / "lock.txt", None, None, {}) == 1


def test_the_bill_of_materials(tmp_path: Path) -> None:
    """The bill names every locked package with its version and hashes, and is the same for the same lock."""
    lock = ROOT / "requirements" / "server.txt"
    bills = []
    for name in ("a.json", "b.json"):
        subprocess.run([sys.executable, ROOT / "scripts" / "sbom.py", lock, tmp_path / name], check=True, text=True)
        bills.append((tmp_path / name).read_bytes())
    assert bills[0] == bills[1]
    bill = json.loads(bills[0])
    assert (bill["bomFormat"], bill["specVersion"], bill["metadata"]["component"]["name"]) == (
        "CycloneDX",
        "1.6",
        "keywright",
    )
    locked = re.findall(r"^([\w.-]+)==(\S+)", lock.read_text(), re.MULTILINE)
    assert sorted((part["name"], part["version"]) for part in bill["components"]) == sorted(locked)
    hashes = [each["content"] for part in bill["components"] for each in part["hashes"]]
    assert sorted(hashes) == sorted(re.findall("sha256:([0-9a-f]{64})", lock.read_text()))
    assert all(part["purl"] == f"pkg:pypi/{part['name']}@{part['version']}" for part in bill["components"])
