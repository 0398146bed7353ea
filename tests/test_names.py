"""One word for one concept: words that docs/glossary.md replaces name nothing, and a public name is one class."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from keywright.app import create_app
from keywright.cli.application import app as command_line
from keywright.config import Settings
from tests.test_architecture import TREES

REFUSED = frozenset(
    {"duties", "insight", "outlet", "presence", "replays", "sighting", "spending", "told", "trail", "wish", "witness"}
)

# Public classes of one name, and why two have it.
TWICE = {
    "Refused": "what the client raises, and what a use case returns: the same refusal on the two sides of HTTP",
    "Verifier": "what checks keys in a process, and the record of it that the service keeps",
}


def words(name: str) -> set[str]:
    """Take a name in snake or camel case apart, and add the singular of each word."""
    parts = {part.lower() for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}
    return parts | {part.removesuffix("es") for part in parts} | {part.removesuffix("s") for part in parts}


def classes() -> Iterator[tuple[str, str]]:
    """Give the module and name of every public class of a public or private module."""
    for module, tree in TREES.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield module, node.name


def options(command: Any) -> Iterator[str]:
    """Give the options and arguments of a command and of those below it."""
    for parameter in command.params:
        yield from (parameter.name, *parameter.opts)
    for below in getattr(command, "commands", {}).values():
        yield from options(below)


def fields(document: Any) -> Iterator[str]:
    """Give the names of all properties and parameters in an OpenAPI document."""
    if isinstance(document, dict):
        properties = document.get("properties")
        yield from properties if isinstance(properties, dict) else ()
        yield from [document["name"]] if "in" in document and "schema" in document else ()
        for value in document.values():
            yield from fields(value)
    elif isinstance(document, list):
        for value in document:
            yield from fields(value)


async def document() -> Any:
    """Give the OpenAPI document of a service with default settings."""
    app = create_app(Settings(issuer="http://127.0.0.1:9/", audience="urn:keywright:test"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://testserver") as client:
        return (await client.get("/openapi.json")).json()


def refused(names: set[str]) -> set[str]:
    """Give those of *names* that have a refused word in them."""
    return {name for name in names if words(name) & REFUSED}


def test_words() -> None:
    """Names are taken apart in every case that Python, JSON and the command line use."""
    assert words("UsageBook") >= {"usage", "book"}
    assert refused({"ReplayLog", "told_key", "Sightings", "--wish-list", "wishes", "HTTPTrail"}) == {
        "told_key", "Sightings", "--wish-list", "wishes", "HTTPTrail",
    }  # fmt: skip


def test_modules_and_classes() -> None:
    """No module, package or class has a refused word in its name."""
    assert refused({part for module in TREES for part in module.removesuffix(".py").split("/")}) == set()
    assert refused({name for _, name in classes()}) == set()


def test_settings_and_options() -> None:
    """No setting, option or argument has a refused word in its name."""
    assert refused(set(Settings.model_fields)) == set()
    assert refused(set(options(command_line))) == set()


async def test_json_fields() -> None:
    """No field or parameter of the HTTP API has a refused word in its name."""
    found = set(fields(await document()))
    assert found > {"private_key", "cursor"}
    assert refused(found) == set()


def test_a_public_name_is_one_class() -> None:
    """Two public classes have one name only where the list says why."""
    modules = defaultdict(list)
    for module, name in classes():
        modules[name].append(module)
    assert {name: found for name, found in modules.items() if len(found) > 1 and name not in TWICE} == {}


@pytest.mark.parametrize("name", sorted(TWICE))
def test_exceptions_are_needed(name: str) -> None:
    """A name in the list is still the name of two classes."""
    assert sum(found == name for _, found in classes()) > 1
