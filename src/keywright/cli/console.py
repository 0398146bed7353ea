"""`keywright console`: the files of the element, for those who bundle them or pin a version."""

from pathlib import Path

import click

from keywright.cli import exits
from keywright.cli.commands import Group


@click.group(cls=Group, examples=("keywright console export static/keywright",))
def console() -> None:
    """Work with the files that the service sends to browsers."""


@console.command(
    examples=("keywright console export static/keywright", "keywright console export --overwrite static/keywright")
)
@click.option("--overwrite", is_flag=True, help="Replace files that exist and differ.")
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
def export(folder: Path, overwrite: bool) -> None:
    """
    Copy the files of the element `<keywright-keys>` to DIR, which is created, and print each path that was written.

    Serve or bundle them as they are: the modules import each other by relative paths. The attribute `api-base` of the
    element has to name the service. Where a file exists and differs, nothing is written.
    """
    from keywright import __version__
    from keywright.console.assets import Assets

    assets = Assets("element", __version__)
    changed = {folder / path: asset.plain for path, asset in assets.by_path.items()}
    with exits.ending_on(OSError, code=exits.FAILED):
        changed = {path: content for path, content in changed.items() if not _has(path, content)}
        existing = [path for path in changed if path.exists()]
        if existing and not overwrite:
            exits.stop(f"{existing[0]} exists and differs; --overwrite replaces it.", exits.FAILED)
        for path, content in changed.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            print(path)
    click.echo(
        f"Version {assets.version}: {len(changed)} written, {len(assets.by_path) - len(changed)} there.", err=True
    )


def _has(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content
