"""
Build the sdist and the wheel of this version, twice, and check what is in them.

    python scripts/dist.py [FOLDER]

writes both to FOLDER, `dist` unless named, which loses earlier ones, and prints their SHA-256. The wheel is built from
the sdist, as an installer does it. The second build is made from the first sdist, in another folder, with another umask
and time zone: it must have the same bytes. All times inside are the newest date in CHANGELOG.md, so an sdist alone is
enough to build the same files again.

Ends with exit code 1, and writes nothing, when git knows of uncommitted or unknown files, or when a check fails. Needs
hatchling and packaging, which hatchling brings.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from packaging.metadata import Metadata
from release_notes import Unready, read_sections, read_version

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "src/keywright"

# Of each kind that a wheel has beside modules, one file without which something fails only where it is installed.
NEEDED = (
    "keywright/py.typed",
    "keywright/rate_limiting/count.lua",
    "keywright/console/static/console/index.html",
    "keywright/console/static/docs/page.html",
    "keywright/console/static/element/keywright-keys.js",
    "keywright/console/static/element/vendor/lit-core.js",
)
LICENSES = ("LICENSE", "docs/vendor/LICENSE", "docs/vendor/NOTICE", "element/vendor/LICENSE")
PRIVATE = (".env", ".pem", ".key", ".db", ".db-wal", ".sqlite", ".pyc", ".coverage", ".keywright-dev", "__pycache__")
# What zip can write at the earliest, for a changelog without a date.
EARLIEST = date(1980, 1, 1)


class Refused(Exception):
    """The distribution must not be made as it is; the text says why."""


@dataclass(frozen=True)
class Release:
    """The version, and the day whose beginning, in UTC, is the time of every file."""

    version: str
    date: date


def main(folder: Path) -> None:
    """
    Build, compare, check, and write.

    Raises:
        Refused: Something is not as it must be.
    """
    dates = [section.date for section in read_sections(ROOT) if section.date]
    release = Release(read_version(ROOT), dates[0] if dates else EARLIEST)
    tracked = tracked_files(ROOT)
    with tempfile.TemporaryDirectory() as work:
        first = build(ROOT, Path(work) / "first", release)
        again = build(unpacked(first[0], Path(work) / "again"), Path(work) / "second", release, TZ="Asia/Kolkata")
        compare(first, again)
        sdist, wheel = first
        check_sdist(sdist, tracked, release)
        check_wheel(wheel, unpacked(sdist, Path(work) / "source"), release)
        folder.mkdir(parents=True, exist_ok=True)
        for old in [*folder.glob("keywright-*.tar.gz"), *folder.glob("keywright-*.whl")]:
            old.unlink()
        for built in first:
            shutil.copyfile(built, folder / built.name)
            print(f"{digest(built)}  {folder / built.name}")


def tracked_files(tree: Path) -> set[str] | None:
    """
    Give the paths of the committed files in *tree*; None where it is no repository of git, as an unpacked sdist.

    Raises:
        Refused: The folder and the last commit differ.
    """
    if not (tree / ".git").exists():
        return None
    changed = _git(tree, "status", "--porcelain", "--untracked-files=all")
    if changed:
        raise Refused(f"commit these first, or have git ignore them:\n{changed.rstrip()}")
    return set(_git(tree, "ls-files", "-z").split("\0")) - {""}


def build(tree: Path, folder: Path, release: Release, **variables: str) -> tuple[Path, Path]:
    """Build the sdist of *tree*, and the wheel of that sdist, into *folder*; give their paths."""
    sdist = _hatchling(tree, "sdist", folder, release, variables)
    source = unpacked(sdist, folder / "source")
    return sdist, _hatchling(source, "wheel", folder, release, variables)


def _hatchling(tree: Path, target: str, folder: Path, release: Release, variables: dict[str, str]) -> Path:
    midnight = datetime.combine(release.date, datetime.min.time(), UTC)
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(folder)]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(int(midnight.timestamp())), **variables}
    done = subprocess.run(  # noqa: S603 - our own command
        command,
        cwd=tree,
        env=environment,
        umask=0o077 if variables else 0o022,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise Refused(f"hatchling could not build the {target}:\n{done.stderr}")
    (built,) = folder.glob("*.whl" if target == "wheel" else "*.tar.gz")
    return built


def unpacked(sdist: Path, folder: Path) -> Path:
    """Unpack an sdist, and give the folder of its source."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    return folder / sdist.name.removesuffix(".tar.gz")


