"""`keywright audit head` and `keywright audit export`: what is to be kept elsewhere."""

import json
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

import click

from keywright.cli import option_types
from keywright.cli.commands import Command

if TYPE_CHECKING:
    from keywright.storage.engine import RunningStore


@click.command(
    cls=Command,
    examples=("keywright audit head",),
)
def head() -> None:
    """
    Print the head of each organization's chain, one JSON object a line: position, hash, and when it was read.

    Keep it where nobody who can write to the database can write. `keywright restore-check` compares a restored database
    with it, and so does `keywright audit verify --head`.
    """
    from keywright.cli import database

    database.run(_print_heads)


async def _print_heads(store: "RunningStore") -> None:
    from keywright.service.recovery.export import heads
    from keywright.service.recovery.lines import head_fields
    from keywright.system import utc_now

    async for kept in heads(store, utc_now):
        click.echo(json.dumps(head_fields(kept)))


@click.command(
    cls=Command,
    examples=(
        "keywright audit export",
        "keywright audit export --since 2d",
    ),
)
@option_types.since
@click.option("--org", type=click.UUID, metavar="ID", help="The id of one organization; all organizations by default.")
def export(since: datetime | None, org: UUID | None) -> None:
    """
    Print the audit log, one JSON object a line: each event with its position, hash and digest.

    With --since, each organization's begins with its first event from then on. The lines hold the names and addresses
    that the events hold. `keywright restore-check --log` reads them.
    """
    from keywright.cli import database

    database.run(lambda store: _print_events(store, since, org))


async def _print_events(store: "RunningStore", since: datetime | None, org: UUID | None) -> None:
    from keywright.service.recovery.export import events
    from keywright.service.recovery.lines import event_fields
    from keywright.system import utc_now

    async for kept in events(store, utc_now, since=since, org_id=org):
        click.echo(json.dumps(event_fields(kept)))
