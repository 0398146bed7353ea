"""The classes of all commands: each command has examples, and shows them at the end of its help."""

from collections.abc import Sequence
from typing import Any

import click


class Command(click.Command):
    """
    A command with examples.

    Args:
        examples: Lines of a shell. The first is one call of this command that a new user can paste; a test runs it.
    """

    def __init__(self, *args: Any, examples: Sequence[str], **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, each on a line of its own: a wrapped one could not be pasted."""
        with formatter.section("Examples"):
            for example in self.examples:
                formatter.write(f"{'':{formatter.current_indent}}{example}\n")


class Group(Command, click.Group):
    """A group of commands, with examples of its own. Its commands are of the class `Command`, its groups `Group`."""

    command_class = Command
    group_class = type

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands in the order in which they were added, which is that of their use."""
        return list(self.commands)
