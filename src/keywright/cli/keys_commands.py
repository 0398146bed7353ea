"""`keywright keys …`: the options of the commands that call a running service. Needs none of the server's packages."""

from typing import Annotated

import typer

keys = typer.Typer(
    no_args_is_help=True,
    help="Create, read, revoke and delete API keys through a running service: KEYWRIGHT_URL (http://127.0.0.1:8080 "
    "unless set), with the access token in KEYWRIGHT_TOKEN.",
)

# There is no option for the token: a command line is kept in the shell's history and shown to everyone by `ps`.
KeyId = Annotated[str, typer.Argument(metavar="ID", help="The key's id.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on standard output, and nothing else there.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@keys.command("list")
def list_keys(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many keys a page holds.")] = 100,
    everything: Annotated[bool, typer.Option("--all", help="All pages instead of the first.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the organization's keys, newest first."""
    from keywright.cli import keys as commands

    commands.list_keys(limit=limit, everything=everything, as_json=as_json)


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="What people will call the key, 1 to 100 characters.")],
    description: Annotated[str | None, typer.Option(help="What it is for, at most 255 characters.")] = None,
    as_json: AsJson = False,
) -> None:
    """Create a key. Its private half is printed this once."""
    from keywright.cli import keys as commands

    commands.create(name, description, as_json=as_json)


@keys.command()
def show(key_id: KeyId, as_json: AsJson = False) -> None:
    """Show one key."""
    from keywright.cli import keys as commands

    commands.show(key_id, as_json=as_json)


@keys.command()
def revoke(key_id: KeyId, yes: Yes = False, as_json: AsJson = False) -> None:
    """Revoke a key for good. Asks first when run on a terminal."""
    from keywright.cli import keys as commands

    commands.revoke(key_id, ask=not yes, as_json=as_json)


@keys.command()
def delete(key_id: KeyId, yes: Yes = False) -> None:
    """Delete a key: it stops working at once and is listed no more. Asks first when run on a terminal."""
    from keywright.cli import keys as commands

    commands.delete(key_id, ask=not yes)
