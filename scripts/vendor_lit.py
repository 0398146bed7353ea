"""
Write the Lit that the element uses: four modules of the npm packages as one file, with one name changed.

    python scripts/vendor_lit.py NODE_MODULES

reads `NODE_MODULES/lit-html` and its siblings, and writes `lit-core.js`, `LICENSE` and `VENDOR.toml`.
"""

import hashlib
import re
import sys
from pathlib import Path

VENDOR = Path(__file__).parents[1] / "src" / "keywright" / "console" / "static" / "element" / "vendor"

# Each module with the name of the constant that has its exports, those it imports first.
MODULES = {
    "@lit/reactive-element/css-tag.js": "cssTag",
    "@lit/reactive-element/reactive-element.js": "reactiveElement",
    "lit-html/lit-html.js": "litHtml",
    "lit-element/lit-element.js": "litElement",
}
_IMPORTED = {"./css-tag.js": "cssTag", "@lit/reactive-element": "reactiveElement", "lit-html": "litHtml"}
_EXPORTS = "export const{css,unsafeCSS}=cssTag,{html,svg,render,nothing,noChange}=litHtml,{LitElement}=litElement;\n"

# A page that allows each Trusted Types policy once and has a Lit of its own would refuse a second policy "lit-html".
POLICY = ('createPolicy("lit-html"', 'createPolicy("keywright"')

_IMPORT = re.compile(r'import\{([^}]*)\}from"([^"]+)";')
_EXPORT_FROM = re.compile(r'export(?:\*|\{[^}]*\})from"[^"]+";')
_EXPORT = re.compile(r"export\{([^}]*)\};?\n//# sourceMappingURL=.*\n?\Z")


def combined(sources: dict[str, str]) -> str:
    """
    Give the text of `lit-core.js`.

    Args:
        sources: The text of each module of `MODULES`, as published.

    Raises:
        ValueError: A module has another form than expected.
    """
    parts = [_as_constant(constant, sources[name]) for name, constant in MODULES.items()]
    text = "".join(parts)
    if text.count(POLICY[0]) != 1 or re.search(r"\b(import|export)\b", text):
        raise ValueError("Lit has another form than scripts/vendor_lit.py expects")
    return text.replace(*POLICY) + _EXPORTS


def _as_constant(constant: str, source: str) -> str:
    source = _EXPORT_FROM.sub("", source)
    source = _IMPORT.sub(lambda found: f"const{{{_pairs(found[1], ' as ')}}}={_IMPORTED[found[2]]};", source)
    source, count = _EXPORT.subn(lambda found: f"return{{{_turned(found[1])}}}", source)
    if count != 1:
        raise ValueError(f"the module of {constant} does not end with its exports")
    return f"const {constant}=(()=>{{{source}}})();\n"


def _pairs(names: str, separator: str) -> str:
    return ",".join(name.replace(separator, ":") for name in names.split(","))


def _turned(names: str) -> str:
    pairs = (name.split(" as ") for name in names.split(","))
    return ",".join(f"{pair[-1]}:{pair[0]}" for pair in pairs)


def _version(modules: Path, package: str) -> str:
    found = re.search(r'"version": "([^"]+)"', (modules / package / "package.json").read_text())
    if found is None:
        raise ValueError(f"{package} names no version")
    return found[1]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def description(modules: Path) -> str:
    """Give the text of `VENDOR.toml` for the packages in the folder *modules*."""
    sources = read(modules)
    lines = ["# Written by scripts/vendor_lit.py.", 'license = "BSD-3-Clause"']
    lines += [f'sha256 = "{_digest(combined(sources))}"', 'edit = "the Trusted Types policy lit-html is keywright"', ""]
    for name, text in sources.items():
        package = name.rpartition("/")[0]
        lines += ["[[module]]", f'package = "{package}"', f'version = "{_version(modules, package)}"']
        lines += [f'file = "{name.rpartition("/")[2]}"', f'sha256 = "{_digest(text)}"', ""]
    return "\n".join(lines)


def read(modules: Path) -> dict[str, str]:
    """Read the modules out of a folder `node_modules`."""
    return {name: (modules / name).read_text() for name in MODULES}


def main(modules: Path) -> None:
    """Write the files."""
    VENDOR.mkdir(parents=True, exist_ok=True)
    (VENDOR / "lit-core.js").write_text(combined(read(modules)))
    (VENDOR / "LICENSE").write_text((modules / "lit-html" / "LICENSE").read_text())
    (VENDOR / "VENDOR.toml").write_text(description(modules))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
