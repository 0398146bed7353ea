"""`keywright verifiers …`: the options of the commands that manage who may check keys."""

from typing import Annotated

import typer

verifiers = typer.Typer(
    no_args_is_help=True,
    help="Make, list and revoke verifiers: the API servers that may check keys. Works on the database that "
    "KEYWRIGHT_DATABASE_URL names, whether or not the service runs.",
)

Name = Annotated[str, typer.Argument(help="What the verifier is called: letters, digits, dots, underscores, hyphens.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on standard output, and nothing else there.")]


@verifiers.command()
def create(name: Name, as_json: AsJson = False) -> None:
    """Make a verifier. Its credential is printed this once."""
    from keywright.cli import verifiers as commands

    commands.create(name, as_json=as_json)


@verifiers.command("list")
def list_verifiers(as_json: AsJson = False) -> None:
    """Show the verifiers, newest first."""
    from keywright.cli import verifiers as commands

    commands.list_verifiers(as_json=as_json)


@verifiers.command()
def revoke(name: Name) -> None:
    """Revoke a verifier for good. Every running service refuses it within a second."""
    from keywright.cli import verifiers as commands

    commands.revoke(name)
