"""`keywright audit …`: the options of the command that proves the trail."""

from typing import Annotated
from uuid import UUID

import typer

audit = typer.Typer(
    no_args_is_help=True,
    help="Prove that the trail of changes is complete and unaltered. Works on the database that "
    "KEYWRIGHT_DATABASE_URL names, whether or not the service runs.",
)


@audit.callback()
def group() -> None:
    """Have `verify` be a command of its own even while there is no other."""


@audit.command()
def verify(
    org: Annotated[UUID | None, typer.Option(help="The id of one organization; all of them without it.")] = None,
    head: Annotated[
        str | None,
        typer.Option(help="POSITION:HASH as an earlier run printed it for the organization; it has to be there still."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="A line of JSON for each organization, and nothing else on standard output.")
    ] = False,
) -> None:
    """
    Read all events, compute their chain anew and say what was altered, removed, added or cut off.

    Prints the head of every chain: keep it elsewhere, since whoever can write to the database can write a new chain.
    Exit code 1 when something is wrong.
    """
    from keywright.cli import audit as commands

    commands.verify(org, head, as_json=as_json)
