"""Events, uses, receipts and options as tables for people; `tables` has those of keys."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from keywright.cli.tables import moment, print_fields, print_rows
from keywright.cli.typed_values import shown_duration
from keywright.contract import EventResponse, OptionsResponse, RevocationResponse, SecretUseResponse, UsageResponse

_MOST_DETAILS = 80


def print_events(events: Sequence[EventResponse]) -> None:
    """Print one line an event."""
    rows = [
        (
            moment(event.occurred_at),
            event.type.removeprefix("api_key."),
            str(event.key_id),
            event.actor.subject,
            event.address or "–",
            _summary(event.data),
        )
        for event in events
    ]
    print_rows(("When", "What", "Key", "Who", "From", "Details"), rows)


def print_usage(usage: UsageResponse) -> None:
    """Print the uses by period, then where they came from, then the pairs."""
    print_rows((usage.period.capitalize(), "Uses"), [(moment(one.start), str(one.count)) for one in usage.counts])
    if usage.sources:
        typer.echo()
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
        print_rows(("From", "Agent", "Through", "Key", "Uses", "Last"), rows)
    typer.echo()
    rows_of_secrets = [
        (secret.private_key_display, moment(secret.last_used_at), _end(secret)) for secret in usage.secrets
    ]
    print_rows(("Key", "Last used", "Works until"), rows_of_secrets)


def print_receipt(receipt: RevocationResponse) -> None:
    """Print how far a revocation has come, then each process that held keys."""
    print_fields(
        {
            "Revoked": moment(receipt.revoked_at),
            "Confirmed": f"{receipt.confirmed} of {receipt.confirmed + receipt.pending}",
            "Believed": "by nobody" if receipt.believed_until is None else f"until {moment(receipt.believed_until)}",
        }
    )
    if receipt.verifiers:
        typer.echo()
        rows = [(one.name, one.kind, moment(one.confirmed_at), moment(one.believes_until)) for one in receipt.verifiers]
        print_rows(("Name", "Kind", "Confirmed", "Believes until"), rows)


def print_options(options: OptionsResponse) -> None:
    """Print what a new key may be."""
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


def _end(secret: SecretUseResponse) -> str:
    return "it is current" if secret.retires_at is None else moment(secret.retires_at)


def _summary(data: Mapping[str, Any]) -> str:
    """Say what changed, or what else is told; all of it is in the JSON form."""
    after = data.get("after")
    if isinstance(after, Mapping):
        return f"changed {', '.join(sorted(after))}"
    whole = ", ".join(f"{name}: {_short(value)}" for name, value in data.items())
    return whole if len(whole) <= _MOST_DETAILS else f"{whole[: _MOST_DETAILS - 1]}…"


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
