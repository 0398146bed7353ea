"""What `keywright doctor` finds, and how it is printed."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


class Level(StrEnum):
    """How bad it is: fine, worth knowing, or in the way of the service."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: what is the matter with it, and how to mend it where that is needed."""

    level: Level
    subject: str
    message: str
    mend: str | None = None

    @classmethod
    def ok(cls, subject: str, message: str) -> "Finding":
        """Nothing is wrong."""
        return cls(Level.OK, subject, message)

    @classmethod
    def warn(cls, subject: str, message: str, mend: str) -> "Finding":
        """It works, but probably not as meant."""
        return cls(Level.WARN, subject, message, mend)

    @classmethod
    def fail(cls, subject: str, message: str, mend: str) -> "Finding":
        """The service cannot work like this."""
        return cls(Level.FAIL, subject, message, mend)


def print_json(findings: Sequence[Finding]) -> None:
    """Print an array of objects: `level`, `subject`, `message`, `mend`."""
    typer.echo(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))


def print_table(findings: Sequence[Finding]) -> None:
    """Print one line a finding, and below it how to mend it."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        message = Text(finding.message)
        if finding.mend is not None:
            message.append(f"\n→ {finding.mend}", style="bold")
        table.add_row(Text(finding.level, style=_STYLES[finding.level]), finding.subject, message)
    Console().print(table)
