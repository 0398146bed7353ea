"""`keywright restore-check`: a restored database, compared with the heads and the log that were kept elsewhere."""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from keywright.cli import exits, option_types
from keywright.cli.commands import Command
from keywright.cli.tables import moment, printable

if TYPE_CHECKING:
    from keywright.service.recovery.comparison import Comparison
    from keywright.service.recovery.kept_heads import KeptHeads, NumberedLine
    from keywright.service.recovery.restore_check import Affected, Checked, Known
    from keywright.storage.engine import RunningStore

MEANINGS: Mapping[str, str] = {
    "revived": "it works again",
    "undeleted": "it is listed again; it does not work",
    "lost": "it does not exist any more",
    "rotated": "its newest private key does not exist any more, and the one before works again",
    "outdated": "it is as it was before a change of",
    "unerased": "its personal fields are there again",
}
"""A sentence for each `service.recovery.restore_check.Effect`."""

_FILE = click.Path(path_type=Path)


@click.command(
    "restore-check",
    cls=Command,
    examples=(
        "keywright restore-check --heads heads.ndjson",
        "keywright restore-check --heads heads.ndjson --log log.ndjson",
        "keywright restore-check --heads heads.ndjson --log log.ndjson --apply",
    ),
)
@click.option("--heads", type=_FILE, required=True, metavar="FILE", help="The lines of `keywright audit head`.")
@click.option("--log", type=_FILE, metavar="FILE", help="The lines of `keywright audit export`, oldest first.")
@click.option(
    "--apply",
    "applies",
    is_flag=True,
    help="Revoke, delete and erase again what was revoked, deleted and erased in lost events; needs --log.",
)
@option_types.as_json
def restore_check(heads: Path, log: Path | None, applies: bool, as_json: bool) -> None:
    """
    Compare a restored database with what was kept elsewhere: how many events did each organization lose?

    With --log it names the keys that work again, the keys that are gone, and the keys that are as they were before a
    change. It changes nothing without --apply, which can be repeated. Verifiers learn of what it revokes as of any
    revocation.
    Exit code 0 if nothing was lost, 1 if something was or cannot be compared, 2 if a file cannot be used.
    """
    from keywright.cli import database
    from keywright.service.management.erasure import NotErasable
    from keywright.service.recovery.kept_heads import BadFile

    if applies and log is None:
        exits.stop("--apply needs --log, which names what was lost.", exits.MISUSED)
    kept = _read_heads(heads)
    with (
        exits.ending_on(NotErasable, code=exits.FAILED),
        exits.ending_on(BadFile, code=exits.MISUSED, before=f"{log}, "),
    ):
        lost = database.run(lambda store: _check(store, kept, log, applies=applies, as_json=as_json))
    if lost:
        sys.exit(exits.FAILED)


def _read_heads(path: Path) -> "Mapping[UUID, KeptHeads]":
    from keywright.service.recovery.kept_heads import BadFile, read_heads

    with exits.ending_on(BadFile, code=exits.MISUSED, before=f"{path}, "):
        found = read_heads(_lines(path))
    if not found:
        exits.stop(f"{path} has no heads: nothing can be compared.", exits.MISUSED)
    return found


def _lines(path: Path) -> "Iterator[NumberedLine]":
    """Give the lines of a file with their numbers; one that is too long is cut, so that the memory is bounded."""
    from keywright.service.recovery.lines import LONGEST_LINE

    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(LONGEST_LINE + 2):
                number += 1
                yield number, line
    except OSError as error:
        exits.stop(f"{path} cannot be read: {error.strerror}.", exits.MISUSED)


async def _check(
    store: "RunningStore", heads: "Mapping[UUID, KeptHeads]", log: Path | None, *, applies: bool, as_json: bool
) -> int:
    """Print each result; return how many organizations lost something, or cannot be compared."""
    from keywright.service.recovery.restore_check import RestoreCheck
    from keywright.system import new_id, utc_now

    check = RestoreCheck(store=store, clock=utc_now, new_id=new_id, repeats=applies)
    known = await check.read(heads, None if log is None else lambda: _lines(log))
    lost = left = 0
    async for result in check.results(known):
        lost += not result.comparison.is_whole
        left += result.left
        if as_json:
            click.echo(json.dumps(_json(result, has_log=log is not None)))
        else:
            for line in _shown(result, has_log=log is not None):
                click.echo(line)
    if not as_json:
        click.echo(_summary(known, lost))
        if log is not None and lost:
            click.echo(_left(left, applies=applies))
    return lost


def _json(result: "Checked", *, has_log: bool) -> dict[str, Any]:
    comparison = result.comparison
    found: dict[str, Any] = {
        "org_id": str(comparison.org_id),
        "lost": comparison.lost,
        "lost_at_most": comparison.lost_at_most,
        "kept_position": comparison.kept,
        "stored_position": comparison.stored,
        "newer": comparison.newer,
    }
    if has_log:
        found |= {
            "unlogged": result.unlogged,
            "keys": [_json_key(key) for key in result.keys],
            "unerased_events": result.unerased,
        }
    return found


def _json_key(key: "Affected") -> dict[str, Any]:
    return {
        "key_id": str(key.key_id),
        "effect": key.effect.value,
        "name": key.name,
        "fields": list(key.fields),
        "ended_at": None if key.end is None else key.end.at.isoformat(),
        "reason": None if key.end is None else key.end.reason.value,
        "was_deleted": key.is_deleted,
        "repeated": key.was_repeated,
    }


def _shown(result: "Checked", *, has_log: bool) -> Iterator[str]:
    comparison = result.comparison
    if comparison.is_whole:
        return
    yield f"organization {comparison.org_id}: {_lost(comparison)}"
    if has_log and result.unlogged:
        yield f"  the log does not have {result.unlogged} of them: the list of keys is not complete"
    for key in result.keys:
        yield f"  {key.effect.value}: {_key(key)}"
    if result.unerased:
        yield f"  unerased: the personal fields of {result.unerased} events"


def _lost(comparison: "Comparison") -> str:
    kept, stored = comparison.kept, comparison.stored
    if not comparison.lost:
        return f"cannot be compared: retention has removed position {kept}"
    if not stored:
        return f"{_events(kept)} lost, the whole organization"
    if comparison.lost == comparison.lost_at_most:
        first = comparison.shared + 1
        where = f"position {kept}" if first == kept else f"positions {first} to {kept}"
        return f"{_events(comparison.lost)} lost, {where}"
    return f"{_events(comparison.lost)} or more lost, up to position {kept}"


def _events(number: int) -> str:
    return f"{number} event{'s' * (number > 1)}"


def _key(key: "Affected") -> str:
    parts = [str(key.key_id)]
    if key.name is not None:
        parts.append(printable(repr(key.name)))
    meaning = MEANINGS[key.effect.value]
    fields = ", ".join(printable(field) for field in key.fields)
    parts.append(f"{meaning} {fields}" if key.effect.value == "outdated" else meaning)
    if key.end is not None:
        done = "deleted" if key.is_deleted else "revoked"
        parts.append(f"{done} {moment(key.end.at)} ({key.end.reason.value})")
    return ", ".join(parts) + ("; done again" if key.was_repeated else "")


def _summary(known: "Known", lost: int) -> str:
    compared = len(known.comparisons)
    return f"{compared} compared, {compared - lost} whole, {lost} not; {known.newer} are newer than the heads"


def _left(left: int, *, applies: bool) -> str:
    if not left:
        return "Nothing is left to do again."
    return f"{left} to do again" + ("." if applies else ": run it with --apply.")