def compare(first: Iterable[Path], again: Iterable[Path]) -> None:
    """
    Compare two builds, file by file.

    Raises:
        Refused: A name or a byte differs.
    """
    for one, other in zip(first, again, strict=True):
        if one.name != other.name or digest(one) != digest(other):
            raise Refused(f"two builds differ: {one.name} {digest(one)} and {other.name} {digest(other)}")


def check_sdist(sdist: Path, tracked: set[str] | None, release: Release) -> None:
    """
    Check that an sdist has the committed files and its metadata, and nothing else.

    Raises:
        Refused: It has more, less, something private, or metadata that an index would refuse.
    """
    top = sdist.name.removesuffix(".tar.gz")
    with tarfile.open(sdist) as archive:
        members = archive.getmembers()
        odd = [each.name for each in members if not each.isfile() or not each.name.startswith(f"{top}/")]
        names = {each.name.removeprefix(f"{top}/") for each in members}
        metadata = archive.extractfile(f"{top}/PKG-INFO")
        check_metadata(metadata.read() if metadata else b"", release)
    _refuse("no plain files in", sdist, odd)
    _refuse("twice in", sdist, [top] if len(names) != len(members) else [])
    _refuse("private in", sdist, [name for name in names if _is_private(name)])
    if tracked is not None:
        _refuse("missing in", sdist, tracked - names)
        _refuse("not committed, and in", sdist, names - tracked - {"PKG-INFO"})


def check_wheel(wheel: Path, source: Path, release: Release) -> None:
    """
    Check that a wheel has the package of *source*, byte by byte, the licences and metadata, and nothing else.

    Raises:
        Refused: It has more, less, or metadata that an index would refuse.
    """
    own = f"keywright-{release.version}.dist-info/"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        package = {name for name in names if name.startswith("keywright/")}
        files = {
            path.relative_to(source / "src").as_posix(): path
            for path in (source / PACKAGE).rglob("*")
            if path.is_file()
        }
        differ = [name for name in package & files.keys() if archive.read(name) != files[name].read_bytes()]
        check_metadata(archive.read(f"{own}METADATA"), release)
    _refuse("missing in", wheel, files.keys() - package)
    _refuse("not in the source, and in", wheel, package - files.keys())
    _refuse("other bytes in", wheel, differ)
    _refuse("missing in", wheel, [name for name in NEEDED if name not in package])
    for engine in ("sqlite", "postgresql"):
        migrations = [name for name in package if f"/migrations/{engine}/" in name and name.endswith(".sql")]
        _refuse("missing in", wheel, [] if migrations else [f"the migrations of {engine}"])
    licenses = [name for name in names if name.startswith(f"{own}licenses/")]
    _refuse("missing in", wheel, [text for text in LICENSES if not any(name.endswith(text) for name in licenses)])
    described = {*licenses, *(f"{own}{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt"))}
    _refuse("unexpected in", wheel, set(names) - package - described)
    _refuse("twice in", wheel, {name for name in names if names.count(name) > 1})


def check_metadata(text: bytes, release: Release) -> None:
    """
    Check metadata as an index does that takes an upload.

    Raises:
        Refused: A field is invalid, or the version is another one.
    """
    try:
        metadata = Metadata.from_email(text, validate=True)
    except ExceptionGroup as errors:
        raise Refused("\n".join(str(error) for error in errors.exceptions)) from None
    if str(metadata.version) != release.version:
        raise Refused(f"the metadata has version {metadata.version}, the package {release.version}")
    if not metadata.description or metadata.description_content_type != "text/markdown":
        raise Refused("the metadata has no description in Markdown")


def digest(path: Path) -> str:
    """Give the SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _is_private(name: str) -> bool:
    return any(part == end or part.endswith(end) for part in name.split("/") for end in PRIVATE)


def _refuse(what: str, built: Path, names: Iterable[str]) -> None:
    found = sorted(names)
    if found:
        raise Refused(f"{what} {built.name}: {', '.join(found)}")


def _git(tree: Path, *words: str) -> str:
    command = ["git", "-C", str(tree), "-c", f"safe.directory={tree}", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603 - our own command


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1] if sys.argv[1:] else ROOT / "dist"))
    except (Refused, Unready) as refused:
        sys.exit(f"dist: {refused}")
