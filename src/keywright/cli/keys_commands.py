"""`keywright keys …`: the options of the commands that call a running service. Needs none of the server's packages."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from keywright.cli import typed_values
from keywright.cli.keys_rotation_commands import rotate, rotation
from keywright.cli.keys_trail_commands import events, options, receipt, usage
from keywright.keys.rate_limits import RateLimit
from keywright.keys.record import RevocationReason

keys = typer.Typer(
    no_args_is_help=True,
    help="Create, read, change, rotate, revoke and delete API keys through a running service: KEYWRIGHT_URL "
    "(http://127.0.0.1:8080 unless set), with the access token in KEYWRIGHT_TOKEN.",
)


class ShownStatus(StrEnum):
    """What `list` may be narrowed to."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"
    EXPIRING = "expiring"


class Clearable(StrEnum):
    """Fields that may be emptied."""

    DESCRIPTION = "description"
    EXPIRY = "expires"
    EXTERNAL_ID = "external-id"
    SCOPES = "scopes"
    ALLOWED_IPS = "allowed-ips"
    RATE_LIMITS = "rate-limits"
    METADATA = "metadata"


_FIELDS = {Clearable.EXPIRY: "expires_at"}

# There is no option for the token: a command line is kept in the shell's history and shown to everyone by `ps`.
KeyId = Annotated[str, typer.Argument(metavar="ID", help="The key's id.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on standard output, and nothing else there.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
IfMatch = Annotated[
    str | None,
    typer.Option(metavar="ETAG", help="Only while the key is as it was read: the `etag` that `show --json` printed."),
]
Description = Annotated[str | None, typer.Option(help="What it is for, at most 255 characters.")]
Environment = Annotated[str | None, typer.Option(metavar="NAME", help="Such as live or sandbox.")]
Expires = Annotated[
    datetime | None,
    typer.Option(
        parser=typed_values.moment_ahead,
        metavar=typed_values.MOMENT,
        help="When it stops working: 90d from now, or a time such as 2027-01-31T12:00:00Z.",
    ),
]
Scopes = Annotated[
    list[str] | None, typer.Option("--scope", metavar="SCOPE", help="What it may do, resource:action; repeatable.")
]
AllowedIps = Annotated[
    list[str] | None,
    typer.Option("--allow-ip", metavar="CIDR", help="Where it may be used from, an address or block; repeatable."),
]
RateLimits = Annotated[
    list[RateLimit] | None,
    typer.Option(
        "--rate-limit",
        parser=typed_values.rate_limit,
        metavar=typed_values.RATE_LIMIT,
        help="How often it may be used, such as minute=100/60s; repeatable.",
    ),
]
ExternalId = Annotated[str | None, typer.Option(help="What your own records call its owner.")]
Metadata = Annotated[
    dict[str, Any] | None,
    typer.Option(parser=typed_values.json_object, metavar="JSON", help="Anything else, a JSON object up to 8 KiB."),
]


@keys.command("list")
def list_keys(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many keys a page holds.")] = 100,
    everything: Annotated[bool, typer.Option("--all", help="All pages instead of the first.")] = False,
    status: Annotated[
        ShownStatus | None,
        typer.Option(
            metavar="STATUS", help="active, expired, revoked, or expiring: active, and expiring within 14 days."
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
        typer.Option(
            parser=typed_values.moment_past,
            metavar=typed_values.PAST,
            help="Keys that existed and were not used for so long, such as 90d, or since a time.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the organization's keys, newest first."""
    from keywright.cli import keys as commands

    which = {"status": status, "q": search, "environment": environment, "external_id": external_id}
    which_keys = {**which, "unused_since": unused_since}
    commands.list_keys(limit=limit, everything=everything, as_json=as_json, which=which_keys)


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="What people will call the key, 1 to 100 characters.")],
    description: Description = None,
    environment: Environment = None,
    expires: Expires = None,
    scopes: Scopes = None,
    allowed_ips: AllowedIps = None,
    rate_limits: RateLimits = None,
    external_id: ExternalId = None,
    metadata: Metadata = None,
    as_json: AsJson = False,
) -> None:
    """Create a key. Its private half is printed this once."""
    from keywright.cli import keys as commands

    fields = _fields(description, expires, scopes, allowed_ips, rate_limits, external_id, metadata)
    commands.create(name, as_json=as_json, fields={**fields, "environment": environment})


@keys.command()
def show(key_id: KeyId, as_json: AsJson = False) -> None:
    """Show one key: what it may do, and its secrets."""
    from keywright.cli import keys as commands

    commands.show(key_id, as_json=as_json)


@keys.command()
def update(
    key_id: KeyId,
    name: Annotated[str | None, typer.Option(help="What people will call the key, 1 to 100 characters.")] = None,
    description: Description = None,
    expires: Expires = None,
    scopes: Scopes = None,
    allowed_ips: AllowedIps = None,
    rate_limits: RateLimits = None,
    external_id: ExternalId = None,
    metadata: Metadata = None,
    clear: Annotated[
        list[Clearable] | None,
        typer.Option(
            metavar="FIELD",
            help="Empty a field: description, expires, external-id, scopes, allowed-ips, rate-limits or metadata; "
            "repeatable.",
        ),
    ] = None,
    if_match: IfMatch = None,
    as_json: AsJson = False,
) -> None:
    """Change a key. What is given replaces the old value, lists as a whole; the rest stays as it is."""
    from keywright.cli import keys as commands

    fields = _fields(description, expires, scopes, allowed_ips, rate_limits, external_id, metadata)
    cleared = [_FIELDS.get(field, field.replace("-", "_")) for field in clear or ()]
    commands.update(key_id, as_json=as_json, fields={**fields, "name": name}, cleared=cleared, if_match=if_match)


keys.command()(rotate)
keys.add_typer(rotation, name="rotation")


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
    from keywright.cli import keys as commands

    commands.revoke(key_id, reason=reason, ask=not yes, as_json=as_json)


@keys.command()
def delete(key_id: KeyId, yes: Yes = False) -> None:
    """Delete a key: it stops working at once and is listed no more. Asks first when run on a terminal."""
    from keywright.cli import keys as commands

    commands.delete(key_id, ask=not yes)


keys.command()(events)
keys.command()(usage)
keys.command()(receipt)
keys.command()(options)


def _fields(
    description: str | None,
    expires: datetime | None,
    scopes: list[str] | None,
    allowed_ips: list[str] | None,
    rate_limits: list[RateLimit] | None,
    external_id: str | None,
    metadata: Mapping[str, Any] | None,
) -> dict[str, Any]:
    return {
        "description": description,
        "expires_at": expires,
        "scopes": scopes,
        "allowed_ips": allowed_ips,
        "rate_limits": rate_limits,
        "external_id": external_id,
        "metadata": metadata,
    }
