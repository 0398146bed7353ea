"""
`keywright operator …`: the keys of all organizations, on the database itself.

For an operator with a shell, while the issuer or the service is away, too. Events name the service as the actor.
"""

import json
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from keywright.cli import exits, option_types
from keywright.cli.commands import Group
from keywright.cli.figures import figures
from keywright.cli.keys.running_service import confirm
from keywright.cli.office import run
from keywright.cli.tables import moment, print_rows, printable

if TYPE_CHECKING:
    from keywright.cli.office import Office
    from keywright.service.operator.ports import BulkRevocation, StoredKey

_REASONS = ("key_compromise", "superseded", "cessation_of_operation", "privilege_withdrawn", "unspecified")
_reason = click.option(
    "--reason",
    type=click.Choice(_REASONS),
    default="key_compromise",
    show_default=True,
    metavar="REASON",
    help=f"{', '.join(_REASONS)}.",
)


@click.group(
    cls=Group,
    examples=(
        "keywright operator figures",
        "keywright operator organizations",
        "cat leaked-key.txt | keywright operator find",
        "keywright operator revoke-all --created-by 'auth0|6543210fedcba'",
    ),
)
def operator() -> None:
    """
    Find and revoke the keys of all organizations.

    Works on the database that KEYWRIGHT_DATABASE_URL names, whether or not the service and the issuer run. The audit
    log of each organization names `keywright` as the actor.
    """


@operator.command(
    examples=(
        "keywright operator find 019a5d2e-7c1f-7c44-9b0e-2d0c8f3a1b55",
        "cat leaked-key.txt | keywright operator find",
    )
)
@click.argument(
    "text",
    required=False,
    metavar="TEXT",
    help="An id or a public key; read from standard input where it is absent, as for a private key.",
)
@option_types.as_json
def find(text: str | None, as_json: bool) -> None:
    """Show the key that an id, a public key or a leaked private key belongs to; a deleted one, too."""

    async def work(office: "Office") -> Any:
        wanted = sys.stdin.read() if text is None else text
        return await office.lookup.find(office.principal, wanted)

    found = run(work)
    if found is None:
        exits.stop("There is no key with this id, public key or private key.", exits.FAILED)
    _print_keys([found.key], as_json=as_json)


@operator.command(
    examples=(
        "keywright operator organizations",
        "keywright operator organizations --json",
    )
)
@option_types.as_json
def organizations(as_json: bool) -> None:
    """Show all organizations, with the number of their keys that are neither revoked nor deleted."""

    async def work(office: "Office") -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        before = None
        while True:
            page = await office.lookup.organizations_page(office.principal, limit=1000, before=before)
            rows += [
                {
                    "id": str(each.organization.id),
                    "external_id": each.organization.external_id,
                    "keys": each.active_keys,
                }
                for each in page.items
            ]
            before = page.next
            if before is None:
                return rows

    found = run(work)
    if as_json:
        click.echo(json.dumps(found))
        return
    print_rows(("Id", "External id", "Keys"), [(each["id"], each["external_id"], str(each["keys"])) for each in found])


@operator.command(
    examples=(
        "keywright operator revoke 019a5d2e-7c1f-7c44-9b0e-2d0c8f3a1b55",
        "keywright operator revoke 019a5d2e-7c1f-7c44-9b0e-2d0c8f3a1b55 --reason superseded --yes",
    )
)
@click.argument("key_id", type=click.UUID, metavar="ID", help="The id of a key of any organization.")
@_reason
@option_types.yes
@option_types.as_json
def revoke(key_id: UUID, reason: str, yes: bool, as_json: bool) -> None:
    """Revoke a key of any organization for good. Asks first when run on a terminal."""
    from keywright.keys.record import RevocationReason

    async def work(office: "Office") -> "StoredKey | None":
        confirm(not yes, f"Revoke {key_id} for good?")
        return await office.lookup.revoke(office.principal, office.origin(), key_id, RevocationReason(reason))

    found = run(work)
    if found is None:
        exits.stop("There is no key with this id.", exits.FAILED)
    _print_keys([found], as_json=as_json)


@operator.command(
    "revoke-all",
    examples=(
        "keywright operator revoke-all --org 019a5d2e-7c1f-7c44-9b0e-2d0c8f3a1b22",
        "keywright operator revoke-all --created-by 'auth0|6543210fedcba' --yes",
    ),
)
@click.option("--org", type=click.UUID, metavar="ID", help="Keys of this organization.")
@click.option("--created-by", metavar="SUBJECT", help="Keys that the bearer of this token subject created.")
@_reason
@option_types.yes
@option_types.as_json
def revoke_all(org: UUID | None, created_by: str | None, reason: str, yes: bool, as_json: bool) -> None:
    """
    Revoke all keys of an organization, of a creator, or of a creator in an organization, for good.

    Counts them and asks first when run on a terminal. A revocation that was interrupted goes on in the running service.
    """
    if org is None and created_by is None:
        exits.stop("Give --org, --created-by or both.", exits.MISUSED)
    from keywright.keys.record import RevocationReason
    from keywright.service.management.refusals import Refused
    from keywright.service.operator.ports import Target

    async def work(office: "Office") -> "BulkRevocation | Refused":
        target = Target(org_id=org, created_by=created_by)
        preview = await office.bulk.preview(office.principal, office.origin(), target, RevocationReason(reason))
        if isinstance(preview, Refused):
            return preview
        question = f"Revoke {preview.keys} keys of {preview.organizations} organizations for good?"
        confirm(not yes, question)
        started = await office.bulk.start(office.principal, office.origin(), preview.id)
        await office.bulk.work(_without_pause)
        return await office.bulk.get(office.principal, preview.id) or started

    found = run(work)
    if isinstance(found, Refused):
        exits.stop("There is no such organization.", exits.FAILED)
    if as_json:
        click.echo(json.dumps({"id": str(found.id), "keys": found.keys, "revoked": found.revoked}))
        return
    click.echo(f"Revoked {found.revoked} keys. Every running service refuses them within a second.")


operator.add_command(figures)


async def _without_pause() -> None:
    return None


def _print_keys(found: "list[StoredKey]", *, as_json: bool) -> None:
    keys = [_shown(each) for each in found]
    if as_json:
        click.echo(json.dumps(keys[0], default=_json))
        return
    for name, value in keys[0].items():
        text = moment(value) if isinstance(value, datetime) or value is None else printable(str(value))
        click.echo(f"{name.replace('_', ' '):<22} {text}")


def _shown(found: "StoredKey") -> dict[str, Any]:
    from keywright import system

    key = found.api_key
    return {
        "id": key.id,
        "organization": key.org_id,
        "organization_external_id": found.organization.external_id,
        "name": key.name,
        "status": "deleted" if found.deleted_at is not None else key.status_at(system.utc_now()).value,
        "public_key": key.secret.public_key.text,
        "private_key_display": key.secret.display,
        "created_at": key.created_at,
        "created_by": key.created_by,
        "external_id": key.external_id or "",
        "last_used_at": key.last_used_at,
        "revoked_at": key.revoked_at,
        "deleted_at": found.deleted_at,
    }


def _json(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
