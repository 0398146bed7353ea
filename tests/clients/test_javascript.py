"""The client for JavaScript does what its page says, on each Node that there is, against the running service."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from keywright import __version__
from tests.clients.conftest import JAVASCRIPT, NewCaller
from tests.clients.programs import run
from tests.clients.schemas import Type, answers, requests
from tests.markdown import ROOT
from tests.oidc_installation import Installation
from tests.provision import unavailable

IN_HEADERS = {"etag", "replayed"}
TYPES = {
    "string": "string",
    "date-time": "string",
    "integer": "number",
    "number": "number",
    "boolean": "boolean",
    "object": "Record<string, unknown>",
    "counts": "Record<string, number>",
    # The path of a flaw.
    "any": "(string | number)",
}


def nodes(installed: Installation) -> list[Path]:
    """Give the Node of the tests, and the machine's own where the client supports it."""
    own = shutil.which("node")
    version = run(own, "--version", cwd=ROOT) if own else "v0"
    is_supported = int(version.removeprefix("v").partition(".")[0]) >= 20
    return [installed.node, *([Path(own)] if own and is_supported else [])]


@pytest.mark.early
def test_its_own_tests(installed: Installation, javascript: Path, new_caller: NewCaller) -> None:
    """The tests of the client itself pass, every one, and none is left out."""
    tests = sorted((javascript / "test").glob("*.test.js"))
    for node in nodes(installed):
        told = run(node, "--test", "--test-reporter=tap", *tests, cwd=javascript, **new_caller())
        counts = dict(re.findall(r"^# (tests|pass|skipped|todo) (\d+)$", told, re.MULTILINE))
        assert int(counts["tests"]) > 30
        assert (counts["pass"], counts["skipped"], counts["todo"]) == (counts["tests"], "0", "0"), told


@pytest.mark.parametrize("name", ["@deno/*/deno", "@oven/*/bin/bun"])
def test_other_runtimes(javascript: Path, new_caller: NewCaller, name: str) -> None:
    """Deno and Bun create, check and list keys, guard a handler, and print no secret."""
    found = sorted((javascript / "node_modules").glob(name))
    if not found:
        unavailable(name, "npm, on a machine for which it is made")
    arguments = ["run", "--no-lock", "--allow-net", "--allow-env"] if name.endswith("deno") else []
    told = run(found[0], *arguments, "test/runtime.mjs", cwd=javascript, **new_caller())
    assert json.loads(told.splitlines()[-1]) == [
        *(200, 401, 401, 503, "Nightly", "precondition_failed", "Runtime", "the end", "ServiceUnavailable", "string")
    ]
    assert "kw_sk_live_..." in told
    assert re.findall(r"kw_[sv]k_\w{40}|eyJ\w+", told) == []


def test_its_types(installed: Installation, javascript: Path) -> None:
    """TypeScript accepts what the declarations allow, and refuses what they do not."""
    compiler = javascript / "node_modules" / "typescript" / "bin" / "tsc"
    run(installed.node, compiler, "--project", "test/tsconfig.json", cwd=javascript)


def test_answers_are_those_of_the_document() -> None:
    """The declared answers have the members of the OpenAPI document, with their types, and no other."""
    text = (JAVASCRIPT / "index.d.ts").read_text()
    for name, members in answers().items():
        declared = interface(text, name)
        assert {member: declared[member] for member in declared.keys() - IN_HEADERS} == {
            member: written(type_, name=member) for member, type_ in members.items()
        }, name


