"""The client for JavaScript does what its page says, on each Node that there is, against the running service."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from keywright import __version__
from tests.clients.conftest import NewCaller
from tests.clients.schemas import Type, answers
from tests.markdown import ROOT
from tests.oidc_installation import Installation, NotObtainableError, install
from tests.provision import unavailable

SOURCE = ROOT / "clients" / "js"
LIMIT_SECONDS = 240
IN_HEADERS = {"etag", "replayed"}
TYPES = {
    "string": "string",
    "date-time": "string",
    "integer": "number",
    "number": "number",
    "boolean": "boolean",
    "object": "Record<string, unknown>",
    # The path of a flaw.
    "any": "(string | number)",
}


@pytest.fixture(scope="module")
def installed() -> Installation:
    """Node, and the packages of npm that only the tests need."""
    try:
        return install(source=SOURCE, name="clients-js")
    except NotObtainableError as error:
        unavailable(error.what, error.command)


@pytest.fixture
def project(installed: Installation, tmp_path: Path) -> Path:
    """A copy of the client beside those packages, so that nothing is written to the source."""
    copy = tmp_path / "js"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("node_modules"))
    (copy / "node_modules").symlink_to(installed.folder / "node_modules")
    return copy


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Run a program that must succeed, and give what it prints."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={"PATH": os.environ["PATH"], **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=LIMIT_SECONDS,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def nodes(installed: Installation) -> list[Path]:
    """Give the Node of the tests, and the machine's own where the client supports it."""
    own = shutil.which("node")
    version = run(own, "--version", cwd=ROOT) if own else "v0"
    is_supported = int(version.removeprefix("v").partition(".")[0]) >= 20
    return [installed.node, *([Path(own)] if own and is_supported else [])]


@pytest.mark.early
def test_its_own_tests(installed: Installation, project: Path, new_caller: NewCaller) -> None:
    """The tests of the client itself pass, every one, and none is left out."""
    tests = sorted((project / "test").glob("*.test.js"))
    for node in nodes(installed):
        told = run(node, "--test", "--test-reporter=tap", *tests, cwd=project, **new_caller())
        counts = dict(re.findall(r"^# (tests|pass|skipped|todo) (\d+)$", told, re.MULTILINE))
        assert int(counts["tests"]) > 30
        assert (counts["pass"], counts["skipped"], counts["todo"]) == (counts["tests"], "0", "0"), told


def test_its_types(installed: Installation, project: Path) -> None:
    """TypeScript accepts what the declarations allow, and refuses what they do not."""
    compiler = project / "node_modules" / "typescript" / "bin" / "tsc"
    run(installed.node, compiler, "--project", "test/tsconfig.json", cwd=project)


def test_answers_are_those_of_the_document() -> None:
    """The declared answers have the members of the OpenAPI document, with their types, and no other."""
    text = (SOURCE / "index.d.ts").read_text()
    for name, members in answers().items():
        declared = interface(text, name)
        assert {member: declared[member] for member in declared.keys() - IN_HEADERS} == {
            member: written(type_, name=member) for member, type_ in members.items()
        }, name


@pytest.mark.parametrize("name", ["Code", "Status", "RevocationReason"])
def test_words_are_those_of_the_document(name: str) -> None:
    """Each declared set of words is that of the OpenAPI document."""
    types = [type_ for members in answers().values() for type_ in members.values() if type_.name == name]
    text = (SOURCE / "index.d.ts").read_text()
    declared = re.search(rf"^export type {name} =(.*?);$", text, re.MULTILINE | re.DOTALL)
    assert declared is not None
    assert sorted(re.findall(r"'(\w+)'", declared[1])) == sorted(types[0].values)


def interface(text: str, name: str) -> dict[str, tuple[str, bool]]:
    """Read the members of an interface: the type of each, and whether it may be absent."""
    match = re.search(rf"^export interface {name}(?: extends (\w+))? {{\n(.*?)^}}$", text, re.MULTILINE | re.DOTALL)
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
    package = json.loads((SOURCE / "package.json").read_text())
    locked = json.loads((SOURCE / "package-lock.json").read_text())["packages"]
    assert package["version"] == __version__
    assert f"VERSION = '{__version__}';" in (SOURCE / "lib" / "service.js").read_text()
    assert package.keys().isdisjoint({"dependencies", "scripts", "peerDependencies", "optionalDependencies"})
    assert all("integrity" in found and "resolved" not in found for name, found in locked.items() if name)
    exported = {file for paths in package["exports"].values() for file in paths.values()}
    assert all((SOURCE / file).is_file() for file in exported)
