"""Rules of the files of the operator's page: what they may not contain, their imports, and their languages."""

import re
from pathlib import Path

import pytest

from tests.console.test_element_source import FORBIDDEN, STATIC, messages

CONSOLE = STATIC / "console"
OURS = sorted(CONSOLE.rglob("*.js"))
MOST_LINES = 400


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_what_the_files_may_not_contain(path: Path) -> None:
    """No markup from text, no code from text, no inline style or handler, no storage, no address of others."""
    # The page is the console's own, so it may change its address.
    assert [found for found in re.findall(FORBIDDEN, path.read_text()) if not found.startswith("history.")] == []
    assert len(path.read_text().splitlines()) <= MOST_LINES


def test_imports() -> None:
    """Every import names a file by a relative path, inside the two folders that are served together."""
    for path in OURS:
        for target in re.findall(r"(?:\bfrom|\bimport\() ?'([^', ]+)'[;),]", path.read_text()):
            assert target.startswith("."), (path, target)
            assert (path.parent / target).resolve().is_file(), (path, target)
            assert (path.parent / target).resolve().is_relative_to(STATIC), (path, target)


def test_every_message_that_is_used_is_there() -> None:
    """Each message named in the code has a text, of the operator's page or of the element."""
    code = "".join(path.read_text() for path in (CONSOLE / "operator").glob("*.js"))
    used = set(re.findall(r"\bt\('([\w.]+)'", code))
    own, element = messages("en", CONSOLE / "operator").keys(), messages("en").keys()
    assert used - own - element == set()
    # Some are named in pieces, such as `state.${state}`, and some replace words of the element.
    plain = {name for name in own - element if "." not in name}
    assert {name for name in plain if not re.search(rf"\b{name}\b", code)} == set()
