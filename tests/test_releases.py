"""A release: one version, a dated changelog, and distributions that anybody can build again."""

import hashlib
import importlib.util
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import pytest

from keywright import __version__
from tests.markdown import ROOT, read
from tests.provision import unavailable

PATIENCE_SECONDS = 120
# Files that have to repeat the version, and how: the first group is the version.
REPEATED: Mapping[str, str] = {
    "clients/js/package.json": r'^  "version": "(.+)"',
    "clients/js/package-lock.json": r'^ +"name": "keywright-client",\n +"version": "(.+)"',
    "clients/js/lib/service.js": r"^export const VERSION = '(.+)';",
    "clients/go/doc.go": r'^const Version = "(.+)"',
    "docs/**/*.md": r"\bkeywright[:-](\d+\.\d+\.\d+)\b",
    "deploy/**/Containerfile": r"^ARG VERSION=(.+)$",
    "deploy/**/Chart.yaml": r'^appVersion: "?([^"\s]+)"?$',
    "deploy/**/*.y*ml": r"\bkeywright:(\d+\.\d+\.\d+)\b",
}


def git(*words: str, folder: Path = ROOT) -> str:
    """Run git, or say that it is missing."""
    command = shutil.which("git") or unavailable("git", "apt-get install git")
    # In a container the folder may belong to another user, whom git trusts only when it is told to.
    settings = ("user.name=Tests", "user.email=tests@example.com", "commit.gpgsign=false", f"safe.directory={folder}")
    options = [option for setting in settings for option in ("-c", setting)]
    done = subprocess.run([command, "-C", folder, *options, *words], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The script of `make notes`."""
    spec = importlib.util.spec_from_file_location("release_notes", ROOT / "scripts" / "release_notes.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


# The version and the changelog


@pytest.mark.parametrize("pattern", REPEATED)
def test_the_version_is_repeated(pattern: str) -> None:
    """Every file that repeats the version has that of `keywright.__version__`."""
    found = {
        (path.relative_to(ROOT).as_posix(), version)
        for path in ROOT.glob(pattern)
        for version in re.findall(REPEATED[pattern], path.read_text(), re.MULTILINE)
    }
    assert {(name, version) for name, version in found if version != __version__} == set()
    assert found or pattern.startswith("deploy/")


def test_no_other_file_sets_it() -> None:
    """The metadata of the package takes the version from `keywright.__version__`."""
    assert 'dynamic = ["version"]' in read("pyproject.toml")
    assert 'path = "src/keywright/__init__.py"' in read("pyproject.toml")
    assert not re.search(r"^version =", read("pyproject.toml"), re.MULTILINE)


def test_the_changelog(script: ModuleType) -> None:
    """It begins with this version, dated, or with what is unreleased; below, days and versions only fall."""
    first, *others = script.read_sections(ROOT)
    versions = [section.name for section in (first, *others) if section.name != "Unreleased"]
    assert versions[0] == __version__
    assert first.name == "Unreleased" or first.date
    assert all(section.date and section.notes for section in others)
    numbers = [tuple(map(int, re.findall(r"\d+", version))) for version in versions]
    days = [section.date for section in (first, *others) if section.date]
    assert numbers == sorted(set(numbers), reverse=True)
    assert days == sorted(days, reverse=True)
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    for section in (first, *others):
        found = re.findall(r"^### (.+)$", section.notes, re.MULTILINE)
        assert len(found) == len(set(found))
        assert set(found) <= kinds


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A source tree of version 1.2.0, with a changelog that is ready for its release."""
    (tmp_path / "src" / "keywright").mkdir(parents=True)
    (tmp_path / "src" / "keywright" / "__init__.py").write_text('__version__ = "1.2.0"\n')
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## 1.2.0 — 2026-12-01\n\n- New.\n\n## 1.1.0 — 2026-11-01\n")
    return tmp_path


def test_the_notes_of_a_release(script: ModuleType, tree: Path) -> None:
    """They are the section of the version, without the heading and the versions before."""
    assert script.notes(tree, "v1.2.0") == script.notes(tree) == "- New."


def test_links_in_the_notes(script: ModuleType, tree: Path) -> None:
    """Relative links lead to the project's files, also from the page of a release; others stay as they are."""
    links = "[a](docs/a.md#b) [b](https://example.com/b)"
    (tree / "CHANGELOG.md").write_text(f"# Changelog\n\n## 1.2.0 — 2026-12-01\n\n{links}\n")
    told = script.notes(tree, "v1.2.0", "https://git.example/acme/keywright/blob/v1.2.0")
    assert told == f"[a](https://git.example/acme/keywright/blob/v1.2.0/docs/a.md#b) {links.split()[1]}"


@pytest.mark.parametrize(
    ("changelog", "tag", "reason"),
    [
        ("## Unreleased\n\n- New.\n", None, "the first section of CHANGELOG.md is Unreleased"),
        ("## 1.1.0 — 2026-12-01\n\n- New.\n", None, "is 1.1.0, and the version of the package 1.2.0"),
        ("## 1.2.0\n\n- New.\n", None, "has no date"),
        ("## 1.2.0 — 2026-12-01\n", None, "has no text"),
        ("## 1.2.0 — 2026-02-30\n\n- New.\n", None, "day"),
        ("## 1.2.0 - 2026-12-01\n\n- New.\n", None, "a heading that is neither"),
        ("", None, "a heading that is neither"),
        ("## 1.2.0 — 2026-12-01\n\n- New.\n", "v1.2.1", "the tag v1.2.1 is not that of version 1.2.0"),
        ("## 1.2.0 — 2026-12-01\n\n- New.\n", "1.2.0", "the tag 1.2.0 is not that of version 1.2.0"),
    ],
)
def test_not_ready_for_a_release(script: ModuleType, tree: Path, changelog: str, tag: str | None, reason: str) -> None:
    """A tag of another version, and a changelog that does not describe this one, are refused with the reason."""
    (tree / "CHANGELOG.md").write_text(f"# Changelog\n\n{changelog}")
    with pytest.raises(script.Unready, match=re.escape(reason)):
        script.notes(tree, tag)


# The sdist and the wheel


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the project that git does not ignore, committed in a repository of their own."""
    copy = tmp_path_factory.mktemp("release") / "checkout"
    for name in git("ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0"):
        if name and (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    git("init", "--quiet", folder=copy)
    git("add", "--all", folder=copy)
    git("commit", "--quiet", "--message", "all", folder=copy)
    return copy


def dist(checkout: Path, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run the script of `make dist`."""
    command = [sys.executable, checkout / "scripts" / "dist.py", folder]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS)


