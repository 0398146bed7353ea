"""`keywright keys events`, `usage`, `receipt` and `options`: the history of keys, and the rules for new ones."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import click

from keywright.cli import option_types
from keywright.cli.commands import Command
from keywright.cli.keys import lookup
from keywright.cli.keys.output import mention_more, print_answer
from keywright.cli.keys.running_service import service, up_to
from keywright.cli.option_types import shown_duration
from keywright.cli.tables import moment, print_fields, print_rows

if TYPE_CHECKING:
    from keywright.client import UsagePage
    from keywright.contract import EventResponse, OptionsResponse, RevocationResponse, SourceResponse, UsageResponse

_MOST_DETAILS = 80


@click.command(
    cls=Command,
    examples=(
        "keywright keys events",
        "keywright keys events --type api_key.revoked --since 7d",
        'keywright keys events "Billing export" --all --json',
    ),
)
@click.argument("key", required=False, metavar="KEY", help="Events of this key only; a deleted one by its id.")
@click.option("--type", "type_", metavar="TYPE", help="Events of this type only, such as api_key.revoked.")
@click.option("--actor", metavar="SUBJECT", help="Events by this subject only.")
@option_types.since
@option_types.past_option("--until", "The end: a time, or a duration before now.")
@option_types.page_size("events")
@option_types.all_pages
@option_types.as_json
def events(
    key: str | None,
    type_: str | None,
    actor: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    everything: bool,
    as_json: bool,
) -> None:
    """Show the events of the organization's keys, deleted ones included, newest first."""
    more = False
    with service() as client:
        key_id = None if key is None else lookup.id_of(client, key)
        filters: Mapping[str, Any] = {"key_id": key_id, "type": type_, "actor": actor, "since": since, "until": until}
        if everything:
            found = list(client.iterate_events(page_size=limit, **filters))
        else:
            found, more = up_to(
                limit,
                lambda most, cursor: client.events(limit=most, cursor=cursor, **filters),
                lambda page: page.events,
            )
    print_answer(found, _print_events, as_json=as_json)
    if more:
        mention_more(len(found))


@click.command(
    cls=Command,
    examples=(
        'keywright keys usage "Billing export"',
        "keywright keys usage 019a5d2e --period hour --since 12h",
        "keywright keys usage 019a5d2e --all --json",
    ),
)
@option_types.key
@click.option(
    "--period",
    type=click.Choice(["day", "hour"]),
    default="day",
    show_default=True,
    metavar="PERIOD",
    help="Count by day or by hour.",
)
@option_types.since
@option_types.page_size("secrets", default=20, most=100)
@option_types.all_pages
@option_types.as_json
def usage(key: str, period: str, since: datetime | None, limit: int, everything: bool, as_json: bool) -> None:
    """
    Show how often a key was used and refused, by period, by source and by secret, the newest secrets first.

    Refusals have the code of the verdict, such as revoked: they show who still presents a key that was revoked.
    """
    with service() as client:
        pages = client.iterate_usage(lookup.id_of(client, key), page_size=limit, period=period, since=since)
        read = list(islice(pages, None if everything else 1))
    found = _joined(read)
    print_answer(found, _print_usage, as_json=as_json)
    if read[-1].next is not None:
        mention_more(len(found.secrets), "secrets")


@click.command(
    cls=Command,
    examples=(
        'keywright keys receipt "Billing export"',
        "keywright keys receipt 019a5d2e-7c1f-7c44-9b0e-2d0c8f3a1b22 --json",
    ),
)
@option_types.key
@option_types.as_json
def receipt(key: str, as_json: bool) -> None:
    """Show which processes have acknowledged the revocation or deletion of a key, and which have not."""
    with service() as client:
        found = client.receipt(lookup.id_of(client, key))
    print_answer(found, _print_receipt, as_json=as_json)


@click.command(cls=Command, examples=("keywright keys options", "keywright keys options --json"))
@option_types.as_json
def options(as_json: bool) -> None:
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


def _joined(pages: Sequence["UsagePage"]) -> "UsageResponse":
    """Return the usage of a key with the secrets and sources of all pages; the sources are sorted, the latest first."""
    from keywright.contract import UsageResponse

    first, latest = pages[0], attrgetter("last_seen")
    sources = [source for page in pages for source in page.sources]
    refusals = [source for page in pages for source in page.refusals]
    return UsageResponse(
        key_id=first.key_id,
        last_used_at=first.last_used_at,
        period=first.period,
        counts=first.counts,
        sources=tuple(sorted(sources, key=latest, reverse=True)),
        secrets=tuple(secret for page in pages for secret in page.secrets),
        refusals=tuple(sorted(refusals, key=latest, reverse=True)),
    )


def _print_usage(usage: "UsageResponse") -> None:
    """Print uses and refusals by period, then their sources, then the secrets."""
    rows = [(moment(one.start), str(one.count), _by_code(one.refused)) for one in usage.counts]
    print_rows((usage.period.capitalize(), "Uses", "Refused"), rows)
    displays = {secret.public_key: secret.private_key_display for secret in usage.secrets}
    if usage.sources:
        click.echo()
        uses = [(*_place(one, displays), moment(one.last_seen)) for one in usage.sources]
        print_rows(("From", "Agent", "Through", "Key", "Uses", "Last"), uses)
    if usage.refusals:
        click.echo()
        refused = [
            (one.code, *_place(one, displays), moment(one.first_seen), moment(one.last_seen)) for one in usage.refusals
        ]
        print_rows(("Refused", "From", "Agent", "Through", "Key", "Times", "First", "Last"), refused)
    click.echo()
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


def _by_code(refused: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {code}" for code, count in refused.items()) or "–"


def _place(source: "SourceResponse", displays: Mapping[str, str]) -> tuple[str, ...]:
    """Return a source of uses or refusals as columns, their number last."""
    shown = displays.get(source.public_key, "–")
    return source.network or "–", source.agent or "–", source.verifier, shown, str(source.count)


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
        click.echo()
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
        click.echo()
        print_rows(("Scope", "What it allows"), [(one.scope, one.description) for one in options.scopes])
