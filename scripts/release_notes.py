"""
Print what CHANGELOG.md says of this version, as the text of its release.

    python scripts/release_notes.py [TAG [FILES]]

The version is that of `src/keywright/__init__.py`. Ends with exit code 1 unless its section is the first one, dated and
not empty; with TAG, also unless that is `v` and this version. FILES is the address of the project's files: relative
links, which lead nowhere from the page of a release, then begin with it.
"""

import re
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

_VERSION = re.compile(r'^__version__ = "(\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?)"$', re.MULTILINE)
_HEADING = re.compile(r"^## (\S+)(?: — (\d{4}-\d{2}-\d{2}))?$", re.MULTILINE)
_LINK = re.compile(r"\]\((?![a-z]+:)")


class Unready(Exception):
    """The sources do not describe a release; the text says why."""


@dataclass(frozen=True)
class Section:
    """A section of the changelog: `0.2.0` or `Unreleased`, its day if it has one, and its text without the heading."""

    name: str
    date: date | None
    notes: str


def read_version(tree: Path) -> str:
    """
    Read the version of a source tree, such as `0.2.0` or `0.3.0rc1`.

    Raises:
        Unready: The package names none.
    """
    found = _VERSION.search((tree / "src" / "keywright" / "__init__.py").read_text("utf-8"))
    if found is None:
        raise Unready("src/keywright/__init__.py names no version such as 0.2.0")
    return found[1]


def read_sections(tree: Path) -> list[Section]:
    """
    Read the changelog of a source tree, the newest section first.

    Raises:
        Unready: It has no section, or a heading has no valid date.
    """
    text = (tree / "CHANGELOG.md").read_text("utf-8")
    headings = list(_HEADING.finditer(text))
    ends = [*(heading.start() for heading in headings[1:]), len(text)]
    if not headings or len(headings) != len(re.findall(r"^## ", text, re.MULTILINE)):
        raise Unready("CHANGELOG.md has a heading that is neither “## Unreleased” nor “## 0.2.0 — 2026-12-01”")
    try:
        dates = [date.fromisoformat(heading[2]) if heading[2] else None for heading in headings]
    except ValueError as error:
        raise Unready(f"CHANGELOG.md: {error}") from None
    return [
        Section(heading[1], day, text[heading.end() : end].strip())
        for heading, day, end in zip(headings, dates, ends, strict=True)
    ]


def notes(tree: Path, tag: str | None = None, files: str | None = None) -> str:
    """
    Give the text of the release of a source tree, with its relative links under the address *files*.

    Raises:
        Unready: The first section is another version's, has no date or no text, or *tag* is another version's.
    """
    version, newest = read_version(tree), read_sections(tree)[0]
    if tag is not None and tag != f"v{version}":
        raise Unready(f"the tag {tag} is not that of version {version}")
    if newest.name != version:
        raise Unready(f"the first section of CHANGELOG.md is {newest.name}, and the version of the package {version}")
    if newest.date is None or not newest.notes:
        raise Unready(f"the section {version} of CHANGELOG.md has no {'text' if newest.date else 'date'}")
    return newest.notes if files is None else _LINK.sub(f"]({files.rstrip('/')}/", newest.notes)


if __name__ == "__main__":
    try:
        print(notes(ROOT, *sys.argv[1:]))
    except Unready as unready:
        sys.exit(f"release: {unready}")
