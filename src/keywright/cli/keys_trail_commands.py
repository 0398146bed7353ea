"""`keywright keys events`, `usage`, `receipt` and `options`: their options."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import typer

from keywright.cli import typed_values

KeyId = Annotated[str, typer.Argument(metavar="ID", help="The key's id.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on standard output, and nothing else there.")]
Since = Annotated[
    datetime | None,
    typer.Option(
        parser=typed_values.moment_past,
        metavar=typed_values.PAST,
        help="From so long ago on, such as 7d, or from a time on.",
    ),
]


class Period(StrEnum):
    """How uses are added up."""

    DAY = "day"
    HOUR = "hour"


def events(
    key_id: Annotated[str | None, typer.Argument(metavar="ID", help="Of this key only.")] = None,
    type_: Annotated[
        str | None, typer.Option("--type", metavar="TYPE", help="Of this type only, such as api_key.revoked.")
    ] = None,
    actor: Annotated[str | None, typer.Option(metavar="SUBJECT", help="By the bearer of such a token only.")] = None,
    since: Since = None,
    until: Annotated[
        datetime | None,
        typer.Option(
            parser=typed_values.moment_past, metavar=typed_values.PAST, help="Until so long ago, or until a time."
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many events a page holds.")] = 100,
    everything: Annotated[bool, typer.Option("--all", help="All pages instead of the first.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what was done to the organization's keys, deleted ones included, newest first."""
    from keywright.cli import keys_trail as commands

    which = {"type": type_, "actor": actor, "since": since, "until": until}
    commands.events(key_id, limit=limit, everything=everything, as_json=as_json, which=which)


def usage(
    key_id: KeyId,
    period: Annotated[Period, typer.Option(metavar="PERIOD", help="Add up by day or by hour.")] = Period.DAY,
    since: Since = None,
    as_json: AsJson = False,
) -> None:
    """Show how often a key was used, where from, and with which of its secrets."""
    from keywright.cli import keys_trail as commands

    commands.usage(key_id, period=period, since=since, as_json=as_json)


def receipt(key_id: KeyId, as_json: AsJson = False) -> None:
    """Show which processes have confirmed that a revoked or deleted key is dropped, and which have not."""
    from keywright.cli import keys_trail as commands

    commands.receipt(key_id, as_json=as_json)


def options(as_json: AsJson = False) -> None:
    """Show what a new key may be: environments, scopes, and the operator's rules."""
    from keywright.cli import keys_trail as commands

    commands.options(as_json=as_json)
