"""`keywright` in a process of its own, in a folder, by which it finds a database and a running demo."""

import subprocess
import sys
from pathlib import Path

from tests.live import clean_environment


def run(folder: Path, *arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Run `keywright` with *arguments* in *folder*, with these *settings* (`database_url=...`) and no others."""
    return subprocess.run(
        [sys.executable, "-m", "keywright", *arguments],
        cwd=folder,
        env=clean_environment({f"KEYWRIGHT_{name.upper()}": value for name, value in settings.items()}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
