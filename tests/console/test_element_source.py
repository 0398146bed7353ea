"""Rules of the element's own files: what they may not contain, their languages, and where they come from."""

import importlib.util
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from tests.markdown import ROOT
from tests.oidc_installation import NotObtainableError, install
from tests.provision import unavailable
from tests.source import SOURCE

STATIC = SOURCE / "console" / "static"
ELEMENT = STATIC / "element"
OURS = sorted(path for path in ELEMENT.rglob("*.js") if "vendor" not in path.parts)
FORBIDDEN = (
    "unsafeHTML|unsafeSVG|innerHTML|outerHTML|insertAdjacentHTML|document\\.write|\\beval\\(|new Function|"
    "localStorage|sessionStorage|indexedDB|document\\.cookie|\\bstyle=|\\bon\\w+=[\"'$]|href=[\"']#|\\bhistory\\.\\w+(?:State|\\()|https?://(?!…)"
)
MESSAGE = re.compile(r"^  (?:'([^']+)'|(\w+)): (.+),$", re.MULTILINE)
INSTALL_SECONDS = 240


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_what_the_files_may_not_contain(path: Path) -> None:
    """No markup from text, no code from text, no inline style or handler, no storage, no address of others."""
    assert re.findall(FORBIDDEN, path.read_text()) == []


def test_no_reactive_property_is_a_class_field() -> None:
    """The class has no fields: a field would hide the accessor that Lit made for the property."""
    text = (ELEMENT / "keywright-keys.js").read_text()
    body = text[text.index("class KeywrightKeys") :]
    assert re.findall(r"^  (?!static )\w+ = ", body, re.MULTILINE) == []


def test_modules_import_each_other_by_relative_paths() -> None:
    """Every import names a file beside it, so that a page stays with one version."""
    for path in OURS:
        for target in re.findall(r"(?:\bfrom|\bimport\() ?'([^', ]+)'[;)]", path.read_text()):
            assert target.startswith("./") or path.parent.name == "messages", (path, target)
            assert (path.parent / target).is_file(), (path, target)


def test_the_console_fetches_all_first_files_at_once() -> None:
    """The page of the console names every file that the element imports at once, and no other."""
    first, found = ["keywright-keys.js"], set()
    while first:
        name = first.pop()
        found.add(name)
        targets = re.findall(r"^import .*from '(.+)';$", (ELEMENT / name).read_text(), re.MULTILINE)
        first += [(ELEMENT / name).parent.joinpath(each).resolve().relative_to(ELEMENT).as_posix() for each in targets]
    page = (STATIC / "console" / "index.html").read_text()
    assert set(re.findall(r'<link rel="modulepreload".* href="\{element\}/(.+)">', page)) == found


def messages(language: str, folder: Path = ELEMENT) -> dict[str, str]:
    text = (folder / "messages" / f"{language}.js").read_text()
    return {quoted or bare: value for quoted, bare, value in MESSAGE.findall(text)}


@pytest.mark.parametrize("folder", [ELEMENT, STATIC / "console" / "operator"], ids=lambda folder: folder.name)
def test_every_language_has_every_message(folder: Path) -> None:
    """Both languages have the same messages with the same placeholders and plural forms."""
    english, german = messages("en", folder), messages("de", folder)
    assert english.keys() == german.keys()
    for name, text in english.items():
        assert sorted(set(re.findall(r"\{\w+\}|\w+(?=: ')", text))) == sorted(
            set(re.findall(r"\{\w+\}|\w+(?=: ')", german[name]))
        ), name


def test_every_message_that_is_used_is_there() -> None:
    """Each message named in the code has a text."""
    used = {name for path in OURS for name in re.findall(r"\bt\('([\w.]+)'", path.read_text())}
    assert used - messages("en").keys() == set()


# Names that are put together of a word and a value.
FAMILIES = re.compile(r"(state|error|refused|reason|event\.api_key|event\.audit_log)\.\w+|(revoke|disable|delete)Title")
# The words of tools that record sessions: whoever finds them records no text.
OF_OTHERS = {"ph-no-capture", "fs-exclude"}
SOURCES = "\n".join(path.read_text() for path in OURS if path.parent == ELEMENT)
STYLES = "\n".join(re.findall(r"css`(.*?)`;", SOURCES, re.DOTALL))
MARKUP = re.sub(r"css`.*?`;|^ *//.*?$|/\*\*.*?\*/", "", SOURCES, flags=re.DOTALL | re.MULTILINE)


