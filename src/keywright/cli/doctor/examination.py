"""`keywright doctor`: looks at everything the service depends on, in the order in which it would fail."""

import asyncio
import os
from itertools import chain

import typer
from rich.console import Console

from keywright import config
from keywright.cli import exits
from keywright.cli.doctor import database, findings, issuer, limits, settings
from keywright.cli.doctor.findings import Finding, Level
from keywright.config import Settings, SettingsError


def run(*, as_json: bool) -> None:
    """Print what is found; exit code 1 where something fails."""
    with Console(stderr=True).status("looking …"):
        found = asyncio.run(examine())
    if as_json:
        findings.print_json(found)
    else:
        findings.print_table(found)
    if any(finding.level is Level.FAIL for finding in found):
        raise typer.Exit(exits.FAILED)


async def examine() -> list[Finding]:
    """Check the settings, the ports, the issuer, the database and the counting of rate limits."""
    unknown = settings.unknown_variables(os.environ)
    try:
        chosen = config.load()
    except SettingsError as error:
        return [findings.fail("settings", str(error), "Every setting is in docs/reference/configuration.md."), *unknown]
    return [*settings.check(chosen), *unknown, *await _surroundings(chosen)]


async def _surroundings(chosen: Settings) -> list[Finding]:
    found = await asyncio.gather(
        issuer.check(chosen.issuer),
        database.check(chosen.database_url.get_secret_value()),
        limits.check(chosen),
    )
    return [*await settings.ports(chosen), *chain.from_iterable(found)]
