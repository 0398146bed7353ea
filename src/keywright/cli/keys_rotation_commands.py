"""`keywright keys rotate` and `keywright keys rotation …`: their options."""

from typing import Annotated

import typer

from keywright.cli import typed_values

rotation = typer.Typer(
    no_args_is_help=True, help="What becomes of the old secret while a rotation is under way: wait, end, extend."
)

KeyId = Annotated[str, typer.Argument(metavar="ID", help="The key's id.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on standard output, and nothing else there.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def rotate(
    key_id: KeyId,
    overlap: Annotated[
        int | None,
        typer.Option(
            parser=typed_values.duration,
            metavar=typed_values.DURATION,
            help="How long the old secret goes on working, such as 7d, at most 30d; 1d unless given, and 30d with "
            "--quiet.",
        ),
    ] = None,
    quiet: Annotated[
        int | None,
        typer.Option(
            parser=typed_values.duration,
            metavar=typed_values.DURATION,
            help="End the old secret sooner: once it was not used for so long after the new one's first use, such as "
            "1h.",
        ),
    ] = None,
    wait: Annotated[
        bool,
        typer.Option("--wait", help="Show the last uses of the old secret until it has ended or is safe to end."),
    ] = False,
    if_match: Annotated[
        str | None,
        typer.Option(
            metavar="ETAG", help="Only while the key is as it was read: the `etag` that `show --json` printed."
        ),
    ] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """
    Give a key a new secret, which is printed this once. The old one goes on working beside it for a while.

    With an overlap of 0s the old one ends at once; that asks first when run on a terminal.
    """
    from keywright.cli import keys_rotation as commands

    commands.rotate(
        key_id,
        overlap_seconds=overlap,
        quiet_seconds=quiet,
        if_match=if_match,
        wait=wait,
        ask=not yes,
        as_json=as_json,
    )


@rotation.command()
def wait(
    key_id: KeyId,
    quiet: Annotated[
        int | None,
        typer.Option(
            parser=typed_values.duration,
            metavar=typed_values.DURATION,
            help="How long the old secret must not have been used; what the rotation says unless given, or 1h.",
        ),
    ] = None,
) -> None:
    """Show the last uses of the old secret until it has ended or is safe to end."""
    from keywright.cli import keys_rotation as commands

    commands.wait(key_id, quiet_seconds=quiet)


@rotation.command()
def end(key_id: KeyId, yes: Yes = False, as_json: AsJson = False) -> None:
    """End the old secret at once. Asks first when run on a terminal."""
    from keywright.cli import keys_rotation as commands

    commands.end(key_id, ask=not yes, as_json=as_json)


@rotation.command()
def extend(
    key_id: KeyId,
    overlap: Annotated[
        int,
        typer.Option(
            parser=typed_values.duration,
            metavar=typed_values.DURATION,
            help="How long it goes on working from now, such as 7d, at most 30d.",
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Let the old secret work for so long from now, whether that is more or less than was said before."""
    from keywright.cli import keys_rotation as commands

    commands.extend(key_id, overlap, as_json=as_json)
