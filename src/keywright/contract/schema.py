"""The JSON schemas of the contract, for the OpenAPI document. No code on the path of a request imports this."""

import ast
import inspect
from collections.abc import Iterable, Iterator
from dataclasses import Field, fields
from itertools import pairwise
from typing import Any

import msgspec

from keywright.contract.codec import HEADER
from keywright.contract.examples import EXAMPLES


def schemas(types: Iterable[type], *, reference: str) -> dict[str, Any]:
    """
    Describe *types* and every class that their members use.

    Args:
        types: Classes of the contract.
        reference: The reference to another schema, with `{name}` in place of its name.

    Returns:
        A schema for each class, by the name of the class.
    """
    _, found = msgspec.json.schema_components(types, schema_hook=_of_text, ref_template=reference)
    for type_ in _with_parts(types):
        _complete(found[type_.__name__], type_)
    return found


def _of_text(_type: type) -> dict[str, Any]:
    # `PrivateKey` is the only class of a member that msgspec cannot describe.
    return {"type": "string"}


def _with_parts(types: Iterable[type]) -> list[type]:
    """Give *types* and the classes of their members, each once."""
    found: list[type] = []
    waiting = [msgspec.inspect.type_info(type_) for type_ in types]
    while waiting:
        info = waiting.pop()
        if isinstance(info, msgspec.inspect.DataclassType) and info.cls not in found:
            found.append(info.cls)
            waiting += [member.type for member in info.fields]
        waiting += _parts_of(info)
    return found


def _parts_of(info: Any) -> Iterator[Any]:
    """Give the member types of a list, a union or an annotated type."""
    if isinstance(info, msgspec.inspect.Metadata):
        yield info.type
    yield from getattr(info, "types", ())
    item = getattr(info, "item_type", None)
    if isinstance(item, msgspec.inspect.Type):
        yield item


def _complete(schema: dict[str, Any], type_: type) -> None:
    """Add the descriptions of the members and the example; remove members that travel in headers."""
    sentences = {name: text for base in reversed(type_.__mro__[:-1]) for name, text in _sentences(base)}
    members: tuple[Field[Any], ...] = fields(type_)
    for member in members:
        if HEADER in member.metadata:
            del schema["properties"][member.name]
        elif member.name in sentences:
            schema["properties"][member.name]["description"] = sentences[member.name]
    if type_ in EXAMPLES:
        schema["examples"] = [EXAMPLES[type_]]


def _sentences(type_: type) -> Iterator[tuple[str, str]]:
    """Read the docstring below each member of a class."""
    (found,) = ast.parse(inspect.getsource(type_)).body
    body = found.body if isinstance(found, ast.ClassDef) else []
    for member, below in pairwise(body):
        match member, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, text
