"""`keywright operator figures`: the figures of the API, read from the database itself."""

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import click

from keywright.cli import option_types
from keywright.cli.commands import Command
from keywright.cli.office import run
from keywright.cli.tables import moment, print_fields, print_rows

if TYPE_CHECKING:
    from keywright.cli.office import Office
    from keywright.contract.figures import (
        KeyFiguresResponse,
        RevocationFiguresResponse,
        TopFiguresResponse,
        VerdictFiguresResponse,
        VerifierFiguresResponse,
    )

_NAMES = ("verdicts", "top", "keys", "revocations", "verifiers")


@click.command(
    cls=Command,
    examples=(
        "keywright operator figures",
        "keywright operator figures verdicts --per hour",
        "keywright operator figures top --hours 168 --json",
    ),
)
@click.argument(
    "name",
    required=False,
    type=click.Choice(_NAMES),
    metavar="NAME",
    help=f"{', '.join(_NAMES[:-1])} or {_NAMES[-1]}; all of them where it is absent.",
)
@click.option(
    "--per",
    type=click.Choice(("minute", "hour", "day")),
    default="minute",
    show_default=True,
    metavar="PERIOD",
    help="The period of verdicts: minute, hour or day.",
)
@click.option(
    "--hours",
    type=click.IntRange(1, 2160),
    default=24,
    show_default=True,
    metavar="NUMBER",
    help="How many hours top and revocations count, back from now.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, 50),
    default=10,
    show_default=True,
    metavar="NUMBER",
    help="The most entries of each list of top.",
)
@option_types.as_json
def figures(name: str | None, per: str, hours: int, limit: int, as_json: bool) -> None:
    """
    Show what all processes do: verdicts, the most used keys, numbers of keys, revocations, connected verifiers.

    Periods without verdicts are left out of the table. With --json the answers are those of the API.
    """
    names = _NAMES if name is None else (name,)

    async def work(office: "Office") -> dict[str, Any]:
        readers = _readers(office, per, hours, limit)
        return {each: await readers[each]() for each in names}

    found = run(work)
    if as_json:
        from keywright.contract.codec import written

        shown = {each: json.loads(written(answer)) for each, answer in found.items()}
        click.echo(json.dumps(shown if name is None else shown[name]))
        return
    for place, each in enumerate(names):
        if place:
            click.echo()
        _PRINTERS[each](found[each])


def _readers(office: "Office", per: str, hours: int, limit: int) -> dict[str, Callable[[], Awaitable[Any]]]:
    """Give a function for each name that reads the answer of the API."""
    from keywright.api.operator import figures as answers
    from keywright.service.figures.reports import Per

    read, principal = office.figures, office.principal

    async def verdicts() -> Any:
        return answers.verdict_figures_response(Per(per), await read.verdicts(principal, Per(per)))

    async def top() -> Any:
        return answers.top_figures_response(await read.top(principal, hours=hours, limit=limit))

    async def keys() -> Any:
        return answers.key_figures_response(await read.keys(principal))

    async def revocations() -> Any:
        return answers.revocation_figures_response(await read.revocations(principal, hours=hours))

    async def verifiers() -> Any:
        return answers.verifier_figures_response(await read.sessions(principal))

    return {"verdicts": verdicts, "top": top, "keys": keys, "revocations": revocations, "verifiers": verifiers}


def _print_verdicts(found: "VerdictFiguresResponse") -> None:
    rows = [
        (moment(each.start), code, str(number))
        for each in found.periods
        for code, number in sorted(each.verdicts.items())
    ]
    print_rows((found.per.capitalize(), "Code", "Verdicts"), rows)


def _print_top(found: "TopFiguresResponse") -> None:
    keys = [
        ("key", str(each.key_id), each.name, each.org_external_id, str(each.uses), str(each.refusals))
        for each in found.keys
    ] + [
        ("refused key", str(each.key_id), each.name, each.org_external_id, str(each.uses), str(each.refusals))
        for each in found.refused_keys
    ]
    organizations = [
        ("organization", "", "", each.org_external_id, str(each.uses), str(each.refusals))
        for each in found.organizations
    ]
    click.echo(f"Since {moment(found.since)}")
    print_rows(("Top", "Key", "Name", "Organization", "Uses", "Refusals"), [*keys, *organizations])


def _print_keys(found: "KeyFiguresResponse") -> None:
    states = found.states
    print_fields(
        {
            "Counted": moment(found.counted_at),
            **{state: str(getattr(states, state)) for state in ("active", "disabled", "expired", "revoked")},
            **{f"last use: {each.bucket}": str(each.keys) for each in found.since_last_use},
            **{f"expire {each.day}": str(each.keys) for each in found.expiries if each.keys},
        }
    )


def _print_revocations(found: "RevocationFiguresResponse") -> None:
    bounds = {
        f"{'more' if each.up_to_ms is None else f'up to {each.up_to_ms} ms'}": str(each.acknowledgements)
        for each in found.histogram
    }
    print_fields(
        {
            "Since": moment(found.since),
            "Revocations": str(found.revocations),
            "Acknowledgements": str(found.acknowledgements),
            "Half within": _ms(found.p50_ms),
            "99 % within": _ms(found.p99_ms),
            **bounds,
        }
    )


def _print_verifiers(found: "VerifierFiguresResponse") -> None:
    rows = [
        (each.kind, each.verifier or "", each.name, each.version or "–", str(each.unacknowledged), f"{each.lag_ms} ms")
        for each in found.sessions
    ]
    print_rows(("Kind", "Verifier", "Process", "Version", "Unacknowledged", "Lag"), rows)


def _ms(value: int | None) -> str:
    return "–" if value is None else f"{value} ms"


_PRINTERS: dict[str, Callable[[Any], None]] = {
    "verdicts": _print_verdicts,
    "top": _print_top,
    "keys": _print_keys,
    "revocations": _print_revocations,
    "verifiers": _print_verifiers,
}
