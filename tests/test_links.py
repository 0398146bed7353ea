"""Where a reader is sent: every link leads somewhere, and every page can be found."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlsplit

import pytest

from tests.markdown import PAGES, ROOT, anchors, links, name_of, prose

# Those of the root and of docs/, and all others that are kept beside what they describe.
EVERY_PAGE = sorted(
    {
        *PAGES,
        *(
            path
            for name in ("bench", "clients", "deploy", "examples", ".github")
            for path in (ROOT / name).rglob("*.md")
        ),
    }
)
EVERY_PAGE = [path for path in EVERY_PAGE if not {"node_modules", ".venv"} & set(path.parts)]
# Its place and name are what people look for; GitHub shows them by itself.
FOUND_BY_NAME = {"CHANGELOG.md"}


def targets(page: Path) -> list[str]:
    """Give where a page sends its reader: links, those by reference, and the addresses in its HTML."""
    text = page.read_text()
    plain = re.sub(r"`[^`\n]+`", "", prose(text))
    referred = re.findall(r"^\[[^\]]+\]:\s*(\S+)", plain, re.MULTILINE)
    return [*links(text), *referred, *re.findall(r'\b(?:href|src|srcset)="([^"\s]+)"', plain)]


@pytest.mark.parametrize("path", EVERY_PAGE, ids=name_of)
def test_links(path: Path) -> None:
    """
    A relative link leads to a file of the project, and to a heading that it has; any other one is `https`.

    Folders are no files: a website has no page of them.
    """
    broken = []
    for link in targets(path):
        if re.match(r"[a-z][a-z+.-]*:", link):
            address = urlsplit(link)
            if address.scheme not in ("https", "mailto") or not (address.hostname or address.path):
                broken.append(link)
            continue
        file, _, anchor = unquote(link).partition("#")
        target = (path.parent / file if file else path).resolve()
        there = target.is_relative_to(ROOT) and target.is_file()
        if not there or (anchor and anchor not in anchors(target.read_text())):
            broken.append(link)
    assert broken == []


def test_every_page_can_be_found() -> None:
    """Whoever begins at the README and follows links comes to every page of the root and of docs."""
    assert {name_of(path) for path in PAGES if path not in reached(ROOT / "README.md")} <= FOUND_BY_NAME


def reached(page: Path) -> set[Path]:
    """Give the pages to which links lead from *page*, in any number of steps."""
    found: set[Path] = set()
    ahead = {page}
    while ahead:
        here = ahead.pop()
        found.add(here)
        leading = {(here.parent / link.partition("#")[0]).resolve() for link in links(here.read_text())}
        ahead |= {target for target in leading if target.suffix == ".md" and target.is_file()} - found
    return found


# The list of all pages, and the website


@pytest.fixture(scope="module")
def site() -> ModuleType:
    """How Sphinx is told to make the website; no Sphinx is needed to read it."""
    spec = importlib.util.spec_from_file_location("site_configuration", ROOT / "docs" / "site" / "conf.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_list_of_pages(site: ModuleType) -> None:
    """docs/README.md lists every page that the website has, once; other lists have the decisions and the clients."""
    listed = [page for _, pages in site.contents() for page in pages]
    read = {path for pattern in site.include_patterns for path in ROOT.glob(pattern) if path.suffix == ".md"}
    elsewhere = {*ROOT.glob("docs/decisions/[0-9]*.md"), *ROOT.glob("clients/*/README.md")}
    pages = {name_of(path).removesuffix(".md") for path in {*PAGES, *read} - elsewhere}
    assert len(listed) == len(set(listed))
    assert pages - set(listed) == {"README", "docs/README"}
    assert set(listed) <= pages


def test_the_list_of_decisions() -> None:
    """docs/decisions/README.md lists every decision once, by its number and its title."""
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(r"^(\d+)\. \[(.+)\]\((.+)\)$", (folder / "README.md").read_text(), re.MULTILINE)
    assert [file for _, _, file in listed] == sorted(path.name for path in folder.glob("[0-9]*.md"))
    assert [int(number) for number, _, _ in listed] == [int(file[:4]) for _, _, file in listed]
    headings = [(folder / file).read_text().partition("\n")[0].removeprefix("# ") for _, _, file in listed]
    assert [title for _, title, _ in listed] == headings
