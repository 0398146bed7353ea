"""What `keywright keys rotate` and `keywright keys rotation …` do."""

import typer

from keywright.cli import exits, keys_output, keys_waiting
from keywright.cli.keys_service import confirm, service


def rotate(
    key_id: str,
    *,
    overlap_seconds: int | None,
    quiet_seconds: int | None,
    if_match: str | None,
    wait: bool,
    ask: bool,
    as_json: bool,
) -> None:
    """Give a key a new pair and print it; then, if that is wished, watch the old one until nobody needs it."""
    if overlap_seconds == 0:
        confirm(ask, f"End the present secret of {key_id} at once?")
    with service() as client:
        rotated = client.rotate(
            key_id, overlap_seconds=overlap_seconds, retire_when_quiet_seconds=quiet_seconds, if_match=if_match
        )
        keys_output.print_created(rotated, as_json=as_json)
        if wait:
            keys_waiting.watch(client, rotated, quiet_seconds=quiet_seconds)


def wait(key_id: str, *, quiet_seconds: int | None) -> None:
    """Watch the old secret of a rotation until nobody needs it."""
    with service() as client:
        key = client.get(key_id)
        if key.retiring is None:
            exits.stop("No rotation is under way: only the current secret of the key works.", exits.FAILED)
        keys_waiting.watch(client, key, quiet_seconds=quiet_seconds)


def end(key_id: str, *, ask: bool, as_json: bool) -> None:
    """End the old secret of a rotation at once."""
    confirm(ask, f"End the old secret of {key_id} for good?")
    _set_overlap(key_id, 0, as_json=as_json)


def extend(key_id: str, overlap_seconds: int, *, as_json: bool) -> None:
    """Have the old secret of a rotation work for so much longer from now."""
    _set_overlap(key_id, overlap_seconds, as_json=as_json)


def _set_overlap(key_id: str, seconds: int, *, as_json: bool) -> None:
    with service() as client:
        key = client.set_overlap(key_id, overlap_seconds=seconds)
    keys_output.print_one(key, as_json=as_json)
    if seconds == 0:
        typer.echo("The old secret has ended.", err=True)
