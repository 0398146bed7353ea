"""All commands there are, for tests that a new command has to pass, too."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

from keywright.cli.application import app

_CALL = re.compile(r"(?<![\w-])keywright [^\n)]*")


def commands(command: Any = app, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Give every command and group with the words after `keywright` that call it, groups before their commands."""
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*path, name))


def call_in(example: str) -> list[str]:
    """Give the words after `keywright` in an example, which may be a line of a shell such as `KEY=$(keywright …)`."""
    (call,) = _CALL.findall(example)
    return shlex.split(call)[1:]


LEAVES = {
    path: command
    for path, command in commands()
    if not getattr(command, "commands", {}) or command.invoke_without_command
}
"""Each command that does something, by the words that call it."""
