"""
Watching the old secret of a rotation until it is safe to end it.

It is safe once the new secret has been used, and the old one has not been since for long enough. A use is told a little
late, because services and verifiers write uses now and then; so as much is waited in addition.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from keywright.cli import exits, tables
from keywright.cli.typed_values import shown_duration
from keywright.client import ManagementClient
from keywright.client.errors import ServiceUnavailable
from keywright.contract import ApiKeyResponse, SecretResponse, SourceResponse

QUIET_SECONDS = 3600
"""How long the old secret must not have been used, unless told otherwise."""

LAG_SECONDS = 120
PAUSE_SECONDS = 5.0

_MOST_SOURCES = 10


class Sight(NamedTuple):
    """What is seen of a rotation at one moment: both secrets, and where the old one was used from lately."""

    old: SecretResponse
    new: SecretResponse
    sources: tuple[SourceResponse, ...]

    def quiet_for(self, now: datetime) -> timedelta | None:
        """Say for how long the new secret alone has been in use; None before its first use."""
        if self.new.first_used_at is None:
            return None
        return now - max(self.new.first_used_at, self.old.last_used_at or self.new.first_used_at)

    @property
    def lines(self) -> list[str]:
        """What people are told, without the time that has passed, so that it changes only when something happened."""
        told = [
            f"Old secret {self.old.private_key_display}: last used {tables.moment(self.old.last_used_at)}, "
            f"works until {tables.moment(self.old.retires_at)}.",
            f"New secret {self.new.private_key_display}: first used {tables.moment(self.new.first_used_at)}.",
        ]
        for source in self.sources[:_MOST_SOURCES]:
            where = " ".join(filter(None, (source.network or "an unknown network", source.agent)))
            told.append(f"  from {where} through {source.verifier}, last {tables.moment(source.last_seen)}")
        return [tables.printable(line) for line in told]


def watch(
    client: ManagementClient,
    key: ApiKeyResponse,
    *,
    quiet_seconds: int | None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """
    Show the last uses of the old secret until it has ended or it is safe to end it, and say which; on standard error.

    Args:
        client: Calls the service; while that is away, it is asked again.
        key: As the rotation left it.
        quiet_seconds: How long the old secret must not have been used; None for what the rotation says, or an hour.
        sleep: Waits for so many seconds.
    """
    old = key.retiring
    if old is None:
        typer.echo("The old secret has ended.", err=True)
        return
    wanted = timedelta(seconds=quiet_seconds or old.retire_when_quiet_seconds or QUIET_SECONDS)
    with _display() as show:
        while True:
            sight = _look(client, key, old.public_key, sleep)
            if sight is None:
                break
            quiet = sight.quiet_for(client.service_time or datetime.now(UTC))
            show(sight)
            if quiet is not None and quiet >= wanted + timedelta(seconds=LAG_SECONDS):
                break
            sleep(PAUSE_SECONDS)
    typer.echo(_ended(key, sight, wanted), err=True)


def _look(
    client: ManagementClient, key: ApiKeyResponse, old_public_key: str, sleep: Callable[[float], None]
) -> Sight | None:
    """See how the rotation stands; None when the old secret does not work any more."""
    while True:
        try:
            now, usage = client.get(key.id), client.usage(key.id, period="hour")
        except ServiceUnavailable:
            sleep(PAUSE_SECONDS)
            continue
        break
    if now.is_revoked:
        exits.stop("The key was revoked meanwhile: none of its secrets works.", exits.FAILED)
    old = next((secret for secret in now.secrets if secret.public_key == old_public_key), None)
    if old is None or old.retires_at is None:
        return None
    sources = tuple(source for source in usage.sources if source.public_key == old_public_key)
    return Sight(old, now.secrets[0], sources)


def _ended(key: ApiKeyResponse, sight: Sight | None, wanted: timedelta) -> str:
    if sight is None:
        return "The old secret has ended."
    return (
        f"It is safe to end the old secret: since the new one is in use it was not used for "
        f"{shown_duration(wanted.total_seconds())}. To end it: keywright keys rotation end {key.id}"
    )


@contextmanager
def _display() -> Iterator[Callable[[Sight], None]]:
    """Give what shows a sight: in place on a terminal, and line by line, when something happened, elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        told: list[str] = []

        def tell(sight: Sight) -> None:
            for line in sight.lines:
                if line not in told:
                    typer.echo(line, err=True)
            told[:] = sight.lines

        yield tell
        return
    with Live(console=console, auto_refresh=False) as live:
        yield lambda sight: live.update(Group(*map(Text, sight.lines)), refresh=True)
