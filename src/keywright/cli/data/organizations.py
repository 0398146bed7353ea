"""`keywright organizations …`: all data of one organization, exported or erased, on the database itself."""

import json
import sys
from typing import TYPE_CHECKING
from uuid import UUID

import click

from keywright.cli import exits, option_types
from keywright.cli.commands import Group

if TYPE_CHECKING:
    from keywright.cli.office import Office
    from keywright.service.operator.ports import CountedOrganization
    from keywright.service.organization_data.erasure import ErasedData
    from keywright.storage.engine import RunningStore

_ORG = "019a5d2e-7c1f-7c44-9b0e-2d0c8f3a1b22"

_id = click.argument("org_id", type=click.UUID, metavar="ID", help="The id of the organization.")


@click.group(
    cls=Group,
    examples=(f"keywright organizations export {_ORG}", f"keywright organizations erase {_ORG}"),
)
def organizations() -> None:
    """
    Export or erase all data of one organization.

    Works on the database that KEYWRIGHT_DATABASE_URL names, whether or not the service runs. `keywright operator
    organizations` lists the ids.
    """


@organizations.command(examples=(f"keywright organizations export {_ORG}",))
@_id
def export(org_id: UUID) -> None:
    """
    Print all data of an organization, one JSON object a line; `type` says what a line is about.

    That is: the organization, its keys, their pairs, usage and sources, and its events. No line has a private key or
    its digest.
    """
    from keywright.cli import database

    database.run(lambda store: _export(store, org_id))


async def _export(store: "RunningStore", org_id: UUID) -> None:
    from keywright.service.organization_data.export import export as exported

    async for line in exported(store, await _organization(store, org_id)):
        click.echo(json.dumps(line))


@organizations.command(
    examples=(f"keywright organizations erase {_ORG}", f"keywright organizations erase {_ORG} --yes")
)
@_id
@option_types.yes
def erase(org_id: UUID, yes: bool) -> None:
    """
    Erase an organization: revoke its keys, and blank what names persons in keys and events. It cannot be undone.

    Blank become names, descriptions, external ids, metadata and networks of keys, the subjects of those who created,
    revoked and deleted them, the sources of their uses, and the personal fields of all events. Ids, digests, times,
    scopes and the organization's own row stay, and the audit still proves the chain. Backups keep what they have.
    Asks for the id when run on a terminal; a script gives --yes.
    """
    from keywright.cli import office
    from keywright.service.management.erasure import NotErasable

    with exits.ending_on(NotErasable, code=exits.FAILED):
        revoked, erased = office.run(lambda desk: _erase(desk, org_id, yes=yes))
    click.echo(
        f"revoked: {revoked} keys; erased: {erased.keys} keys, {erased.events} events, {erased.answers} stored answers"
    )


async def _erase(desk: "Office", org_id: UUID, *, yes: bool) -> "tuple[int, ErasedData]":
    from keywright import system
    from keywright.service.organization_data.erasure import OrganizationErasure

    found = await _organization(desk.store, org_id)
    _confirm(found, yes=yes)
    erasure = OrganizationErasure(store=desk.store, clock=system.utc_now, new_id=system.new_id)
    return await desk.revoke_all(org_id), await erasure.erase(org_id)


async def _organization(store: "RunningStore", org_id: UUID) -> "CountedOrganization":
    found = await store.counted_organization(org_id, org_id)
    if found is None:
        exits.stop("There is no organization with this id.", exits.FAILED)
    return found


def _confirm(found: "CountedOrganization", *, yes: bool) -> None:
    """Have a person type the id; no other answer will do."""
    if yes:
        return
    if not sys.stdin.isatty():
        exits.stop("Nothing was changed: give --yes where nobody can be asked.", exits.MISUSED)
    org_id, name = found.organization.id, found.organization.external_id
    typed: str = click.prompt(
        f"This erases the organization {name!r}, and revokes its {found.active_keys} keys. Type its id", err=True
    )
    if typed.strip().lower() != str(org_id):
        exits.stop("Nothing was changed.", exits.FAILED)