def test_every_message_that_is_there_is_used() -> None:
    """No language has a text that nobody is shown."""
    named = set(re.findall(r"['`]([\w.]+)['`]|^  (\w+): \(\) => import", MARKUP, re.MULTILINE))
    named = {one or other for one, other in named}
    assert [name for name in messages("en") if name not in named and not FAMILIES.fullmatch(name)] == []


def test_every_style_is_used() -> None:
    """Each class and each variable of the styles is used, and each class of the markup has a style."""
    selectors = re.sub(r"\{[^{}]*\}", " ", STYLES)
    styled = set(re.findall(r"\.([a-z][\w-]*)", selectors))
    states = {f"state-{name.removeprefix('state.')}" for name in messages("en") if name.startswith("state.")}
    assert {name for name in styled - states if not re.search(rf"(?<![\w-]){name}(?![\w-])", MARKUP)} == set()
    attributes = re.findall(r'class="([^"]*)"', MARKUP)
    given = {word for value in attributes for word in re.sub(r"\S*\$\{.*?\}", " ", value).split()}
    assert given - styled - OF_OTHERS == set()
    variables = set(re.findall(r"(--_[\w-]+):", STYLES))
    assert {name for name in variables if f"var({name}" not in STYLES} == set()


def test_every_export_is_imported() -> None:
    """No file exports what nobody imports; `open`, `view`, `changed` and `sync` are called as members of a module."""
    exported = set(re.findall(r"^export (?:const|class) (\w+)", SOURCES, re.MULTILINE))
    pages = "\n".join(path.read_text() for path in (STATIC / "console").rglob("*.js"))
    lists = re.findall(r"^import \{ (.*) \}", f"{SOURCES}\n{pages}", re.MULTILINE)
    imported = {name for names in lists for name in names.split(", ")}
    assert exported - imported == {"open", "view", "changed", "sync"}


@pytest.fixture(scope="module")
def vendoring() -> ModuleType:
    """The script that wrote the vendored file."""
    spec = importlib.util.spec_from_file_location("vendor_lit", ROOT / "scripts" / "vendor_lit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_is_vendored_is_what_was_published(vendoring: ModuleType) -> None:
    """The script makes the vendored files, byte for byte, of the packages that npm has."""
    try:
        folder = install(source=ROOT / "tests" / "browser" / "npm", name="browser").folder / "node_modules"
    except NotObtainableError as error:
        unavailable(error.what, error.command)
    vendor = ELEMENT / "vendor"
    assert vendoring.combined(vendoring.read(folder)) == (vendor / "lit-core.js").read_text()
    assert vendoring.description(folder) == (vendor / "VENDOR.toml").read_text()
    assert (folder / "lit-html" / "LICENSE").read_text() == (vendor / "LICENSE").read_text()


def test_a_lit_of_another_form_is_refused(vendoring: ModuleType) -> None:
    """A Lit without the policy, or with an import that is left, is not written."""
    sources = dict.fromkeys(vendoring.MODULES, "const a=1;export{a as b};\n//# sourceMappingURL=x\n")
    with pytest.raises(ValueError, match="another form"):
        vendoring.combined(sources)


def test_the_wheel_has_the_files(tmp_path: Path) -> None:
    """A wheel built from the source distribution has every file of the element, byte for byte, and no more."""
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(tmp_path)]
    subprocess.run([*build, "-t", "sdist"], cwd=ROOT, check=True, capture_output=True, timeout=INSTALL_SECONDS)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    subprocess.run([*build, "-t", "wheel"], cwd=source, check=True, capture_output=True, timeout=INSTALL_SECONDS)
    (wheel,) = tmp_path.glob("*.whl")
    prefix = "keywright/console/static/"
    with zipfile.ZipFile(wheel) as files:
        packed = {name.removeprefix(prefix): files.read(name) for name in files.namelist() if name.startswith(prefix)}
    expected = {path.relative_to(STATIC).as_posix(): path.read_bytes() for path in STATIC.rglob("*") if path.is_file()}
    assert packed == expected
    assert "element/vendor/LICENSE" in packed
    assert not [name for name in packed if name.endswith(".map")]