@pytest.fixture(scope="module")
def built(committed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the sdist and the wheel of `make dist`."""
    folder = tmp_path_factory.mktemp("dist")
    (folder / "keywright-0.0.1-py3-none-any.whl").touch()
    done = dist(committed, folder)
    assert (done.returncode, done.stderr) == (0, "")
    listed = dict(line.split()[::-1] for line in done.stdout.splitlines())
    assert {path: hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in listed} == listed
    return folder


def test_what_is_built(built: Path) -> None:
    """Both files of this version are there, and those of an earlier build are gone."""
    names = {path.name for path in built.iterdir()}
    assert names == {f"keywright-{__version__}.tar.gz", f"keywright-{__version__}-py3-none-any.whl"}


def test_the_sdist(built: Path, committed: Path) -> None:
    """The sdist has every committed file and its metadata, and nothing else."""
    top = f"keywright-{__version__}"
    with tarfile.open(built / f"{top}.tar.gz") as archive:
        names = {name.removeprefix(f"{top}/") for name in archive.getnames()}
    assert names == set(git("ls-files", "-z", folder=committed).split("\0")) - {""} | {"PKG-INFO"}


def test_the_wheel(built: Path, committed: Path) -> None:
    """The wheel has the package as it was committed, byte by byte, and the licence of everything in it."""
    package = committed / "src"
    with zipfile.ZipFile(built / f"keywright-{__version__}-py3-none-any.whl") as wheel:
        own = {name for name in wheel.namelist() if name.startswith("keywright/")}
        assert own == {path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file()}
        assert all(wheel.read(name) == (package / name).read_bytes() for name in own)
        licenses = [wheel.read(name).decode() for name in wheel.namelist() if "/licenses/" in name]
    for words in ("Apache License", "BSD 3-Clause License", "The MIT License", "SmartBear Software"):
        assert any(words in text for text in licenses)


def test_built_again_from_the_sdist(built: Path, tmp_path: Path) -> None:
    """Whoever has the sdist alone, without git, builds the same two files from it."""
    with tarfile.open(built / f"keywright-{__version__}.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    again = tmp_path / "dist"
    assert dist(tmp_path / f"keywright-{__version__}", again).returncode == 0
    for path in built.iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", ["notes.txt", "src/keywright/secrets.py"])
def test_a_file_that_is_not_committed(committed: Path, tmp_path: Path, name: str) -> None:
    """A file that git neither has nor ignores is named, and nothing is built."""
    (committed / name).write_text("private\n")
    try:
        done = dist(committed, tmp_path / "dist")
    finally:
        (committed / name).unlink()
    assert done.returncode == 1
    assert name in done.stderr
    assert not (tmp_path / "dist").exists()
