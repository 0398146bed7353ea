"""What `keywright keys events`, `usage`, `receipt` and `options` do: read what became of keys, and print it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import typer

from keywright.cli import keys_output, trail_tables
from keywright.cli.keys_service import service


def events(key_id: str | None, *, limit: int, everything: bool, as_json: bool, which: Mapping[str, Any]) -> None:
    """Print one page of events, or all of them; *which* as for `ManagementClient.events`."""
    with service() as client:
        if everything:
            found, more = list(client.iterate_events(page_size=limit, key_id=key_id, **which)), False
        else:
            page = client.events(limit=limit, key_id=key_id, **which)
            found, more = list(page.events), page.next is not None
    if as_json:
        keys_output.print_json(found)
    else:
        trail_tables.print_events(found)
    if more:
        typer.echo(f"These are the newest {len(found)}; there are more: --all shows them.", err=True)


def usage(key_id: str, *, period: str, since: datetime | None, as_json: bool) -> None:
    """Print how a key was used."""
    with service() as client:
        found = client.usage(key_id, period=period, since=since)
    if as_json:
        keys_output.print_json(found)
    else:
        trail_tables.print_usage(found)


def receipt(key_id: str, *, as_json: bool) -> None:
    """Print how far a revocation has come."""
    with service() as client:
        found = client.receipt(key_id)
    if as_json:
        keys_output.print_json(found)
    else:
        trail_tables.print_receipt(found)


def options(*, as_json: bool) -> None:
    """Print what a new key may be."""
    with service() as client:
        found = client.options()
    if as_json:
        keys_output.print_json(found)
    else:
        trail_tables.print_options(found)
