"""
`keywright keys rotate` and `keywright keys rotation …`.

The watch of a rotation ends when it is safe to end the old secret: the new one is in use, and the old one has been idle
long enough since. Services and verifiers write usage with a delay, so the watch adds that delay to the idle time.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import click

from keywright.cli import exits, option_types
from keywright.cli.commands import Command, Group
from keywright.cli.keys import lookup, output
from keywright.cli.keys.running_service import confirm, service
from keywright.cli.option_types import shown_duration
from keywright.cli.tables import moment, printable

if TYPE_CHECKING:
    from keywright.client import ManagementClient
    from keywright.contract import ApiKeyResponse, SecretResponse, SourceResponse

IDLE_SECONDS = 3600
"""The idle time of the old secret in seconds, if neither the command nor the rotation has one."""

LAG_SECONDS = 120
PAUSE_SECONDS = 5.0

_MOST_SOURCES = 10


@click.group(cls=Group, examples=('keywright keys rotation wait "Billing export"',))
def rotation() -> None:
    """Watch, end or extend the old secret during a rotation."""


@click.command(
    cls=Command,
    examples=(
        'keywright keys rotate "Billing export"',
        'KEY=$(keywright keys rotate "Billing export" --overlap 7d)',
        "keywright keys rotate 019a5d2e --idle 1h --wait",
    ),
)
@option_types.key
@option_types.duration_option(
    "--overlap", "How long the old secret remains valid, such as 7d, at most 30d; by default 1d, and 30d with --idle."
)
@option_types.duration_option(
    "--idle", "End the old secret sooner: when it was idle for so long after the new one's first use, such as 1h."
)
@click.option("--wait", is_flag=True, help="Show the last uses of the old secret until it has ended or is safe to end.")
@option_types.if_match
@option_types.yes
@option_types.as_json
def rotate(
    key: str, overlap: int | None, idle: int | None, wait: bool, if_match: str | None, yes: bool, as_json: bool
) -> None:
    """
    Give a key a new secret. Its private key is printed only this time. The old secret remains valid for a while.

    With an overlap of 0s the old secret ends at once. On a terminal, the command asks first.
    """
    with service() as client:
        key_id = lookup.id_of(client, key)
        if overlap == 0:
            confirm(not yes, f"End the present secret of {key_id} at once?")
        rotated = client.rotate(key_id, overlap_seconds=overlap, retire_when_idle_seconds=idle, if_match=if_match)
        output.print_created(rotated, as_json=as_json)
        if wait:
            watch(client, rotated, idle_seconds=idle)


@rotation.command(
    "wait",
    examples=('keywright keys rotation wait "Billing export"', "keywright keys rotation wait 019a5d2e --idle 15m"),
)
@option_types.key
@option_types.duration_option("--idle", "The idle time of the old secret; by default that of the rotation, or 1h.")
def wait_until_idle(key: str, idle: int | None) -> None:
    """Show the last uses of the old secret until it has ended or is safe to end."""
    with service() as client:
        found = client.get(lookup.id_of(client, key))
        if found.retiring is None:
            exits.stop("No rotation is in progress: the key has only its current secret.", exits.FAILED)
        watch(client, found, idle_seconds=idle)


@rotation.command(examples=('keywright keys rotation end "Billing export"', "keywright keys rotation end 019a5d2e -y"))
@option_types.key
@option_types.yes
@option_types.as_json
def end(key: str, yes: bool, as_json: bool) -> None:
    """End the old secret at once. Asks first when run on a terminal."""
    with service() as client:
        key_id = lookup.id_of(client, key)
        confirm(not yes, f"End the old secret of {key_id} for good?")
        output.print_key(client.set_overlap(key_id, overlap_seconds=0), as_json=as_json)
    click.echo("The old secret has ended.", err=True)


@rotation.command(examples=('keywright keys rotation extend "Billing export" --overlap 7d',))
@option_types.key
@option_types.duration_option(
    "--overlap", "How long it remains valid from now, such as 7d, at most 30d.", required=True
)
@option_types.as_json
def extend(key: str, overlap: int, as_json: bool) -> None:
    """Set the time for which the old secret remains valid, longer or shorter than before."""
    with service() as client:
        key_id = lookup.id_of(client, key)
        output.print_key(client.set_overlap(key_id, overlap_seconds=overlap), as_json=as_json)


class _State(NamedTuple):
    """The state of a rotation: both secrets, and the sources of the old one."""

    old: "SecretResponse"
    new: "SecretResponse"
    sources: tuple["SourceResponse", ...]

    def idle_time(self, now: datetime) -> timedelta | None:
        """Return the time for which only the new secret has been used; None before its first use."""
        if self.new.first_used_at is None:
            return None
        return now - max(self.new.first_used_at, self.old.last_used_at or self.new.first_used_at)

    @property
    def lines(self) -> list[str]:
        """The state for people. No line has an elapsed time, so a line changes only with a use."""
        lines = [
            f"Old secret {self.old.private_key_display}: last used {moment(self.old.last_used_at)}, "
            f"works until {moment(self.old.retires_at)}.",
            f"New secret {self.new.private_key_display}: first used {moment(self.new.first_used_at)}.",
        ]
        for source in self.sources[:_MOST_SOURCES]:
            where = " ".join(filter(None, (source.network or "an unknown network", source.agent)))
            lines.append(f"  from {where} through {source.verifier}, last {moment(source.last_seen)}")
        return [printable(line) for line in lines]


def watch(
    client: "ManagementClient",
    key: "ApiKeyResponse",
    *,
    idle_seconds: int | None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """
    Show the last uses of the old secret on standard error, until it has ended or is safe to end.

    Args:
        client: The client of the service; calls are repeated while the service is unavailable.
        key: The key after the rotation.
        idle_seconds: The idle time of the old secret; None for that of the rotation, or an hour.
        sleep: Waits for some seconds.
    """
    old = key.retiring
    if old is None:
        click.echo("The old secret has ended.", err=True)
        return
    least = timedelta(seconds=idle_seconds or old.retire_when_idle_seconds or IDLE_SECONDS)
    with _display() as show:
        while (state := _look(client, key, old.public_key, sleep)) is not None:
            show(state)
            idle = state.idle_time(client.service_time or datetime.now(UTC))
            if idle is not None and idle >= least + timedelta(seconds=LAG_SECONDS):
                break
            sleep(PAUSE_SECONDS)
    if state is None:
        click.echo("The old secret has ended.", err=True)
        return
    click.echo(
        f"It is safe to end the old secret: the new one is in use, and the old one was not used for "
        f"{shown_duration(least.total_seconds())}. To end it: keywright keys rotation end {key.id}",
        err=True,
    )


def _look(
    client: "ManagementClient", key: "ApiKeyResponse", old_public_key: str, sleep: Callable[[float], None]
) -> _State | None:
    """Read the state of the rotation; None if the old secret has ended."""
    from keywright.client.errors import ServiceUnavailable

    while True:
        try:
            now, usage = client.get(key.id), client.usage(key.id, period="hour")
            break
        except ServiceUnavailable:
            sleep(PAUSE_SECONDS)
    if now.is_revoked:
        exits.stop("The key was revoked meanwhile: none of its secrets is valid.", exits.FAILED)
    old = next((secret for secret in now.secrets if secret.public_key == old_public_key), None)
    if old is None or old.retires_at is None:
        return None
    sources = tuple(source for source in usage.sources if source.public_key == old_public_key)
    return _State(old, now.secrets[0], sources)


@contextmanager
def _display() -> Iterator[Callable[[_State], None]]:
    """Yield a function that shows a state: on a terminal in place, elsewhere only the changed lines."""
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

    console = Console(stderr=True)
    if console.is_terminal:
        with Live(console=console, auto_refresh=False) as live:
            yield lambda state: live.update(Group(*map(Text, state.lines)), refresh=True)
        return
    shown: list[str] = []

    def show(state: _State) -> None:
        for line in state.lines:
            if line not in shown:
                click.echo(line, err=True)
        shown[:] = state.lines

    yield show
