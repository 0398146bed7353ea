"""`keywright keys …`: API keys through a running service. Needs no package of the server."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from keywright.cli import activity, exits, option_types, output, rotation, tables
from keywright.cli.option_types import AllPages, AsJson, IfMatch, KeyId, Yes
from keywright.cli.running_service import confirm, service
from keywright.keys.rate_limits import RateLimit
from keywright.keys.record import RevocationReason

if TYPE_CHECKING:
    from keywright.client import ManagementClient
    from keywright.contract import ApiKeyResponse

keys = typer.Typer(
    no_args_is_help=True,
    help="Create, read, change, disable, rotate, revoke and delete API keys through a running service: KEYWRIGHT_URL "
    "(http://127.0.0.1:8080 unless set), with the access token in KEYWRIGHT_TOKEN.",
)


# Parameters of `create` and `update` that are not fields of a key.
_NO_FIELDS = ("key_id", "clear", "if_match", "as_json")
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


def _clearable(text: str) -> str:
    if text not in _EMPTY:
        raise typer.BadParameter(f"it must be one of {', '.join(_EMPTY)}")
    return text


Description = Annotated[str | None, typer.Option(help="The purpose of the key, at most 255 characters.")]
Environment = Annotated[str | None, typer.Option(metavar="NAME", help="Such as live or sandbox.")]
Expires = Annotated[
    datetime | None,
    typer.Option(
        "--expires",
        parser=option_types.moment_ahead,
        metavar="DURATION|TIME",
        help="The expiry: 90d from now, or a time such as 2027-01-31T12:00:00Z.",
    ),
]
Scopes = Annotated[
    list[str] | None, typer.Option("--scope", metavar="SCOPE", help="A scope of the key, resource:action; repeatable.")
]
AllowedIps = Annotated[
    list[str] | None,
    typer.Option("--allow-ip", metavar="CIDR", help="An address or network that may use the key; repeatable."),
]
RateLimits = Annotated[
    list[RateLimit] | None,
    typer.Option(
        "--rate-limit",
        parser=option_types.rate_limit,
        metavar="NAME=LIMIT/DURATION",
        help="A rate limit of the key, such as minute=100/60s; repeatable.",
    ),
]
ExternalId = Annotated[str | None, typer.Option(help="The id of the key's owner in your own records.")]
Metadata = Annotated[
    dict[str, Any] | None,
    typer.Option(parser=option_types.json_object, metavar="JSON", help="Other data, a JSON object up to 8 KiB."),
]

CreatedBy = Annotated[
    str | None, typer.Option(metavar="SUBJECT", help="Keys that the bearer of this token subject created.")
]
CreatedAfter = Annotated[
    datetime | None, option_types.past_option("Keys created since a time, or since a duration ago such as 90d.")
]
CreatedBefore = Annotated[
    datetime | None, option_types.past_option("Keys created before a time, or before a duration ago such as 90d.")
]
WithScope = Annotated[str | None, typer.Option(help="Keys with exactly this scope.")]
OldestFirst = Annotated[bool, typer.Option("--oldest-first", help="Begin with the oldest key.")]


@keys.command("list")
def list_keys(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The most keys on a page.")] = 100,
    everything: AllPages = False,
    status: Annotated[
        Literal["active", "disabled", "expired", "revoked", "expiring"] | None,
        typer.Option(
            metavar="STATUS",
            help="active, disabled, expired, revoked, or expiring: active, and expiring within 14 days.",
        ),
    ] = None,
    search: Annotated[
        str | None,
        typer.Option(help="Part of the name or description, the public key's beginning, or the private one's end."),
    ] = None,
    environment: Environment = None,
    external_id: ExternalId = None,
    unused_since: Annotated[
        datetime | None,
        option_types.past_option("Keys created before a time, or a duration ago such as 90d, and not used since."),
    ] = None,
    created_by: CreatedBy = None,
    created_after: CreatedAfter = None,
    created_before: CreatedBefore = None,
    scope: WithScope = None,
    oldest_first: OldestFirst = False,
    as_json: AsJson = False,
) -> None:
    """Show the organization's keys, newest first."""
    filters: dict[str, Any] = {
        "status": status,
        "q": search,
        "environment": environment,
        "external_id": external_id,
        "unused_since": unused_since,
        "created_by": created_by,
        "created_after": created_after,
        "created_before": created_before,
        "scope": scope,
        "sort": "created_at" if oldest_first else None,
    }
    with service() as client:
        if everything:
            output.print_keys(_read_all(client, limit, filters), as_json=as_json)
            return
        page = client.list(limit=limit, **filters)
    output.print_keys(page.api_keys, as_json=as_json)
    if page.next is not None:
        output.mention_more(len(page.api_keys))


