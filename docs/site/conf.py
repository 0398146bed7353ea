"""
How Sphinx makes a website of these pages: `make site`.

The source is the whole project, so that every link means what it means on GitHub. The pages and their order are those
of docs/README.md; a page that it does not list is a warning, and `make site` takes warnings for errors.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

project = "Keywright"
author = "The Keywright authors"
copyright = "the Keywright authors"  # noqa: A001 - Sphinx names it so
release = re.findall(r'^__version__ = "(.+)"$', (ROOT / "src/keywright/__init__.py").read_text(), re.MULTILINE)[0]

extensions = ["myst_parser"]
root_doc = "README"
include_patterns = [
    "*.md",
    "docs/**",
    "examples/README.md",
    "clients/*/README.md",
    "deploy/*/README.md",
    "bench/results/report.md",
]
exclude_patterns = [".*", "**/node_modules", "build", "dist", "src", "tests", "docs/site"]
# Anchors of headings, made as GitHub makes them.
myst_heading_anchors = 6
# Blocks in languages that the highlighter does not know, and JSON with an ellipsis.
suppress_warnings = ["misc.highlighting_failure"]

html_theme = "furo"
html_title = f"Keywright {release}"
html_show_sourcelink = False
html_copy_source = False
html_theme_options: dict[str, Any] = {"sidebar_hide_name": False}

# Pages that another page than docs/README.md lists.
_LISTED_ELSEWHERE = {
    "docs/decisions/README": ["[0-9]*"],
    "examples/README": ["/clients/*/README"],
}


def contents() -> Iterator[tuple[str, list[str]]]:
    """Give each section of docs/README.md: its heading, and its pages by their paths in the project without suffix."""
    text = (ROOT / "docs/README.md").read_text("utf-8")
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        heading, _, rest = section.partition("\n")
        links = re.findall(r"\]\(([^)#\s]+)\.md\)", rest)
        yield heading, [(ROOT / "docs" / link).resolve().relative_to(ROOT).as_posix() for link in links]


def tree(pages: list[str], *options: str) -> str:
    """Write a table of contents that only the navigation shows."""
    return "\n".join(["", "```{toctree}", ":hidden:", *options, "", *pages, "```", ""])


def add_contents(_app: Any, name: str, source: list[str]) -> None:
    """Add what the navigation shows to the pages that list others."""
    if name == root_doc:
        source[0] += tree(["/docs/README"])
        source[0] += "".join(tree([f"/{page}" for page in pages], f":caption: {it}") for it, pages in contents())
    elif name in _LISTED_ELSEWHERE:
        source[0] += tree(_LISTED_ELSEWHERE[name], ":glob:")


def finish(app: Any, error: Exception | None) -> None:
    """Copy the pictures, which stand in HTML that Sphinx does not read, and let the README be the first page."""
    if error is None:
        shutil.copytree(ROOT / "docs/images", Path(app.outdir) / "docs/images", dirs_exist_ok=True)
        shutil.copyfile(Path(app.outdir) / "README.html", Path(app.outdir) / "index.html")


def setup(app: Any) -> dict[str, bool]:
    """Connect the above."""
    app.connect("source-read", add_contents)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
