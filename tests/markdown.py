"""The project's Markdown pages, as the tests of the documentation read them."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")


def name_of(page: Path) -> str:
    """Give a page's path inside the project."""
    return page.relative_to(ROOT).as_posix()


def read(name: str) -> str:
    """Read a file of the project."""
    return (ROOT / name).read_text()


def blocks(text: str, language: str) -> list[str]:
    """Give the fenced blocks of *language*, which is empty for a block without one."""
    return [body for found, body in _BLOCK.findall(text) if found == language]


def prose(text: str) -> str:
    """Give *text* without its fenced blocks."""
    return _BLOCK.sub("", text)


def code(text: str) -> list[str]:
    """Give what is set as code within the prose."""
    found: list[str] = _CODE.findall(prose(text))
    return found


def links(text: str) -> list[str]:
    """Give where the links of a page lead."""
    found: list[str] = _LINK.findall(_CODE.sub("", prose(text)))
    return found


def anchors(text: str) -> set[str]:
    """Give the anchors of a page's headings, made as GitHub makes them."""
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} (.+)$", prose(text), re.MULTILINE):
        shown = re.sub(r"\[([^\]]*)\]\([^)\s]+\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", shown.strip().lower()).replace(" ", "-")
        again = sum(other == slug or re.fullmatch(rf"{re.escape(slug)}-\d+", other) is not None for other in found)
        found.add(f"{slug}-{again}" if again else slug)
    return found


def table(text: str, *headings: str) -> list[list[str]]:
    """
    Give the rows of the table that begins with *headings*, or of all such tables.

    Raises:
        AssertionError: There is none.
    """
    found = re.findall(r"(?:^\|.*\|$\n?)+", prose(text), re.MULTILINE)
    tables = [[_cells(line) for line in table.strip().splitlines()] for table in found]
    rows = [row for heads, _, *rows in tables if heads[: len(headings)] == list(headings) for row in rows]
    assert rows, f"there is no table of {headings}"
    return rows


def bare(cell: str) -> str:
    """Take the backticks off a cell that is one piece of code."""
    match = _CODE.fullmatch(cell)
    assert match is not None, f"{cell} is not set as code"
    return match[1]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
