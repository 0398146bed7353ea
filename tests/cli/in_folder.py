"""`keywright` in a process of its own, in a folder, by which it finds a database and a running demo."""

import subprocess
from pathlib import Path

from tests import forked
from tests.live import clean_environment


def run(folder: Path, *arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Run `keywright` with *arguments* in *folder*, with these *settings* (`database_url=...`) and no others."""
    named = {f"KEYWRIGHT_{name.upper()}": value for name, value in settings.items()}
    return forked.command(*arguments, env=clean_environment(named), cwd=folder)
