"""
Write docs/reference/command-line.md out of the commands' own help.

    python scripts/command_line_reference.py            writes it
    python scripts/command_line_reference.py --check    exit code 1 when it is not up to date
"""

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from keywright.cli import exits
from keywright.cli.application import app

TARGET = Path(__file__).parent.parent / "docs" / "reference" / "command-line.md"

_HEAD = """\
# Command line

<!-- Written by scripts/command_line_reference.py; change the help texts in src/keywright/cli/ instead. -->

`keywright COMMAND --help` says the same on a terminal. Results go to standard output, everything else to standard
error, so that a result can be piped on.

"""

_ENVIRONMENT = """
## Environment variables

`keywright keys` reads `KEYWRIGHT_URL`, `KEYWRIGHT_TOKEN` and `KEYWRIGHT_ALLOW_HTTP`, and none of the service's
settings; `keywright agent` reads [its own](configuration.md#the-agent). Every other command reads those
[settings](configuration.md) that concern it. What the command line says goes before the environment.

`keywright dev` writes `.keywright-dev/env`, which only its owner can read: `KEYWRIGHT_URL`, `KEYWRIGHT_TOKEN` (a token
of the organization Acme), `KEYWRIGHT_VERIFIER` and `KEYWRIGHT_DATABASE_URL`. In its folder, `keywright keys` uses the
first two where `KEYWRIGHT_URL` is not set, and `keywright verifiers` and `keywright audit` use the last where it is not
set; they say so on standard error. Variables of the environment always win. The file is refused if other users can read
or change it, or if it names another host.

## Completion

`eval "$(_KEYWRIGHT_COMPLETE=bash_source keywright)"` completes commands and options in bash; `zsh_source` and
`fish_source` do so in the other two shells.
"""

_EXITS = """
## Exit codes

| code | when |
|---|---|
| 0 | it did what was asked; a service that answered requests was told to stop, and stopped well |
"""

# By the names in keywright.cli.exits, which holds the numbers. Without a meaning here, a new one stops this script.
_MEANINGS = {
    "FAILED": "it failed, or found what it was told to look for; one sentence on standard error says what",
    "MISUSED": "the command line or a setting is wrong, or a port is in use; nothing was begun",
    "NOT_MIGRATED": "the database does not exist or is not migrated, and the command does not change that",
    "NOT_ALLOWED": "the service refused the access token, or the token lacks a permission",
    "UNAVAILABLE": "the service or the database is away or busy; the same may work later",
}

_SIGNAL = "| 128 + n | signal n ended it before it was done or answered requests: 130 is Ctrl-C, 143 is SIGTERM |\n"

_VARIABLE = re.compile(r"\bKEYWRIGHT_[A-Z_]*[A-Z]\b")


def reference() -> str:
    """Write the page."""
    commands = list(_walk(app, "keywright"))
    contents = "".join(f"- [`{path}`](#{path.replace(' ', '-')})\n" for path, _ in commands)
    return f"{_HEAD}{contents}{''.join(_section(*entry) for entry in commands)}{_ENVIRONMENT}{_exits()}"


def _walk(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Give every command there is with the words that call it, those above before those below."""
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        if not below.hidden:
            yield from _walk(below, f"{path} {name}")


def _section(path: str, command: Any) -> str:
    shown = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
    usage = " ".join([path, *map(_usage, shown), *_below(command)])
    rows = "".join(map(_row, shown))
    table = f"\n| argument or option | meaning | default |\n|---|---|---|\n{rows}" if rows else ""
    examples = "".join(f"{example}\n" for example in command.examples)
    return f"\n## `{path}`\n\n{_prose(command.help or '')}\n\n```\n{usage}\n```\n{table}\n```sh\n{examples}```\n"


def _below(command: Any) -> list[str]:
    if not getattr(command, "commands", {}):
        return []
    return ["[COMMAND …]" if command.invoke_without_command else "COMMAND …"]


def _usage(parameter: Any) -> str:
    words = _words(parameter)
    return words if parameter.required else f"[{words}]"


def _row(parameter: Any) -> str:
    others = "".join(f", `{name}`" for name in [*_long_first(parameter)[1:], *parameter.secondary_opts])
    return f"| `{_in_table(_words(parameter))}`{others} | {_meaning(parameter)} | {_default(parameter)} |\n"


def _words(parameter: Any) -> str:
    """Write a parameter as it is typed: `--port NUMBER`, `--json`, `ID`."""
    if parameter.param_type_name == "argument":
        return str(parameter.metavar)
    name: str = _long_first(parameter)[0]
    return name if parameter.is_flag else f"{name} {parameter.metavar}"


def _long_first(parameter: Any) -> list[str]:
    if parameter.param_type_name == "argument":
        return list(parameter.opts)
    return sorted(parameter.opts, key=len, reverse=True)


def _meaning(parameter: Any) -> str:
    told = _in_table(_prose(parameter.help or ""))
    bounds = parameter.type if isinstance(parameter.type, click.IntRange) else None
    return told if bounds is None else f"{told} {bounds.min} to {bounds.max}."


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    if parameter.param_type_name == "argument":
        return "–"
    value = parameter.default
    return _in_table(f"`{value}`") if isinstance(value, str | int | Path) and not parameter.is_flag else "–"


def _in_table(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _prose(text: str) -> str:
    """Set names of variables as code, as the other pages do."""
    return _VARIABLE.sub(lambda match: f"`{match[0]}`", inspect.cleandoc(text))


def _exits() -> str:
    codes = {name: code for name, code in vars(exits).items() if name.isupper() and type(code) is int}
    if codes.keys() != _MEANINGS.keys():
        raise SystemExit(f"_MEANINGS and keywright.cli.exits differ in {sorted(codes.keys() ^ _MEANINGS.keys())}")
    rows = (f"| {code} | {_MEANINGS[name]} |\n" for name, code in sorted(codes.items(), key=lambda entry: entry[1]))
    return f"{_EXITS}{''.join(rows)}{_SIGNAL}"


def main(arguments: list[str]) -> int:
    """Write the page, or compare it."""
    if arguments == ["--check"]:
        if not TARGET.exists() or TARGET.read_text() != reference():
            print(f"{TARGET} is not up to date: python {Path(__file__).name}", file=sys.stderr)
            return 1
        return 0
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(reference())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
