"""What `keywright audit verify` does, on the database itself: it needs no service and believes none."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import typer

from keywright.cli import database, exits
from keywright.service.faults import StorageUnavailable
from keywright.service.management.audit import Finding, FindingKind, Head, Report, audit
from keywright.storage.engine import RunningStore, open_store

SENTENCES = {
    FindingKind.EVENT_ALTERED: "the event is not what it was when it was written",
    FindingKind.HASH_ALTERED: "the hash does not follow from the event and the hash before it",
    FindingKind.EVENT_REMOVED: "the event was removed",
    FindingKind.PLACES_REMOVED: "the place was removed, and maybe others after it",
    FindingKind.EVENT_LOOSE: "the event was put there by somebody: it has no place in the chain",
    FindingKind.END_CUT_OFF: "the end of the chain was cut off here",
    FindingKind.END_ALTERED: "what is kept of the chain's end is not what it ends with",
    FindingKind.HEAD_NOT_REACHED: "the chain was longer when the given head was kept",
    FindingKind.HEAD_DIFFERS: "the chain was written anew since the given head was kept",
}


def verify(org: UUID | None, head: str | None, *, as_json: bool) -> None:
    """Audit one organisation or all, print what was found, and end the command accordingly."""
    remembered = _remembered(org, head)
    # A job on the database needs no issuer.
    settings = exits.load_settings(auth0_domain="", issuer="https://not.wanted.example/", audience="not wanted")
    url = settings.database_url.get_secret_value()
    database.require_migrated(url)
    try:
        wrong = asyncio.run(_verify_all(url, org, remembered, as_json=as_json))
    except StorageUnavailable as fault:
        exits.stop(f"The database cannot be used: {fault.reason}.", exits.UNAVAILABLE)
    if wrong:
        exits.stop(f"Something is wrong with the trail of {wrong} organization{'s' * (wrong > 1)}.", exits.FAILED)


def _remembered(org: UUID | None, head: str | None) -> Head | None:
    if head is None:
        return None
    if org is None:
        exits.stop("--head is that of one organization: name it with --org.", exits.MISUSED)
    remembered = Head.read(head)
    if remembered is None:
        exits.stop("--head has to be POSITION:HASH, as an earlier run printed it.", exits.MISUSED)
    return remembered


async def _verify_all(url: str, org: UUID | None, remembered: Head | None, *, as_json: bool) -> int:
    """Print the reports, each as soon as it is there; give how many are of something wrong."""
    store = open_store(url)
    wrong = 0
    try:
        async for report in _reports(store, org, remembered):
            wrong += report.found > 0
            if as_json:
                typer.echo(json.dumps(_plain(report)))
            else:
                _print(report)
    finally:
        await store.close()
    return wrong


async def _reports(store: RunningStore, org: UUID | None, remembered: Head | None) -> AsyncIterator[Report]:
    known = await store.chained_organizations()
    if org is not None and org not in known and remembered is None:
        exits.stop("There are no events of that organization.", exits.FAILED)
    for org_id in known if org is None else [org]:
        yield await audit(store, org_id, remembered=remembered)


def _print(report: Report) -> None:
    verdict = "nothing is wrong" if not report.found else f"{report.found} wrong"
    typer.echo(f"organization {report.org_id}: {report.head.position} events, {verdict}")
    for finding in report.findings:
        typer.echo(f"  {_where(finding)}: {SENTENCES[finding.kind]}")
    if report.found > len(report.findings):
        typer.echo(f"  and {report.found - len(report.findings)} more")
    typer.echo(f"  head {report.head}")


def _where(finding: Finding) -> str:
    position = "" if finding.position is None else f"position {finding.position}"
    event = "" if finding.event_id is None else f"event {finding.event_id}"
    return ", ".join(filter(None, (position, event)))


def _plain(report: Report) -> dict[str, Any]:
    return {
        "org_id": str(report.org_id),
        "head": str(report.head),
        "events": report.head.position,
        "found": report.found,
        "findings": [
            {
                "kind": finding.kind.value,
                "position": finding.position,
                "event_id": None if finding.event_id is None else str(finding.event_id),
                "message": SENTENCES[finding.kind],
            }
            for finding in report.findings
        ],
    }