@keys.command()
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The name of the key, 1 to 100 characters.")],
    description: Description = None,
    environment: Environment = None,
    expires_at: Expires = None,
    scopes: Scopes = None,
    allowed_ips: AllowedIps = None,
    rate_limits: RateLimits = None,
    external_id: ExternalId = None,
    metadata: Metadata = None,
    as_json: AsJson = False,
) -> None:
    """Create a key. Its private key is printed only this time."""
    with service() as client:
        created = client.create(**_given(context))
    output.print_created(created, as_json=as_json)


@keys.command()
def show(key_id: KeyId, as_json: AsJson = False) -> None:
    """Show all fields of one key, and its secrets."""
    with service() as client:
        output.print_key(client.get(key_id), as_json=as_json)


@keys.command()
def update(
    context: typer.Context,
    key_id: KeyId,
    name: Annotated[str | None, typer.Option(help="The name of the key, 1 to 100 characters.")] = None,
    description: Description = None,
    expires_at: Expires = None,
    scopes: Scopes = None,
    allowed_ips: AllowedIps = None,
    rate_limits: RateLimits = None,
    external_id: ExternalId = None,
    metadata: Metadata = None,
    clear: Annotated[
        list[str] | None,
        typer.Option(parser=_clearable, metavar="FIELD", help=f"Empty a field: {', '.join(_EMPTY)}; repeatable."),
    ] = None,
    if_match: IfMatch = None,
    as_json: AsJson = False,
) -> None:
    """Change a key. A new value replaces the old one, a list as a whole; other fields do not change."""
    given = _given(context)
    cleared = {name: empty for field in clear or () for name, empty in _EMPTY[field].items()}
    twice = sorted(given.keys() & cleared.keys())
    if twice:
        exits.stop(f"{twice[0]} is both set and cleared.", exits.MISUSED)
    if not given and not cleared:
        exits.stop("There is nothing to change: give at least one field.", exits.MISUSED)
    with service() as client:
        output.print_key(client.update(key_id, **given, **cleared, if_match=if_match), as_json=as_json)


@keys.command()
def disable(key_id: KeyId, if_match: IfMatch = None, as_json: AsJson = False) -> None:
    """Disable a key: it is refused until it is enabled again."""
    with service() as client:
        output.print_key(client.update(key_id, enabled=False, if_match=if_match), as_json=as_json)


@keys.command()
def enable(key_id: KeyId, if_match: IfMatch = None, as_json: AsJson = False) -> None:
    """Enable a key that was disabled."""
    with service() as client:
        output.print_key(client.update(key_id, enabled=True, if_match=if_match), as_json=as_json)


keys.command()(rotation.rotate)
keys.add_typer(rotation.rotation, name="rotation")


@keys.command()
def revoke(
    key_id: KeyId,
    reason: Annotated[
        RevocationReason | None,
        typer.Option(
            metavar="REASON",
            help="key_compromise, superseded, cessation_of_operation, privilege_withdrawn or unspecified.",
        ),
    ] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Revoke a key for good. Asks first when run on a terminal."""
    confirm(not yes, f"Revoke {key_id} for good?")
    with service() as client:
        output.print_key(client.revoke(key_id, reason=reason), as_json=as_json)


@keys.command()
def delete(key_id: KeyId, yes: Yes = False) -> None:
    """Delete a key for good: it is refused from now on, and no longer listed. Asks first when run on a terminal."""
    confirm(not yes, f"Delete {key_id} for good?")
    with service() as client:
        client.delete(key_id)
    typer.echo("Deleted.", err=True)


for command in (activity.events, activity.usage, activity.receipt, activity.options):
    keys.command()(command)


def _given(context: typer.Context) -> dict[str, Any]:
    """Return the fields of a key that were given as options, by their names in the API."""
    fields = {name: value for name, value in context.params.items() if name not in _NO_FIELDS}
    return {name: value for name, value in fields.items() if value not in (None, (), [])}


def _read_all(client: "ManagementClient", page_size: int, filters: Mapping[str, Any]) -> list["ApiKeyResponse"]:
    found: list[ApiKeyResponse] = []
    with tables.progress("reading keys") as show_count:
        for key in client.iterate(page_size=page_size, **filters):
            found.append(key)
            show_count(len(found))
    return found
