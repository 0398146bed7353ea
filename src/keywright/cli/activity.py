"""`keywright keys events`, `usage`, `receipt` and `options`: the history of keys, and the rules for new ones."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from keywright.cli import option_types
from keywright.cli.option_types import AllPages, AsJson, KeyId, shown_duration
from keywright.cli.output import mention_more, print_answer
from keywright.cli.running_service import service
from keywright.cli.tables import moment, print_fields, print_rows

if TYPE_CHECKING:
    from keywright.contract import EventResponse, OptionsResponse, RevocationResponse, UsageResponse

_MOST_DETAILS = 80

Since = Annotated[
    datetime | None,
    option_types.past_option("The start: a time, or a duration before now, such as 7d."),
]


def events(
    key_id: Annotated[str | None, typer.Argument(metavar="ID", help="Events of this key only.")] = None,
    type_: Annotated[
        str | None, typer.Option("--type", metavar="TYPE", help="Events of this type only, such as api_key.revoked.")
    ] = None,
    actor: Annotated[str | None, typer.Option(metavar="SUBJECT", help="Events by this subject only.")] = None,
    since: Since = None,
    until: Annotated[
        datetime | None,
        option_types.past_option("The end: a time, or a duration before now."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The most events on a page.")] = 100,
    everything: AllPages = False,
    as_json: AsJson = False,
) -> None:
    """Show the events of the organization's keys, deleted ones included, newest first."""
    filters: Mapping[str, Any] = {"key_id": key_id, "type": type_, "actor": actor, "since": since, "until": until}
    more = False
    with service() as client:
        if everything:
            found = list(client.iterate_events(page_size=limit, **filters))
        else:
            page = client.events(limit=limit, **filters)
            found, more = list(page.events), page.next is not None
    print_answer(found, _print_events, as_json=as_json)
    if more:
        mention_more(len(found))


def usage(
    key_id: KeyId,
    period: Annotated[Literal["day", "hour"], typer.Option(metavar="PERIOD", help="Count by day or by hour.")] = "day",
    since: Since = None,
    as_json: AsJson = False,
) -> None:
    """Show how often a key was used, by period, by source and by secret."""
    with service() as client:
        found = client.usage(key_id, period=period, since=since)
    print_answer(found, _print_usage, as_json=as_json)


def receipt(key_id: KeyId, as_json: AsJson = False) -> None:
    """Show which processes have acknowledged the revocation or deletion of a key, and which have not."""
    with service() as client:
        found = client.receipt(key_id)
    print_answer(found, _print_receipt, as_json=as_json)


def options(as_json: AsJson = False) -> None:
    """Show the environments and scopes that a new key may have, and the operator's rules."""
    with service() as client:
        found = client.options()
    print_answer(found, _print_options, as_json=as_json)


def _print_events(events: Sequence["EventResponse"]) -> None:
    rows = [
        (
            moment(event.occurred_at),
            event.type.removeprefix("api_key."),
            str(event.key_id),
            event.actor.subject,
            event.address or "–",
            _details(event.data),
        )
        for event in events
    ]
    print_rows(("When", "What", "Key", "Who", "From", "Details"), rows)


def _details(data: Mapping[str, Any]) -> str:
    """Return the names of the changed fields, or the other details, shortened; JSON has all of them."""
    after = data.get("after")
    if isinstance(after, Mapping):
        return f"changed {', '.join(sorted(after))}"
    whole = ", ".join(f"{name}: {_text(value)}" for name, value in data.items())
    return whole if len(whole) <= _MOST_DETAILS else f"{whole[: _MOST_DETAILS - 1]}…"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _print_usage(usage: "UsageResponse") -> None:
    """Print the usage by period, then by source, then by secret."""
    print_rows((usage.period.capitalize(), "Uses"), [(moment(one.start), str(one.count)) for one in usage.counts])
    if usage.sources:
        displays = {secret.public_key: secret.private_key_display for secret in usage.secrets}
        rows = [
            (
                source.network or "–",
                source.agent or "–",
                source.verifier,
                displays.get(source.public_key, "–"),
                str(source.count),
                moment(source.last_seen),
            )
            for source in usage.sources
        ]
        typer.echo()
        print_rows(("From", "Agent", "Through", "Key", "Uses", "Last"), rows)
    typer.echo()
    print_rows(
        ("Key", "Last used", "Works until"),
        [
            (
                one.private_key_display,
                moment(one.last_used_at),
                moment(one.retires_at) if one.retires_at else "current",
            )
            for one in usage.secrets
        ],
    )


def _print_receipt(receipt: "RevocationResponse") -> None:
    """Print how many processes have acknowledged a revocation, then each of them."""
    print_fields(
        {
            "Revoked": moment(receipt.revoked_at),
            "Confirmed": f"{receipt.confirmed} of {receipt.confirmed + receipt.pending}",
            "Believed": "by nobody"
            if receipt.may_accept_until is None
            else f"until {moment(receipt.may_accept_until)}",
        }
    )
    if receipt.verifiers:
        rows = [
            (one.kind, moment(one.connected_at), moment(one.confirmed_at), moment(one.may_accept_until))
            for one in receipt.verifiers
        ]
        typer.echo()
        print_rows(("Kind", "Connected", "Confirmed", "Believes until"), rows)


def _print_options(options: "OptionsResponse") -> None:
    policy = options.policy
    life = "any" if policy.max_life_seconds is None else shown_duration(policy.max_life_seconds)
    print_fields(
        {
            "Environments": ", ".join(options.environments),
            "Longest life": f"{life}, an expiry is required" if policy.expiry_required else life,
            "Active keys": "any number" if policy.max_active_keys is None else f"{policy.max_active_keys} at most",
            "Scopes": "any" if options.scopes is None else f"{len(options.scopes)}, below",
        }
    )
    if options.scopes:
        typer.echo()
        print_rows(("Scope", "What it allows"), [(one.scope, one.description) for one in options.scopes])
