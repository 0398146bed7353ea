"""What `custom-elements.json` and the types tell editors and compilers of the element is what its sources have."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.console.test_element_source import ELEMENT, OURS
from tests.markdown import ROOT, read
from tests.oidc_installation import NotObtainableError, install
from tests.provision import unavailable

TEXT = {path.name: path.read_text() for path in OURS}
SOURCES = "\n".join(TEXT.values())
CLASS = TEXT["keywright-keys.js"]
CONSTRUCTOR = CLASS[CLASS.index("constructor()") : CLASS.index("--- life")]
TYPES = (ELEMENT / "types.d.ts").read_text()
(MODULE,) = json.loads((ELEMENT / "custom-elements.json").read_text())["modules"]
(DECLARED,) = MODULE["declarations"]
COMPILE_SECONDS = 120


def names(kind: str) -> set[str]:
    return {one["name"] for one in DECLARED[kind]}


def members(kind: str) -> dict[str, Any]:
    return {one["name"]: one for one in DECLARED["members"] if one["kind"] == kind}


def properties() -> dict[str, str | None]:
    """Give the attribute of each reactive property of the class; None where it has none."""
    block = CLASS[CLASS.index("static properties = {") : CLASS.index("static styles")]
    found = {}
    for name, options in re.findall(r"^    (\w+): \{(.*)\},$", block, re.MULTILINE):
        own = re.search(r"attribute: '([^']+)'", options)
        found[name] = None if "attribute: false" in options else own[1] if own else name.lower()
    return found


def test_properties_and_attributes() -> None:
    """Every property of the class is described with its attribute, and no other."""
    assert {name: one.get("attribute") for name, one in members("field").items()} == properties()
    assert {one["name"]: one["fieldName"] for one in DECLARED["attributes"]} == {
        attribute: name for name, attribute in properties().items() if attribute
    }
    assert [name for name, one in members("field").items() if one.get("reflects")] == re.findall(
        r"^    (\w+): \{.*reflect: true.*\},$", CLASS, re.MULTILINE
    )


def test_defaults() -> None:
    """The described defaults are those that the constructor sets."""
    set_in_constructor = dict(re.findall(r"^    this\.(\w+) = (.+);$", CONSTRUCTOR, re.MULTILINE))
    for name, one in members("field").items():
        if name not in ("apiBase", "lang"):
            assert one["default"] == set_in_constructor[name], name


def test_methods() -> None:
    """The described methods are those under "what pages use" in the class."""
    section = CLASS[CLASS.index("--- what pages use") : CLASS.index("--- state")]
    assert set(members("method")) == set(re.findall(r"^  (?:async )?(\w+)\(.*\) \{$", section, re.MULTILINE))


def test_events() -> None:
    """Every event that is sent is described and typed, and no other."""
    sent = {f"keywright-{name}" for name in re.findall(r"\bemit\('([a-z-]+)'", SOURCES)}
    assert names("events") == sent
    assert set(re.findall(r"^  '(keywright-[a-z-]+)': CustomEvent", TYPES, re.MULTILINE)) == sent


def test_parts_slots_and_css_properties() -> None:
    """Every part, slot and custom property of the sources is described, and no other."""
    given = re.findall(r"""\bpart(?:=|: )["']([a-z- ]+)["']""", SOURCES)
    assert names("cssParts") == {name for value in given for name in value.split()}
    assert names("slots") == set(re.findall(r'<slot name="([a-z-]+)"', SOURCES))
    assert names("cssProperties") == set(re.findall(r"var\((--kw-[a-z-]+)", SOURCES))


def test_the_types_have_the_same_members() -> None:
    """The types have the properties and methods of the class, and no other."""
    fields = set(re.findall(r"^  (\w+): ", TYPES[TYPES.index("interface KeywrightAttributes") :], re.MULTILINE))
    methods = set(re.findall(r"^  (\w+)\(", TYPES, re.MULTILINE))
    assert fields == set(properties())
    assert methods - {"addEventListener"} == set(members("method"))


@pytest.mark.parametrize("kind", ["attributes", "events", "cssProperties", "cssParts", "slots"])
def test_the_page_for_readers_names_them_all(kind: str) -> None:
    """docs/embed/element.md names whatever is described."""
    page = read("docs/embed/element.md")
    named = {re.sub("^keywright(?=-)", "(keywright)?", name) for name in names(kind)}
    assert {name for name in named if not re.search(rf"[`\s,]{name}[`\s,]", page)} == set()


def test_the_types_compile(tmp_path: Path) -> None:
    """Pages in TypeScript, plain and with React 19, compile strictly, and each of their mistakes is found."""
    try:
        installed = install(source=ROOT / "tests" / "browser" / "npm", name="browser")
    except NotObtainableError as error:
        unavailable(error.what, error.command)
    for path in [*ELEMENT.glob("*.d.ts"), *(ROOT / "tests" / "browser" / "types").iterdir()]:
        shutil.copy(path, tmp_path)
    (tmp_path / "node_modules").symlink_to(installed.folder / "node_modules")
    options = "--noEmit --strict --target es2022 --module esnext --moduleResolution bundler --jsx react-jsx"
    command = [str(installed.node), "node_modules/typescript/bin/tsc", *options.split(), "page.ts", "page.tsx"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=COMPILE_SECONDS, check=False)
    assert (done.returncode, done.stdout) == (0, "")
