"""`keywright audit`: proves the audit log, and erases a person from it, on the database itself, without a service."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING
from uuid import UUID

import click

from keywright.cli import exits
from keywright.cli.commands import Group
from keywright.cli.data.kept import export, head

if TYPE_CHECKING:
    from keywright.service.management.audit import Head, Report
    from keywright.service.management.audit_ports import Checkpoint
    from keywright.service.management.erasure import Erased
    from keywright.storage.engine import RunningStore

SENTENCES: Mapping[str, str] = {
    "event_altered": "the event differs from the one that was written",
    "hash_altered": "the hash does not match the event and the hash before it",
    "event_removed": "the event was removed",
    "places_removed": "the position was removed, and maybe others after it",
    "event_loose": "the event was inserted later: it has no position in the chain",
    "events_unsealed": "there are more or fewer events without a digest than when they were sealed",
    "checkpoint_differs": "the checkpoint counts other events than those of its positions",
    "end_cut_off": "the end of the chain was cut off here",
    "end_altered": "the stored end of the chain differs from the end of the chain",
    "head_not_reached": "the chain was longer when the given head was printed",
    "head_differs": "the chain was computed again after the given head was printed",
    "head_pruned": "the position of the given head was removed since by retention; compare a later head",
}
"""A sentence for each `service.management.audit.FindingKind`."""


_ORG = "019a5d2e-7c1f-7c44-9b0e-2d0c8f3a1b22"


@click.group(
    cls=Group,
    examples=("keywright audit verify", f"keywright audit erase --org {_ORG} --subject 'auth0|alice'"),
)
def audit() -> None:
    """
    Prove that the audit log is complete and unaltered, and erase a person from it.

    Works on the database that KEYWRIGHT_DATABASE_URL names, whether or not the service runs.
    """


@audit.command(
    examples=(
        "keywright audit verify",
        f"keywright audit verify --org {_ORG} --json",
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

    Says what retention has removed and what was erased, and prints the head of every chain. Store it elsewhere: a user
    who can write to the database can compute a new chain.
    Exit code 1 if there is a finding.
    """
    from keywright.cli import database

    earlier = _earlier_head(org, head)
    wrong = database.run(lambda store: _verify_all(store, org, earlier, as_json=as_json))
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
    if not organizations and earlier is None:
        exits.stop("The database has no events: nothing was verified. Is it the right one?", exits.FAILED)
    if org is not None and org not in organizations and earlier is None:
        exits.stop("That organization has no events.", exits.FAILED)
    for org_id in organizations if org is None else [org]:
        yield await audit(store, org_id, remembered=earlier)


def _lines(report: "Report") -> Iterator[str]:
    verdict = "nothing is wrong" if not report.found else f"{report.found} wrong"
    yield f"organization {report.org_id}: {_stored(report)} events, {verdict}"
    yield from _removed(report)
    for kind, position, event_id in report.findings:
        location = {"position": position, "event": event_id}
        where = ", ".join(f"{name} {value}" for name, value in location.items() if value is not None)
        yield f"  {where}: {SENTENCES[kind]}"
    if report.found > len(report.findings):
        yield f"  and {report.found - len(report.findings)} more"
    yield f"  head {report.head}"


def _stored(report: "Report") -> int:
    """Count the positions that are stored."""
    return report.head.position - (0 if report.checkpoint is None else report.checkpoint.position)


def _removed(report: "Report") -> Iterator[str]:
    checkpoint = report.checkpoint
    if checkpoint is not None:
        moved = checkpoint.moved_at.isoformat(timespec="seconds")
        yield f"  pruned: {checkpoint.removed} events, up to position {checkpoint.position}, last at {moved}"
    if report.erased:
        yield f"  erased: the personal fields of {report.erased} events"
    if report.undigested:
        yield f"  not proven: {report.undigested} events from before the chain, which were counted"


def _json(report: "Report") -> str:
    findings = [{**finding._asdict(), "message": SENTENCES[finding.kind]} for finding in report.findings]
    return json.dumps(
        {
            "org_id": report.org_id,
            "head": str(report.head),
            "events": _stored(report),
            "pruned": None if report.checkpoint is None else _pruned(report.checkpoint),
            "erased": report.erased,
            "undigested": report.undigested,
            "found": report.found,
            "findings": findings,
        },
        default=str,
    )


def _pruned(checkpoint: "Checkpoint") -> dict[str, object]:
    return {
        "events": checkpoint.removed,
        "position": checkpoint.position,
        "hash": checkpoint.hash.hex(),
        "at": checkpoint.moved_at.isoformat(),
    }


@audit.command(examples=(f"keywright audit erase --org {_ORG} --subject 'auth0|alice' --dry-run",))
@click.option("--org", type=click.UUID, required=True, metavar="ID", help="The id of the organization.")
@click.option(
    "--subject",
    required=True,
    metavar="SUBJECT",
    help="The `sub` of the person's tokens, exactly, such as `auth0|alice`.",
)
@click.option("--dry-run", is_flag=True, help="Change nothing; print what would be erased.")
def erase(org: UUID, subject: str, dry_run: bool) -> None:
    """
    Erase a person from the audit log: blank the personal fields of all events of one subject in one organization.

    These are the subject, the client, the address, and names, descriptions, external ids and metadata of keys in the
    details of changes. An event is added first that names the positions. The rest of each event stays proven. It cannot
    be undone; backups keep what they have.
    """
    from keywright.cli import database
    from keywright.service.management.erasure import NotErasable

    with exits.ending_on(NotErasable, code=exits.FAILED):
        erased = database.run(lambda store: _erase(store, org, subject, dry_run=dry_run))
    if not erased.events:
        exits.stop("That organization has no events of that subject.", exits.FAILED)
    print(f"{'would be erased' if dry_run else 'erased'}: {erased.events} events")


async def _erase(store: "RunningStore", org: UUID, subject: str, *, dry_run: bool) -> "Erased":
    from keywright.service.management.erasure import erase_subject
    from keywright.system import new_id, utc_now

    return await erase_subject(store, org, subject, clock=utc_now, new_id=new_id, dry_run=dry_run)


audit.add_command(head)
audit.add_command(export)