def test_requests_are_those_of_the_document(document: dict[str, Any]) -> None:
    """The declared fields and options of each request are those that the OpenAPI document has, and no other."""
    text = (JAVASCRIPT / "index.d.ts").read_text()
    names = {
        "create": ["NewApiKey"],
        "list": ["KeyFilters", "PageOptions"],
        "update": ["ApiKeyChanges"],
        "rotate": ["RotateOptions"],
        "usage": ["UsageOptions", "PageOptions"],
        "events": ["EventFilters", "PageOptions"],
        "verify": ["KeyCheck"],
    }
    declared = {
        name: {snake(member) for each in found for member in interface(text, each)} for name, found in names.items()
    }
    # The option of a check that has the metadata in the verdict.
    declared["verify"] = declared["verify"] - {"metadata"} | {"include"}
    assert declared == requests(document)


def snake(option: str) -> str:
    """Give the name in a request of an option in camel case."""
    return re.sub("([A-Z])", r"_\1", option).lower()


def test_declared_methods(installed: Installation, javascript: Path) -> None:
    """Each class has the methods that the declarations give it, and no other."""
    text = (JAVASCRIPT / "index.d.ts").read_text()
    for name in ("Verifier", "Management", "PrivateKey"):
        methods = f"Object.getOwnPropertyNames(client.{name}.prototype).join()"
        script = f"import('keywright-client').then((client) => console.log({methods}))"
        match = re.search(rf"^export class {name} {{\n(.*?)^}}$", text, re.MULTILINE | re.DOTALL)
        assert match is not None
        declared = re.findall(r"^  (?:private )?(\w+)\(", match[1], re.MULTILINE)
        assert set(run(installed.node, "-e", script, cwd=javascript).strip().split(",")) == set(declared)


@pytest.mark.parametrize("name", ["Code", "Status", "RevocationReason"])
def test_words_are_those_of_the_document(name: str) -> None:
    """Each declared set of words is that of the OpenAPI document."""
    types = [type_ for members in answers().values() for type_ in members.values() if type_.name == name]
    text = (JAVASCRIPT / "index.d.ts").read_text()
    declared = re.search(rf"^export type {name} =(.*?);$", text, re.MULTILINE | re.DOTALL)
    assert declared is not None
    assert sorted(re.findall(r"'(\w+)'", declared[1])) == sorted(types[0].values)


def interface(text: str, name: str) -> dict[str, tuple[str, bool]]:
    """Read the members of an interface: the type of each, and whether it may be absent."""
    match = re.search(
        rf"^export interface {name}(?: extends (?:Partial<)?(\w+)>?)? {{\n(.*?)^}}$", text, re.MULTILINE | re.DOTALL
    )
    assert match is not None, name
    members = re.findall(r"^  (\w+)(\??): (.+);$", match[2], re.MULTILINE)
    inherited = interface(text, match[1]) if match[1] else {}
    return inherited | {member: (type_, bool(optional)) for member, optional, type_ in members}


def written(type_: Type, name: str) -> tuple[str, bool]:
    """Write a type of the document in TypeScript, and whether its member may be absent."""
    if name == "private_key":
        # Read into a class that does not print it.
        return "PrivateKey", False
    is_schema = type_.name in {*answers(), "Code", "Status", "RevocationReason"}
    words = " | ".join(f"'{value}'" for value in type_.values)
    plain = type_.name if is_schema else words or TYPES[type_.name]
    return plain + "[]" * type_.is_list + " | null" * type_.is_nullable, not type_.is_required


def test_version_and_packages() -> None:
    """The client has the version of the service, needs nothing, runs nothing when installed, and names no host."""
    package = json.loads((JAVASCRIPT / "package.json").read_text())
    locked = json.loads((JAVASCRIPT / "package-lock.json").read_text())["packages"]
    assert package["version"] == __version__
    assert f"VERSION = '{__version__}';" in (JAVASCRIPT / "lib" / "service.js").read_text()
    assert package.keys().isdisjoint({"dependencies", "scripts", "peerDependencies", "optionalDependencies"})
    assert all("integrity" in found and "resolved" not in found for name, found in locked.items() if name)
    exported = {file for paths in package["exports"].values() for file in paths.values()}
    assert all((JAVASCRIPT / file).is_file() for file in exported)
