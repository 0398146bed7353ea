"""The commands that create, read, change, revoke and delete keys, and the group of all commands of keys."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from keywright.cli import exits, option_types, tables
from keywright.cli.commands import Group
from keywright.cli.keys import activity, lookup, output, rotation
from keywright.cli.keys.running_service import confirm, service, up_to

if TYPE_CHECKING:
    from keywright.client import ManagementClient
    from keywright.contract import ApiKeyResponse

# The values that `update --clear` sends, by the name of the field.
_EMPTY: Mapping[str, Mapping[str, Any]] = {
    "description": {"description": None},
    "expires": {"expires_at": None},
    "external-id": {"external_id": None},
    "scopes": {"scopes": ()},
    "allowed-ips": {"allowed_ips": ()},
    "rate-limits": {"rate_limits": ()},
    "metadata": {"metadata": {}},
}
_STATUSES = ("active", "disabled", "expired", "revoked", "expiring")
_REASONS = ("key_compromise", "superseded", "cessation_of_operation", "privilege_withdrawn", "unspecified")

_environment = click.option("--environment", metavar="NAME", help="Such as live or sandbox.")
_external_id = click.option("--external-id", metavar="TEXT", help="The id of the key's owner in your own records.")


def _fields(command: option_types.Function) -> option_types.Function:
    """Declare the options of `create` and `update`; the name of each value is that of its field in the API."""
    options = (
        click.option("--description", metavar="TEXT", help="The purpose of the key, at most 255 characters."),
        click.option(
            "--expires",
            "expires_at",
            type=option_types.moment_ahead,
            metavar="DURATION|TIME",
            help="The expiry: 90d from now, or a time such as 2027-01-31T12:00:00Z.",
        ),
        click.option("--scope", "scopes", multiple=True, metavar="SCOPE", help="A scope, resource:action; repeatable."),
        click.option(
            "--allow-ip",
            "allowed_ips",
            multiple=True,
            metavar="CIDR",
            help="An address or network that may use the key; repeatable.",
        ),
        click.option(
            "--rate-limit",
            "rate_limits",
            multiple=True,
            type=option_types.rate_limit,
            metavar="NAME=LIMIT/DURATION",
            help="A rate limit of the key, such as minute=100/60s; repeatable.",
        ),
        _external_id,
        click.option(
            "--metadata",
            type=option_types.json_object,
            metavar="JSON",
            help="Other data, a JSON object up to 8 KiB.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group(
    cls=Group,
    examples=(
        'KEY=$(keywright keys create "Billing export")',
        "keywright keys list --status expiring",
        'keywright keys revoke "Billing export" --reason superseded',
    ),
)
def keys() -> None:
    """
    Create, read, change, disable, rotate, revoke and delete API keys through a running service.

    The service is that of KEYWRIGHT_URL (http://127.0.0.1:8080 unless set), with the access token in KEYWRIGHT_TOKEN.
    Without KEYWRIGHT_URL it is the `keywright dev` that was started in this folder, if there is one.
    """


@keys.command(
    examples=(
        'keywright keys create "Billing export"',
        'KEY=$(keywright keys create "Nightly job" --scope invoices:read --expires 90d)',
        "keywright keys create Partner --environment sandbox --allow-ip 192.0.2.0/24 --rate-limit minute=100/60s",
    )
)
@click.argument("name", metavar="NAME", help="The name of the key, 1 to 100 characters.")
@_environment
@_fields
@option_types.as_json
def create(as_json: bool, **fields: Any) -> None:
    """
    Create a key. Its private key is printed only this time.

    A file or a pipe gets the private key alone, a terminal all fields.
    """
    with service() as client:
        created = client.create(**_given(fields))
    output.print_created(created, as_json=as_json)


@keys.command(
    "list",
    examples=(
        "keywright keys list",
        "keywright keys list --search billing --status active",
        "keywright keys list --unused-since 90d --all --json",
    ),
)
@option_types.page_size("keys")
@option_types.all_pages
@click.option(
    "--status",
    type=click.Choice(_STATUSES),
    metavar="STATUS",
    help="active, disabled, expired, revoked, or expiring: active, and expiring within 14 days.",
)
@click.option(
    "--search",
    "q",
    metavar="TEXT",
    help="Part of the name or description, the public key's beginning, or the private one's end.",
)
@_environment
@_external_id
@option_types.past_option(
    "--unused-since", "Keys created before a time, or a duration ago such as 90d, and not used since."
)
@click.option("--created-by", metavar="SUBJECT", help="Keys that the bearer of this token subject created.")
@option_types.past_option("--created-after", "Keys created since a time, or since a duration ago such as 90d.")
@option_types.past_option("--created-before", "Keys created before a time, or before a duration ago such as 90d.")
@click.option("--scope", metavar="SCOPE", help="Keys with exactly this scope.")
@click.option("--oldest-first", is_flag=True, help="Begin with the oldest key.")
@option_types.as_json
def list_keys(limit: int, everything: bool, oldest_first: bool, as_json: bool, **filters: Any) -> None:
    """Show the organization's keys, newest first."""
    filters["sort"] = "created_at" if oldest_first else None
    with service() as client:
        if everything:
            output.print_keys(_read_all(client, limit, filters), as_json=as_json)
            return
        found, more = up_to(
            limit,
            lambda most, cursor: client.list(limit=most, cursor=cursor, **filters),
            lambda page: page.api_keys,
        )
    output.print_keys(found, as_json=as_json)
    if more:
        output.mention_more(len(found))


@keys.command(examples=('keywright keys get "Billing export"', "keywright keys get 019a5d2e --json"))
@option_types.key
@option_types.as_json
def get(key: str, as_json: bool) -> None:
    """Show all fields of one key, and its secrets."""
    with service() as client:
        output.print_key(client.get(lookup.id_of(client, key)), as_json=as_json)


@keys.command(
    examples=(
        'keywright keys update "Billing export" --description "Nightly job"',
        'keywright keys update "Billing export" --scope invoices:read --clear expires',
    )
)
@option_types.key
@click.option("--name", metavar="TEXT", help="The name of the key, 1 to 100 characters.")
@_fields
@click.option(
    "--clear",
    multiple=True,
    type=click.Choice(list(_EMPTY)),
    metavar="FIELD",
    help=f"Empty a field: {', '.join(_EMPTY)}; repeatable.",
)
@option_types.if_match
@option_types.as_json
def update(key: str, clear: tuple[str, ...], if_match: str | None, as_json: bool, **fields: Any) -> None:
    """Change a key. A new value replaces the old one, a list as a whole; other fields do not change."""
    given = _given(fields)
    cleared = {name: empty for field in clear for name, empty in _EMPTY[field].items()}
    twice = sorted(given.keys() & cleared.keys())
    if twice:
        exits.stop(f"{twice[0]} is both set and cleared.", exits.MISUSED)
    if not given and not cleared:
        exits.stop("There is nothing to change: give at least one field.", exits.MISUSED)
    with service() as client:
        key_id = lookup.id_of(client, key)
        output.print_key(client.update(key_id, **given, **cleared, if_match=if_match), as_json=as_json)


@keys.command(examples=('keywright keys disable "Billing export"',))
@option_types.key
@option_types.if_match
@option_types.as_json
def disable(key: str, if_match: str | None, as_json: bool) -> None:
    """Disable a key: it is refused until it is enabled again."""
    _set_enabled(key, enabled=False, if_match=if_match, as_json=as_json)


@keys.command(examples=('keywright keys enable "Billing export"',))
@option_types.key
@option_types.if_match
@option_types.as_json
def enable(key: str, if_match: str | None, as_json: bool) -> None:
    """Enable a key that was disabled."""
    _set_enabled(key, enabled=True, if_match=if_match, as_json=as_json)


keys.add_command(rotation.rotate)
keys.add_command(rotation.rotation)


@keys.command(
    examples=(
        'keywright keys revoke "Billing export"',
        "keywright keys revoke 019a5d2e --reason key_compromise --yes",
    )
)
@option_types.key
@click.option("--reason", type=click.Choice(_REASONS), metavar="REASON", help=f"{', '.join(_REASONS)}.")
@option_types.yes
@option_types.as_json
def revoke(key: str, reason: str | None, yes: bool, as_json: bool) -> None:
    """Revoke a key for good. Asks first when run on a terminal."""
    with service() as client:
        key_id = lookup.id_of(client, key)
        confirm(not yes, f"Revoke {key_id} for good?")
        output.print_key(client.revoke(key_id, reason=reason), as_json=as_json)


@keys.command(examples=('keywright keys delete "Billing export"', "keywright keys delete 019a5d2e --yes"))
@option_types.key
@option_types.yes
def delete(key: str, yes: bool) -> None:
    """Delete a key for good: it is refused from now on, and no longer listed. Asks first when run on a terminal."""
    with service() as client:
        key_id = lookup.id_of(client, key)
        confirm(not yes, f"Delete {key_id} for good?")
        client.delete(key_id)
    click.echo("Deleted.", err=True)


for command in (activity.events, activity.usage, activity.receipt, activity.options):
    keys.add_command(command)


def _set_enabled(key: str, *, enabled: bool, if_match: str | None, as_json: bool) -> None:
    with service() as client:
        key_id = lookup.id_of(client, key)
        output.print_key(client.update(key_id, enabled=enabled, if_match=if_match), as_json=as_json)


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that were given as options."""
    return {name: value for name, value in fields.items() if value not in (None, ())}


def _read_all(client: "ManagementClient", page_size: int, filters: Mapping[str, Any]) -> list["ApiKeyResponse"]:
    found: list[ApiKeyResponse] = []
    with tables.progress("reading keys") as show_count:
        for key in client.iterate(page_size=page_size, **filters):
            found.append(key)
            show_count(len(found))
    return found
