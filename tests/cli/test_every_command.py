"""What holds for every command, a new one included: its examples, and that it creates no database by accident."""

from pathlib import Path
from typing import Any

import click
import pytest

from keywright.cli.application import app
from tests.cli.every_command import LEAVES, call_in, commands
from tests.cli.in_folder import run

CREATING = {("serve",), ("dev",), ("migrate",)}
"""The commands that may create a database."""

WRITING = {("console", "export")}
"""The commands whose first example writes files into the folder that it names."""

ON_THE_DATABASE = {path for path in LEAVES if path[0] in ("verifiers", "operator", "audit", "organizations")}
EXAMPLES = [(path, example) for path, command in commands() for example in command.examples]
NAMES = [" ".join(path) for path, _ in commands()]


def parsed(words: list[str]) -> Any:
    """Parse a call down to its command, with the readers of all values, and give the command."""
    command: Any = app
    context = command.make_context("keywright", list(words))
    while isinstance(command, click.Group) and context._protected_args + context.args:
        name, command, rest = command.resolve_command(context, context._protected_args + context.args)
        context = command.make_context(name, rest, parent=context)
    return command


@pytest.mark.parametrize(("path", "example"), EXAMPLES, ids=[example for _, example in EXAMPLES])
def test_examples_can_be_parsed(path: tuple[str, ...], example: str) -> None:
    """Each example is a call of its command, or of one of its group's, with options and values that are read."""
    found = next(words for words, command in commands() if command is parsed(call_in(example)))
    assert found[: len(path)] == path


@pytest.mark.parametrize("path", [path for path, _ in commands()], ids=NAMES)
def test_help_shows_the_examples(path: tuple[str, ...]) -> None:
    """The help of every command ends with its examples, each whole on a line of its own."""
    from click.testing import CliRunner

    done = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "60"})
    assert done.exit_code == 0
    examples = dict(commands())[path].examples
    assert examples
    assert [line.strip() for line in done.stdout.partition("Examples:\n")[2].splitlines()] == list(examples)


@pytest.mark.parametrize("path", sorted(LEAVES.keys() - CREATING - WRITING), ids=" ".join)
def test_no_command_creates_a_database(path: tuple[str, ...], tmp_path: Path) -> None:
    """In an empty folder a command changes nothing; one that needs a database names its path, and what to set."""
    done = run(tmp_path, *call_in(LEAVES[path].examples[0]))
    assert done.returncode != 0
    assert list(tmp_path.iterdir()) == []
    if path in ON_THE_DATABASE:
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr.startswith(f"There is no database at {tmp_path}/keywright.db: set KEYWRIGHT_DATABASE_URL")


@pytest.mark.parametrize("path", sorted(ON_THE_DATABASE), ids=" ".join)
def test_no_command_migrates_a_foreign_file(path: tuple[str, ...], tmp_path: Path) -> None:
    """An empty file in place of a database stays empty: only `serve`, `dev` and `migrate` may change it."""
    (tmp_path / "other.db").touch()
    done = run(tmp_path, *call_in(LEAVES[path].examples[0]), database_url="sqlite:///other.db")
    assert (done.returncode, done.stdout) == (3, "")
    assert "run `keywright migrate`" in done.stderr
    assert [(found.name, found.stat().st_size) for found in tmp_path.iterdir()] == [("other.db", 0)]


def test_migrate_creates_a_database(tmp_path: Path) -> None:
    """After `keywright migrate` the other commands find their database."""
    assert run(tmp_path, "migrate").returncode == 0
    assert run(tmp_path, "verifiers", "create", "api-1").returncode == 0
    assert "api-1" in run(tmp_path, "verifiers", "list").stdout
