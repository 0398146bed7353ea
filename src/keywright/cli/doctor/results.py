"""The results of `keywright doctor`, as JSON and as a table."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import click
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


class Level(StrEnum):
    """The severity of a result: only `fail` sets the exit code."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check, and how to fix what is wrong."""

    level: Level
    subject: str
    message: str
    fix: str | None = None


def ok(subject: str, message: str) -> CheckResult:
    """Make the result of a check without a fault."""
    return CheckResult(Level.OK, subject, message)


def warn(subject: str, message: str, fix: str) -> CheckResult:
    """Make the result for a setup that works, but probably not as intended."""
    return CheckResult(Level.WARN, subject, message, fix)


def fail(subject: str, message: str, fix: str) -> CheckResult:
    """Make the result for a fault that stops the service from working."""
    return CheckResult(Level.FAIL, subject, message, fix)


def clock(other: str, ahead: float, tolerance: float, consequence: str) -> CheckResult:
    """
    Make the result for the clock of this host.

    Args:
        other: The system with the other clock.
        ahead: The seconds by which this host is ahead; negative if it is behind.
        tolerance: The difference in seconds that does no harm.
        consequence: The effect of a larger difference.
    """
    if abs(ahead) <= tolerance:
        return ok("clock", f"The clocks of this host and of {other} agree.")
    direction = "ahead of" if ahead > 0 else "behind"
    message = f"This host's clock is {abs(ahead):.0f} s {direction} {other}'s; {consequence}."
    return warn("clock", message, "Let NTP set both clocks.")


def print_json(results: Sequence[CheckResult]) -> None:
    """Print an array of objects: `level`, `subject`, `message`, `fix`."""
    click.echo(json.dumps([dataclasses.asdict(result) for result in results], indent=2))


def print_table(results: Sequence[CheckResult]) -> None:
    """Print one line a result, and the fix below it."""
    table = Table(Column(no_wrap=True), Column(no_wrap=True), Column(overflow="fold"), box=None, show_header=False)
    table.pad_edge = False
    for result in results:
        message = Text(result.message)
        if result.fix is not None:
            message.append(f"\n→ {result.fix}", style="bold")
        table.add_row(Text(result.level, style=_STYLES[result.level]), result.subject, message)
    Console().print(table)
