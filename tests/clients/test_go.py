"""The client for Go does what its page says, against the running service."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from keywright import __version__
from tests.clients.conftest import NewCaller
from tests.clients.programs import run
from tests.clients.schemas import Type, answers, requests
from tests.markdown import ROOT

SOURCE = ROOT / "clients" / "go"
pytestmark = pytest.mark.early
IN_HEADERS = {"-"}
TYPES = {
    "string": "string",
    "date-time": "time.Time",
    "integer": "int",
    "number": "float64",
    "boolean": "bool",
    "object": "map[string]any",
    "counts": "map[string]int",
    "any": "any",
}


def test_its_own_tests(go: Path, new_caller: NewCaller) -> None:
    """The tests of the client itself pass, every one, and none is left out."""
    told = run(go, "test", "-count=1", "-vet=off", "-timeout=180s", "-json", "./...", cwd=SOURCE, **new_caller())
    ended = [line for line in map(json.loads, told.splitlines()) if "Test" in line]
    outcomes = {line["Test"]: line["Action"] for line in ended if line["Action"] in ("pass", "skip", "fail")}
    tests = "".join(file.read_text() for file in SOURCE.glob("*_test.go"))
    written = set(re.findall(r"^func (Test\w+)\(t ", tests, re.MULTILINE))
    assert outcomes == dict.fromkeys(written, "pass")
    assert len(written) > 25


def test_form(go: Path) -> None:
    """The source is as gofmt writes it; vet, which the fixture runs, finds nothing."""
    assert run(go.with_name("gofmt"), "-l", ".", cwd=SOURCE) == ""


def test_answers_are_those_of_the_document() -> None:
    """The declared answers have the members of the OpenAPI document, with their types, and no other."""
    text = (SOURCE / "answers.go").read_text()
    for name, members in answers().items():
        assert struct(text, name.replace("Api", "API")) == {
            member: written(type_, name=member) for member, type_ in members.items()
        }, name


def test_requests_are_those_of_the_document(document: dict[str, Any]) -> None:
    """The names that each request may have are those of the OpenAPI document, and no other."""
    fields, management, verifier = (
        (SOURCE / f"{name}.go").read_text() for name in ("fields", "management", "verifier")
    )
    assert {
        "create": names_in(fields, "type NewKey struct"),
        "list": names_in(fields, "func (f KeyFilters) values") | names_in(fields, "func page"),
        "update": names_in(fields, "func (c KeyChanges) MarshalJSON"),
        "rotate": names_in(management, "func (m *Management) Rotate"),
        "usage": names_in(fields, "func (f UsageFilters) values") | names_in(fields, "func page"),
        "events": names_in(fields, "func (f EventFilters) values") | names_in(fields, "func page"),
        "verify": names_in(verifier, "type verifyBody struct"),
    } == requests(document)


def names_in(text: str, beginning: str) -> set[str]:
    """Find the names of fields and parameters in a declaration."""
    match = re.search(rf"^{re.escape(beginning)}.*?^}}$", text, re.MULTILINE | re.DOTALL)
    assert match is not None, beginning
    return set(re.findall(r'(?:json:|fields, |query, |query\.Set\()"(\w+)[,"]', match[0]))


@pytest.mark.parametrize("name", ["Code", "Status", "RevocationReason"])
def test_words_are_those_of_the_document(name: str) -> None:
    """Each declared set of words is that of the OpenAPI document."""
    types = [type_ for members in answers().values() for type_ in members.values() if type_.name == name]
    declared = re.findall(rf'^\t\w+ +{name} = "(\w+)"$', (SOURCE / "answers.go").read_text(), re.MULTILINE)
    assert sorted(declared) == sorted(types[0].values)


def struct(text: str, name: str) -> dict[str, str]:
    """Read the members of a struct by their names in JSON, each with its type."""
    match = re.search(rf"^type {name} struct {{\n(.*?)^}}$", text, re.MULTILINE | re.DOTALL)
    assert match is not None, name
    embedded = re.findall(r"^\t(\w+)$", match[1], re.MULTILINE)
    members = re.findall(r'^\t\w+ +(\S+) +`json:"(.+)"`', match[1], re.MULTILINE)
    inherited = {member: type_ for other in embedded for member, type_ in struct(text, other).items()}
    return inherited | {member: type_ for type_, member in members if member not in IN_HEADERS}


def written(type_: Type, name: str) -> str:
    """Write a type of the document in Go. A list and an object may be nil as they are, and a flag false."""
    if name == "private_key":
        # Read into a type that does not print it.
        return "Secret"
    is_schema = type_.name in {*answers(), "Code", "Status", "RevocationReason"}
    plain = type_.name.replace("Api", "API") if is_schema else TYPES[type_.name]
    is_pointer = not type_.is_list and type_.is_nullable
    return "[]" * type_.is_list + "*" * is_pointer + plain


def test_version_and_packages() -> None:
    """The client has the version of the service, needs the standard library alone, and has no address of anybody's."""
    assert f'const Version = "{__version__}"' in (SOURCE / "doc.go").read_text()
    module, version = (SOURCE / "go.mod").read_text().split("\n\n")
    assert (module, version) == ("module keywright.internal/keywright", "go 1.22\n")
    assert not (SOURCE / "go.sum").exists()
