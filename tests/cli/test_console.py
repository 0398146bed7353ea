"""`keywright console export`: which files it writes, and that it replaces none without being told."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from keywright.cli.application import app
from tests.source import SOURCE

ELEMENT = SOURCE / "console" / "static" / "element"
FILES = {path.relative_to(ELEMENT): path.read_bytes() for path in ELEMENT.rglob("*") if path.is_file()}


def export(*words: str) -> Result:
    return CliRunner().invoke(app, ["console", "export", *words])


def written(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_all_files(tmp_path: Path) -> None:
    """The folder gets all files of the element, byte for byte, and the paths are printed, one a line."""
    folder = tmp_path / "a" / "b"
    result = export(str(folder))
    assert (result.exit_code, written(folder)) == (0, FILES)
    assert sorted(result.stdout.splitlines()) == sorted(str(folder / path) for path in FILES)
    assert f"{len(FILES)} written, 0 there." in result.stderr


def test_again(tmp_path: Path) -> None:
    """A second export writes nothing and succeeds."""
    export(str(tmp_path))
    result = export(str(tmp_path))
    assert (result.exit_code, result.stdout) == (0, "")
    assert f"0 written, {len(FILES)} there." in result.stderr


def test_a_file_that_differs(tmp_path: Path) -> None:
    """A file that somebody changed stops the export before anything is written; an option replaces it."""
    changed = tmp_path / "keywright-keys.js"
    changed.write_text("mine")
    result = export(str(tmp_path))
    assert (result.exit_code, result.stderr) == (1, f"{changed} exists and differs; --overwrite replaces it.\n")
    assert written(tmp_path) == {Path("keywright-keys.js"): b"mine"}
    assert export("--overwrite", str(tmp_path)).stdout.count("\n") == len(FILES)
    assert written(tmp_path) == FILES


def test_files_of_others_stay(tmp_path: Path) -> None:
    """Files of other names in the folder stay as they are."""
    (tmp_path / "README.md").write_text("mine")
    assert export(str(tmp_path)).exit_code == 0
    assert written(tmp_path) == {**FILES, Path("README.md"): b"mine"}


@pytest.mark.parametrize("below", ["", "vendor/"])
def test_a_place_that_cannot_be_written(tmp_path: Path, below: str) -> None:
    """A file where a folder should be ends the command with a sentence."""
    (tmp_path / "vendor").write_text("")
    result = export(str(tmp_path / "vendor" / "x") if below else str(tmp_path))
    assert result.exit_code == 1
    assert "vendor" in result.stderr
    assert "Traceback" not in result.stderr
