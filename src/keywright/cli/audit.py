"""`keywright audit verify`: proves the audit log on the database itself, without a service."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING
from uuid import UUID

import click

from keywright.cli import exits
from keywright.cli.commands import Group

if TYPE_CHECKING:
    from keywright.service.management.audit import Head, Report
    from keywright.storage.engine import RunningStore

SENTENCES: Mapping[str, str] = {
    "event_altered": "the event differs from the one that was written",
    "hash_altered": "the hash does not match the event and the hash before it",
    "event_removed": "the event was removed",
    "places_removed": "the position was removed, and maybe others after it",
    "event_loose": "the event was inserted later: it has no position in the chain",
    "end_cut_off": "the end of the chain was cut off here",
    "end_altered": "the stored end of the chain differs from the end of the chain",
    "head_not_reached": "the chain was longer when the given head was printed",
    "head_differs": "the chain was computed again after the given head was printed",
}
"""A sentence for each `service.management.audit.FindingKind`."""


@click.group(cls=Group, examples=("keywright audit verify",))
def audit() -> None:
    """
    Prove that the audit log is complete and unaltered.

    Works on the database that KEYWRIGHT_DATABASE_URL names, whether or not the service runs.
    """


@audit.command(
    examples=(
        "keywright audit verify",
        "keywright audit verify --org 019a5d2e-7c1f-7c44-9b0e-2d0c8f3a1b22 --json",
    )
)
@click.option("--org", type=click.UUID, metavar="ID", help="The id of one organization; all organizations by default.")
@click.option(
    "--head",
    metavar="POSITION:HASH",
    help="The head of the organization's chain from an earlier run; the chain must still have it.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object a line for each organization, and nothing else."
)
def verify(org: UUID | None, head: str | None, as_json: bool) -> None:
    """
    Read all events, compute their chain again, and report events that were altered, removed, inserted or cut off.

    Prints the head of every chain. Store it elsewhere: a user who can write to the database can compute a new chain.
    Exit code 1 if there is a finding.
    """
    from keywright.cli import database

    earlier = _earlier_head(org, head)
    url = database.existing_url()
    wrong = database.run(url, lambda store: _verify_all(store, org, earlier, as_json=as_json))
    if wrong:
        exits.stop(f"Something is wrong with the audit log of {wrong} organization{'s' * (wrong > 1)}.", exits.FAILED)


def _earlier_head(org: UUID | None, text: str | None) -> "Head | None":
    from keywright.service.management.audit import Head

    if text is None:
        return None
    if org is None:
        exits.stop("--head needs --org, the id of its organization.", exits.MISUSED)
    head = Head.read(text)
    if head is None:
        exits.stop("--head must be POSITION:HASH, as an earlier run printed it.", exits.MISUSED)
    return head


async def _verify_all(store: "RunningStore", org: UUID | None, earlier: "Head | None", *, as_json: bool) -> int:
    """Print each report when it is complete; return the number of organizations with findings."""
    wrong = 0
    async for report in _reports(store, org, earlier):
        wrong += report.found > 0
        click.echo(_json(report) if as_json else "\n".join(_lines(report)))
    return wrong


async def _reports(store: "RunningStore", org: UUID | None, earlier: "Head | None") -> AsyncIterator["Report"]:
    from keywright.service.management.audit import audit

    organizations = await store.chained_organizations()
    if org is not None and org not in organizations and earlier is None:
        exits.stop("That organization has no events.", exits.FAILED)
    for org_id in organizations if org is None else [org]:
        yield await audit(store, org_id, remembered=earlier)


def _lines(report: "Report") -> Iterator[str]:
    verdict = "nothing is wrong" if not report.found else f"{report.found} wrong"
    yield f"organization {report.org_id}: {report.head.position} events, {verdict}"
    for kind, position, event_id in report.findings:
        location = {"position": position, "event": event_id}
        where = ", ".join(f"{name} {value}" for name, value in location.items() if value is not None)
        yield f"  {where}: {SENTENCES[kind]}"
    if report.found > len(report.findings):
        yield f"  and {report.found - len(report.findings)} more"
    yield f"  head {report.head}"


def _json(report: "Report") -> str:
    findings = [{**finding._asdict(), "message": SENTENCES[finding.kind]} for finding in report.findings]
    return json.dumps(
        {
            "org_id": report.org_id,
            "head": str(report.head),
            "events": report.head.position,
            "found": report.found,
            "findings": findings,
        },
        default=str,
    )
